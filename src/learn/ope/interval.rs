//! How far an estimate may be off.
//!
//! The normal interval and the bootstrap are right when there are many rows and none rules; for a gate
//! that is not enough, since the rows that a bad model is hurt by are the rare ones. The two lower bounds
//! hold for any number of rows: empirical Bernstein, and betting, which knows nothing of how large a row
//! can be, only how small, and is the tighter one wherever rewards are rare and weights large.

use serde::Serialize;

use super::estimate::{deviation, mean};
use crate::learn::Dice;

/// From, to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The normal distribution's 97.5th percentile.
const Z: f64 = 1.959_963_984_540_054;

/// 95 %, two-sided.
#[must_use]
pub fn normal(value: f64, standard_error: f64) -> Interval {
    Interval {
        low: value - Z * standard_error,
        high: value + Z * standard_error,
    }
}

/// The values of `resamples` samples with replacement (Efron 1979), ascending.
///
/// `value` is told which rows a sample has; `below` draws a row from 0 to below the number it is given.
pub fn bootstrap(
    rows: usize,
    resamples: usize,
    value: impl Fn(&[u32]) -> f64,
    mut below: impl FnMut(usize) -> usize,
) -> Vec<f64> {
    let mut indexes = vec![0_u32; rows];
    let mut values: Vec<f64> = (0..resamples)
        .map(|_| {
            for index in &mut indexes {
                *index = u32::try_from(below(rows)).expect("rows are counted in 32 bits");
            }
            value(&indexes)
        })
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

impl Interval {
    /// The middle 95 % of ascending values.
    #[must_use]
    pub fn middle(ascending: &[f64]) -> Interval {
        Interval {
            low: percentile(ascending, 0.025),
            high: percentile(ascending, 0.975),
        }
    }
}

/// The value below which the share `p` of ascending values lies, interpolated between neighbours (type 7
/// of Hyndman and Fan 1996, NumPy's default); NaN of none.
#[must_use]
pub fn percentile(ascending: &[f64], p: f64) -> f64 {
    let Some(last) = ascending.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = p * last as f64;
    let (below, part) = (place.floor() as usize, place.fract());
    let (a, b) = (ascending[below], ascending[(below + 1).min(last)]);
    // As NumPy does it, which is exact at either end.
    if part < 0.5 {
        a + (b - a) * part
    } else {
        b - (b - a) * (1.0 - part)
    }
}

/// Below which the mean lies with probability `alpha` at most (Maurer and Pontil 2009, theorem 4), where
/// the values lie within an interval as long as `range`.
#[must_use]
pub fn bernstein_lower(values: &[f64], range: f64, alpha: f64) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return f64::NEG_INFINITY;
    }
    let (log, deviation) = ((2.0 / alpha).ln(), deviation(values));
    mean(values) - deviation * (2.0 * log / n).sqrt() - 7.0 * range * log / (3.0 * (n - 1.0))
}

/// A lower bound of a mean by betting against every smaller one (Waudby-Smith and Ramdas 2024,
/// "Estimating means of bounded random variables by betting", section 4; for off-policy evaluation
/// Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro 2022).
///
/// Against the claim that the mean is `m` a gambler bets on each row being larger, with a stake that only
/// depends on earlier rows. If the claim is true, the wealth exceeds `1 / alpha` with probability
/// `alpha` at most (Ville 1939), so whatever is ruined that way is ruled out.
#[derive(Clone, Copy, Debug)]
pub struct Betting {
    /// No row can be smaller.
    pub floor: f64,
    /// The chance that the mean is smaller than the bound.
    pub alpha: f64,
    /// Rows are put into an order of its own, so that a trend in the log does not look like evidence.
    pub seed: u64,
}

/// The rows that only tell how far rows vary, and are not betted on: one in so many.
const WARM_UP: usize = 20;
/// Of what is left above the floor, the most that one row can cost.
const STAKE_MAX: f64 = 0.5;
/// Halvings of the interval in which the bound is looked for.
const HALVINGS: u32 = 40;

