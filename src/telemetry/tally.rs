//! What each model version did: counted on the data path, judged by the control plane.
//!
//! A decision adds to a handful of atomics of the version that made it; an event finds the same version
//! by the hash in its token. Versions are listed by the control plane before they serve, so the data
//! path only ever looks up and never waits. What happened before a version was listed is not counted,
//! and nothing survives a restart: these are signs for a guardrail, the records are in the journal.

mod odd;

pub use odd::OddCount;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::domain::{NameHash, OddInput};
use odd::OddCounts;

/// Versions that are counted at once; the longest known is forgotten first. Enough for every stage and
/// for late conversions of several versions before.
const VERSIONS_MAX: usize = 32;

/// Buckets of a duration: four to each doubling, from a microsecond to two seconds.
const BUCKETS: usize = 84;

/// Probabilities are summed as integers of this unit, which no number of threads can round apart.
const PROBABILITY_UNITS: f64 = 1e9;

/// The versions that are counted.
#[derive(Debug, Default)]
pub struct Tallies(ArcSwap<Vec<(u32, Arc<Tally>)>>);

/// What one version did since it was listed.
#[derive(Debug)]
pub struct Tally {
    decisions: AtomicU64,
    failures: AtomicU64,
    choices: AtomicU64,
    predicted: Sums,
    believed: Sums,
    conversions: AtomicI64,
    value: AtomicI64,
    /// An `f64` by its bits: squares of amounts outgrow an integer. Conversions are rare enough to loop.
    value_squares: AtomicU64,
    durations: [AtomicU64; BUCKETS],
    took_ns: AtomicU64,
    odd: OddCounts,
}

/// Sums of probabilities and of their variances.
#[derive(Debug, Default)]
struct Sums {
    expected: AtomicU64,
    variance: AtomicU64,
}

impl Sums {
    fn add(&self, beliefs: Beliefs) {
        let units = |sum: f64| (sum * PROBABILITY_UNITS) as u64;
        self.expected.fetch_add(units(beliefs.expected), Relaxed);
        self.variance.fetch_add(units(beliefs.variance), Relaxed);
    }

    fn read(&self) -> Beliefs {
        Beliefs {
            expected: self.expected.load(Relaxed) as f64 / PROBABILITY_UNITS,
            variance: self.variance.load(Relaxed) as f64 / PROBABILITY_UNITS,
        }
    }
}

/// The number of conversions, if some probabilities are right.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beliefs {
    /// Sum of the probabilities.
    pub expected: f64,
    /// Sum of `p (1 - p)`.
    pub variance: f64,
}

impl Beliefs {
    fn hold(&mut self, p: f64) {
        self.expected += p;
        self.variance += p * (1.0 - p);
    }

    fn since(self, earlier: Beliefs) -> Beliefs {
        Beliefs {
            expected: self.expected - earlier.expected,
            variance: self.variance - earlier.variance,
        }
    }
}

/// A reading of a [`Tally`].
#[derive(Clone, Debug, PartialEq)]
pub struct Counts {
    /// Decisions it made.
    pub decisions: u64,
    /// Those in which it failed and the prior answered.
    pub failures: u64,
    /// Offers shown.
    pub choices: u64,
    /// Their conversions, as the model said.
    pub predicted: Beliefs,
    /// Their conversions, as was believed after what has been learnt over the model.
    pub believed: Beliefs,
    /// Conversions of those offers, less reversals.
    pub conversions: i64,
    /// What they were worth, in minor units.
    pub value: i64,
    /// Sum of the squares of that, event by event.
    pub value_squares: f64,
    /// How many decisions took how long, by bucket; see [`Counts::p99`].
    pub durations: Vec<u64>,
    /// How long all of them took together.
    pub took: Duration,
}

/// What one decision adds.
#[derive(Clone, Copy, Debug)]
pub struct Made {
    /// The model failed.
    pub failed: bool,
    /// How long deciding took.
    pub took: Duration,
}

