//! How often a model could not be told an input as it is, by input and by why.
//!
//! A request with few features leaves most inputs of a large model missing, so one decision may count dozens
//! of them. Threads therefore count each on a stripe of their own, whose cache lines stay where they are.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::domain::{OddInput, Oddity};

/// Threads beyond this many share stripes, which is slower and no less right.
const STRIPES: usize = 8;

const KINDS: usize = Oddity::ALL.len();

thread_local! {
    static STRIPE: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Relaxed) % STRIPES
    };
}

/// The counts of one version.
#[derive(Debug, Default)]
pub(super) struct OddCounts {
    names: Vec<Box<str>>,
    /// Of each stripe, input after input, one for each [`Oddity`].
    stripes: Vec<Vec<AtomicU64>>,
}

/// How often one input could not be told, since its version was listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OddCount {
    /// The input's name.
    pub feature: Box<str>,
    counts: [u64; KINDS],
}

impl OddCount {
    /// How often for that reason.
    #[must_use]
    pub fn of(&self, oddity: Oddity) -> u64 {
        self.counts[oddity as usize]
    }
}

impl OddCounts {
    /// Nothing counted yet for the inputs of these names.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> OddCounts {
        let names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        let stripe = || (0..names.len() * KINDS).map(|_| AtomicU64::new(0));
        OddCounts {
            stripes: (0..STRIPES).map(|_| stripe().collect()).collect(),
            names,
        }
    }

    /// Counts one decision's. Inputs of which nothing is known are passed over.
    pub fn add(&self, odd: &[OddInput]) {
        let Some(stripe) = self.stripes.get(STRIPE.with(|stripe| *stripe)) else {
            return;
        };
        for OddInput { input, oddity } in odd {
            if let Some(count) = stripe.get(usize::from(*input) * KINDS + *oddity as usize) {
                count.fetch_add(1, Relaxed);
            }
        }
    }

    /// Those with any, in the inputs' order.
    pub fn read(&self) -> Vec<OddCount> {
        let sum = |at: usize| self.stripes.iter().map(|s| s[at].load(Relaxed)).sum();
        let all = self.names.iter().enumerate().map(|(i, name)| OddCount {
            feature: name.clone(),
            counts: std::array::from_fn(|kind| sum(i * KINDS + kind)),
        });
        all.filter(|odd| odd.counts != [0; KINDS]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_counts() {
        let counts = OddCounts::new(["a", "b", "c"]);
        let odd = |input, oddity| OddInput { input, oddity };
        std::thread::scope(|scope| {
            for _ in 0..2 * STRIPES {
                scope.spawn(|| {
                    counts.add(&[odd(0, Oddity::Missing), odd(2, Oddity::Unknown)]);
                    counts.add(&[odd(2, Oddity::Unknown), odd(7, Oddity::Missing)]);
                });
            }
        });
        let read = counts.read();
        let names: Vec<_> = read.iter().map(|odd| &*odd.feature).collect();
        assert_eq!(names, ["a", "c"]);
        let n = 2 * STRIPES as u64;
        assert_eq!(
            Oddity::ALL
                .iter()
                .map(|o| read[0].of(*o))
                .collect::<Vec<_>>(),
            [n, 0, 0]
        );
        assert_eq!(
            Oddity::ALL
                .iter()
                .map(|o| read[1].of(*o))
                .collect::<Vec<_>>(),
            [0, 0, 2 * n]
        );
        OddCounts::default().add(&[odd(0, Oddity::Missing)]);
    }
}
