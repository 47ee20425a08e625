//! How often an offer succeeds, when successes take their time.
//!
//! Dividing the successes so far by the showings so far makes every young offer look bad: most of its
//! successes are still on their way. So a showing is followed from being seen, and counts in each span of time after
//! that only when it is old enough to have passed through all of it: the product-limit estimate (Kaplan and Meier 1958) on
//! fixed spans, with Greenwood's variance. It needs no guess of how long successes take. It tells how many come
//! within the age that has been reached, the horizon, and says which that is.
//!
//! These are counts: those of several nodes add up.

use serde::{Deserialize, Serialize};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Ends of the spans, milliseconds after being seen.
pub const SPANS: [i64; 33] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    20 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    4 * HOUR,
    6 * HOUR,
    8 * HOUR,
    10 * HOUR,
    12 * HOUR,
    16 * HOUR,
    20 * HOUR,
    DAY,
    30 * HOUR,
    36 * HOUR,
    2 * DAY,
    60 * HOUR,
    3 * DAY,
    4 * DAY,
    5 * DAY,
    6 * DAY,
    7 * DAY,
    10 * DAY,
    14 * DAY,
    21 * DAY,
    30 * DAY,
    45 * DAY,
    60 * DAY,
    90 * DAY,
];

/// Showings by the span that their age and their success have reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Showings without a success, by how many spans they have passed through.
    without: Vec<u64>,
    /// Showings with one, by how many spans they have passed through, and the span in which it came.
    with: std::collections::BTreeMap<(u8, u8), u64>,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates {
            without: vec![0; SPANS.len() + 1],
            with: std::collections::BTreeMap::new(),
        }
    }
}

/// An estimate with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rate {
    /// Showings that were seen.
    pub showings: u64,
    /// Of these, with a success so far.
    pub successes: u64,
    /// The share of showings that succeed within the horizon.
    pub rate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Milliseconds after being seen within which successes are told; 0 where nothing is old enough.
    pub horizon_ms: i64,
    /// Successes over showings, as of now: what the estimate would be if nothing were on its way.
    pub naive: f64,
}

/// How many spans end at or before `age`.
fn passed(age: i64) -> usize {
    SPANS.partition_point(|end| *end <= age)
}

/// 97.5 % point of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

impl Rates {
    /// A showing that has been followed for `age` milliseconds, and succeeded after `success`.
    pub fn close(&mut self, success: Option<i64>, age: i64) {
        let passed_through = passed(age);
        match success.map(|after| passed(after.max(0))) {
            Some(span) if span < SPANS.len() => {
                let place = |n: usize| u8::try_from(n).expect("there are a few dozen spans");
                let key = (place(passed_through), place(span));
                *self.with.entry(key).or_default() += 1;
            }
            _ => self.without[passed_through] += 1,
        }
    }

    /// Adds another node's.
    pub fn add(&mut self, other: &Rates) {
        for (own, theirs) in self.without.iter_mut().zip(&other.without) {
            *own += theirs;
        }
        for (key, n) in &other.with {
            *self.with.entry(*key).or_default() += n;
        }
    }

    /// Showings that were seen.
    #[must_use]
    pub fn showings(&self) -> u64 {
        self.without.iter().sum::<u64>() + self.with.values().sum::<u64>()
    }

    /// The share that succeeds within the longest time that is known, at most `within_ms`.
    #[must_use]
    pub fn rate(&self, within_ms: i64) -> Rate {
        let (showings, successes) = (self.showings(), self.with.values().sum::<u64>());
        let (mut survival, mut spread, mut horizon_ms, mut base) = (1.0, 0.0, 0, 0.0);
        for (span, &end) in SPANS.iter().enumerate().filter(|(_, e)| **e <= within_ms) {
            let (at_risk, came) = self.span(span);
            if at_risk == 0 {
                break;
            }
            let (n, d) = (at_risk as f64, came as f64);
            survival *= 1.0 - d / n;
            if d > 0.0 && n > d {
                spread += d / (n * (n - d));
            }
            (horizon_ms, base) = (end, n);
        }
        let rate = 1.0 - survival;
        let (low, high) = interval(rate, survival * survival * spread, base);
        Rate {
            showings,
            successes,
            rate,
            low,
            high,
            horizon_ms,
            naive: successes as f64 / (showings as f64).max(1.0),
        }
    }

    /// Showings that had not succeeded before the span and are old enough to have passed through it, and how
    /// many of them succeeded in it.
    fn span(&self, span: usize) -> (u64, u64) {
        let waited: u64 = self.without[span + 1..].iter().sum();
        let old = |key: &(u8, u8)| usize::from(key.0) > span;
        let later = self.with.iter().filter(|(k, _)| old(k));
        let (mut at_risk, mut came) = (waited, 0);
        for (key, n) in later {
            at_risk += if usize::from(key.1) >= span { *n } else { 0 };
            came += if usize::from(key.1) == span { *n } else { 0 };
        }
        (at_risk, came)
    }
}

/// Wilson's interval for as many showings as would have this variance; of a rate of 0, of those at risk last.
fn interval(rate: f64, variance: f64, base: f64) -> (f64, f64) {
    if base == 0.0 {
        return (0.0, 1.0);
    }
    let n = if variance > 0.0 {
        (rate * (1.0 - rate) / variance).max(1.0)
    } else {
        base
    };
    let (z2, scale) = (Z * Z, 1.0 / (1.0 + Z * Z / n));
    let middle = scale * (rate + z2 / (2.0 * n));
    let half = scale * Z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_delay_it_is_the_share() {
        let mut rates = Rates::default();
        for i in 0..1_000 {
            rates.close((i % 10 == 0).then_some(30_000), DAY);
        }
        let rate = rates.rate(DAY);
        assert!((rate.rate - 0.1).abs() < 1e-12, "{rate:?}");
        assert!(rate.low < 0.1 && 0.1 < rate.high && rate.high - rate.low < 0.04);
        assert_eq!((rate.showings, rate.successes), (1_000, 100));
        assert_eq!(rate.horizon_ms, DAY);
    }

    #[test]
    fn young_showings_do_not_count_where_they_have_not_been() {
        let mut rates = Rates::default();
        for i in 0..1_000 {
            // Half of the successes come within the hour, half after it.
            let after = [10 * MINUTE, 90 * MINUTE][i % 2];
            rates.close((i % 10 < 2).then_some(after), DAY);
        }
        let old = rates.rate(DAY).rate;
        // Half an hour old: what they have by then is all that they can have.
        for i in 0..4_000 {
            rates.close((i % 10 == 0).then_some(10 * MINUTE), 31 * MINUTE);
        }
        let rate = rates.rate(DAY);
        assert!((rate.rate - old).abs() < 1e-9, "{rate:?} after {old}");
        assert!(rate.naive < 0.13, "{rate:?}");
    }

    #[test]
    fn nothing_seen_is_nothing_known() {
        let rate = Rates::default().rate(DAY);
        assert_eq!((rate.low, rate.high, rate.horizon_ms), (0.0, 1.0, 0));
    }

    #[test]
    fn nodes_add_up() {
        let (mut a, mut b, mut both) = (Rates::default(), Rates::default(), Rates::default());
        for i in 0..500_i64 {
            let (success, age) = ((i % 7 == 0).then_some(i * MINUTE), i * HOUR / 10);
            if i % 3 == 0 { &mut a } else { &mut b }.close(success, age);
            both.close(success, age);
        }
        a.add(&b);
        assert_eq!(a, both);
    }
}
