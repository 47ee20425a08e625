//! The estimators, each one formula per row.
//!
//! All have the form `mean(plain) + sum(weighted) / sum(scale)`: the part that is not weighted, and the
//! part that is, whose scale is the number of rows, or for the self-normalised ones the sum of weights.
//! So one code estimates, another gives the standard error, a third resamples.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::Row;
use super::interval::{Betting, Interval, bernstein_lower, bootstrap, normal};
use super::weights::Weights;
use crate::learn::Dice;

/// How to tell a policy's value from another one's log.
///
/// `w` is [`Row::weight`], `q` what the reward model expects of the logged choice, `V` of the policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimator {
    /// Replay (Li, Chu, Langford and Wang 2011): the mean over rows that the policy would have chosen for
    /// certain. Policies that draw are certain of nothing: it is 0 for them.
    Replay,
    /// Inverse propensity weighting (Horvitz and Thompson 1952): `mean(w r)`.
    Ipw,
    /// The same, self-normalised (Swaminathan and Joachims 2015): `sum(w r) / sum(w)`.
    Snipw,
    /// Weights of at most so much (Bottou et al. 2013): `mean(min(w, max) r)`.
    ClippedIpw(f64),
    /// Direct method (Beygelzimer and Langford 2009): `mean(V)`, the reward model alone.
    Dm,
    /// Doubly robust (Dudik, Langford and Li 2011): `mean(V + w (r - q))`.
    Dr,
    /// Doubly robust with weights of at most so much.
    ClippedDr(f64),
    /// Self-normalised doubly robust: `mean(V) + sum(w (r - q)) / sum(w)`.
    Sndr,
    /// Switch (Wang, Agarwal and Dudik 2017): doubly robust where `w` is at most so much, else the model.
    SwitchDr(f64),
    /// Optimistic shrinkage (Su et al. 2020): doubly robust with weights `l w / (w^2 + l)`.
    DrOs(f64),
    /// Sub-Gaussian weights (Metelli, Russo and Restelli 2021): `w / (1 - l + l w)`.
    SubGaussianIpw(f64),
    /// Doubly robust with those.
    SubGaussianDr(f64),
}

/// What one row adds to the three sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    pub plain: f64,
    pub weighted: f64,
    pub scale: f64,
}

/// The name of an estimator that there is none of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no estimator `{0}`: expected one of rm, ipw, snipw, ipw-clip=MAX, dm, dr, dr-clip=MAX, sndr, switch-dr=MAX, \
     dr-os=LAMBDA, sg-ipw=LAMBDA, sg-dr=LAMBDA; MAX and LAMBDA above 0, of sg- at most 1"
)]
pub struct UnknownEstimator(String);

impl Estimator {
    /// All of them, with the usual parameters.
    pub const ALL: [Estimator; 12] = [
        Estimator::Ipw,
        Estimator::Snipw,
        Estimator::ClippedIpw(10.0),
        Estimator::Dm,
        Estimator::Dr,
        Estimator::ClippedDr(5.0),
        Estimator::Sndr,
        Estimator::SwitchDr(5.0),
        Estimator::DrOs(10.0),
        Estimator::SubGaussianIpw(0.01),
        Estimator::SubGaussianDr(0.01),
        Estimator::Replay,
    ];

