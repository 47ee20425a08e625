//! Slates: several offers in a row, each drawn given the ones before it.
//!
//! How a slate is weighted says what is assumed of the customer. If everything shown bears on everything
//! that is earned, the whole slate's odds count (joint; unbiased, and useless for more than a few
//! ranks). If what is earned at a rank depends on nothing but what stands there, the odds of the item at that rank do
//! (independent; Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay and Wen 2018). If customers read from the top and
//! a rank depends on what they have read, the odds down to it (cascade: the reward-interaction
//! estimator of McInerney, Brost, Chandar, Mehrotra and Carterette 2020). offerd logs each rank's odds given the ranks
//! before it, which is what the cascade multiplies.

use std::fmt;

use serde::Serialize;

use super::estimate::deviation;
use super::interval::{Interval, bootstrap, normal};
use super::weights::Weights;
use crate::learn::Dice;

/// One rank of a slate that was logged. Weights are odds of the policy in question over those logged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    /// From 0 for the best place.
    pub position: usize,
    /// What it earned.
    pub reward: f64,
    /// Of the whole slate.
    pub joint: f64,
    /// Of this item at this rank, whatever the others are; `None` where that is not known.
    pub marginal: Option<f64>,
    /// Of this and every better rank.
    pub cascade: f64,
}

/// More ranks than any page has.
const POSITIONS_MAX: usize = 64;

/// Slates, rank by rank.
#[derive(Clone, Debug, Default)]
pub struct Slates {
    ranks: Vec<Rank>,
    ends: Vec<usize>,
}

/// How slates are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlateEstimator {
    /// By the whole slate's odds.
    Joint,
    /// By those of each rank.
    Independent,
    /// By those down to each rank.
    Cascade,
}

/// What a slate of a policy earns, as one estimator tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SlateEstimate {
    /// `sips`, `iips`, `rips`, or with `sn` before it.
    pub estimator: &'static str,
    /// What a slate earns on average.
    pub value: f64,
    /// Of the value (delta method where weights are normalised).
    pub standard_error: f64,
    /// 95 %, normal.
    pub interval: Interval,
    /// 95 %, percentiles over slates drawn again.
    pub bootstrap: Interval,
    /// How many slates of equal weight would tell as much: of the rank where it is fewest.
    pub effective_sample_size: f64,
    /// The largest part of a rank's sum of weights that one slate has.
    pub weight_max_share: f64,
}

impl fmt::Display for SlateEstimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names()[0])
    }
}

impl SlateEstimator {
    /// All of them.
    pub const ALL: [SlateEstimator; 3] = [
        SlateEstimator::Joint,
        SlateEstimator::Independent,
        SlateEstimator::Cascade,
    ];

    /// Its name, and that of its self-normalised form.
    #[must_use]
    pub fn names(self) -> [&'static str; 2] {
        match self {
            SlateEstimator::Joint => ["sips", "snsips"],
            SlateEstimator::Independent => ["iips", "sniips"],
            SlateEstimator::Cascade => ["rips", "snrips"],
        }
    }

    /// The weight it gives to a rank.
    #[must_use]
    pub fn weight(self, rank: &Rank) -> Option<f64> {
        match self {
            SlateEstimator::Joint => Some(rank.joint),
            SlateEstimator::Independent => rank.marginal,
            SlateEstimator::Cascade => Some(rank.cascade),
        }
    }

    /// Estimates what a slate earns, plain and self-normalised rank by rank; `None` without slates or where a
    /// rank's own odds are needed and not known.
    #[must_use]
    pub fn estimate(
        self,
        slates: &Slates,
        resamples: usize,
        seed: u64,
    ) -> Option<[SlateEstimate; 2]> {
        if slates.ends.is_empty() {
            return None;
        }
        let weigh = |rank: &Rank| self.weight(rank).map(|w| (rank.position, w, rank.reward));
        let weighed: Option<Vec<_>> = slates.ranks.iter().map(weigh).collect();
        let weighed = weighed?;
        let one = |normalised: bool| {
            let view = View {
                weighed: &weighed,
                slates,
                normalised,
            };
            view.estimate(self.names()[usize::from(normalised)], resamples, seed)
        };
        Some([one(false), one(true)])
    }
}

impl Slates {
    /// Adds a slate: the odds of each rank given the better ones, those of the policy in question, and what
    /// each earned. The first rank's odds are its own whatever the others are; of the rest that is not known.
    pub fn push(&mut self, ranks: impl Iterator<Item = (f64, f64, f64)>) {
        let start = self.ranks.len();
        let mut cascade = 1.0;
        for (position, (logged, asked, reward)) in ranks.take(POSITIONS_MAX).enumerate() {
            cascade *= asked / logged;
            self.ranks.push(Rank {
                position,
                reward,
                joint: 1.0,
                marginal: (position == 0).then_some(cascade),
                cascade,
            });
        }
        for rank in &mut self.ranks[start..] {
            rank.joint = cascade;
        }
        if self.ranks.len() > start {
            self.ends.push(self.ranks.len());
        }
    }

    /// Adds a slate whose weights are known. Ranks beyond the sixty-fourth are left out.
    pub fn push_ranks(&mut self, ranks: &[Rank]) {
        let known = |rank: &&Rank| rank.position < POSITIONS_MAX;
        self.ranks.extend(ranks.iter().filter(known));
        self.ends.push(self.ranks.len());
    }