impl Betting {
    /// The bound; `floor` where the rows tell nothing.
    #[must_use]
    pub fn lower(&self, values: &[f64]) -> f64 {
        let above = self.shuffled(values);
        let stakes = self.stakes(&above);
        let ruined = |m: f64| {
            let mut log_wealth = 0.0;
            let needed = -self.alpha.ln();
            above.iter().zip(&stakes).any(|(x, stake)| {
                log_wealth += (stake.min(STAKE_MAX / m) * (x - m)).ln_1p();
                log_wealth >= needed
            })
        };
        // The wealth falls as the claim rises, and no mean above the one found is ruined but by luck.
        let (mut low, mut high) = (0.0, mean(&above));
        if high.is_nan() || high <= 0.0 {
            return self.floor;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(low, high);
            if ruined(middle) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.floor + low
    }

    fn shuffled(&self, values: &[f64]) -> Vec<f64> {
        let mut above: Vec<f64> = values.iter().map(|v| (v - self.floor).max(0.0)).collect();
        let mut dice = Dice::new(self.seed);
        for i in (1..above.len()).rev() {
            above.swap(i, dice.below(i + 1));
        }
        above
    }

    /// What would be best if the next rows vary as the earlier ones did; 0 until any did.
    fn stakes(&self, above: &[f64]) -> Vec<f64> {
        let n = above.len() as f64;
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        let warm = above.len() / WARM_UP;
        let aim = -2.0 * self.alpha.ln() / n;
        let mut stakes = Vec::with_capacity(above.len());
        for (i, x) in above.iter().enumerate() {
            let varied = i >= warm && squares > 0.0;
            stakes.push(if varied {
                (aim * count / squares).sqrt()
            } else {
                0.0
            });
            count += 1.0;
            let off = x - mean;
            mean += off / count;
            squares += off * (x - mean);
        }
        stakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_numpys() {
        let values = [1.0, 2.0, 4.0, 8.0];
        let check = |p: f64, expected: f64| {
            let found = percentile(&values, p);
            assert!((found - expected).abs() < 1e-15, "{p}: {found}");
        };
        check(0.0, 1.0);
        check(1.0, 8.0);
        check(0.5, 3.0);
        check(0.025, 1.075);
        check(0.975, 7.7);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_bootstrap_of_equal_rows_has_no_width() {
        let mut dice = Dice::new(1);
        let found = Interval::middle(&bootstrap(50, 100, |_| 0.25, |n| dice.below(n)));
        assert_eq!((found.low, found.high), (0.25, 0.25));
    }

    /// Rows as a gate sees them: mostly nothing, now and then much, sometimes with a large weight.
    fn rare(dice: &mut Dice, rows: usize) -> Vec<f64> {
        let one = |dice: &mut Dice| {
            let weight = if dice.chance(0.05) { 10.0 } else { 0.5 };
            weight * f64::from(u8::from(dice.chance(0.03)))
        };
        (0..rows).map(|_| one(dice)).collect()
    }

    #[test]
    fn bounds_are_too_high_no_oftener_than_promised() {
        let truth = 0.03 * (0.05 * 10.0 + 0.95 * 0.5);
        let (runs, rows) = (400, 2_000);
        let (mut bernstein, mut betting, mut nearer) = (0, 0, 0);
        for run in 0..runs {
            let values = rare(&mut Dice::new(run), rows);
            let first = bernstein_lower(&values, 10.0, 0.05);
            let second = Betting {
                floor: 0.0,
                alpha: 0.05,
                seed: run,
            }
            .lower(&values);
            bernstein += u32::from(first > truth);
            betting += u32::from(second > truth);
            nearer += u32::from(second > first);
        }
        // 5 % of 400 are 20; four standard deviations more are 37.
        assert!(bernstein <= 37 && betting <= 37, "{bernstein} {betting}");
        assert_eq!(nearer, 400, "betting is the tighter one here");
    }

    #[test]
    fn bounds_come_near_with_many_rows() {
        let values = rare(&mut Dice::new(3), 50_000);
        let found = mean(&values);
        let error = deviation(&values) / (values.len() as f64).sqrt();
        let bound = Betting {
            floor: 0.0,
            alpha: 0.05,
            seed: 1,
        }
        .lower(&values);
        let widths = (found - bound) / error;
        // The normal bound is at 1.64; certainty for any number of rows costs about half as much again.
        assert!((1.0..4.0).contains(&widths), "{widths}");
    }

    #[test]
    fn bounds_of_little_are_low() {
        assert_eq!(bernstein_lower(&[1.0], 1.0, 0.05), f64::NEG_INFINITY);
        let betting = Betting {
            floor: -2.0,
            alpha: 0.05,
            seed: 1,
        };
        assert_eq!(betting.lower(&[]), -2.0);
        assert!(betting.lower(&[1.0, 1.0, 1.0]) < 1.0);
    }
}