    /// Its name without the parameter.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Estimator::Replay => "rm",
            Estimator::Ipw => "ipw",
            Estimator::Snipw => "snipw",
            Estimator::ClippedIpw(_) => "ipw-clip",
            Estimator::Dm => "dm",
            Estimator::Dr => "dr",
            Estimator::ClippedDr(_) => "dr-clip",
            Estimator::Sndr => "sndr",
            Estimator::SwitchDr(_) => "switch-dr",
            Estimator::DrOs(_) => "dr-os",
            Estimator::SubGaussianIpw(_) => "sg-ipw",
            Estimator::SubGaussianDr(_) => "sg-dr",
        }
    }

    /// Its parameter, where it has one.
    #[must_use]
    pub fn parameter(self) -> Option<f64> {
        match self {
            Estimator::ClippedIpw(p)
            | Estimator::ClippedDr(p)
            | Estimator::SwitchDr(p)
            | Estimator::DrOs(p)
            | Estimator::SubGaussianIpw(p)
            | Estimator::SubGaussianDr(p) => Some(p),
            _ => None,
        }
    }

    /// Whether it asks a model of the reward.
    #[must_use]
    pub fn needs_model(self) -> bool {
        matches!(
            self,
            Estimator::Dm
                | Estimator::Dr
                | Estimator::ClippedDr(_)
                | Estimator::Sndr
                | Estimator::SwitchDr(_)
                | Estimator::DrOs(_)
                | Estimator::SubGaussianDr(_)
        )
    }

    /// The weight it gives to a row.
    #[must_use]
    pub fn weight(self, row: &Row) -> f64 {
        let w = row.weight();
        match self {
            // Rows of a policy that is certain weigh 1 or nothing.
            Estimator::Replay => f64::from(u8::from(row.target == 1.0)),
            Estimator::Dm => 0.0,
            Estimator::Ipw | Estimator::Snipw | Estimator::Dr | Estimator::Sndr => w,
            Estimator::ClippedIpw(max) | Estimator::ClippedDr(max) => w.min(max),
            Estimator::SwitchDr(max) if w > max => 0.0,
            Estimator::SwitchDr(_) => w,
            Estimator::DrOs(l) => l * w / (w * w + l),
            Estimator::SubGaussianIpw(l) | Estimator::SubGaussianDr(l) => w / (1.0 - l + l * w),
        }
    }

    pub(super) fn term(self, row: &Row) -> Term {
        let w = self.weight(row);
        let (plain, rest) = if self.needs_model() {
            (row.expected, row.reward - row.expected_logged)
        } else {
            (0.0, row.reward)
        };
        let normalised = matches!(self, Estimator::Snipw | Estimator::Sndr | Estimator::Replay);
        Term {
            plain,
            weighted: w * rest,
            scale: if normalised { w } else { 1.0 },
        }
    }

    /// Estimates the value of the policy in question; `None` without rows.
    #[must_use]
    pub fn estimate(self, rows: &[Row], resamples: usize, seed: u64) -> Option<Estimate> {
        let terms = Terms::of(self, rows);
        let value = terms.value()?;
        let influence = terms.influence();
        let standard_error = deviation(&influence) / (rows.len() as f64).sqrt();
        let rounds = terms.rounds();
        let mut dice = Dice::new(seed);
        let weights = match self {
            // Every row counts the same.
            Estimator::Dm => Weights::of(std::iter::repeat_n(1.0, rows.len())),
            _ => Weights::of(rows.iter().map(|row| self.weight(row))),
        };
        Some(Estimate {
            estimator: self.name(),
            parameter: self.parameter(),
            value,
            standard_error,
            interval: normal(value, standard_error),
            bootstrap: Interval::middle(&bootstrap(
                rows.len(),
                resamples,
                |sample| terms.value_of(sample),
                |n| dice.below(n),
            )),
            lower: self.lower(rows, &rounds, seed),
            effective_sample_size: weights.effective,
            weight_max_share: weights.max_share,
            rounds: Rounds {
                mean: mean(&rounds),
                std: deviation(&rounds),
                standard_error: deviation(&rounds) / (rows.len() as f64).sqrt(),
            },
        })
    }

    /// What holds without any normal approximation, where the estimator is a plain mean.
    fn lower(self, rows: &[Row], rounds: &[f64], seed: u64) -> Option<Lower> {
        if matches!(self, Estimator::Snipw | Estimator::Sndr | Estimator::Replay) {
            return None;
        }
        let rewards = rows.iter().map(|row| row.reward);
        let (low, high) = rewards.fold((f64::MAX, f64::MIN), |(l, h), r| (l.min(r), h.max(r)));
        // What each row could have told, whatever had been earned within the range of rewards.
        let could = |reward: f64| {
            rows.iter().map(move |row| {
                let term = self.term(&Row { reward, ..*row });
                term.plain + term.weighted
            })
        };
        let floor = could(low).fold(f64::MAX, f64::min);
        let ceiling = could(high).fold(f64::MIN, f64::max);
        Some(Lower {
            bernstein: bernstein_lower(rounds, ceiling - floor, 0.05),
            betting: Betting {
                floor,
                alpha: 0.05,
                seed,
            }
            .lower(rounds),
        })
    }
}

