//! Caps held against the ledger's memory.
//!
//! A cap that looks back further than the ledger remembers would let an offer through too often, and
//! nobody would notice. Which catalog is right depends on a setting of the server (`ledger.horizon_days`),
//! so this is asked when a catalog meets a server, not by `offerd catalog check`.

use super::mistake::{Mistake, Mistakes};
use crate::decide::snapshot::{Cap, Catalog};

const MS_PER_HOUR: i64 = 3_600_000;

/// Checks that no cap looks back further than `horizon_ms`.
///
/// # Errors
///
/// Every cap that does, by its path in the catalog; lines are not known any more.
pub fn check_horizon(catalog: &Catalog, horizon_ms: i64) -> Result<(), Mistakes> {
    let too_far = |caps: &[Cap], path: String| {
        let far = caps.iter().enumerate();
        let far = far.filter(|(_, cap)| cap.window_ms > horizon_ms);
        far.map(|(i, cap)| mistake(format!("{path}[{i}]"), cap, horizon_ms))
            .collect::<Vec<_>>()
    };
    let mut found = too_far(&catalog.selling_caps, "caps.selling".to_owned());
    for (i, offer) in catalog.offers.iter().enumerate() {
        found.extend(too_far(&offer.caps, format!("offer[{i}].caps")));
    }
    match Mistakes::of(found) {
        Some(mistakes) => Err(mistakes),
        None => Ok(()),
    }
}

fn mistake(path: String, cap: &Cap, horizon_ms: i64) -> Mistake {
    let (found, most) = (cap.window_ms / MS_PER_HOUR, horizon_ms / MS_PER_HOUR);
    Mistake {
        line: None,
        column: None,
        path,
        message: format!(
            "expected a window of at most {most} hours, which is how long this server remembers what \
             was shown (its setting ledger.horizon_days); found {found} hours"
        ),
    }
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
    fn check(horizon_hours: i64, expected: &[&str]) {
        let catalog = read(CATALOG).unwrap();
        let found = check_horizon(&catalog, horizon_hours * MS_PER_HOUR);
        let found = found.err().map(|m| m.all().to_vec()).unwrap_or_default();
        let paths: Vec<&str> = found.iter().map(|m| m.path.as_str()).collect();
        assert_eq!(paths, expected, "{horizon_hours} h");
    }

    #[test]
    fn a_cap_must_not_look_back_further_than_the_ledger() {
        check(365 * 24, &[]);
        check(365 * 24 - 1, &["caps.selling[1]"]);
        check(49, &["caps.selling[1]"]);
        check(48, &["caps.selling[1]", "offer[0].caps[0]"]);
    }
}
