//! A histogram of durations that can be added to another one, also after it was written to a file.
//!
//! HdrHistogram with three significant digits: a quantile is within 0.1 % of the true one, and adding
//! histograms loses nothing, which is what averaging quantiles would.

use hdrhistogram::Histogram;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is told apart: 100 ns to 10 minutes; beyond it counts as the end of the range.
const NS_MIN: u64 = 100;
const NS_MAX: u64 = 600_000_000_000;

/// Durations.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency(Histogram<u64>);

/// The quantiles of every table, with their names.
pub const QUANTILES: [(&str, f64); 6] = [
    ("p50", 0.5),
    ("p90", 0.9),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

impl Default for Latency {
    fn default() -> Latency {
        Latency(Histogram::new_with_bounds(NS_MIN, NS_MAX, 3).expect("these bounds are allowed"))
    }
}

impl Latency {
    pub fn record(&mut self, ns: u64) {
        self.record_n(ns, 1);
    }

    fn record_n(&mut self, ns: u64, n: u64) {
        self.0.saturating_record_n(ns.max(NS_MIN), n);
    }

    pub fn add(&mut self, other: &Latency) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Microseconds that this share is not above; 0 without any.
    pub fn us(&self, quantile: f64) -> f64 {
        match self.0.is_empty() {
            true => 0.0,
            false if quantile >= 1.0 => self.0.max() as f64 / 1e3,
            false => self.0.value_at_quantile(quantile) as f64 / 1e3,
        }
    }

    pub fn mean_us(&self) -> f64 {
        if self.0.is_empty() {
            0.0
        } else {
            self.0.mean() / 1e3
        }
    }

    /// Values and how often each was recorded, ascending.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let values = self.0.iter_recorded();
        values.map(|v| (v.value_iterated_to(), v.count_at_value()))
    }

    /// Values in microseconds by the quantile that they are at, in steps that halve what remains.
    pub fn by_quantile(&self, steps_per_halving: u32) -> Vec<(f64, f64, u64)> {
        let mut seen = 0;
        let steps = self.0.iter_quantiles(steps_per_halving);
        let rows = steps.map(|step| {
            seen += step.count_since_last_iteration();
            let us = step.value_iterated_to() as f64 / 1e3;
            (us, step.quantile_iterated_to(), seen)
        });
        rows.collect()
    }

    /// Standard deviation in microseconds.
    pub fn deviation_us(&self) -> f64 {
        if self.0.is_empty() {
            0.0
        } else {
            self.0.stdev() / 1e3
        }
    }
}

/// As it stands in a report: quantiles to read, counts to add up.
#[derive(Serialize, Deserialize)]
struct Written {
    count: u64,
    mean_us: f64,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    p9999_us: f64,
    max_us: f64,
    /// Nanoseconds and how often.
    counts_ns: Vec<(u64, u64)>,
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = Written {
            count: self.count(),
            mean_us: self.mean_us(),
            p50_us: self.us(0.5),
            p90_us: self.us(0.9),
            p99_us: self.us(0.99),
            p999_us: self.us(0.999),
            p9999_us: self.us(0.9999),
            max_us: self.us(1.0),
            counts_ns: self.counts().collect(),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Latency, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let mut latency = Latency::default();
        for (ns, n) in written.counts_ns {
            latency.record_n(ns, n);
        }
        Ok(latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values_us: impl IntoIterator<Item = u64>) -> Latency {
        let mut latency = Latency::default();
        for us in values_us {
            latency.record(us * 1_000);
        }
        latency
    }

    #[test]
    fn quantiles_are_within_a_thousandth() {
        let latency = of(1..=10_000);
        for (quantile, expected) in [
            (0.5, 5_000.0),
            (0.99, 9_900.0),
            (0.999, 9_990.0),
            (1.0, 10_000.0),
        ] {
            let found = latency.us(quantile);
            assert!(
                (found / expected - 1.0).abs() < 0.001,
                "{quantile}: {found}"
            );
        }
        assert_eq!((of([]).us(0.5), of([]).mean_us()), (0.0, 0.0));
    }

    #[test]
    fn a_written_one_is_the_same_one() {
        let latency = of([1, 7, 7, 450, 1_000_000, 700_000_000]);
        let text = serde_json::to_string(&latency).unwrap();
        let read: Latency = serde_json::from_str(&text).unwrap();
        assert_eq!(read, latency);
    }

    #[test]
    fn adding_is_recording_both() {
        let mut sum = of(1..=500);
        sum.add(&of(501..=1_000));
        assert_eq!(sum, of(1..=1_000));
    }
}
