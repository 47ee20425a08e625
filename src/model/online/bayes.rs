//! Logistic regression that knows how sure it is, one row at a time.
//!
//! The weights are believed to be Gaussian. A row moves them to the best compromise between that belief
//! and the row's likelihood, and the curvature there is the new belief: Laplace's approximation, sequentially
//! (Spiegelhalter and Lauritzen 1990). The compromise of
//! one row lies on one line, the covariance times the row, so it is found exactly by Newton steps on one number.
//! With the full covariance a row costs d², and the deviation of a belief accounts for features that come
//! together; beyond [`FULL_MAX`] features only the variances are kept.

use serde::{Deserialize, Serialize};

use super::{bounded, sigmoid};

/// Up to so many features the whole covariance is kept: 50 KiB per offer and a few microseconds per row.
pub const FULL_MAX: usize = 80;

/// A feature of a row: which, and its value.
pub type Feature = (u16, f64);

/// Steps on one row's compromise; three or four are usual, and halving alone takes 40.
const STEPS_MAX: usize = 50;
/// What is left of the equation when the steps end, per unit of weight.
const NEAR: f64 = 1e-12;

/// A Gaussian belief about the weights of a logistic regression.
///
/// Features that a row does not name are 0; those beyond the width are not looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BayesLogistic {
    mean: Vec<f64>,
    /// Covariance of the weights: row after row, or only its diagonal.
    covariance: Vec<f64>,
}

/// What is believed about one row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Log-odds, the offset included.
    pub mean: f64,
    /// Standard deviation of the log-odds.
    pub deviation: f64,
}

impl Belief {
    /// The probability at the mean.
    #[must_use]
    pub fn probability(&self) -> f64 {
        sigmoid(self.mean)
    }

    /// Standard deviation of the logarithm of the probability, to first order.
    #[must_use]
    pub fn spread(&self) -> f64 {
        (1.0 - self.probability()) * self.deviation
    }
}

impl BayesLogistic {
    /// `d` weights around 0, each with variance `1 / prior_precision` (above 0).
    #[must_use]
    pub fn new(d: usize, prior_precision: f64) -> BayesLogistic {
        BayesLogistic::with_mean(vec![0.0; d], prior_precision)
    }

    /// Weights around those of somebody alike, as unsure as new ones: how an offer starts from its class.
    #[must_use]
    pub fn with_mean(mean: Vec<f64>, prior_precision: f64) -> BayesLogistic {
        let precisions = vec![prior_precision; mean.len()];
        BayesLogistic::with_prior(mean, &precisions)
    }

    /// Weights around `mean`, each with a precision (above 0) of its own.
    #[must_use]
    pub fn with_prior(mean: Vec<f64>, precisions: &[f64]) -> BayesLogistic {
        let d = mean.len();
        assert_eq!(d, precisions.len(), "as many precisions as weights");
        let variances = precisions.iter().map(|p| 1.0 / p);
        let covariance = if d <= FULL_MAX {
            let mut full = vec![0.0; d * d];
            for (i, variance) in variances.enumerate() {
                full[i * d + i] = variance;
            }
            full
        } else {
            variances.collect()
        };
        BayesLogistic { mean, covariance }
    }

    /// A belief known in full: weights, and their covariance row after row.
    pub(super) fn of(mean: Vec<f64>, covariance: Vec<f64>) -> BayesLogistic {
        debug_assert!(mean.len() <= FULL_MAX && covariance.len() == mean.len() * mean.len());
        BayesLogistic { mean, covariance }
    }

    /// The same with weights for more features, each around 0 with variance `1 / prior_precision`: what was
    /// learnt about the others stays, but for their correlations where the width passes [`FULL_MAX`].
    pub fn widen(&mut self, d: usize, prior_precision: f64) {
        let had = self.mean.len();
        if d <= had {
            return;
        }
        let mut wider = BayesLogistic::new(d, prior_precision);
        wider.mean[..had].copy_from_slice(&self.mean);
        for i in 0..had {
            if wider.is_full() {
                wider.covariance[i * d..][..had]
                    .copy_from_slice(&self.covariance[i * had..][..had]);
            } else {
                let diagonal = if self.is_full() { i * had + i } else { i };
                wider.covariance[i] = self.covariance[diagonal];
            }
        }
        *self = wider;
    }

