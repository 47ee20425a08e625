//! What exploring may cost a day: money for each class, and the classes that have spent theirs.
//!
//! Who has spent is counted by the learner from the records and frozen in the snapshot, never counted here: a
//! decision looks at nothing but its snapshot and its request. The days are in it too, so that a new one begins with the first
//! request of it and not when somebody has noticed.

use super::snapshot::Set;
use crate::domain::{Millis, OfferClass};

/// Minor units that exploring may cost on one day in the operator's time zone, by class; no entry, no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budgets([Option<i64>; OfferClass::ALL.len()]);

impl Budgets {
    /// With the budget of one class.
    #[must_use]
    pub fn with(mut self, class: OfferClass, minor: i64) -> Budgets {
        self.0[class as usize] = Some(minor);
        self
    }

    /// The budget of a class; `None` where it has none.
    #[must_use]
    pub fn of(&self, class: OfferClass) -> Option<i64> {
        self.0[class as usize]
    }

    /// Whether no class has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Whether a class that has cost so many minor units today has nothing left.
    #[must_use]
    pub fn is_spent(&self, class: OfferClass, cost_minor: f64) -> bool {
        self.of(class)
            .is_some_and(|minor| cost_minor >= minor as f64)
    }
}

/// The classes that have spent their budget, and the day for which that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Which classes.
    pub classes: Set,
    /// When the day began.
    pub from: Millis,
    /// When it ends; a request of that moment is of the next day.
    pub until: Millis,
    /// Classes that have spent theirs on any day, because it is nothing.
    pub always: Set,
}

impl Spent {
    /// Nobody has spent anything.
    pub const NOTHING: Spent = Spent {
        classes: Set(0),
        from: Millis(i64::MIN),
        until: Millis(i64::MAX),
        always: Set(0),
    };

    /// The classes whose budget is spent for a request of that moment.
    #[must_use]
    pub fn at(&self, at: Millis) -> Set {
        if (self.from..self.until).contains(&at) {
            self.classes
        } else {
            self.always
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends() {
        let always = Set::default().with(OfferClass::Care as u8);
        let classes = always.with(OfferClass::Upsell as u8);
        let (from, until) = (Millis(1_000), Millis(2_000));
        let spent = Spent {
            classes,
            from,
            until,
            always,
        };
        for (at, expected) in [(999, false), (1_000, true), (1_999, true), (2_000, false)] {
            let classes = spent.at(Millis(at));
            assert_eq!(classes.has_class(OfferClass::Upsell), expected, "{at}");
            assert!(classes.has_class(OfferClass::Care), "{at}");
            assert!(!classes.has_class(OfferClass::Content), "{at}");
        }
        assert_eq!(Spent::NOTHING.at(Millis(0)), Set::default());
    }

    #[test]
    fn a_budget_is_spent_when_nothing_is_left() {
        let budgets = Budgets::default().with(OfferClass::Upsell, 500);
        for (cost, expected) in [(0.0, false), (499.9, false), (500.0, true), (501.0, true)] {
            assert_eq!(budgets.is_spent(OfferClass::Upsell, cost), expected);
            assert!(!budgets.is_spent(OfferClass::Content, cost));
        }
        let none = Budgets::default().with(OfferClass::Content, 0);
        assert!(none.is_spent(OfferClass::Content, 0.0));
        assert!(!none.is_empty() && Budgets::default().is_empty());
    }
}