    /// How many slates there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The slates' ranks, slate by slate.
    pub fn iter(&self) -> impl Iterator<Item = &[Rank]> {
        (0..self.ends.len()).map(|i| &self.ranks[self.range(i)])
    }

    fn range(&self, slate: usize) -> std::ops::Range<usize> {
        let start = slate.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[slate]
    }
}

/// Slates as one estimator weighs them: position, weight, reward of each rank.
struct View<'a> {
    weighed: &'a [(usize, f64, f64)],
    slates: &'a Slates,
    normalised: bool,
}

/// Sums at one position.
#[derive(Clone, Copy, Default)]
struct Sums {
    rows: f64,
    weights: f64,
    weighted: f64,
}

impl View<'_> {
    fn estimate(&self, name: &'static str, resamples: usize, seed: u64) -> SlateEstimate {
        let all: Vec<u32> = (0..self.slates.len())
            .map(|i| u32::try_from(i).expect("slates are counted in 32 bits"))
            .collect();
        let sums = self.sums(&all);
        let value = self.value(&sums, all.len());
        let influence: Vec<f64> = (0..all.len()).map(|i| self.influence(i, &sums)).collect();
        let standard_error = deviation(&influence) / (all.len() as f64).sqrt();
        let mut dice = Dice::new(seed);
        let again = |sample: &[u32]| self.value(&self.sums(sample), sample.len());
        let weights = (0..POSITIONS_MAX).filter(|k| sums[*k].rows > 0.0).map(|k| {
            let at = self.weighed.iter().filter(|(position, ..)| *position == k);
            Weights::of(at.map(|(_, w, _)| *w))
        });
        let (effective, share) = weights.fold((f64::INFINITY, 0.0_f64), |(e, s), w| {
            (e.min(w.effective), s.max(w.max_share))
        });
        SlateEstimate {
            estimator: name,
            value,
            standard_error,
            interval: normal(value, standard_error),
            bootstrap: Interval::middle(&bootstrap(all.len(), resamples, again, |n| dice.below(n))),
            effective_sample_size: effective,
            weight_max_share: share,
        }
    }

    fn sums(&self, slates: &[u32]) -> [Sums; POSITIONS_MAX] {
        let mut sums = [Sums::default(); POSITIONS_MAX];
        for &slate in slates {
            for &(position, weight, reward) in &self.weighed[self.slates.range(slate as usize)] {
                let at = &mut sums[position];
                at.rows += 1.0;
                at.weights += weight;
                at.weighted += weight * reward;
            }
        }
        sums
    }

    fn value(&self, sums: &[Sums], slates: usize) -> f64 {
        let at = |s: &Sums| match self.normalised {
            true if s.weights > 0.0 => s.weighted / s.weights * s.rows,
            true => 0.0,
            false => s.weighted,
        };
        sums.iter().map(at).sum::<f64>() / slates as f64
    }

    /// How much a slate moves the value.
    fn influence(&self, slate: usize, sums: &[Sums]) -> f64 {
        let ranks = &self.weighed[self.slates.range(slate)];
        let one = |&(position, weight, reward): &(usize, f64, f64)| {
            let s = &sums[position];
            match self.normalised {
                true if s.weights > 0.0 => {
                    let ratio = s.weighted / s.weights;
                    ratio + weight * (reward - ratio) / (s.weights / s.rows)
                }
                true => 0.0,
                false => weight * reward,
            }
        };
        ranks.iter().map(one).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two slates of two ranks: odds (1/2, 1/2) each, asked (1/4, 1) and (3/4, 1/4); only the first earns.
    fn slates() -> Slates {
        let mut slates = Slates::default();
        slates.push([(0.5, 0.25, 1.0), (0.5, 1.0, 2.0)].into_iter());
        slates.push([(0.5, 0.75, 0.0), (0.5, 0.25, 0.0)].into_iter());
        slates
    }

    #[track_caller]
    fn check(estimator: SlateEstimator, plain: f64, normalised: f64) {
        let [a, b] = estimator.estimate(&slates(), 20, 1).unwrap();
        assert!((a.value - plain).abs() < 1e-15, "{a:?}");
        assert!((b.value - normalised).abs() < 1e-15, "{b:?}");
    }

    #[test]
    fn slates_are_weighted_as_assumed() {
        // Joint weights 1 and 3/4 at both ranks; down to the first rank 1/2 and 3/2.
        check(SlateEstimator::Joint, 1.5, 3.0 / 1.75);
        check(
            SlateEstimator::Cascade,
            (0.5 + 2.0) / 2.0,
            0.25 + 2.0 / 1.75,
        );
        assert!(
            SlateEstimator::Independent
                .estimate(&slates(), 20, 1)
                .is_none()
        );
    }

    #[test]
    fn of_one_rank_all_are_the_same() {
        let mut slates = Slates::default();
        slates.push([(0.5, 0.25, 1.0)].into_iter());
        slates.push([(0.25, 0.5, 3.0)].into_iter());
        let found = SlateEstimator::ALL.map(|e| e.estimate(&slates, 20, 1).unwrap());
        for [plain, normalised] in &found {
            assert_eq!((plain.value, normalised.value), (3.25, 6.5 / 2.5));
            assert_eq!(plain.effective_sample_size, 2.5 * 2.5 / 4.25);
        }
        slates.push(std::iter::empty());
        assert_eq!(slates.len(), 2);
        assert!(
            SlateEstimator::Joint
                .estimate(&Slates::default(), 20, 1)
                .is_none()
        );
    }
}
