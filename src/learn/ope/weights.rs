//! What the weights of an evaluation are worth, and when they are worth too little.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Figures of importance weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Weights {
    /// How many there are.
    pub rows: usize,
    /// Their mean: 1 where logged and asked odds are both right and cover the same choices.
    pub mean: f64,
    /// The standard error of the mean.
    pub mean_error: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The largest over their sum.
    pub max_share: f64,
    /// How many rows of equal weight would tell as much (Kish 1965): `(sum w)^2 / sum w^2`.
    pub effective: f64,
}

impl Weights {
    /// The figures of weights that are not negative.
    #[must_use]
    pub fn of(weights: impl Iterator<Item = f64>) -> Weights {
        let (mut rows, mut sum, mut squares) = (0_usize, 0.0, 0.0);
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for w in weights {
            rows += 1;
            sum += w;
            squares += w * w;
            (min, max) = (min.min(w), max.max(w));
        }
        if rows == 0 {
            return Weights::default();
        }
        let n = rows as f64;
        let mean = sum / n;
        let variance = (squares - n * mean * mean).max(0.0) / (n - 1.0).max(1.0);
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        Weights {
            rows,
            mean,
            mean_error: (variance / n).sqrt(),
            min,
            max,
            max_share: share(max, sum),
            effective: share(sum * sum, squares),
        }
    }
}

/// What an evaluation must have before its estimate means anything.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guards {
    /// Effective rows.
    pub effective_min: f64,
    /// Effective rows, as a share of all.
    pub effective_share_min: f64,
    /// The largest part of the sum of weights that one row may have.
    pub weight_share_max: f64,
    /// How many standard errors the mean weight may be off 1.
    pub mean_weight_errors_max: f64,
    /// Rows that converted.
    pub conversions_min: u64,
}

impl Default for Guards {
    fn default() -> Guards {
        Guards {
            effective_min: 500.0,
            effective_share_min: 0.02,
            weight_share_max: 0.05,
            mean_weight_errors_max: 4.0,
            conversions_min: 50,
        }
    }
}

/// What an evaluation lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "guard")]
pub enum Short {
    /// Too few rows tell anything.
    EffectiveRows {
        /// So many do.
        found: f64,
        /// So many should.
        needed: f64,
    },
    /// One row decides too much.
    WeightShare {
        /// Its part.
        found: f64,
        /// At most.
        allowed: f64,
    },
    /// The weights do not average 1: odds are wrong, missing, or of other choices.
    MeanWeight {
        /// The mean.
        found: f64,
        /// Its standard errors off 1.
        errors: f64,
        /// At most so many.
        allowed: f64,
    },
    /// The policy would show offers that had no chance in the log.
    Uncovered {
        /// The part of its odds.
        found: f64,
        /// At most.
        allowed: f64,
    },
    /// Too few conversions.
    Conversions {
        /// So many.
        found: u64,
        /// At least.
        needed: u64,
    },
}

impl Guards {
    /// What is lacking; empty where the estimate may be believed.
    #[must_use]
    pub fn judge(&self, weights: &Weights, conversions: u64) -> Vec<Short> {
        let mut short = Vec::new();
        let needed = (self.effective_share_min * weights.rows as f64).max(self.effective_min);
        if weights.effective < needed {
            let found = weights.effective;
            short.push(Short::EffectiveRows { found, needed });
        }
        if weights.max_share >= self.weight_share_max {
            short.push(Short::WeightShare {
                found: weights.max_share,
                allowed: self.weight_share_max,
            });
        }
        // Weights that are all the same have no error; a rounding is no sign of anything.
        let errors = (weights.mean - 1.0).abs() / weights.mean_error.max(1e-9);
        if errors >= self.mean_weight_errors_max && weights.rows > 0 {
            short.push(Short::MeanWeight {
                found: weights.mean,
                errors,
                allowed: self.mean_weight_errors_max,
            });
        }
        if conversions < self.conversions_min {
            short.push(Short::Conversions {
                found: conversions,
                needed: self.conversions_min,
            });
        }
        short
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Short::EffectiveRows { found, needed } => {
                write!(f, "effective rows {found:.1}, needed {needed:.0}")
            }
            Short::WeightShare { found, allowed } => {
                let (found, allowed) = (found * 100.0, allowed * 100.0);
                write!(
                    f,
                    "one row has {found:.1} % of the weight, at most {allowed:.1} %"
                )
            }
            Short::MeanWeight {
                found,
                errors,
                allowed,
            } => write!(
                f,
                "mean weight {found:.4} is {errors:.1} standard errors off 1, at most {allowed}"
            ),
            Short::Uncovered { found, allowed } => write!(
                f,
                "{:.1} % of its odds are on offers that had no chance in the log, at most {:.1} %",
                found * 100.0,
                allowed * 100.0
            ),
            Short::Conversions { found, needed } => {
                write!(f, "{found} conversions, needed {needed}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        let found = Weights::of([1.0, 3.0].into_iter());
        assert_eq!(
            (found.rows, found.mean, found.min, found.max),
            (2, 2.0, 1.0, 3.0)
        );
        assert_eq!((found.max_share, found.effective), (0.75, 1.6));
        assert!((found.mean_error - 1.0).abs() < 1e-12);
        assert_eq!(Weights::of(std::iter::empty()), Weights::default());
        assert_eq!(Weights::of([0.0; 3].into_iter()).effective, 0.0);
    }

    #[track_caller]
    fn check(weights: &[f64], conversions: u64, expected: usize) {
        let found = Guards::default().judge(&Weights::of(weights.iter().copied()), conversions);
        assert_eq!(found.len(), expected, "{found:?}");
    }

    #[test]
    fn guards() {
        check(&[1.0; 1_000], 50, 0);
        check(&[1.0; 499], 50, 1);
        check(&[1.0; 1_000], 49, 1);
        check(&[1.1; 1_000], 50, 1);
        // One row that decides: few effective rows, and too large a part.
        let mut one = [1.0; 1_000];
        one[7] = 5_000.0;
        check(&one, 50, 2);
        check(&[], 0, 2);
    }
}
