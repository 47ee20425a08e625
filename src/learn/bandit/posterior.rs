//! What a player believes about each action, and how it learns: one of two learners behind the same three calls.

use crate::model::online::layers::{self, Prior};
use crate::model::online::{BayesLogistic, Belief, Family, FamilyPrior, Feature};

/// Which learner plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Posterior {
    /// Each action's rows are fitted again whenever there are a part more of them: best, and not the server's.
    #[default]
    Refit,
    /// Layers that add up, one pass over the rows: what the server learns with. Each action is a class of one offer.
    Layers,
}

impl std::fmt::Display for Posterior {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Posterior::Refit => "refit",
            Posterior::Layers => "layers",
        })
    }
}

impl std::str::FromStr for Posterior {
    type Err = String;

    fn from_str(word: &str) -> Result<Posterior, String> {
        [Posterior::Refit, Posterior::Layers]
            .into_iter()
            .find(|one| one.to_string() == word)
            .ok_or_else(|| format!("{word}: must be refit or layers"))
    }
}

/// A learner at work.
pub(super) enum Learner {
    Refit(Family),
    Layers {
        everybody: BayesLogistic,
        /// Of each action, its class's terms and its own.
        apart: Vec<[BayesLogistic; 2]>,
    },
}

impl Learner {
    /// Of `actions` actions and contexts of `width` numbers, the first of which is 1.
    pub fn new(posterior: Posterior, actions: usize, width: usize) -> Learner {
        match posterior {
            Posterior::Refit => Learner::Refit(Family::new(actions, width, FamilyPrior::default())),
            Posterior::Layers => Learner::Layers {
                everybody: Prior::EVERYBODY.start(width),
                apart: vec![[Prior::CLASS, Prior::OFFER].map(|prior| prior.start(width)); actions],
            },
        }
    }

    pub fn believe(&self, action: usize, x: &[Feature], offset: f64) -> Belief {
        match self {
            Learner::Refit(family) => family.believe(action, x, offset),
            Learner::Layers { everybody, apart } => {
                let [class, own] = &apart[action];
                // What all actions share says nothing about which of them is best.
                Belief {
                    mean: layers::believe(&[everybody, class, own], x, offset).mean,
                    ..layers::believe(&[class, own], x, offset)
                }
            }
        }
    }

    pub fn learn(&mut self, action: usize, x: &[Feature], offset: f64, y: f64) {
        match self {
            Learner::Refit(family) => family.learn(action, x, offset, y),
            Learner::Layers { everybody, apart } => {
                let [class, own] = &mut apart[action];
                layers::learn(&mut [everybody, class, own], x, offset, y, 1.0);
            }
        }
    }
}
