//! Weights that many readers share until somebody learns.

use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::BayesLogistic;
use super::layers::Prior;

/// A [`BayesLogistic`] that is cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms(Arc<BayesLogistic>);

impl Terms {
    /// To learn in: whoever shares them keeps what they were.
    pub(super) fn open(&mut self) -> &mut BayesLogistic {
        Arc::make_mut(&mut self.0)
    }

    /// The same, and wide enough.
    pub(super) fn open_to(&mut self, width: usize, prior: Prior) -> &mut BayesLogistic {
        let terms = self.open();
        terms.widen(width, prior.weight.powi(-2));
        terms
    }
}

impl From<BayesLogistic> for Terms {
    fn from(terms: BayesLogistic) -> Terms {
        Terms(Arc::new(terms))
    }
}

impl Deref for Terms {
    type Target = BayesLogistic;

    fn deref(&self) -> &BayesLogistic {
        &self.0
    }
}

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Terms, D::Error> {
        BayesLogistic::deserialize(deserializer).map(Terms::from)
    }
}
