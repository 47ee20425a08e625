//! Several [`BayesLogistic`] whose log-odds add up: what everybody does, what a class does, what one offer does.
//!
//! A row surprises all of its layers at once, and each takes its part of the correction in proportion to how
//! unsure it is. So the class learns from all of its offers for as long as there are any, an offer is told
//! apart from its class only as far as its own outcomes say so, and a new offer is its class.
//!
//! The joint posterior is kept without the covariances between layers (assumed-density filtering): the
//! step of a row is the exact one of that belief, and the deviation of a sum is that of independent parts.

use super::bayes::{BayesLogistic, Belief, Feature, compromise};
use super::{bounded, sigmoid};

/// How far a layer's weights lie from 0, which is to say from the layers below it, before anything was seen.
///
/// The figures are the ones with which `offerd simulate` earns most over 20 and 100 offers; see docs/simulation.md.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Standard deviation of the intercept, which is weight 0: of levels.
    pub intercept: f64,
    /// Standard deviation of every other weight: of what phases, places and customers change.
    pub weight: f64,
}

impl Prior {
    /// What everybody does with every offer.
    pub const EVERYBODY: Prior = Prior {
        intercept: 0.5,
        weight: 0.5,
    };
    /// How a class differs from everything. Classes appeal to different people, and rates differ by factors.
    pub const CLASS: Prior = Prior {
        intercept: 1.5,
        weight: 0.7,
    };
    /// How an offer differs from its class: in level a lot, in whom it appeals to a little.
    pub const OFFER: Prior = Prior {
        intercept: 1.0,
        weight: 0.1,
    };

    /// A layer of `d` weights that was told nothing.
    #[must_use]
    pub fn start(self, d: usize) -> BayesLogistic {
        let mut precisions = vec![self.weight.powi(-2); d];
        if let Some(intercept) = precisions.first_mut() {
            *intercept = self.intercept.powi(-2);
        }
        BayesLogistic::with_prior(vec![0.0; d], &precisions)
    }
}

/// The variance that the level of a class gains in a time: 0.03 a day, which is a season's start (a factor
/// of 2.5) in a month. With it a class that was given up is tried again.
#[must_use]
pub fn drift(elapsed_ms: u64) -> f64 {
    const DAY_MS: f64 = 86_400_000.0;
    0.03 * elapsed_ms as f64 / DAY_MS
}

/// What the layers together believe where the features are `x` and everything else says `offset`.
#[must_use]
pub fn believe(layers: &[&BayesLogistic], x: &[Feature], offset: f64) -> Belief {
    let mean: f64 = layers.iter().map(|layer| layer.dot(x)).sum();
    let variance: f64 = layers.iter().map(|layer| layer.variance(x)).sum();
    Belief {
        mean: bounded(offset + mean),
        deviation: variance.max(0.0).sqrt(),
    }
}

/// One logistic regression that believes what the layers believe, to be read without them.
///
/// The deviation is that of the layers in `apart` alone: a layer that all candidates share says nothing about
/// which of them is best, so an explorer has nothing to gain from its doubts.
#[must_use]
pub fn merged(shared: &[&BayesLogistic], apart: &[&BayesLogistic]) -> BayesLogistic {
    let mut merged = BayesLogistic::sum(apart);
    for layer in shared {
        merged.shift(layer.mean(), 1.0);
    }
    merged
}

/// Learns in every layer that the outcome of `x` was `y`, in [0, 1], counting `weight` times.
///
/// Returns the probability believed before. A row that is not finite is not learnt from.
pub fn learn(
    layers: &mut [&mut BayesLogistic],
    x: &[Feature],
    offset: f64,
    y: f64,
    weight: f64,
) -> f64 {
    let before = offset + layers.iter().map(|layer| layer.dot(x)).sum::<f64>();
    let p = sigmoid(bounded(before));
    let gains: Vec<Vec<f64>> = layers.iter().map(|layer| layer.gain(x)).collect();
    let along = layers
        .iter()
        .zip(&gains)
        .map(|(layer, gain)| layer.along(x, gain));
    let q: f64 = along.sum();
    let sound = before.is_finite() && q.is_finite() && (0.0..=1.0).contains(&y);
    if !(sound && weight.is_finite() && weight > 0.0) {
        return p;
    }
    let (step, curve) = compromise(before, q, y, weight);
    for (layer, gain) in layers.iter_mut().zip(&gains) {
        layer.shift(gain, step);
        layer.narrow(gain, curve / (1.0 + curve * q));
    }
    p
}

/// Takes back or adds a part of an outcome learnt before: `delta_y` is new minus old.
pub fn correct(layers: &mut [&mut BayesLogistic], x: &[Feature], delta_y: f64) {
    for layer in layers {
        layer.correct(x, delta_y);
    }
}
