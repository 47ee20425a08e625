//! How much is done at once, and who goes first when that is not enough.
//!
//! Work beyond what the machine can do only makes everybody late, so it is refused at once and
//! cheaply. Classes share one limit: each may fill it up to its own share, so that clicks make room for
//! decisions, and decisions for conversions, which nobody sends twice for nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// What a request is, as to who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Orders, conversions, reversals, signed contexts: refused last.
    Conversion,
    /// Decisions.
    Decision,
    /// Impressions, clicks and the rest, which the SDK sends again: refused first.
    Other,
}

impl Class {
    /// Every class, in order.
    pub const ALL: [Class; 3] = [Class::Conversion, Class::Decision, Class::Other];

    /// The word it goes by in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Conversion => "conversion",
            Class::Decision => "decision",
            Class::Other => "other",
        }
    }
}

/// How much may be done at once; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdmissionConfig {
    /// Requests in flight, over all connections. A decision takes well under a millisecond, so this
    /// many waiting already means some hundred milliseconds.
    pub in_flight_max: usize,
    /// Decisions are refused when this part of it is in flight, in percent.
    pub decision_share_percent: usize,
    /// Impressions, clicks and the rest are refused when this part of it is in flight, in percent.
    pub other_share_percent: usize,
}

impl Default for AdmissionConfig {
    fn default() -> AdmissionConfig {
        AdmissionConfig {
            in_flight_max: 1_024,
            decision_share_percent: 90,
            other_share_percent: 70,
        }
    }
}

impl AdmissionConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    ///
    /// Names the first one that is not.
    pub fn check(&self) -> Result<(), AdmissionConfigError> {
        let (decision, other) = (self.decision_share_percent, self.other_share_percent);
        for (field, found, min, max) in [
            ("in_flight_max", self.in_flight_max, 1, 1 << 20),
            ("decision_share_percent", decision, 1, 100),
            ("other_share_percent", other, 1, decision),
        ] {
            if !(min..=max).contains(&found) {
                return Err(AdmissionConfigError {
                    field,
                    found,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be from {min} to {max}")]
pub struct AdmissionConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it was set to.
    pub found: usize,
    /// The smallest value that works.
    pub min: usize,
    /// The largest.
    pub max: usize,
}

/// Too much is in flight: 429, or `RESOURCE_EXHAUSTED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy; retry in {retry_after_s} s")]
pub struct Overloaded {
    /// For `Retry-After`: from 1 to 5, and not the same for everybody.
    pub retry_after_s: u8,
}

/// The gate all requests go through.
#[derive(Clone, Debug)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limits: [usize; Class::ALL.len()],
    in_flight: AtomicUsize,
    refused: [AtomicU64; Class::ALL.len()],
}

/// The right to be worked on; given back on drop.
#[derive(Debug)]
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit {
    inner: Arc<Inner>,
}

impl Admission {
    /// A gate with nothing in flight.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of range.
    pub fn new(config: &AdmissionConfig) -> Result<Admission, AdmissionConfigError> {
        config.check()?;
        let (decision, other) = (config.decision_share_percent, config.other_share_percent);
        // A share rounds up, so that none is nothing.
        let share = |percent: usize| (config.in_flight_max * percent).div_ceil(100);
        let inner = Inner {
            limits: [config.in_flight_max, share(decision), share(other)],
            in_flight: AtomicUsize::new(0),
            refused: Default::default(),
        };
        Ok(Admission {
            inner: Arc::new(inner),
        })
    }

    /// Lets a request of that class in, or refuses it at once: there is no queue.
    ///
    /// # Errors
    ///
    /// The class's share is in flight.
    pub fn enter(&self, class: Class) -> Result<Permit, Overloaded> {
        let inner = &self.inner;
        let limit = inner.limits[class as usize];
        let entered = inner
            .in_flight
            .fetch_update(Relaxed, Relaxed, |n| (n < limit).then_some(n + 1));
        if entered.is_ok() {
            return Ok(Permit {
                inner: inner.clone(),
            });
        }
        let refused = inner.refused[class as usize].fetch_add(1, Relaxed);
        // Spread by hash: those refused together must not come back together.
        let retry_after_s = 1 + (xxh3_64(&refused.to_be_bytes()) % 5) as u8;
        Err(Overloaded { retry_after_s })
    }

    /// Requests in flight now.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight.load(Relaxed)
    }

    /// How many of that class were refused.
    #[must_use]
    pub fn refused(&self, class: Class) -> u64 {
        self.inner.refused[class as usize].load(Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inner.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(in_flight_max: usize) -> Admission {
        let config = AdmissionConfig {
            in_flight_max,
            ..AdmissionConfig::default()
        };
        Admission::new(&config).unwrap()
    }

    fn fill(admission: &Admission, class: Class) -> Vec<Permit> {
        std::iter::from_fn(|| admission.enter(class).ok()).collect()
    }

    #[test]
    fn the_less_urgent_make_room() {
        let admission = admission(10);
        let other = fill(&admission, Class::Other);
        let decisions = fill(&admission, Class::Decision);
        let conversions = fill(&admission, Class::Conversion);
        assert_eq!((other.len(), decisions.len(), conversions.len()), (7, 2, 1));
        assert_eq!(Class::ALL.map(|class| admission.refused(class)), [1, 1, 1]);
        drop(other);
        assert_eq!(admission.in_flight(), 3);
        assert_eq!(fill(&admission, Class::Other).len(), 4);
    }

    #[test]
    fn every_class_gets_in_when_nothing_is_in_flight() {
        for class in Class::ALL {
            assert_eq!(fill(&admission(1), class).len(), 1, "{}", class.as_str());
        }
    }

    #[test]
    fn those_refused_come_back_at_different_times() {
        let admission = admission(1);
        let _permit = admission.enter(Class::Other).unwrap();
        let mut seen = [0; 7];
        for _ in 0..1_000 {
            let refused = admission.enter(Class::Conversion).unwrap_err();
            seen[usize::from(refused.retry_after_s)] += 1;
        }
        assert_eq!((seen[0], seen[6]), (0, 0));
        assert!(seen[1..6].iter().all(|n| *n > 150), "{seen:?}");
    }

    #[test]
    fn threads_never_pass_the_limit_together() {
        let admission = admission(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let permit = admission.enter(Class::Conversion);
                        assert!(admission.in_flight() <= 4);
                        drop(permit);
                    }
                });
            }
        });
        assert_eq!(admission.in_flight(), 0);
    }

    #[test]
    fn a_share_outside_its_range_is_named() {
        let config = AdmissionConfig {
            other_share_percent: 91,
            ..AdmissionConfig::default()
        };
        let error = Admission::new(&config).unwrap_err();
        let said = "other_share_percent is 91; it must be from 1 to 90";
        assert_eq!(error.to_string(), said);
    }
}