/// A policy's value, as one estimator tells it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Which estimator, such as `ipw` or `switch-dr`.
    pub estimator: &'static str,
    /// Its parameter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<f64>,
    /// What a choice of the policy earns on average.
    pub value: f64,
    /// Of the value; for the self-normalised ones of the ratio (delta method).
    pub standard_error: f64,
    /// 95 %, normal.
    pub interval: Interval,
    /// 95 %, percentiles of the resampled value.
    pub bootstrap: Interval,
    /// One-sided bounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<Lower>,
    /// How many rows of equal weight would tell as much.
    pub effective_sample_size: f64,
    /// The part of the sum of weights that one row has.
    pub weight_max_share: f64,
    /// The same figures where the sum of weights counts as known, as `obp` has them.
    pub rounds: Rounds,
}

/// 95 % lower bounds that hold for any number of rows. The range of rewards is the one found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lower {
    /// Empirical Bernstein (Maurer and Pontil 2009).
    pub bernstein: f64,
    /// By betting (Waudby-Smith and Ramdas 2024).
    pub betting: f64,
}

/// Figures of the rows' own estimates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rounds {
    /// Their mean: the value.
    pub mean: f64,
    /// Their standard deviation, of n - 1.
    pub std: f64,
    /// The same over the square root of n.
    pub standard_error: f64,
}

/// The three sums, row by row.
#[derive(Clone, Debug, Default)]
pub struct Terms(Vec<Term>);

impl Terms {
    /// What an estimator makes of the rows.
    #[must_use]
    pub fn of(estimator: Estimator, rows: &[Row]) -> Terms {
        Terms(rows.iter().map(|row| estimator.term(row)).collect())
    }

    /// `mean(plain) + sum(weighted) / sum(scale)`; 0 for the second where nothing weighs anything.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| Self::ratio(self.0.iter(), self.0.len()))
    }

    /// The same over some of the rows, as often as they are listed.
    fn value_of(&self, indexes: &[u32]) -> f64 {
        Self::ratio(indexes.iter().map(|i| &self.0[*i as usize]), indexes.len())
    }

    fn ratio<'a>(terms: impl Iterator<Item = &'a Term>, rows: usize) -> f64 {
        let (mut plain, mut weighted, mut scale) = (0.0, 0.0, 0.0);
        for term in terms {
            plain += term.plain;
            weighted += term.weighted;
            scale += term.scale;
        }
        plain / rows as f64 + over(weighted, scale)
    }

    /// One number per row whose mean is the value, with the sum of scales as it was found.
    #[must_use]
    pub fn rounds(&self) -> Vec<f64> {
        let scale = self.0.iter().map(|t| t.scale).sum::<f64>() / self.0.len() as f64;
        let round = |t: &Term| t.plain + over(t.weighted, scale);
        self.0.iter().map(round).collect()
    }

    /// How much each row moves the value: its deviation is the standard error's, also where the sum
    /// of scales is itself an estimate.
    #[must_use]
    pub fn influence(&self) -> Vec<f64> {
        let sum = |of: fn(&Term) -> f64| self.0.iter().map(of).sum::<f64>();
        let (weighted, scale) = (sum(|t| t.weighted), sum(|t| t.scale));
        let (ratio, mean) = (over(weighted, scale), scale / self.0.len() as f64);
        let one = |t: &Term| t.plain + over(t.weighted - ratio * t.scale, mean);
        self.0.iter().map(one).collect()
    }
}

fn over(weighted: f64, scale: f64) -> f64 {
    if scale == 0.0 { 0.0 } else { weighted / scale }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Standard deviation, of n - 1; 0 of fewer than two.
pub(super) fn deviation(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

impl fmt::Display for Estimator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parameter() {
            None => f.write_str(self.name()),
            Some(parameter) => write!(f, "{}={parameter}", self.name()),
        }
    }
}

impl FromStr for Estimator {
    type Err = UnknownEstimator;

