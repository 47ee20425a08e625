//! Logistic regression that knows how sure it is, one row at a time.
//!
//! The weights are believed to be Gaussian. A row moves them to the best compromise between that belief
//! and the row's likelihood, and the curvature there is the new belief: Laplace's approximation, sequentially
//! (Spiegelhalter and Lauritzen 1990). The compromise of
//! one row lies on one line, the covariance times the row, so it is found exactly by Newton steps on one number.
//! With the full covariance a row costs d², and the deviation of a belief accounts for features that come
//! together; beyond [`FULL_MAX`] features only the variances are kept.

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::packed;
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
    /// Covariance of the weights: its lower triangle ([`packed`]), or only its diagonal.
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
        BayesLogistic::with_prior(vec![0.0; d], &vec![prior_precision; d])
    }

    /// Weights around `mean`, each with a precision (above 0) of its own.
    #[must_use]
    pub fn with_prior(mean: Vec<f64>, precisions: &[f64]) -> BayesLogistic {
        let d = mean.len();
        assert_eq!(d, precisions.len(), "as many precisions as weights");
        let variances = precisions.iter().map(|p| 1.0 / p);
        let covariance = if d <= FULL_MAX {
            let mut full = vec![0.0; packed::len(d)];
            for (i, variance) in variances.enumerate() {
                full[packed::diagonal(i)] = variance;
            }
            full
        } else {
            variances.collect()
        };
        BayesLogistic { mean, covariance }
    }

    /// A belief known in full: weights, and the lower triangle of their covariance.
    pub(super) fn of(mean: Vec<f64>, covariance: Vec<f64>) -> BayesLogistic {
        debug_assert!(mean.len() <= FULL_MAX && covariance.len() == packed::len(mean.len()));
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
        if wider.is_full() {
            wider.covariance[..packed::len(had)].copy_from_slice(&self.covariance);
        } else {
            (0..had).for_each(|i| wider.covariance[i] = self.covariance[self.diagonal(i)]);
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
    pub fn believe(&self, x: &Context, offset: f64) -> Belief {
        Belief {
            mean: bounded(offset + self.dot(x)),
            deviation: self.variance(x).max(0.0).sqrt(),
        }
    }

    /// Learns that the outcome of `x` was `y`, in [0, 1], counting `weight` times.
    ///
    /// Whether it did: a row that is not finite is not learnt from.
    pub fn learn(&mut self, x: &Context, offset: f64, y: f64, weight: f64) -> bool {
        super::sum::learn(&mut [self], x, offset, (y, weight))
    }

    /// Takes back or adds a part of an outcome learnt before: `delta_y` is new minus old.
    ///
    /// A conversion that arrives after its showing was learnt as a failure is a `delta_y` of 1, a reversal
    /// one of -1. How sure the belief is does not depend on the outcome to first order, so it stays.
    pub fn correct(&mut self, x: &Context, delta_y: f64) {
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
        let i = usize::from(i);
        if i < self.mean.len() && variance.is_finite() && variance >= 0.0 {
            let at = self.diagonal(i);
            self.covariance[at] = (self.covariance[at] + variance).min(VARIANCE_MAX);
        }
    }

    /// `mean += by * gain`.
    pub(super) fn shift(&mut self, gain: &[f64], by: f64) {
        packed::add(&mut self.mean, by, gain);
    }

    fn is_full(&self) -> bool {
        self.mean.len() <= FULL_MAX
    }

    /// Where the variance of weight `i` is.
    fn diagonal(&self, i: usize) -> usize {
        if self.is_full() {
            packed::diagonal(i)
        } else {
            i
        }
    }

    /// The named features that there are weights for.
    fn known<'x>(&self, x: &'x Context) -> impl Iterator<Item = (usize, f64)> + Clone + use<'x> {
        let d = self.mean.len();
        let index = x.features().iter().map(|&(i, v)| (usize::from(i), v));
        index.take_while(move |(i, _)| *i < d)
    }

    pub(super) fn dot(&self, x: &Context) -> f64 {
        if self.is_full() {
            packed::dot(&self.mean, x.dense())
        } else {
            self.known(x).map(|(i, v)| v * self.mean[i]).sum()
        }
    }

    /// Variance of the row's log-odds.
    pub(super) fn variance(&self, x: &Context) -> f64 {
        if self.is_full() {
            x.quadratic(&self.covariance)
        } else {
            self.known(x).map(|(i, v)| v * v * self.covariance[i]).sum()
        }
    }

    /// Covariance times the row: how a surprise moves each weight.
    pub(super) fn gain(&self, x: &Context) -> Vec<f64> {
        let d = self.mean.len();
        let mut gain = vec![0.0; d];
        if !self.is_full() {
            for (i, v) in self.known(x) {
                gain[i] += v * self.covariance[i];
            }
            return gain;
        }
        let dense = &x.dense()[..d.min(x.dense().len())];
        for (i, gain) in gain.iter_mut().enumerate() {
            *gain = packed::dot(&self.covariance[packed::row(i)], dense);
        }
        for (i, v) in self.known(x) {
            packed::add(&mut gain[..i], v, &self.covariance[packed::row(i)]);
        }
        gain
    }

    pub(super) fn along(&self, x: &Context, gain: &[f64]) -> f64 {
        let q: f64 = self.known(x).map(|(i, v)| v * gain[i]).sum();
        q.max(0.0)
    }

    /// `covariance -= by * gain * gain'`; a diagonal that rounding pushed through 0 is put back to a hair above.
    pub(super) fn narrow(&mut self, gain: &[f64], by: f64) {
        if self.is_full() {
            for (i, g) in gain.iter().enumerate() {
                let row = &mut self.covariance[packed::row(i)];
                packed::add(row, -by * g, &gain[..=i]);
                row[i] = row[i].max(VARIANCE_MIN);
            }
        } else {
            // The variance that each weight has in the exact answer: correlations are forgotten, not sureness
            // made up, as would be by adding up curvature as if the other weights were known.
            for (c, g) in self.covariance.iter_mut().zip(gain) {
                *c = (*c - by * g * g).max(VARIANCE_MIN);
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

    fn row(t: u64, d: u16) -> Context {
        let value = |i: u16| match i {
            0 => 1.0,
            _ => 2.0 * noise(t * 1_000 + u64::from(i)) - 1.0,
        };
        let x: Vec<Feature> = (0..d).map(|i| (i, value(i))).collect();
        Context::of(&x)
    }

    /// What the weights `truth` say about a row.
    fn says(truth: &[f64], x: &Context) -> f64 {
        let known = x.features().iter();
        known.map(|&(i, v)| v * truth[usize::from(i)]).sum()
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
            let z = says(&truth, &x);
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
                let z = says(&truth, &x);
                let y = f64::from(u8::from(
                    noise((play * 10_000 + t) * 1_000 + 999) < sigmoid(z),
                ));
                learnt.learn(&x, 0.0, y, 1.0);
            }
            let x = row(play * 10_000 + 9_999, d);
            let z = says(&truth, &x);
            let belief = learnt.believe(&x, 0.0);
            squares += ((belief.mean - z) / belief.deviation).powi(2);
        }
        // Chi squared with 40 degrees: 99.9 % of the time within 18 to 73.
        assert!((18.0..73.0).contains(&squares), "{squares}");
    }

    #[test]
    fn what_is_learnt_narrows() {
        let d = 12;
        let mut learnt = BayesLogistic::new(usize::from(d), 0.5);
        let mut before = f64::INFINITY;
        for t in 0..2_000 {
            learnt.learn(&row(t % 50, d), -1.0, f64::from(u8::from(t % 3 == 0)), 1.0);
            let deviation = learnt.believe(&row(7, d), 0.0).deviation;
            assert!(deviation <= before, "row {t}: {deviation} after {before}");
            before = deviation;
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
    fn wider_ones_believe_the_same_of_what_they_knew() {
        for (from, to) in [(3, 7), (9, 9), (FULL_MAX, FULL_MAX + 3), (100, 120)] {
            let narrow = play(u16::try_from(from).unwrap(), 300);
            let mut wide = narrow.clone();
            wide.widen(to, 4.0);
            assert_eq!(wide.width(), to);
            for i in 0..u16::try_from(from).unwrap() {
                let x = Context::of(&[(i, 0.5)]);
                assert_eq!(narrow.believe(&x, -1.0), wide.believe(&x, -1.0));
            }
            for i in from..to {
                let belief = wide.believe(&Context::of(&[(u16::try_from(i).unwrap(), 1.0)]), 0.0);
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
                    learnt.learn(&Context::of(&[(1, value), (60_000, 1.0)]), 0.0, y, 1.0);
                    learnt.learn(&Context::of(&[(1, 1.0)]), value, y, 1.0);
                    learnt.correct(&Context::of(&[(1, value)]), y);
                    let belief = learnt.believe(&Context::of(&[(0, 1.0), (2, 1.0)]), 0.0);
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
