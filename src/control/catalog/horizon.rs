//! Caps held against the ledger's memory.
//!
//! A cap that looks back further than the ledger remembers, or counts more showings than it keeps of one
//! customer, would let an offer through too often, and nobody would notice. Which catalog is right
//! depends on settings of the server (`ledger.horizon_days`, `ledger.exposures_per_customer_max`), so
//! this is asked when a catalog meets a server, not by `offerd catalog check`.

use super::mistake::{Mistake, Mistakes};
use crate::decide::snapshot::{Cap, Catalog};

const MS_PER_HOUR: i64 = 3_600_000;

/// What the ledger remembers of one customer.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// How far back, in milliseconds.
    pub horizon_ms: i64,
    /// How many showings.
    pub exposures_max: u32,
}

/// Checks that the ledger remembers what every cap counts.
///
/// # Errors
///
/// Every cap that asks for more, by its path in the catalog; lines are not known any more.
pub fn check_horizon(catalog: &Catalog, memory: Memory) -> Result<(), Mistakes> {
    let beyond = |caps: &[Cap], path: String| {
        let caps = caps.iter().enumerate();
        let found = caps.filter_map(|(i, cap)| Some((i, objection(cap, memory)?)));
        found
            .map(|(i, message)| Mistake {
                line: None,
                column: None,
                path: format!("{path}[{i}]"),
                message,
            })
            .collect::<Vec<_>>()
    };
    let mut found = beyond(&catalog.selling_caps, "caps.selling".to_owned());
    for (i, offer) in catalog.offers.iter().enumerate() {
        found.extend(beyond(&offer.caps, format!("offer[{i}].caps")));
    }
    match Mistakes::of(found) {
        Some(mistakes) => Err(mistakes),
        None => Ok(()),
    }
}

fn objection(cap: &Cap, memory: Memory) -> Option<String> {
    if cap.window_ms > memory.horizon_ms {
        let (found, most) = (cap.window_ms / MS_PER_HOUR, memory.horizon_ms / MS_PER_HOUR);
        return Some(format!(
            "expected a window of at most {most} hours, which is how long this server remembers what \
             was shown (its setting ledger.horizon_days); found {found} hours"
        ));
    }
    let (found, most) = (cap.count, memory.exposures_max);
    (found > most).then(|| {
        format!(
            "expected a count of at most {most}, which is how many showings this server remembers of a \
             customer (its setting ledger.exposures_per_customer_max); found {found}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    const CATALOG: &str = r#"
[operator]
currency = "USD"
time_zone = "UTC"
[caps]
selling = [{ count = 3, per = "day" }, { count = 9, per = "year" }]
[[placement]]
id = "hero"
[[offer]]
id = "a"
class = "upsell"
value_minor = 100
caps = [{ count = 1, window_hours = 49 }]
creatives = [{ title = "A" }]
"#;

    #[track_caller]
    fn check(horizon_hours: i64, exposures_max: u32, expected: &[&str]) {
        let catalog = read(CATALOG).unwrap();
        let memory = Memory {
            horizon_ms: horizon_hours * MS_PER_HOUR,
            exposures_max,
        };
        let found = check_horizon(&catalog, memory);
        let found = found.err().map(|m| m.all().to_vec()).unwrap_or_default();
        let paths: Vec<&str> = found.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, expected, "{memory:?}");
    }

    #[test]
    fn a_cap_must_not_look_back_further_than_the_ledger() {
        check(365 * 24, 64, &[]);
        check(365 * 24 - 1, 64, &["caps.selling[1]"]);
        check(49, 64, &["caps.selling[1]"]);
        check(48, 64, &["caps.selling[1]", "offer[0].caps[0]"]);
    }

    #[test]
    fn a_cap_must_not_count_more_than_the_ledger_keeps() {
        check(365 * 24, 9, &[]);
        check(365 * 24, 8, &["caps.selling[1]"]);
        check(365 * 24, 2, &["caps.selling[0]", "caps.selling[1]"]);
    }
}
