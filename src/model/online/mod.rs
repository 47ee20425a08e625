//! What learns between two pushes: small Bayesian corrections of a model's log-odds.
//!
//! A pushed model is right about the world it was trained on. Over it lie two layers that learn from
//! every showing: [`OnlinePlatt`] keeps the level right while rates drift, and one [`BayesLogistic`] per offer
//! learns what is particular to it, together with how sure it is, which is what exploring needs. Both
//! are plain numbers: no clock, no dice, and the same calls in the same order give the same bits, so that a
//! learner can be rebuilt from its journal and compared.

mod arm;
mod bayes;
mod context;
pub mod layers;
mod packed;
mod platt;
mod rows;
pub mod sum;
mod terms;

pub use bayes::{BayesLogistic, Belief, FULL_MAX, Feature};
pub use context::Context;
pub use layers::{Layers, Memory, Row};
pub use platt::OnlinePlatt;
pub use terms::Terms;

/// The probability with log-odds `logit`.
#[must_use]
pub fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// The log-odds of `p`, with `p` held within [1e-9, 1 - 1e-9] so that they are finite.
#[must_use]
pub fn logit(p: f64) -> f64 {
    let p = p.clamp(P_MIN, 1.0 - P_MIN);
    (p / (1.0 - p)).ln()
}

/// Nothing is less likely than this: beyond it a sigmoid has no slope left to learn by.
const P_MIN: f64 = 1e-9;

/// Log-odds beyond this are as good as certain; `logit` of [`P_MIN`] is -20.7.
const LOGIT_MAX: f64 = 21.0;

fn bounded(logit: f64) -> f64 {
    logit.clamp(-LOGIT_MAX, LOGIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sigmoid_and_logit_are_inverse_and_bounded() {
        for z in [-15.0, -3.0, -0.1, 0.0, 0.5, 8.0, 15.0] {
            assert!((logit(sigmoid(z)) - z).abs() < 1e-6, "{z}");
        }
        for p in [0.0, 1.0, 1e-300] {
            assert!(logit(p).abs() < LOGIT_MAX, "{p}: {}", logit(p));
        }
    }
}
