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
        apart: Vec<Apart>,
    },
}

/// What tells an action apart: its class's terms, its own, and the two as one to be read.
#[derive(Clone)]
pub(super) struct Apart {
    class: BayesLogistic,
    own: BayesLogistic,
    both: BayesLogistic,
}

impl Learner {
    /// Of `actions` actions and contexts of `width` numbers, the first of which is 1.
    pub fn new(posterior: Posterior, actions: usize, width: usize) -> Learner {
        match posterior {
            Posterior::Refit => Learner::Refit(Family::new(actions, width, FamilyPrior::default())),
            Posterior::Layers => Learner::Layers {
                everybody: Prior::EVERYBODY.start(width),
                apart: vec![Apart::new(width); actions],
            },
        }
    }

    pub fn believe(&self, action: usize, x: &[Feature], offset: f64) -> Belief {
        match self {
            Learner::Refit(family) => family.believe(action, x, offset),
            Learner::Layers { everybody, apart } => {
                // What all actions share says nothing about which of them is best: only its mean counts.
                let shared: f64 = x
                    .iter()
                    .map(|&(i, v)| v * everybody.mean()[usize::from(i)])
                    .sum();
                apart[action].both.believe(x, offset + shared)
            }
        }
    }

    pub fn learn(&mut self, action: usize, x: &[Feature], offset: f64, y: f64) {
        match self {
            Learner::Refit(family) => family.learn(action, x, offset, y),
            Learner::Layers { everybody, apart } => {
                let Apart { class, own, both } = &mut apart[action];
                layers::learn(&mut [everybody, class, own], x, offset, y, 1.0);
                *both = layers::merged(&[], &[class, own]);
            }
        }
    }
}

impl Apart {
    fn new(width: usize) -> Apart {
        let [class, own] = [Prior::CLASS, Prior::OFFER].map(|prior| prior.start(width));
        let both = layers::merged(&[], &[&class, &own]);
        Apart { class, own, both }
    }
}
