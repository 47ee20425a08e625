//! The money for exploring, held against what the learner has counted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::decide::budget::Spent;
use crate::decide::snapshot::{Catalog, Set};
use crate::domain::{Millis, OfferClass};
use crate::learn::learner::{Learnt, day};

/// What exploring may cost one class today, and what it has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ExploringBudget {
    /// What it may, in minor units.
    pub budget_minor: i64,
    /// What it has, in minor units; more than the budget by what the floor and the last second cost.
    pub spent_minor: f64,
    /// Whether the explorer holds back: only the floor explores for the rest of the day.
    pub spent: bool,
    /// Since when, milliseconds since the Unix epoch: the decision that spent the last of it. `None` also
    /// where a new catalog lowered the budget, until the next decision.
    pub since_ms: Option<i64>,
}

/// The classes that may not explore any more, on the day of the last record that was counted. A day on which nothing
/// was counted yet begins with full budgets.
#[must_use]
pub fn spent(learnt: Option<&Learnt>, catalog: &Catalog) -> Spent {
    if catalog.exploring.is_empty() {
        return Spent::NOTHING;
    }
    let always = classes(catalog, |_| 0.0);
    let counted = learnt.and_then(|learnt| Some((learnt, bounds(catalog, learnt.until)?)));
    let Some((learnt, (from, until))) = counted else {
        let classes = always;
        return Spent {
            classes,
            always,
            ..Spent::NOTHING
        };
    };
    let day = day(&catalog.time_zone, learnt.until);
    Spent {
        classes: classes(catalog, |class| learnt.cost(&day, class).cost_minor),
        from,
        until,
        always,
    }
}

/// What every class with a budget has spent on the day of `now`.
#[must_use]
pub fn report(
    learnt: Option<&Learnt>,
    catalog: &Catalog,
    now: Millis,
) -> BTreeMap<&'static str, ExploringBudget> {
    let today = day(&catalog.time_zone, now.0);
    let of = |class: &OfferClass| {
        let budget_minor = catalog.exploring.of(*class)?;
        let cost = learnt.map(|l| l.cost(&today, *class));
        let cost = cost.unwrap_or_default();
        let spent = catalog.exploring.is_spent(*class, cost.cost_minor);
        let budget = ExploringBudget {
            budget_minor,
            spent_minor: cost.cost_minor,
            spent,
            since_ms: cost.spent_at_ms.filter(|_| spent),
        };
        Some((class.as_str(), budget))
    };
    OfferClass::ALL.iter().filter_map(of).collect()
}

/// The classes that have spent all when that is what exploring has cost them.
fn classes(catalog: &Catalog, cost_minor: impl Fn(OfferClass) -> f64) -> Set {
    let is_spent = |class: &&OfferClass| catalog.exploring.is_spent(**class, cost_minor(**class));
    let spent = OfferClass::ALL.iter().filter(is_spent);
    spent.fold(Set::default(), |set, class| set.with(*class as u8))
}

/// When the day of that moment begins and ends in the operator's time zone; `None` at the ends of the calendar.
fn bounds(catalog: &Catalog, at: i64) -> Option<(Millis, Millis)> {
    let zone = &catalog.time_zone;
    let date = zone
        .to_datetime(jiff::Timestamp::from_millisecond(at).ok()?)
        .date();
    let begins = |date: jiff::civil::Date| {
        let begins = date.to_zoned(zone.clone()).ok()?;
        Some(Millis(begins.timestamp().as_millisecond()))
    };
    Some((begins(date)?, begins(date.tomorrow().ok()?)?))
}
