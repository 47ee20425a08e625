//! Slope and intercept of a pushed model's log-odds, kept right while the world moves on.
//!
//! A frozen model's ranking ages slowly, its level fast: new prices, a season, a campaign. Two numbers
//! that forget are enough to follow the level (Platt 1999 gives the two numbers; here they are fitted by
//! recursive Newton steps with exponential forgetting). They are pulled towards (1, 0), which is the
//! model as it was pushed: without new evidence that is what they return to.

use serde::{Deserialize, Serialize};

use super::{bounded, sigmoid};

/// `logit(p) = slope * z + intercept`, where `z` is the model's own logit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OnlinePlatt {
    slope: f64,
    intercept: f64,
    /// Curvature of the remembered rows' loss: of slope twice, of slope and intercept, of intercept twice.
    information: [f64; 3],
    /// What is kept of the evidence at each row.
    keep: f64,
}

/// Keeps half of the evidence after 1,386 rows: follows a week's drift at a few hundred showings a day.
const KEEP: f64 = 0.9995;
/// Precision of the prior around (1, 0): standard deviations of 0.3 and 0.7.
const PRIOR: [f64; 2] = [10.0, 2.0];
/// A slope of 0 is a model that is no longer believed; below it one that is believed reversed.
const SLOPE_RANGE: (f64, f64) = (0.0, 4.0);
/// Rates may move by a factor of 3,000 before somebody should look.
const INTERCEPT_MAX: f64 = 8.0;

impl Default for OnlinePlatt {
    fn default() -> OnlinePlatt {
        OnlinePlatt {
            slope: 1.0,
            intercept: 0.0,
            information: [0.0; 3],
            keep: KEEP,
        }
    }
}

impl OnlinePlatt {
    /// One that keeps `keep`, in (0, 1], of its evidence at each row; 1 forgets nothing.
    #[must_use]
    pub fn keeping(keep: f64) -> OnlinePlatt {
        OnlinePlatt {
            keep: keep.clamp(f64::MIN_POSITIVE, 1.0),
            ..OnlinePlatt::default()
        }
    }

    /// The corrected log-odds where the model says `z`.
    #[must_use]
    pub fn logit(&self, z: f64) -> f64 {
        self.slope * bounded(z) + self.intercept
    }

    /// What the model's log-odds are multiplied by.
    #[must_use]
    pub fn slope(&self) -> f64 {
        self.slope
    }

    /// What is added to the model's log-odds.
    #[must_use]
    pub fn intercept(&self) -> f64 {
        self.intercept
    }

    /// Learns that where the model says `z` the outcome was `y`, in [0, 1], counting `weight` times.
    ///
    /// Returns the probability believed before. A row that is not finite is not learnt from.
    pub fn learn(&mut self, z: f64, y: f64, weight: f64) -> f64 {
        let p = sigmoid(self.logit(z));
        if !(z.is_finite() && (0.0..=1.0).contains(&y) && weight.is_finite() && weight > 0.0) {
            return p;
        }
        let z = bounded(z);
        let curve = weight * p * (1.0 - p);
        let [aa, ab, bb] = &mut self.information;
        *aa = self.keep * *aa + curve * z * z;
        *ab = self.keep * *ab + curve * z;
        *bb = self.keep * *bb + curve;
        // At the last optimum the remembered loss and the prior were in balance; forgetting a part of the
        // one leaves as much of the other's pull.
        let freed = 1.0 - self.keep;
        let gap = weight * (y - p);
        self.step(
            gap * z + freed * PRIOR[0] * (1.0 - self.slope),
            gap - freed * PRIOR[1] * self.intercept,
        );
        p
    }

    /// Takes back or adds a part of an outcome learnt before: `delta_y` is new minus old.
    pub fn correct(&mut self, z: f64, delta_y: f64) {
        if z.is_finite() && delta_y.is_finite() {
            self.step(delta_y * bounded(z), delta_y);
        }
    }

