//! Values → odds. A policy is defined by its odds; what is drawn and what is logged both come from them.
//!
//! Odds are exact or worthless: off-policy evaluation divides by them. So an explorer is a formula and
//! not a procedure with dice in it, everybody eligible gets the floor, and nothing after this may
//! take a candidate away.

mod epsilon_greedy;
mod softmax;

/// How much chance the candidates that are not the best get.
///
/// Every explorer writes one probability per candidate, each within [0, 1], summing to 1 up to rounding
/// (1e-12), for any finite scores: negative ones, zeros, all equal, as far apart as numbers go. A single
/// candidate gets exactly 1. A higher score never has lower odds. Of equal best scores the first, which is the
/// first in the catalog, is the best of [`Explorer::Deterministic`] and [`Explorer::EpsilonGreedy`];
/// [`Explorer::Softmax`] gives equals equal odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Explorer {
    /// The best, always: nothing is explored, and the log cannot judge other policies.
    Deterministic,
    /// The best with 1 - epsilon, everyone equally with epsilon (Sutton and Barto 2018, section 2.2).
    EpsilonGreedy {
        /// The share that explores, in [0, 1].
        epsilon: f64,
    },
    /// In proportion to exp(score / temperature) with scores relative to the best (Boltzmann; Sutton and
    /// Barto 2018, section 2.8), mixed with a uniform floor.
    Softmax {
        /// The gap to the best, as a share of the best score, at which odds fall by a factor e; above 0.
        temperature: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
}

/// What an explorer looks at: one entry per candidate in each list.
#[derive(Clone, Copy, Debug)]
pub struct Arms<'a> {
    /// Expected values in minor units, finite.
    pub scores: &'a [f64],
    /// Standard deviations of the logarithms of the scores, finite and at least 0; all 0 where nobody
    /// knows how sure the scores are.
    pub spreads: &'a [f64],
}

impl Explorer {
    /// Writes the odds of these candidates into `odds`, which is as long as each list of `arms`.
    pub fn fill(&self, arms: &Arms<'_>, odds: &mut [f64]) {
        let scores = arms.scores;
        debug_assert_eq!(scores.len(), odds.len());
        debug_assert_eq!(scores.len(), arms.spreads.len());
        debug_assert!(scores.iter().all(|score| score.is_finite()));
        debug_assert!((arms.spreads.iter()).all(|s| s.is_finite() && *s >= 0.0));
        if let [only] = odds {
            // Not left to arithmetic: rounding could leave it off 1.
            *only = 1.0;
            return;
        }
        match *self {
            Explorer::Deterministic => epsilon_greedy::fill(0.0, scores, odds),
            Explorer::EpsilonGreedy { epsilon } => epsilon_greedy::fill(epsilon, scores, odds),
            Explorer::Softmax { temperature, floor } => {
                softmax::fill(temperature, floor, scores, odds);
            }
        }
    }
}

/// The index of the highest score, the first of equals.
fn best(scores: &[f64]) -> Option<usize> {
    (0..scores.len()).reduce(|b, i| if scores[i] > scores[b] { i } else { b })
}

impl std::fmt::Display for Explorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Explorer::Deterministic => f.write_str("deterministic"),
            Explorer::EpsilonGreedy { epsilon } => write!(f, "epsilon_greedy({epsilon})"),
            Explorer::Softmax { temperature, floor } => write!(f, "softmax({temperature},{floor})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(explorer: Explorer, scores: &[f64], expected: &[f64]) {
        let mut odds = vec![f64::NAN; scores.len()];
        let spreads = vec![0.0; scores.len()];
        let arms = Arms {
            scores,
            spreads: &spreads,
        };
        explorer.fill(&arms, &mut odds);
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-12;
        assert!(
            odds.iter().zip(expected).all(near),
            "{explorer:?} of {scores:?}: {odds:?}, expected {expected:?}"
        );
    }

    #[test]
    fn deterministic_takes_the_first_of_the_best() {
        let explorer = Explorer::Deterministic;
        check(explorer, &[], &[]);
        check(explorer, &[-3.0], &[1.0]);
        check(explorer, &[1.0, 2.0, 2.0], &[0.0, 1.0, 0.0]);
        check(explorer, &[-1.0, -2.0], &[1.0, 0.0]);
    }

    #[test]
    fn epsilon_is_shared_by_all() {
        let explorer = Explorer::EpsilonGreedy { epsilon: 0.3 };
        check(explorer, &[0.0], &[1.0]);
        check(explorer, &[1.0, 5.0, 2.0], &[0.1, 0.8, 0.1]);
        check(explorer, &[0.0, 0.0], &[0.85, 0.15]);
        check(
            Explorer::EpsilonGreedy { epsilon: 1.0 },
            &[1.0, 9.0],
            &[0.5, 0.5],
        );
    }

    #[test]
    fn softmax_falls_by_e_for_each_temperature() {
        let soft = |temperature, floor| Explorer::Softmax { temperature, floor };
        let e = std::f64::consts::E;
        check(
            soft(0.5, 0.0),
            &[4.0, 2.0],
            &[e / (1.0 + e), 1.0 / (1.0 + e)],
        );
        // The same shape a thousand times as dear.
        check(
            soft(0.5, 0.0),
            &[4e3, 2e3],
            &[e / (1.0 + e), 1.0 / (1.0 + e)],
        );
        check(soft(0.5, 0.1), &[4.0, -4e9], &[0.95, 0.05]);
        check(soft(0.1, 0.2), &[7.0, 7.0], &[0.5, 0.5]);
    }

    #[test]
    fn where_the_best_is_worth_nothing_its_equals_share() {
        let explorer = Explorer::Softmax {
            temperature: 0.01,
            floor: 0.3,
        };
        check(explorer, &[0.0, 0.0, 0.0], &[1.0 / 3.0; 3]);
        check(explorer, &[0.0, -1.0, 0.0], &[0.45, 0.1, 0.45]);
        check(explorer, &[-0.0, 0.0], &[0.5, 0.5]);
        check(explorer, &[f64::MIN, f64::MAX], &[0.15, 0.85]);
    }
}
