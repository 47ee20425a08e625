//! Thompson sampling without sampling: the probability of being the best, by quadrature.
//!
//! Drawing from beliefs and taking the best (Thompson 1933) gives no probability to log; counting many such draws gives a
//! noisy one that can be 0 for what was shown. The integral over the best's score of "this one is there and all others
//! are below" is the probability itself. On a grid it is a policy of its own, near Thompson's and exact as what it is.
//! Those with no chance worth a grid point are left out first, which makes narrow beliefs cheap.

use super::{Arms, normal};

/// Grid steps between the lowest and the highest score worth looking at.
const STEPS: usize = 64;
/// How many deviations a belief reaches: beyond are 3 in 100,000.
const REACH: f64 = 4.0;
/// Below this a chance is no chance; its logarithm is finite.
const TINY: f64 = 1e-300;

/// The probability of each to be the best, beliefs `alpha` times as wide as stated.
pub(super) fn fill(alpha: f64, arms: &Arms<'_>, odds: &mut [f64]) {
    let Some(best) = super::best(arms.scores) else {
        return;
    };
    let everyone = 0..arms.scores.len();
    let reaches = |i: usize, by: f64| Curve::new(alpha, arms, i).map_or(0.0, |c| c.score_at(by));
    let low = everyone
        .clone()
        .map(|i| reaches(i, -REACH))
        .fold(0.0, f64::max);
    let high = everyone
        .clone()
        .map(|i| reaches(i, REACH))
        .fold(0.0, f64::max);
    let chance = |i: usize| Curve::new(alpha, arms, i).filter(|c| c.score_at(REACH) >= low);
    if low <= 0.0 || high / low <= 1.0 + 1e-12 || !(high / low).is_finite() {
        return draw_of_equals(arms.scores[best], arms.scores, odds);
    }
    // Equal steps in the logarithm: scores of rare conversions differ by factors.
    let step = (high / low).ln() / STEPS as f64;
    let at = |g: usize| low * (step * g as f64).exp();
    // The logarithm of "all are below", in the middle of each step.
    let mut below_all = [0.0; STEPS];
    for curve in everyone.clone().filter_map(chance) {
        let mut before = curve.below(at(0));
        for (g, sum) in below_all.iter_mut().enumerate() {
            let after = curve.below(at(g + 1));
            *sum += f64::midpoint(before, after).max(TINY).ln();
            before = after;
        }
    }
    let mut sum = 0.0;
    for i in everyone {
        odds[i] = 0.0;
        if let Some(curve) = chance(i) {
            let mut before = curve.below(at(0));
            for (g, all) in below_all.iter().enumerate() {
                let after = curve.below(at(g + 1));
                let own = f64::midpoint(before, after).max(TINY).ln();
                odds[i] += (after - before).max(0.0) * (all - own).exp();
                before = after;
            }
            sum += odds[i];
        }
    }
    if sum > 0.0 && sum.is_finite() {
        odds.iter_mut().for_each(|p| *p /= sum);
    } else {
        draw_of_equals(arms.scores[best], arms.scores, odds);
    }
}

/// Those of the best score share: where nothing is uncertain, or nothing is worth anything.
fn draw_of_equals(best: f64, scores: &[f64], odds: &mut [f64]) {
    let equals = scores.iter().filter(|s| **s >= best).count();
    for (p, score) in odds.iter_mut().zip(scores) {
        *p = f64::from(u8::from(*score >= best)) / equals as f64;
    }
}

/// What is believed about one candidate's score: it goes with a probability whose log-odds are normal.
struct Curve {
    score: f64,
    probability: f64,
    mean: f64,
    deviation: f64,
}

impl Curve {
    /// `None` for a score that is not above 0.
    fn new(alpha: f64, arms: &Arms<'_>, i: usize) -> Option<Curve> {
        let p = arms.probability(i);
        (arms.scores[i] > 0.0).then(|| Curve {
            score: arms.scores[i],
            probability: p,
            mean: (p / (1.0 - p)).ln(),
            deviation: (alpha * arms.deviation(i)).clamp(DEVIATION_MIN, DEVIATION_MAX),
        })
    }

    /// The score so many deviations from the mean.
    fn score_at(&self, deviations: f64) -> f64 {
        let z = self.mean + deviations * self.deviation;
        let times = 1.0 / (1.0 + (-z).exp()) / self.probability;
        (self.score * times).min(f64::MAX)
    }

    /// The probability of a score below `score`, which is above 0.
    fn below(&self, score: f64) -> f64 {
        let p = self.probability * (score / self.score);
        if p >= 1.0 {
            return 1.0;
        }
        normal::below(((p / (1.0 - p)).ln() - self.mean) / self.deviation)
    }
}

/// A belief narrower than this is as good as certain, and no grid could tell.
const DEVIATION_MIN: f64 = 1e-9;
/// A belief this wide knows nothing. A wider one is all at the ends of the scale, where the steps of the grid,
/// which has to reach from one end to the other, would no longer tell two offers apart.
const DEVIATION_MAX: f64 = 4.0;
