//! How long decisions took: a histogram that threads write without meeting each other.
//!
//! Each thread has a shard of its own (as long as there are shards), so that counting is two additions to
//! memory that no other core wants, and nothing is kept per request. Shards are summed when somebody
//! looks.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: fine around the promise of a millisecond.
const BOUNDS_US: [u64; 15] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
    1_000_000,
];

/// More threads than this share shards, which costs them some nanoseconds and no count.
const SHARDS: usize = 32;

/// A histogram of durations.
#[derive(Debug)]
pub struct Durations {
    shards: Box<[Shard]>,
}

/// One thread's counts; aligned so that no two shards share a cache line or its neighbour, which
/// processors fetch along.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// How many were within each bound and not within the one before; the last is what exceeds all.
    counts: [AtomicU64; BOUNDS_US.len() + 1],
    nanos: AtomicU64,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }
}

impl Durations {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| bound * 1_000 < nanos);
        let shard = &self.shards[own_shard()];
        shard.counts[bucket].fetch_add(1, Relaxed);
        shard.nanos.fetch_add(nanos, Relaxed);
    }

    /// The histogram as a Prometheus page has it.
    #[must_use]
    pub fn render(&self, name: &str, help: &str) -> String {
        let mut page = format!("# HELP {name} {help}\n# TYPE {name} histogram\n");
        let sum = |of: &dyn Fn(&Shard) -> u64| self.shards.iter().map(of).sum::<u64>();
        let mut count = 0;
        for i in 0..=BOUNDS_US.len() {
            count += sum(&|shard| shard.counts[i].load(Relaxed));
            let bound = BOUNDS_US.get(i).map(|us| (*us as f64 / 1e6).to_string());
            let bound = bound.as_deref().unwrap_or("+Inf");
            writeln!(page, "{name}_bucket{{le=\"{bound}\"}} {count}").expect(INFALLIBLE);
        }
        let seconds = sum(&|shard| shard.nanos.load(Relaxed)) as f64 / 1e9;
        writeln!(page, "{name}_sum {seconds}\n{name}_count {count}\n").expect(INFALLIBLE);
        page
    }
}

const INFALLIBLE: &str = "writing into a string cannot fail";

/// The shard of this thread: they take turns as they come.
fn own_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: usize = NEXT.fetch_add(1, Relaxed) % SHARDS;
    }
    OWN.with(|own| *own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_counts_and_the_page_sums() {
        let durations = Durations::default();
        std::thread::scope(|scope| {
            for _ in 0..SHARDS + 3 {
                scope.spawn(|| {
                    for us in [10, 11, 999, 1_000, 2_000_000] {
                        durations.record(Duration::from_micros(us));
                    }
                });
            }
        });
        let page = durations.render("x_seconds", "what it is");
        let n = SHARDS + 3;
        for line in [
            "# HELP x_seconds what it is".to_owned(),
            "# TYPE x_seconds histogram".to_owned(),
            format!("x_seconds_bucket{{le=\"0.00001\"}} {n}"),
            format!("x_seconds_bucket{{le=\"0.000025\"}} {}", 2 * n),
            format!("x_seconds_bucket{{le=\"0.0005\"}} {}", 2 * n),
            format!("x_seconds_bucket{{le=\"0.001\"}} {}", 4 * n),
            format!("x_seconds_bucket{{le=\"1\"}} {}", 4 * n),
            format!("x_seconds_bucket{{le=\"+Inf\"}} {}", 5 * n),
            format!("x_seconds_count {}", 5 * n),
        ] {
            assert!(page.lines().any(|l| l == line), "{line} in {page}");
        }
    }
}