impl Tallies {
    /// Lists a version by its `name@version`, with the names of its inputs in their order; anew where it is
    /// listed already.
    pub fn list<'a>(&self, label: &str, inputs: impl IntoIterator<Item = &'a str>) -> Arc<Tally> {
        let key = NameHash::of(label).low();
        let tally = Arc::new(Tally {
            odd: OddCounts::new(inputs),
            ..Tally::default()
        });
        self.0.rcu(|old| {
            let others = old.iter().filter(|(k, _)| *k != key).cloned();
            let mut all: Vec<_> = others.chain([(key, Arc::clone(&tally))]).collect();
            let extra = all.len().saturating_sub(VERSIONS_MAX);
            all.drain(..extra);
            all
        });
        tally
    }

    /// Counts for the version whose label has that hash, if it is listed.
    pub fn count(&self, key: u32, count: impl FnOnce(&Tally)) {
        if let Some((_, tally)) = self.0.load().iter().find(|(k, _)| *k == key) {
            count(tally);
        }
    }

    /// What a version did since it was listed; `None` where it is not.
    #[must_use]
    pub fn read(&self, label: &str) -> Option<Counts> {
        let mut counts = None;
        self.count(NameHash::of(label).low(), |tally| {
            counts = Some(tally.read());
        });
        counts
    }

    /// How often a version could not be told an input, by input in its order; only those of which it is so.
    /// Empty where it is not listed.
    #[must_use]
    pub fn odd(&self, label: &str) -> Vec<OddCount> {
        let mut odd = Vec::new();
        self.count(NameHash::of(label).low(), |tally| odd = tally.odd.read());
        odd
    }
}

impl Default for Tally {
    fn default() -> Tally {
        Tally {
            decisions: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            choices: AtomicU64::new(0),
            predicted: Sums::default(),
            believed: Sums::default(),
            conversions: AtomicI64::new(0),
            value: AtomicI64::new(0),
            value_squares: AtomicU64::new(0),
            durations: std::array::from_fn(|_| AtomicU64::new(0)),
            took_ns: AtomicU64::new(0),
            odd: OddCounts::default(),
        }
    }
}

impl Tally {
    /// Counts a decision and, of each offer it shows, the probability that the model gave and the one that was
    /// believed.
    pub fn decision(&self, made: Made, probabilities: impl Iterator<Item = (f64, f64)>) {
        let (mut choices, mut predicted, mut believed) =
            (0, Beliefs::default(), Beliefs::default());
        for (base, probability) in probabilities {
            choices += 1;
            predicted.hold(base);
            believed.hold(probability);
        }
        self.decisions.fetch_add(1, Relaxed);
        self.failures.fetch_add(u64::from(made.failed), Relaxed);
        self.choices.fetch_add(choices, Relaxed);
        self.predicted.add(predicted);
        self.believed.add(believed);
        self.durations[bucket(made.took)].fetch_add(1, Relaxed);
        let ns = u64::try_from(made.took.as_nanos()).unwrap_or(u64::MAX);
        self.took_ns.fetch_add(ns, Relaxed);
    }

    /// Counts what one decision could not tell the model.
    pub fn odd_inputs(&self, odd: &[OddInput]) {
        self.odd.add(odd);
    }