    /// Gradient times inverse curvature.
    fn step(&mut self, slope: f64, intercept: f64) {
        let [aa, ab, bb] = self.information;
        let (aa, bb) = (aa + PRIOR[0], bb + PRIOR[1]);
        // Cauchy and Schwarz keep ab * ab below the rest; the prior keeps them apart.
        let determinant = (aa * bb - ab * ab).max(PRIOR[0] * PRIOR[1]);
        self.slope += (bb * slope - ab * intercept) / determinant;
        self.intercept += (aa * intercept - ab * slope) / determinant;
        self.slope = self.slope.clamp(SLOPE_RANGE.0, SLOPE_RANGE.1);
        self.intercept = self.intercept.clamp(-INTERCEPT_MAX, INTERCEPT_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random: the fractional parts of multiples of the golden ratio.
    fn spread(i: u32) -> f64 {
        (f64::from(i) * 0.618_033_988_749_895).fract()
    }

    #[test]
    fn a_fresh_one_changes_nothing() {
        let platt = OnlinePlatt::default();
        for z in [-5.0, 0.0, 2.5] {
            assert_eq!(platt.logit(z).to_bits(), z.to_bits());
        }
    }

    #[test]
    fn finds_the_slope_and_level_that_made_the_outcomes() {
        let mut platt = OnlinePlatt::default();
        for i in 0..40_000 {
            let z = 6.0 * spread(i) - 4.0;
            // The outcome in expectation, so that the answer is known exactly but for forgetting.
            platt.learn(z, sigmoid(0.6 * z + 1.1), 1.0);
        }
        assert!((platt.slope() - 0.6).abs() < 0.02, "{platt:?}");
        assert!((platt.intercept() - 1.1).abs() < 0.03, "{platt:?}");
    }

    #[test]
    fn follows_a_rate_that_triples_and_comes_back() {
        let mut platt = OnlinePlatt::default();
        let mut rate = |odds: f64, from: u32| {
            for i in from..from + 10_000 {
                let z = -3.0 + spread(i);
                platt.learn(z, sigmoid(z + odds), 1.0);
            }
            sigmoid(platt.logit(-2.5))
        };
        let (base, tripled) = (sigmoid(-2.5), sigmoid(-2.5 + 3f64.ln()));
        assert!((rate(3f64.ln(), 0) / tripled - 1.0).abs() < 0.05);
        assert!((rate(0.0, 10_000) / base - 1.0).abs() < 0.05);
    }

    #[test]
    fn a_flip_is_the_label_learnt_late() {
        let (mut at_once, mut late) = (OnlinePlatt::default(), OnlinePlatt::default());
        for i in 0..3_000 {
            let (z, y) = (2.0 * spread(i) - 3.0, f64::from(u8::from(i % 9 == 0)));
            at_once.learn(z, y, 1.0);
            late.learn(z, 0.0, 1.0);
            late.correct(z, y);
        }
        assert!((at_once.slope() - late.slope()).abs() < 0.05);
        assert!((at_once.logit(-2.0) - late.logit(-2.0)).abs() < 0.05);
    }

    #[test]
    fn nothing_blows_it_up() {
        let mut platt = OnlinePlatt::keeping(1e-9);
        let odd = [
            f64::NAN,
            f64::INFINITY,
            -f64::INFINITY,
            1e300,
            -1e300,
            0.0,
            1e-300,
        ];
        for &z in &odd {
            for &y in &[0.0, 1.0, f64::NAN, 7.0] {
                for &weight in &[1.0, 0.0, -1.0, f64::NAN, 1e6] {
                    platt.learn(z, y, weight);
                    platt.correct(z, y);
                }
            }
            assert!(platt.logit(1.0).is_finite(), "{platt:?} after {z}");
            assert!(platt.slope() >= 0.0, "{platt:?} after {z}");
        }
    }
}