    /// How many weights.
    #[must_use]
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The weights believed most likely.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// What is believed where the features are `x` and everything else says `offset`.
    #[must_use]
    pub fn believe(&self, x: &[Feature], offset: f64) -> Belief {
        Belief {
            mean: bounded(offset + self.dot(x)),
            deviation: self.variance(x).max(0.0).sqrt(),
        }
    }

    /// Learns that the outcome of `x` was `y`, in [0, 1], counting `weight` times.
    ///
    /// Returns the probability believed before. A row that is not finite is not learnt from.
    pub fn learn(&mut self, x: &[Feature], offset: f64, y: f64, weight: f64) -> f64 {
        self.learn_at_least(x, offset, y, weight, 0.0)
    }

    /// The same, where a row says at least `curvature` about how sure the weights are.
    pub(super) fn learn_at_least(
        &mut self,
        x: &[Feature],
        offset: f64,
        y: f64,
        weight: f64,
        curvature: f64,
    ) -> f64 {
        let before = offset + self.dot(x);
        let p = sigmoid(bounded(before));
        let gain = self.gain(x);
        let q = self.along(x, &gain);
        let sound = before.is_finite() && q.is_finite() && (0.0..=1.0).contains(&y);
        if !(sound && weight.is_finite() && weight > 0.0) {
            return p;
        }
        let (step, curve) = compromise(before, q, y, weight);
        let curve = curve.max(weight * curvature);
        self.shift(&gain, step);
        self.narrow(&gain, curve / (1.0 + curve * q));
        p
    }

    /// Takes back or adds a part of an outcome learnt before: `delta_y` is new minus old.
    ///
    /// A conversion that arrives after its showing was learnt as a failure is a `delta_y` of 1, a reversal
    /// one of -1. How sure the belief is does not depend on the outcome to first order, so it stays.
    pub fn correct(&mut self, x: &[Feature], delta_y: f64) {
        let gain = self.gain(x);
        if delta_y.is_finite() && gain.iter().all(|g| g.is_finite()) {
            self.shift(&gain, delta_y);
        }
    }

    /// Admits that weight `i` may have moved meanwhile: its variance grows by `variance`, at least 0.
    ///
    /// What is not watched becomes unsure again at the speed at which the world changes, so that it is
    /// explored again; what is watched follows changes as fast as that.
    pub fn loosen(&mut self, i: u16, variance: f64) {
        let (i, d) = (usize::from(i), self.mean.len());
        if i < d && variance.is_finite() && variance >= 0.0 {
            let at = if self.is_full() { i * d + i } else { i };
            self.covariance[at] = (self.covariance[at] + variance).min(VARIANCE_MAX);
        }
    }

    /// `mean += by * gain`.
    pub(super) fn shift(&mut self, gain: &[f64], by: f64) {
        for (mean, gain) in self.mean.iter_mut().zip(gain) {
            *mean += by * gain;
        }
    }

    /// Weights that are sums of those of `parts`, which are independent and equally wide.
    pub(super) fn sum(parts: &[&BayesLogistic]) -> BayesLogistic {
        let (first, rest) = parts.split_first().expect("a sum has parts");
        let mut sum = (*first).clone();
        for part in rest {
            assert_eq!(sum.width(), part.width(), "layers are equally wide");
            sum.shift(&part.mean, 1.0);
            let both = sum.covariance.iter_mut().zip(&part.covariance);
            both.for_each(|(c, more)| *c += more);
        }
        sum
    }

    fn is_full(&self) -> bool {
        self.mean.len() <= FULL_MAX
    }