    /// Counts a conversion, or takes a reversed one back.
    pub fn conversion(&self, value_minor: i64, reversed: bool) {
        let sign = if reversed { -1 } else { 1 };
        let square = sign as f64 * (value_minor as f64).powi(2);
        self.conversions.fetch_add(sign, Relaxed);
        self.value
            .fetch_add(sign.saturating_mul(value_minor), Relaxed);
        let mut old = self.value_squares.load(Relaxed);
        loop {
            let new = (f64::from_bits(old) + square).to_bits();
            match (self.value_squares).compare_exchange_weak(old, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    fn read(&self) -> Counts {
        Counts {
            decisions: self.decisions.load(Relaxed),
            failures: self.failures.load(Relaxed),
            choices: self.choices.load(Relaxed),
            predicted: self.predicted.read(),
            believed: self.believed.read(),
            conversions: self.conversions.load(Relaxed),
            value: self.value.load(Relaxed),
            value_squares: f64::from_bits(self.value_squares.load(Relaxed)),
            durations: self.durations.iter().map(|n| n.load(Relaxed)).collect(),
            took: Duration::from_nanos(self.took_ns.load(Relaxed)),
        }
    }
}

impl Default for Counts {
    fn default() -> Counts {
        Tally::default().read()
    }
}

impl Counts {
    /// What came on top of an earlier reading of the same version.
    #[must_use]
    pub fn since(&self, earlier: &Counts) -> Counts {
        let pairs = self.durations.iter().zip(&earlier.durations);
        Counts {
            decisions: self.decisions.saturating_sub(earlier.decisions),
            failures: self.failures.saturating_sub(earlier.failures),
            choices: self.choices.saturating_sub(earlier.choices),
            predicted: self.predicted.since(earlier.predicted),
            believed: self.believed.since(earlier.believed),
            conversions: self.conversions - earlier.conversions,
            value: self.value - earlier.value,
            value_squares: self.value_squares - earlier.value_squares,
            durations: pairs.map(|(now, then)| now.saturating_sub(*then)).collect(),
            took: self.took.saturating_sub(earlier.took),
        }
    }

    /// Adds `n` decisions that took so long: for tests and tables.
    #[must_use]
    pub fn with_durations(mut self, took: Duration, n: u64) -> Counts {
        self.durations[bucket(took)] += n;
        self
    }

    /// How many decisions took at most so long, for every doubling of a microsecond from the fourth on: bounds
    /// that the buckets have too, so that nothing is guessed.
    pub fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        let mut below = 0;
        let sums = self.durations.iter().enumerate().map(move |(i, n)| {
            below += n;
            (i, below)
        });
        sums.filter(|(i, _)| i % 4 == 0 && *i >= 8 && *i < BUCKETS - 1)
            .map(|(i, sum)| (upper(i), sum))
    }

    /// The 99th percentile of the time that deciding took, to a fifth; `None` before any decision.
    #[must_use]
    pub fn p99(&self) -> Option<Duration> {
        let total: u64 = self.durations.iter().sum();
        let rank = (total as f64 * 0.99).ceil() as u64;
        let mut below = 0;
        let found = self.durations.iter().position(|n| {
            below += n;
            below >= rank && rank > 0
        });
        found.map(upper)
    }
}

/// Four buckets to each doubling of a microsecond.
fn bucket(took: Duration) -> usize {
    let us = (took.as_nanos() as f64 / 1_000.0).max(1.0);
    ((us.log2() * 4.0).ceil() as usize).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> Duration {
    Duration::from_nanos(((bucket as f64 / 4.0).exp2() * 1_000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_read() {
        let tallies = Tallies::default();
        tallies.list("m@1", []);
        let key = NameHash::of("m@1").low();
        let made = |us| Made {
            failed: us > 500,
            took: Duration::from_micros(us),
        };
        for us in [10; 98] {
            tallies.count(key, |t| {
                t.decision(made(us), [(0.2, 0.1), (0.5, 0.5)].into_iter())
            });
        }
        tallies.count(key, |t| t.decision(made(1_000), std::iter::empty()));
        tallies.count(key, |t| t.decision(made(1_000), std::iter::empty()));
        tallies.count(key, |t| t.conversion(500, false));
        tallies.count(key, |t| t.conversion(300, false));
        tallies.count(key, |t| t.conversion(300, true));
        let counts = tallies.read("m@1").unwrap();
        assert_eq!((counts.decisions, counts.failures), (100, 2));
        assert_eq!((counts.choices, counts.conversions), (196, 1));
        let (predicted, believed) = (counts.predicted, counts.believed);
        assert!((predicted.expected - 98.0 * 0.7).abs() < 1e-6);
        assert!((predicted.variance - 98.0 * 0.41).abs() < 1e-6);
        assert!((believed.expected - 98.0 * 0.6).abs() < 1e-6);
        assert_eq!((counts.value, counts.value_squares), (500, 250_000.0));
        let p99 = counts.p99().unwrap().as_micros();
        assert!((1_000..1_250).contains(&p99), "{p99}");
        assert_eq!(counts.since(&counts), Counts::default());
        assert_eq!(Counts::default().p99(), None);
    }

    #[test]
    fn old_versions_are_forgotten_first() {
        let tallies = Tallies::default();
        for version in 0..VERSIONS_MAX + 1 {
            tallies.list(&format!("m@{version}"), []);
        }
        assert_eq!(tallies.read("m@0"), None);
        assert!(tallies.read("m@1").is_some());
        tallies.count(7, |_| panic!("nobody is listed by that hash"));
    }
}