    /// `NAME` or `NAME=PARAMETER`; a parameter that is not given is the usual one.
    fn from_str(text: &str) -> Result<Estimator, UnknownEstimator> {
        let unknown = || UnknownEstimator(text.into());
        let (name, given) = match text.split_once('=') {
            None => (text, None),
            Some((name, parameter)) => {
                (name, Some(parameter.parse::<f64>().map_err(|_| unknown())?))
            }
        };
        let usual = Estimator::ALL.iter().find(|e| e.name() == name);
        let usual = *usual.ok_or_else(unknown)?;
        let Some(p) = given else { return Ok(usual) };
        if !(p > 0.0 && p.is_finite()) {
            return Err(unknown());
        }
        Ok(match usual {
            Estimator::ClippedIpw(_) => Estimator::ClippedIpw(p),
            Estimator::ClippedDr(_) => Estimator::ClippedDr(p),
            Estimator::SwitchDr(_) => Estimator::SwitchDr(p),
            Estimator::DrOs(_) => Estimator::DrOs(p),
            Estimator::SubGaussianIpw(_) if p <= 1.0 => Estimator::SubGaussianIpw(p),
            Estimator::SubGaussianDr(_) if p <= 1.0 => Estimator::SubGaussianDr(p),
            _ => return Err(unknown()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two rows: weights 2 and 1/2.
    fn rows() -> [Row; 2] {
        let first = Row {
            reward: 1.0,
            propensity: 0.25,
            target: 0.5,
            expected_logged: 0.5,
            expected: 0.25,
        };
        let second = Row {
            reward: 0.0,
            propensity: 0.5,
            target: 0.25,
            expected_logged: 0.25,
            expected: 0.75,
        };
        [first, second]
    }

    #[track_caller]
    fn check(estimator: &str, expected: f64) {
        let estimator: Estimator = estimator.parse().unwrap();
        let value = Terms::of(estimator, &rows()).value().unwrap();
        assert!((value - expected).abs() < 1e-15, "{estimator}: {value}");
        let found = estimator.estimate(&rows(), 10, 1).unwrap();
        assert_eq!(found.value, value);
        assert!((found.rounds.mean - value).abs() < 1e-15);
    }

    #[test]
    fn formulas_on_two_rows() {
        check("rm", 0.0);
        check("ipw", 1.0);
        check("snipw", 0.8);
        check("ipw-clip=1", 0.5);
        check("dm", 0.5);
        // V + w (r - q): 1/4 + 2 * 1/2 and 3/4 - 1/2 * 1/4.
        check("dr", 0.937_5);
        check("dr-clip=1", 0.687_5);
        check("sndr", 0.5 + 0.875 / 2.5);
        check("switch-dr=1", (0.25 + 0.625) / 2.0);
        check("dr-os=4", (0.25 + 0.5 + 0.75 - 2.0 / 4.25 * 0.25) / 2.0);
        check("sg-ipw=0.5", (2.0 / 1.5) / 2.0);
        check(
            "sg-dr=0.5",
            (0.25 + 2.0 / 1.5 * 0.5 + 0.75 - 0.5 / 0.75 * 0.25) / 2.0,
        );
    }

    #[test]
    fn replay_takes_the_rows_that_are_certain() {
        let row = |reward, target| Row::new(reward, 0.5, target);
        let rows = [row(1.0, 1.0), row(0.0, 1.0), row(7.0, 0.0), row(7.0, 0.9)];
        let value = Terms::of(Estimator::Replay, &rows).value();
        assert_eq!(value, Some(0.5));
    }

    #[test]
    fn nothing_is_estimated_from_nothing() {
        assert!(Estimator::Ipw.estimate(&[], 10, 1).is_none());
        let one = Estimator::Snipw.estimate(&[Row::new(3.0, 0.5, 0.5)], 10, 1);
        assert_eq!(one.unwrap().value, 3.0);
        let never = [Row::new(3.0, 0.5, 0.0); 3];
        assert_eq!(Terms::of(Estimator::Snipw, &never).value(), Some(0.0));
    }

    #[test]
    fn the_error_of_a_ratio_does_not_depend_on_where_zero_is() {
        let row = |reward: f64, target| Row::new(reward, 0.5, target);
        let near = [row(1.0, 0.9), row(0.0, 0.1), row(2.0, 0.3), row(1.0, 0.5)];
        let far = near.map(|r| row(r.reward + 1_000.0, r.target));
        let error = |rows: &[Row]| {
            Estimator::Snipw
                .estimate(rows, 10, 1)
                .unwrap()
                .standard_error
        };
        assert!((error(&near) - error(&far)).abs() < 1e-9);
    }

    #[test]
    fn names_are_read_back() {
        for estimator in Estimator::ALL {
            assert_eq!(estimator.to_string().parse(), Ok(estimator));
            assert_eq!(estimator.name().parse(), Ok(estimator));
        }
        for wrong in [
            "",
            "ips",
            "ipw=2",
            "dr-os=0",
            "dr-os=inf",
            "sg-dr=2",
            "switch-dr=x",
        ] {
            assert!(wrong.parse::<Estimator>().is_err(), "{wrong}");
        }
    }
}
