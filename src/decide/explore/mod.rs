//! Values → odds. A policy is defined by its odds; what is drawn and what is logged both come from them.

mod epsilon_greedy;
mod softmax;

/// How much chance the candidates that are not the best get.
///
/// Every explorer writes one probability per candidate, in any order of candidates the same for each,
/// summing to 1. The floor is shared by the eligible candidates, whatever they are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Explorer {
    /// The best, always: nothing is explored, and the log cannot judge other policies.
    Deterministic,
    /// The best with 1 - epsilon, everyone equally with epsilon (Sutton and Barto 2018, section 2.2).
    EpsilonGreedy {
        /// The share that explores, in [0, 1].
        epsilon: f64,
    },
    /// In proportion to exp(score / temperature) with scores relative to the best (Boltzmann), mixed with
    /// a uniform floor.
    Softmax {
        /// Share of the best score at which odds fall by a factor e; above 0.
        temperature: f64,
        /// The share spread over all equally, in [0, 1].
        floor: f64,
    },
}

impl Explorer {
    /// Writes the odds of candidates with these `scores` (finite) into `odds`, which is as long.
    pub fn fill(&self, scores: &[f64], odds: &mut [f64]) {
        debug_assert_eq!(scores.len(), odds.len());
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
