//! Off-policy evaluation: what another policy would have earned, told from the log of the one that served.
//!
//! Every offer was drawn with odds that are on record. Rows on which the policy in question would have
//! been more likely to show the same count more, others less; with a model of the reward, the part
//! that the model explains need not be weighted at all. The closed forms are those of Saito et al. 2021
//! ("Open Bandit Dataset and Pipeline"), whose package `obp` gives the same numbers to twelve digits.
//!
//! An estimate is worth what its weights are worth: [`Weights`] says how many rows it rests on, and the
//! gate ([`gate`]) believes nothing that rests on a few.

mod completion;
mod estimate;
pub mod gate;
mod interval;
mod records;
mod slate;
mod table;
mod weights;

pub use estimate::{Estimate, Estimator, Lower, Rounds, Terms, UnknownEstimator};
pub use interval::{Betting, Interval, bernstein_lower, bootstrap, normal, percentile};
pub use records::{Counts, Evidence, Happenings, Judge, Scope};
pub use slate::{Rank, SlateEstimate, SlateEstimator, Slates};
pub use table::{Distribution, Table, TableError};
pub use weights::{Guards, Short, Weights};

/// One choice that was logged, as the policy in question looks at it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// What the choice earned.
    pub reward: f64,
    /// The probability with which it was made, above 0.
    pub propensity: f64,
    /// The probability with which the policy in question would have made it.
    pub target: f64,
    /// What the reward model expects of the choice; 0 where there is no such model.
    pub expected_logged: f64,
    /// What it expects of the policy in question: over all choices, their odds times what is expected of each.
    pub expected: f64,
}

impl Row {
    /// A row without a reward model.
    #[must_use]
    pub fn new(reward: f64, propensity: f64, target: f64) -> Row {
        Row {
            reward,
            propensity,
            target,
            expected_logged: 0.0,
            expected: 0.0,
        }
    }

    /// How many rows of the policy in question this one stands for.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.target / self.propensity
    }
}
