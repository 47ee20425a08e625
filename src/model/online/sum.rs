//! Several [`BayesLogistic`] whose log-odds add up.
//!
//! A row surprises all of them at once, and each takes its part of the correction in proportion to how
//! unsure it is. The joint posterior is kept without the covariances between them (assumed-density filtering): the
//! step of a row is the exact one of that belief, and the deviation of a sum is that of independent parts.

use super::bayes::{BayesLogistic, compromise};
use super::context::Context;

/// Learns in every part that the outcome of `x` was `y`, in [0, 1], counting `weight` times.
///
/// Whether it did: a row that is not finite is not learnt from.
pub fn learn(
    parts: &mut [&mut BayesLogistic],
    x: &Context,
    offset: f64,
    (y, weight): (f64, f64),
) -> bool {
    learn_at_least(parts, x, offset, (y, weight), 0.0)
}

/// The same, where a row says at least `curvature` about how sure the weights are.
pub(super) fn learn_at_least(
    parts: &mut [&mut BayesLogistic],
    x: &Context,
    offset: f64,
    (y, weight): (f64, f64),
    curvature: f64,
) -> bool {
    let before = offset + parts.iter().map(|part| part.dot(x)).sum::<f64>();
    let gains: Vec<Vec<f64>> = parts.iter().map(|part| part.gain(x)).collect();
    let along = parts
        .iter()
        .zip(&gains)
        .map(|(part, gain)| part.along(x, gain));
    let q: f64 = along.sum();
    let sound = before.is_finite() && q.is_finite() && (0.0..=1.0).contains(&y);
    if !(sound && weight.is_finite() && weight > 0.0) {
        return false;
    }
    let (step, curve) = compromise(before, q, y, weight);
    let curve = curve.max(weight * curvature);
    for (part, gain) in parts.iter_mut().zip(&gains) {
        part.shift(gain, step);
        part.narrow(gain, curve / (1.0 + curve * q));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_is_itself_and_several_share_as_they_are_unsure() {
        let x = Context::of(&[(0, 1.0), (1, -0.5)]);
        let mut alone = BayesLogistic::new(2, 1.0);
        let (mut sure, mut unsure) = (BayesLogistic::new(2, 4.0), BayesLogistic::new(2, 4.0 / 3.0));
        assert!(alone.learn(&x, -1.0, 1.0, 1.0));
        assert!(learn(&mut [&mut sure, &mut unsure], &x, -1.0, (1.0, 1.0)));
        for i in 0..2 {
            let (a, b, c) = (alone.mean()[i], sure.mean()[i], unsure.mean()[i]);
            // Variances of a quarter and three quarters are those of one together.
            assert!((b + c - a).abs() < 1e-12 && (c - 3.0 * b).abs() < 1e-12);
        }
    }
}
