//! From a raw score to a probability that means what it says.
//!
//! A model ranks well before it is honest: a forest shrinks towards the mean, a boosted one
//! overstates. Expected value multiplies the probability with money, so it has to be right, not
//! only ordered. Platt 1999, "Probabilistic outputs for support vector machines"; Zadrozny and
//! Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates".

use serde::Serialize;
use serde_json::Value;

use super::fields::Fields;
use super::{Link, ManifestError};

/// Points of an isotonic curve: more than a held-out set of any size supports.
pub(super) const ISOTONIC_POINTS_MAX: usize = 10_000;

/// How a raw score becomes a probability.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Calibration {
    /// The model's own link: what it was trained to mean.
    #[default]
    None,
    /// `1 / (1 + exp(-(a * m + b)))` of the margin `m`: the raw score of a model with a logistic
    /// link, the log-odds of the raw score of one that predicts probabilities itself.
    Platt {
        /// Slope, above 0: calibration keeps the order.
        a: f64,
        /// Intercept.
        b: f64,
    },
    /// A curve through points, straight between them and level beyond the outer ones.
    Isotonic {
        /// Raw scores, strictly ascending, at least 2.
        raw: Vec<f64>,
        /// A probability for each, never descending.
        probability: Vec<f64>,
    },
}

impl Calibration {
    /// The probability of a raw score; NaN where the score is not finite.
    #[must_use]
    pub fn probability(&self, link: Link, raw: f64) -> f64 {
        if !raw.is_finite() {
            return f64::NAN;
        }
        let p = match self {
            Calibration::None => link.probability(raw),
            Calibration::Platt { a, b } => sigmoid(a * link.margin(raw) + b),
            Calibration::Isotonic {
                raw: x,
                probability,
            } => interpolate(x, probability, raw),
        };
        p.clamp(0.0, 1.0)
    }

    /// Reads the manifest's `calibration`.
    pub(super) fn read(value: Value) -> Result<Calibration, ManifestError> {
        let mut fields = Fields::of(value, "calibration")?;
        let kind: String = fields.required("kind")?;
        let calibration = match kind.as_str() {
            "none" => Calibration::None,
            "platt" => platt(&mut fields)?,
            "isotonic" => isotonic(&mut fields)?,
            other => {
                let problem = format!("is `{other}`, expected one of none, platt, isotonic");
                return Err(fields.error("kind", problem));
            }
        };
        fields.finish()?;
        Ok(calibration)
    }
}

/// The logistic function.
pub(super) fn sigmoid(margin: f64) -> f64 {
    1.0 / (1.0 + (-margin).exp())
}

fn platt(fields: &mut Fields) -> Result<Calibration, ManifestError> {
    let (a, b) = (fields.finite("a")?, fields.finite("b")?);
    if a <= 0.0 {
        return Err(fields.error("a", format!("is {a}, must be above 0")));
    }
    Ok(Calibration::Platt { a, b })
}

fn isotonic(fields: &mut Fields) -> Result<Calibration, ManifestError> {
    let raw: Vec<f64> = fields.required("raw")?;
    let probability: Vec<f64> = fields.required("probability")?;
    if !(2..=ISOTONIC_POINTS_MAX).contains(&raw.len()) {
        let problem = format!(
            "has {} points, allowed are 2 to {ISOTONIC_POINTS_MAX}",
            raw.len()
        );
        return Err(fields.error("raw", problem));
    }
    if raw.iter().any(|x| !x.is_finite()) || raw.windows(2).any(|w| w[0] >= w[1]) {
        return Err(fields.error("raw", "must be finite and strictly ascending"));
    }
    if probability.len() != raw.len() {
        let problem = format!("has {} points, raw has {}", probability.len(), raw.len());
        return Err(fields.error("probability", problem));
    }
    let inside = probability.iter().all(|p| (0.0..=1.0).contains(p));
    if !inside || probability.windows(2).any(|w| w[0] > w[1]) {
        return Err(fields.error("probability", "must be within [0, 1] and never descend"));
    }
    Ok(Calibration::Isotonic { raw, probability })
}