    /// The named features that there are weights for.
    fn known<'x>(&self, x: &'x [Feature]) -> impl Iterator<Item = (usize, f64)> + Clone + use<'x> {
        let d = self.mean.len();
        let index = x.iter().map(|&(i, v)| (usize::from(i), v));
        index.filter(move |(i, _)| *i < d)
    }

    pub(super) fn dot(&self, x: &[Feature]) -> f64 {
        self.known(x).map(|(i, v)| v * self.mean[i]).sum()
    }

    /// Variance of the row's log-odds.
    pub(super) fn variance(&self, x: &[Feature]) -> f64 {
        let d = self.mean.len();
        if !self.is_full() {
            return self.known(x).map(|(i, v)| v * v * self.covariance[i]).sum();
        }
        let of = |(i, v): (usize, f64)| {
            let row = &self.covariance[i * d..][..d];
            v * self.known(x).map(|(j, w)| w * row[j]).sum::<f64>()
        };
        self.known(x).map(of).sum()
    }

    /// Covariance times the row: how a surprise moves each weight.
    pub(super) fn gain(&self, x: &[Feature]) -> Vec<f64> {
        let d = self.mean.len();
        let mut gain = vec![0.0; d];
        for (i, v) in self.known(x) {
            if self.is_full() {
                let row = &self.covariance[i * d..][..d];
                for (gain, c) in gain.iter_mut().zip(row) {
                    *gain += v * c;
                }
            } else {
                gain[i] += v * self.covariance[i];
            }
        }
        gain
    }

    pub(super) fn along(&self, x: &[Feature], gain: &[f64]) -> f64 {
        let q: f64 = self.known(x).map(|(i, v)| v * gain[i]).sum();
        q.max(0.0)
    }

    /// `covariance -= by * gain * gain'`.
    ///
    /// Each entry is a product of two roots, which commute: the matrix stays symmetric to the bit, and
    /// a diagonal that rounding pushed through 0 is put back to a hair above.
    pub(super) fn narrow(&mut self, gain: &[f64], by: f64) {
        let root = by.sqrt();
        let scaled: Vec<f64> = gain.iter().map(|g| root * g).collect();
        let d = scaled.len();
        if self.is_full() {
            for (i, &a) in scaled.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                let row = &mut self.covariance[i * d..][..d];
                for (c, b) in row.iter_mut().zip(&scaled) {
                    *c -= a * b;
                }
                row[i] = row[i].max(VARIANCE_MIN);
            }
        } else {
            // The variance that each weight has in the exact answer: correlations are forgotten, not sureness
            // made up, as would be by adding up curvature as if the other weights were known.
            for (c, a) in self.covariance.iter_mut().zip(&scaled) {
                *c = (*c - a * a).max(VARIANCE_MIN);
            }
        }
    }
}

/// No weight is known better than this: 1e12 rows' worth.
const VARIANCE_MIN: f64 = 1e-12;
/// And none worse: a deviation of 30 is every log-odds there is.
const VARIANCE_MAX: f64 = 1e3;

