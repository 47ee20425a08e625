//! Values → odds. A policy is defined by its odds; what is drawn and what is logged both come from them.
//!
//! Odds are exact or worthless: off-policy evaluation divides by them. So an explorer is a formula and
//! not a procedure with dice in it, everybody eligible gets the floor, and nothing after this may
//! take a candidate away.

mod epsilon_greedy;
mod inverse_gap;
mod normal;
mod pairwise_odds;
mod parse;
mod softmax;
mod thompson;
mod uniform;

pub use parse::PolicyError;

/// How much chance the candidates that are not the best get.
///
/// Every explorer writes one probability per candidate, each within [0, 1], summing to 1 up to rounding
/// (1e-12), for any finite scores: negative ones, zeros, all equal, as far apart as numbers go. A single
/// candidate gets exactly 1. Of candidates that are equally probable and equally sure, a higher score never has lower
/// odds, but for [`Explorer::Thompson`], whose grid can confuse neighbours where beliefs are very wide. Of equal best scores the first, which is the first in the catalog, is the best, where there can be only one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Explorer {
    /// The best, and everyone equally with what the floor says; with a floor of 0 nothing is explored, and the
    /// log cannot judge other policies.
    Deterministic {
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
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
    /// Everyone equally.
    Uniform,
    /// `1 / (K + gamma * gap)`, gaps relative to the best, and the best the rest (Abe and Long 1999; SquareCB, FALCON).
    InverseGap {
        /// How fast odds fall with the gap; at least 0.
        gamma: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
    /// The same with the gamma at which all but the best get so much together.
    InverseGapBudget {
        /// What all but the best get together at most, in [0, 1].
        budget: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
    /// Each against the best, as surely as the posterior knows them. Where it says nothing (every spread is 0), the
    /// budgeted inverse gap with [`Explorer::UNSURE_BUDGET`] stands in.
    PairwiseOdds {
        /// What the beliefs' deviations are multiplied by, in [0, 10]; 1 is Thompson's exploring.
        alpha: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
    /// The probability of being the best under the posterior, by quadrature (Thompson 1933). Without a posterior as
    /// [`Explorer::PairwiseOdds`].
    Thompson {
        /// What the beliefs' deviations are multiplied by, in [0, 10].
        alpha: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
}

/// An explorer, and the slice of its draws that is uniform whatever it says.
///
/// The odds, and so every propensity, are those of the mixture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// What draws.
    pub explorer: Explorer,
    /// The share of the draws, in [0, 1], in which everyone is as likely: what keeps very different models judgeable.
    pub uniform_share: f64,
}

/// What an explorer looks at: one entry per candidate in each list.
#[derive(Clone, Copy, Debug)]
pub struct Arms<'a> {
    /// Expected values in minor units, finite.
    pub scores: &'a [f64],
    /// Believed probabilities of a conversion, within [0, 1]; a score is its probability times what one is worth.
    pub probabilities: &'a [f64],
    /// Standard deviations of the logarithms of the scores, finite and at least 0; all 0 where nobody
    /// knows how sure the scores are.
    pub spreads: &'a [f64],
}

impl Arms<'_> {
    /// The probability of one candidate, held where its log-odds are finite.
    fn probability(&self, i: usize) -> f64 {
        self.probabilities[i].clamp(P_MIN, 1.0 - P_MIN)
    }

    /// Standard deviation of the log-odds of one candidate's probability.
    fn deviation(&self, i: usize) -> f64 {
        (self.spreads[i] / (1.0 - self.probability(i))).min(DEVIATION_MAX)
    }

    /// Whether anybody knows how sure any score is.
    fn unsure(&self) -> bool {
        self.spreads.iter().any(|s| *s > 0.0)
    }
}

/// Nearer to 0 or 1 a probability says nothing more.
const P_MIN: f64 = 1e-9;
/// A belief wider than this knows nothing.
const DEVIATION_MAX: f64 = 1e3;

impl Explorer {
    /// What `docs/learning.md` measures as the best of one setting for everything, with a floor that lets the log judge
    /// other policies.
    pub const DEFAULT: Explorer = Explorer::PairwiseOdds {
        alpha: 0.2,
        floor: 0.005,
    };

    /// What all but the best get together where an explorer that goes by the posterior has none.
    pub const UNSURE_BUDGET: f64 = 0.05;

    /// Writes the odds of these candidates into `odds`, which is as long as each list of `arms`.
    pub fn fill(&self, arms: &Arms<'_>, odds: &mut [f64]) {
        let scores = arms.scores;
        debug_assert_eq!(scores.len(), odds.len());
        debug_assert_eq!(scores.len(), arms.spreads.len());
        debug_assert_eq!(scores.len(), arms.probabilities.len());
        debug_assert!(scores.iter().all(|score| score.is_finite()));
        debug_assert!((arms.spreads.iter()).all(|s| s.is_finite() && *s >= 0.0));
        if let [only] = odds {
            // Not left to arithmetic: rounding could leave it off 1.
            *only = 1.0;
            return;
        }
        match *self {
            Explorer::Deterministic { floor } => epsilon_greedy::fill(floor, scores, odds),
            Explorer::EpsilonGreedy { epsilon } => epsilon_greedy::fill(epsilon, scores, odds),
            Explorer::Softmax { temperature, floor } => {
                softmax::fill(temperature, floor, scores, odds);
            }
            Explorer::Uniform => uniform::fill(odds),
            Explorer::InverseGap { gamma, floor } => {
                inverse_gap::fill(gamma, scores, odds);
                mix(floor, odds);
            }
            Explorer::InverseGapBudget { budget, floor } => {
                inverse_gap::budgeted(budget, scores, odds);
                mix(floor, odds);
            }
            Explorer::PairwiseOdds { floor, .. } | Explorer::Thompson { floor, .. }
                if !arms.unsure() =>
            {
                inverse_gap::budgeted(Explorer::UNSURE_BUDGET, scores, odds);
                mix(floor, odds);
            }
            Explorer::PairwiseOdds { alpha, floor } => {
                pairwise_odds::fill(alpha, arms, odds);
                mix(floor, odds);
            }
            Explorer::Thompson { alpha, floor } => {
                thompson::fill(alpha, arms, odds);
                mix(floor, odds);
            }
        }
    }
}

impl Explorer {
    /// It without its floor, and the floor. What epsilon-greedy and uniform spread is all their exploring: they
    /// have none.
    fn without_floor(self) -> (Explorer, f64) {
        match self {
            Explorer::Deterministic { floor } => (Explorer::Deterministic { floor: 0.0 }, floor),
            Explorer::EpsilonGreedy { .. } | Explorer::Uniform => (self, 0.0),
            Explorer::Softmax { temperature, floor } => {
                let floorless = Explorer::Softmax {
                    temperature,
                    floor: 0.0,
                };
                (floorless, floor)
            }
            Explorer::InverseGap { gamma, floor } => {
                (Explorer::InverseGap { gamma, floor: 0.0 }, floor)
            }
            Explorer::InverseGapBudget { budget, floor } => {
                let floorless = Explorer::InverseGapBudget { budget, floor: 0.0 };
                (floorless, floor)
            }
            Explorer::PairwiseOdds { alpha, floor } => {
                (Explorer::PairwiseOdds { alpha, floor: 0.0 }, floor)
            }
            Explorer::Thompson { alpha, floor } => {
                (Explorer::Thompson { alpha, floor: 0.0 }, floor)
            }
        }
    }
}

impl Policy {
    /// Writes the odds of these candidates into `odds`, which is as long as each list of `arms`.
    pub fn fill(&self, arms: &Arms<'_>, odds: &mut [f64]) {
        self.explorer.fill(arms, odds);
        if self.uniform_share > 0.0 && odds.len() > 1 {
            mix(self.uniform_share, odds);
        }
    }

    /// The same where those who are `held` may not be explored: what the explorer would move from the best to one of
    /// them stays with the best. The floor and the uniform slice are everybody's as before, so that nobody is
    /// out of reach and the log can judge other policies. With everybody held it is the best and the floor.
    pub fn fill_held(&self, arms: &Arms<'_>, held: &[bool], odds: &mut [f64]) {
        debug_assert_eq!(held.len(), odds.len());
        let (leaning, floor) = self.explorer.without_floor();
        leaning.fill(arms, odds);
        let Some(best) = best(arms.scores).filter(|_| odds.len() > 1) else {
            return;
        };
        for i in (0..odds.len()).filter(|i| held[*i] && *i != best) {
            odds[best] = (odds[best] + odds[i]).min(1.0);
            odds[i] = 0.0;
        }
        for share in [floor, self.uniform_share] {
            if share > 0.0 {
                mix(share, odds);
            }
        }
    }

    /// Whether it gives anybody but the best a chance that [`Policy::fill_held`] would take, and leaves no floor.
    #[must_use]
    pub fn explores_without_floor(&self) -> bool {
        let (leaning, floor) = self.explorer.without_floor();
        leaning != Explorer::Deterministic { floor: 0.0 } && floor + self.uniform_share == 0.0
    }
}

impl From<Explorer> for Policy {
    fn from(explorer: Explorer) -> Policy {
        Policy {
            explorer,
            uniform_share: 0.0,
        }
    }
}

/// Keeps `1 - share` of the odds and spreads `share` over all equally.
fn mix(share: f64, odds: &mut [f64]) {
    let each = share / odds.len() as f64;
    for p in odds {
        *p = (*p * (1.0 - share) + each).min(1.0);
    }
}

/// The index of the highest score, the first of equals.
fn best(scores: &[f64]) -> Option<usize> {
    (0..scores.len()).reduce(|b, i| if scores[i] > scores[b] { i } else { b })
}

impl std::fmt::Display for Explorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Explorer::Deterministic { floor: 0.0 } => f.write_str("deterministic"),
            Explorer::Deterministic { floor } => write!(f, "deterministic({floor})"),
            Explorer::EpsilonGreedy { epsilon } => write!(f, "epsilon_greedy({epsilon})"),
            Explorer::Softmax { temperature, floor } => write!(f, "softmax({temperature},{floor})"),
            Explorer::Uniform => f.write_str("uniform"),
            Explorer::InverseGap { gamma, floor } => write!(f, "inverse_gap({gamma},{floor})"),
            Explorer::InverseGapBudget { budget, floor } => {
                write!(f, "inverse_gap_budget({budget},{floor})")
            }
            Explorer::PairwiseOdds { alpha, floor } => write!(f, "pairwise_odds({alpha},{floor})"),
            Explorer::Thompson { alpha, floor } => write!(f, "thompson({alpha},{floor})"),
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.explorer.fmt(f)?;
        if self.uniform_share > 0.0 {
            write!(f, "+uniform({})", self.uniform_share)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(explorer: Explorer, scores: &[f64], expected: &[f64]) {
        let mut odds = vec![f64::NAN; scores.len()];
        let spreads = vec![0.0; scores.len()];
        let probabilities = vec![0.1; scores.len()];
        let arms = Arms {
            scores,
            probabilities: &probabilities,
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
        let explorer = Explorer::Deterministic { floor: 0.0 };
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

    /// The odds of candidates that are worth 100 each, with these probabilities and deviations of their log-odds.
    fn learnt(explorer: Explorer, probabilities: &[f64], deviations: &[f64]) -> Vec<f64> {
        let scores: Vec<f64> = probabilities.iter().map(|p| 100.0 * p).collect();
        let spread = |(p, d): (&f64, &f64)| (1.0 - p) * d;
        let spreads: Vec<f64> = probabilities.iter().zip(deviations).map(spread).collect();
        let mut odds = vec![f64::NAN; scores.len()];
        let arms = Arms {
            scores: &scores,
            probabilities,
            spreads: &spreads,
        };
        explorer.fill(&arms, &mut odds);
        odds
    }

    const PAIRWISE: Explorer = Explorer::PairwiseOdds {
        alpha: 1.0,
        floor: 0.0,
    };
    const THOMPSON: Explorer = Explorer::Thompson {
        alpha: 1.0,
        floor: 0.0,
    };

    #[test]
    fn inverse_gap_is_its_formula() {
        let igw = |gamma, floor| Explorer::InverseGap { gamma, floor };
        check(igw(10.0, 0.0), &[4.0, 2.0], &[6.0 / 7.0, 1.0 / 7.0]);
        check(igw(10.0, 0.0), &[4e9, 2e9], &[6.0 / 7.0, 1.0 / 7.0]);
        check(igw(0.0, 0.0), &[4.0, 2.0], &[0.5, 0.5]);
        check(igw(5.0, 0.5), &[0.0, 0.0], &[0.5, 0.5]);
        check(igw(5.0, 0.5), &[0.0, -3.0], &[0.75, 0.25]);
    }

    #[test]
    fn a_budget_is_kept_and_used() {
        let igw = Explorer::InverseGapBudget {
            budget: 0.05,
            floor: 0.0,
        };
        for scores in [&[9.0, 8.0, 1.0][..], &[1e-9, 0.0], &[5.0, 5.0, 5.0, 1.0]] {
            let mut odds = vec![0.0; scores.len()];
            igw.fill(
                &Arms {
                    scores,
                    probabilities: scores,
                    spreads: &vec![0.0; scores.len()],
                },
                &mut odds,
            );
            assert!(odds[0] >= 0.95 - 1e-12, "{odds:?}");
            assert!(odds[0] < 0.951 || scores[1] == 0.0, "{odds:?}");
        }
        // Without a posterior it stands in.
        check(PAIRWISE, &[2.0, 2.0], &[0.95, 0.05]);
    }

    #[test]
    fn pairwise_odds_are_thompsons_for_two_of_one_value() {
        for (p, q, dp, dq) in [
            (0.05, 0.04, 0.3, 0.2),
            (0.9, 0.2, 1.5, 2.0),
            (0.3, 0.3, 0.0, 1.0),
        ] {
            let log_odds = |p: f64| (p / (1.0 - p)).ln();
            let (z, w) = (log_odds(p), log_odds(q));
            let thompson = normal::below((z - w) / f64::hypot(dp, dq));
            let odds = learnt(PAIRWISE, &[p, q], &[dp, dq]);
            assert!((odds[0] - thompson).abs() < 1e-12, "{odds:?}, {thompson}");
            let odds = learnt(THOMPSON, &[p, q], &[dp, dq]);
            assert!((odds[0] - thompson).abs() < 0.01, "{odds:?}, {thompson}");
        }
    }

    #[test]
    fn those_alike_share() {
        for explorer in [PAIRWISE, THOMPSON] {
            for n in [2, 5, 40] {
                for p in learnt(explorer, &vec![0.03; n], &vec![0.4; n]) {
                    assert!((p - 1.0 / n as f64).abs() < 1e-12, "{explorer} {n}: {p}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_surer_than_certain() {
        // The first is worth a dollar at most, the second earns two: no width of belief makes up for that.
        let arms = Arms {
            scores: &[20.0, 200.0],
            probabilities: &[0.2, 0.2],
            spreads: &[50.0, 0.1],
        };
        for explorer in [PAIRWISE, THOMPSON] {
            let mut odds = [0.0; 2];
            explorer.fill(&arms, &mut odds);
            assert!(odds[0] < 1e-9, "{explorer}: {odds:?}");
        }
    }

    /// The difference of two policies' odds: half the sum of what each candidate's differ by.
    #[test]
    fn pairwise_odds_stay_near_thompson() {
        let probabilities = [0.06, 0.05, 0.045, 0.03, 0.01];
        let deviations = [0.15, 0.4, 0.2, 0.5, 0.8];
        let near = learnt(PAIRWISE, &probabilities, &deviations);
        let exact = learnt(THOMPSON, &probabilities, &deviations);
        let apart = near.iter().zip(&exact).map(|(a, b)| (a - b).abs());
        assert!(apart.sum::<f64>() / 2.0 < 0.1, "{near:?} {exact:?}");
    }

    #[test]
    fn a_uniform_slice_is_in_the_odds() {
        let policy = Policy {
            explorer: Explorer::Deterministic { floor: 0.0 },
            uniform_share: 0.1,
        };
        let mut odds = [0.0; 2];
        let arms = Arms {
            scores: &[1.0, 2.0],
            probabilities: &[0.1, 0.1],
            spreads: &[0.0, 0.0],
        };
        policy.fill(&arms, &mut odds);
        assert!((odds[0] - 0.05).abs() < 1e-15 && (odds[1] - 0.95).abs() < 1e-15);
        assert_eq!(policy.to_string(), "deterministic+uniform(0.1)");
    }

    /// The odds where `held` may not be explored.
    fn held(policy: Policy, held: &[bool]) -> Vec<f64> {
        let arms = Arms {
            scores: &[2.0, 4.0, 3.0, 4.0],
            probabilities: &[0.02, 0.04, 0.03, 0.04],
            spreads: &[0.5, 0.1, 0.4, 0.2],
        };
        let (mut odds, mut free) = ([f64::NAN; 4], [f64::NAN; 4]);
        policy.fill_held(&arms, held, &mut odds);
        policy.fill(&arms, &mut free);
        assert!((odds.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{odds:?}");
        for (i, held) in held.iter().enumerate().filter(|(i, _)| *i != 1) {
            // Whoever is held has the floor and its part of the slice; nobody else loses anything.
            let expected = if *held {
                0.01 / 4.0 * 0.98 + 0.02 / 4.0
            } else {
                free[i]
            };
            assert!(
                (odds[i] - expected).abs() < 1e-12,
                "{policy}: {odds:?} {free:?}"
            );
        }
        odds.to_vec()
    }

    #[test]
    fn who_is_held_keeps_the_floor_and_the_best_the_rest() {
        let floor = 0.01;
        for explorer in [
            Explorer::Deterministic { floor },
            Explorer::Softmax {
                temperature: 0.25,
                floor,
            },
            Explorer::InverseGap { gamma: 10.0, floor },
            Explorer::InverseGapBudget { budget: 0.1, floor },
            Explorer::PairwiseOdds { alpha: 0.35, floor },
            Explorer::Thompson { alpha: 0.35, floor },
        ] {
            let policy = Policy {
                explorer,
                uniform_share: 0.02,
            };
            let greedy = Policy {
                explorer: Explorer::Deterministic { floor },
                uniform_share: 0.02,
            };
            let all = held(policy, &[true; 4]).into_iter();
            let all = all.zip(held(greedy, &[true; 4]));
            assert!(
                all.into_iter().all(|(a, b)| (a - b).abs() < 1e-12),
                "{policy}"
            );
            held(policy, &[true, true, false, false]);
            held(policy, &[false, false, false, true]);
            held(policy, &[false; 4]);
        }
    }

    #[test]
    fn without_a_floor_the_slice_is_what_is_left() {
        for explorer in [Explorer::Uniform, Explorer::EpsilonGreedy { epsilon: 0.2 }] {
            let policy = |uniform_share| Policy {
                explorer,
                uniform_share,
            };
            assert!(policy(0.0).explores_without_floor() && !policy(0.1).explores_without_floor());
            let arms = Arms {
                scores: &[1.0, 2.0],
                probabilities: &[0.1, 0.1],
                spreads: &[0.0, 0.0],
            };
            let mut odds = [0.0; 2];
            policy(0.1).fill_held(&arms, &[true, true], &mut odds);
            assert!((odds[0] - 0.05).abs() < 1e-15 && (odds[1] - 0.95).abs() < 1e-15);
            let alone = Arms {
                scores: &[1.0],
                probabilities: &[0.1],
                spreads: &[0.0],
            };
            let mut odds = [0.0];
            policy(0.1).fill_held(&alone, &[true], &mut odds);
            assert_eq!(odds, [1.0]);
        }
        let greedy = Policy::from(Explorer::Deterministic { floor: 0.0 });
        assert!(!greedy.explores_without_floor());
    }
}