/// The curve's value at `at`; `x` is strictly ascending and not empty.
fn interpolate(x: &[f64], y: &[f64], at: f64) -> f64 {
    let right = x.partition_point(|&x| x < at);
    if right == 0 {
        return y[0];
    }
    if right == x.len() {
        return y[x.len() - 1];
    }
    let left = right - 1;
    // Halved first: the distance of two finite numbers may overflow, that of their halves not.
    let part = (at / 2.0 - x[left] / 2.0) / (x[right] / 2.0 - x[left] / 2.0);
    y[left] + (y[right] - y[left]) * part
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(calibration: &Value, link: Link, raw: f64, expected: f64) {
        let read = Calibration::read(calibration.clone()).unwrap();
        let found = read.probability(link, raw);
        let same = (found - expected).abs() < 1e-12 || found.is_nan() && expected.is_nan();
        assert!(same, "{calibration} of {raw}: {found}, expected {expected}");
        assert_eq!(serde_json::to_value(&read).unwrap(), *calibration);
    }

    #[test]
    fn a_raw_score_becomes_a_probability() {
        let none = json!({"kind": "none"});
        check(&none, Link::Logistic, 0.0, 0.5);
        check(&none, Link::Logistic, -1e9, 0.0);
        check(&none, Link::Identity, 0.25, 0.25);
        check(&none, Link::Identity, -0.5, 0.0);
        check(&none, Link::Identity, 7.0, 1.0);
        check(&none, Link::Logistic, f64::INFINITY, f64::NAN);
        let same = json!({"kind": "platt", "a": 1.0, "b": 0.0});
        check(&same, Link::Logistic, 1.5, sigmoid(1.5));
        check(&same, Link::Identity, 0.02, 0.02);
        let odds_doubled = json!({"kind": "platt", "a": 1.0, "b": std::f64::consts::LN_2});
        check(&odds_doubled, Link::Identity, 0.5, 2.0 / 3.0);
        let curve =
            json!({"kind": "isotonic", "raw": [0.0, 1.0, 3.0], "probability": [0.1, 0.2, 0.6]});
        for (raw, p) in [
            (-9.0, 0.1),
            (0.0, 0.1),
            (0.5, 0.15),
            (1.0, 0.2),
            (2.0, 0.4),
            (9.0, 0.6),
        ] {
            check(&curve, Link::Logistic, raw, p);
        }
        let wide =
            json!({"kind": "isotonic", "raw": [-1.7e308, 1.7e308], "probability": [0.0, 1.0]});
        check(&wide, Link::Logistic, 0.0, 0.5);
    }

    #[test]
    fn mistakes_name_their_field() {
        for (value, field) in [
            (json!(3), "calibration"),
            (json!({}), "calibration.kind"),
            (json!({"kind": "beta"}), "calibration.kind"),
            (json!({"kind": "none", "a": 1}), "calibration.a"),
            (json!({"kind": "platt", "a": 1}), "calibration.b"),
            (json!({"kind": "platt", "a": "x", "b": 0}), "calibration.a"),
            (json!({"kind": "platt", "a": 0, "b": 0}), "calibration.a"),
            (
                json!({"kind": "isotonic", "raw": [1], "probability": [1]}),
                "calibration.raw",
            ),
            (
                json!({"kind": "isotonic", "raw": [1, 1], "probability": [0, 1]}),
                "calibration.raw",
            ),
            (
                json!({"kind": "isotonic", "raw": [0, 1], "probability": [0]}),
                "calibration.probability",
            ),
            (
                json!({"kind": "isotonic", "raw": [0, 1], "probability": [0.5, 0.4]}),
                "calibration.probability",
            ),
            (
                json!({"kind": "isotonic", "raw": [0, 1], "probability": [0.5, 1.4]}),
                "calibration.probability",
            ),
        ] {
            let error = Calibration::read(value.clone()).unwrap_err();
            assert_eq!(error.field, field, "{value}: {error}");
        }
    }
}