/// How far along the gain the best compromise lies, and the curvature of the row's loss there.
///
/// Solves `t = weight * (y - sigmoid(m + t q))`. Its left side rises and its right side falls in `t`, so there is
/// one answer; it lies between 0 and the step of an infinitely stiff belief, `weight * (y - sigmoid(m))`.
pub(super) fn compromise(m: f64, q: f64, y: f64, weight: f64) -> (f64, f64) {
    let first = weight * (y - sigmoid(bounded(m)));
    let (mut low, mut high) = (first.min(0.0), first.max(0.0));
    let mut t = 0.0;
    for _ in 0..STEPS_MAX {
        let p = sigmoid(bounded(m + t * q));
        let (gap, slope) = (weight * (y - p) - t, 1.0 + weight * p * (1.0 - p) * q);
        if gap.abs() <= NEAR * weight {
            break;
        }
        if gap > 0.0 {
            low = t;
        } else {
            high = t;
        }
        let next = t + gap / slope;
        // A step of Newton's that leaves the bracket is one from where the sigmoid is flat.
        t = if low < next && next < high {
            next
        } else {
            low.midpoint(high)
        };
    }
    let p = sigmoid(bounded(m + t * q));
    (t, weight * p * (1.0 - p))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [0, 1) that look random, bit-equal everywhere.
    fn noise(i: u64) -> f64 {
        let mut z = i
            .wrapping_add(0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn row(t: u64, d: u16) -> Vec<Feature> {
        let value = |i: u16| match i {
            0 => 1.0,
            _ => 2.0 * noise(t * 1_000 + u64::from(i)) - 1.0,
        };
        (0..d).map(|i| (i, value(i))).collect()
    }

    fn truth(d: u16) -> Vec<f64> {
        (0..d)
            .map(|i| 2.0 * noise(7_000_000 + u64::from(i)) - 1.0)
            .collect()
    }

    fn play(d: u16, rows: u64) -> BayesLogistic {
        let truth = truth(d);
        let mut learnt = BayesLogistic::new(usize::from(d), 1.0);
        for t in 0..rows {
            let x = row(t, d);
            let z: f64 = x.iter().map(|&(i, v)| v * truth[usize::from(i)]).sum();
            let y = f64::from(u8::from(noise(t * 1_000 + 999) < sigmoid(z)));
            learnt.learn(&x, 0.0, y, 1.0);
        }
        learnt
    }

    #[track_caller]
    fn check_found(d: u16, rows: u64) {
        let learnt = play(d, rows);
        let found = learnt
            .mean()
            .iter()
            .zip(truth(d))
            .map(|(m, w)| (m - w) * (m - w));
        let rms = (found.sum::<f64>() / f64::from(d)).sqrt();
        assert!(rms < 0.1, "{d} weights after {rows} rows: off by {rms}");
    }

    #[test]
    fn finds_the_weights_that_made_the_outcomes() {
        check_found(1, 3_000);
        check_found(8, 10_000);
        check_found(u16::try_from(FULL_MAX).unwrap() + 1, 60_000);
    }

    /// *Goal:* the deviation is that of the estimate. *Method:* many rows' beliefs after one play, in units of their deviation.
    #[test]
    fn the_deviation_is_how_far_off_it_is() {
        let (d, plays) = (6, 40);
        let truth = truth(d);
        let mut squares = 0.0;
        for play in 0..plays {
            let mut learnt = BayesLogistic::new(usize::from(d), 1.0);
            for t in 0..400 {
                let x = row(play * 10_000 + t, d);
                let z: f64 = x.iter().map(|&(i, v)| v * truth[usize::from(i)]).sum();
                let y = f64::from(u8::from(
                    noise((play * 10_000 + t) * 1_000 + 999) < sigmoid(z),
                ));
                learnt.learn(&x, 0.0, y, 1.0);
            }
            let x = row(play * 10_000 + 9_999, d);
            let z: f64 = x.iter().map(|&(i, v)| v * truth[usize::from(i)]).sum();
            let belief = learnt.believe(&x, 0.0);
            squares += ((belief.mean - z) / belief.deviation).powi(2);
        }
        // Chi squared with 40 degrees: 99.9 % of the time within 18 to 73.
        assert!((18.0..73.0).contains(&squares), "{squares}");
    }

    #[test]
    fn the_covariance_stays_symmetric_and_narrows() {
        let d = 12;
        let mut learnt = BayesLogistic::new(usize::from(d), 0.5);
        let mut before = f64::INFINITY;
        for t in 0..2_000 {
            learnt.learn(&row(t % 50, d), -1.0, f64::from(u8::from(t % 3 == 0)), 1.0);
            let deviation = learnt.believe(&row(7, d), 0.0).deviation;
            assert!(deviation <= before, "row {t}: {deviation} after {before}");
            before = deviation;
        }
        let d = usize::from(d);
        for i in 0..d {
            for j in 0..d {
                let (a, b) = (learnt.covariance[i * d + j], learnt.covariance[j * d + i]);
                assert_eq!(a.to_bits(), b.to_bits(), "({i}, {j})");
            }
        }
    }

    #[test]
    fn one_step_solves_its_equation() {
        for (m, q, y, weight) in [
            (-4.0, 0.3, 1.0, 1.0),
            (-4.0, 30.0, 1.0, 1.0),
            (5.0, 2.0, 0.0, 3.0),
            (0.0, 0.0, 1.0, 0.1),
            (-20.0, 100.0, 0.5, 1.0),
        ] {
            let (t, _) = compromise(m, q, y, weight);
            let off = t - weight * (y - sigmoid(m + t * q));
            assert!(
                off.abs() < 1e-11 * weight,
                "{m} {q} {y} {weight}: {t} is off by {off}"
            );
        }
    }

    #[test]
    fn a_flip_leads_where_the_late_label_would_have() {
        let d = 5;
        let mut at_once = BayesLogistic::new(usize::from(d), 4.0);
        let mut late = at_once.clone();
        for t in 0..4_000 {
            let (x, y) = (row(t, d), f64::from(u8::from(noise(t) < 0.04)));
            at_once.learn(&x, -3.0, y, 1.0);
            late.learn(&x, -3.0, 0.0, 1.0);
            late.correct(&x, y);
        }
        for t in 0..20 {
            let (a, b) = (
                at_once.believe(&row(t, d), -3.0),
                late.believe(&row(t, d), -3.0),
            );
            assert!((a.mean - b.mean).abs() < a.deviation, "{a:?} {b:?}");
        }
        let before = late.clone();
        late.correct(&row(1, d), 1.0);
        late.correct(&row(1, d), -1.0);
        for (a, b) in before.mean().iter().zip(late.mean()) {
            assert!((a - b).abs() < 1e-12);
        }
    }

    #[test]
    fn starts_from_somebody_alike_as_unsure_as_new() {
        let class = play(4, 500);
        let offer = BayesLogistic::with_mean(class.mean().to_vec(), 2.0);
        let x = row(3, 4);
        let (theirs, own) = (class.believe(&x, -1.0), offer.believe(&x, -1.0));
        assert_eq!(theirs.mean.to_bits(), own.mean.to_bits());
        let length: f64 = x.iter().map(|(_, v)| v * v).sum();
        assert!((own.deviation - (length / 2.0).sqrt()).abs() < 1e-12);
        assert!(theirs.deviation < own.deviation);
    }

    #[test]
    fn wider_ones_believe_the_same_of_what_they_knew() {
        for (from, to) in [(3, 7), (9, 9), (FULL_MAX, FULL_MAX + 3), (100, 120)] {
            let narrow = play(u16::try_from(from).unwrap(), 300);
            let mut wide = narrow.clone();
            wide.widen(to, 4.0);
            assert_eq!(wide.width(), to);
            for i in 0..u16::try_from(from).unwrap() {
                let x = [(i, 0.5)];
                assert_eq!(narrow.believe(&x, -1.0), wide.believe(&x, -1.0));
            }
            for i in from..to {
                let belief = wide.believe(&[(u16::try_from(i).unwrap(), 1.0)], 0.0);
                assert_eq!((belief.mean, belief.deviation), (0.0, 0.5));
            }
        }
    }

    #[test]
    fn odd_rows_leave_finite_beliefs() {
        for d in [4, u16::try_from(FULL_MAX).unwrap() + 4] {
            let mut learnt = BayesLogistic::new(usize::from(d), 1.0);
            for value in [f64::NAN, f64::INFINITY, 1e300, -1e300, 1e150, 1e-300] {
                for y in [0.0, 1.0, f64::NAN, -3.0] {
                    learnt.learn(&[(1, value), (60_000, 1.0)], 0.0, y, 1.0);
                    learnt.learn(&[(1, 1.0)], value, y, 1.0);
                    learnt.correct(&[(1, value)], y);
                    let belief = learnt.believe(&[(0, 1.0), (2, 1.0)], 0.0);
                    assert!(
                        belief.mean.is_finite() && belief.deviation.is_finite(),
                        "{value} {y}"
                    );
                }
            }
        }
    }

    #[test]
    fn comes_back_bit_equal_from_json() {
        let learnt = play(9, 300);
        let json = serde_json::to_string(&learnt).unwrap();
        assert_eq!(
            serde_json::from_str::<BayesLogistic>(&json).unwrap(),
            learnt
        );
    }
}
