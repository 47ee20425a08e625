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
        intercept: 0.7,
        weight: 0.7,
    };
    /// How a class differs from everything. Classes appeal to different people, and rates differ by factors.
    pub const CLASS: Prior = Prior {
        intercept: 1.2,
        weight: 0.6,
    };
    /// How an offer differs from its class: in level a lot, in whom it appeals to a little.
    pub const OFFER: Prior = Prior {
        intercept: 0.8,
        weight: 0.07,
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

/// The variance that the level of a class gains in a time: 0.2 a day, which makes a season's start (a factor
/// of 2.5) nothing unusual in four. With it a class that was given up is tried again.
#[must_use]
pub fn drift(elapsed_ms: u64) -> f64 {
    const DAY_MS: f64 = 86_400_000.0;
    0.2 * elapsed_ms as f64 / DAY_MS
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of two features that look random, by number.
    fn row(i: u32) -> [Feature; 2] {
        let value = (f64::from(i) * 0.618_033_988_749_895).fract();
        [(0, 1.0), (1, 2.0 * value - 1.0)]
    }

    fn played(rows: u32) -> [BayesLogistic; 3] {
        let mut layers = [Prior::EVERYBODY, Prior::CLASS, Prior::OFFER].map(|p| p.start(2));
        for i in 0..rows {
            let [a, b, c] = &mut layers;
            let y = f64::from(u8::from(i % 11 == 0));
            learn(&mut [a, b, c], &row(i), -2.0, y, 1.0);
        }
        layers
    }

    #[test]
    fn one_layer_is_itself() {
        let (mut alone, mut layered) = (Prior::CLASS.start(2), Prior::CLASS.start(2));
        for i in 0..200 {
            let y = f64::from(u8::from(i % 5 == 0));
            let p = alone.learn(&row(i), -1.0, y, 1.0);
            let q = learn(&mut [&mut layered], &row(i), -1.0, y, 1.0);
            assert_eq!(p.to_bits(), q.to_bits(), "row {i}");
        }
        correct(&mut [&mut layered], &row(3), 1.0);
        alone.correct(&row(3), 1.0);
        assert_eq!(alone, layered);
    }

    #[test]
    fn the_sum_learns_the_rate() {
        let [everybody, class, offer] = played(4_000);
        let believed = believe(&[&everybody, &class, &offer], &[(0, 1.0)], -2.0);
        assert!(
            (believed.probability() - 1.0 / 11.0).abs() < 0.01,
            "{believed:?}"
        );
    }

    #[test]
    fn a_surprise_goes_to_layers_as_they_are_unsure() {
        let [everybody, class, offer] = played(1).map(|layer| layer.mean()[0]);
        let variances = [Prior::EVERYBODY, Prior::CLASS, Prior::OFFER].map(|p| p.intercept.powi(2));
        assert!((class / offer - variances[1] / variances[2]).abs() < 1e-12);
        assert!((class / everybody - variances[1] / variances[0]).abs() < 1e-12);
    }

    #[test]
    fn a_class_learns_from_all_of_its_offers_and_a_new_one_is_its_class() {
        let mut class = Prior::CLASS.start(2);
        let mut offers = vec![Prior::OFFER.start(2); 12];
        for i in 0..12_000 {
            let offer = &mut offers[i as usize % 12];
            let y = f64::from(u8::from(i % 7 == 0));
            learn(&mut [&mut class, offer], &row(i), -4.0, y, 1.0);
        }
        let new = Prior::OFFER.start(2);
        let believed = believe(&[&class, &new], &[(0, 1.0)], -4.0);
        assert!(
            (believed.probability() - 1.0 / 7.0).abs() < 0.03,
            "{believed:?}"
        );
        assert!(believed.deviation > believe(&[&class, &offers[0]], &[(0, 1.0)], -4.0).deviation);
    }

    #[test]
    fn merged_ones_believe_what_the_layers_believe() {
        let [everybody, class, offer] = played(500);
        let merged = merged(&[&everybody], &[&class, &offer]);
        for i in 0..20 {
            let x = row(i);
            let one = merged.believe(&x, -2.0);
            let all = believe(&[&everybody, &class, &offer], &x, -2.0);
            let apart = believe(&[&class, &offer], &x, -2.0);
            assert!((one.mean - all.mean).abs() < 1e-12, "{one:?}, {all:?}");
            assert!(
                (one.deviation - apart.deviation).abs() < 1e-12,
                "{one:?}, {apart:?}"
            );
        }
    }

    #[test]
    fn what_is_not_sound_teaches_nothing() {
        let before = played(50);
        let mut layers = before.clone();
        for (x, offset, y, weight) in [
            (f64::NAN, 0.0, 1.0, 1.0),
            (1.0, f64::INFINITY, 1.0, 1.0),
            (1.0, 0.0, 2.0, 1.0),
            (1.0, 0.0, 1.0, -1.0),
        ] {
            let [a, b, c] = &mut layers;
            learn(&mut [a, b, c], &[(0, x)], offset, y, weight);
        }
        assert_eq!(layers, before);
    }

    #[test]
    fn a_loosened_class_is_unsure_again_and_learns_faster() {
        let [_, class, _] = played(3_000);
        let mut loose = class.clone();
        loose.loosen(0, drift(30 * 86_400_000));
        let x = [(0, 1.0)];
        let (before, after) = (class.believe(&x, 0.0), loose.believe(&x, 0.0));
        assert_eq!(before.mean.to_bits(), after.mean.to_bits());
        assert!(
            after.deviation > before.deviation + 0.5,
            "{before:?}, {after:?}"
        );
        // Nothing else is loosened, and nonsense loosens nothing.
        assert_eq!(
            class.believe(&[(1, 1.0)], 0.0),
            loose.believe(&[(1, 1.0)], 0.0)
        );
        let same = loose.clone();
        loose.loosen(0, f64::NAN);
        loose.loosen(0, -1.0);
        loose.loosen(7, 1.0);
        assert_eq!(loose, same);
    }
}
