//! Platt's calibration: the slope and intercept that make margins mean probabilities.
//!
//! Newton's method on the two parameters, as Lin, Lin and Weng 2007, "A note on Platt's probabilistic
//! outputs for support vector machines": with smoothed targets, so that a few separable rows do not
//! send the slope to infinity, and with steps halved until they improve.

/// Steps of Newton's method; it converges in under ten or not at all.
const STEPS_MAX: usize = 100;
/// Halvings of one step before it is given up.
const HALVINGS_MAX: usize = 40;

/// Slope and intercept for these margins (log-odds) and outcomes; `None` where nothing converges.
///
/// Rows count by `weights`, whose mean is 1.
pub(super) fn fit(margins: &[f64], labels: &[bool], weights: &[f64]) -> Option<(f64, f64)> {
    let positives = labels.iter().filter(|label| **label).count() as f64;
    let negatives = labels.len() as f64 - positives;
    let targets: Vec<f64> = (labels.iter())
        .map(|&label| match label {
            true => (positives + 1.0) / (positives + 2.0),
            false => 1.0 / (negatives + 2.0),
        })
        .collect();
    let loss = |a: f64, b: f64| -> f64 {
        let one = |((m, t), w): ((&f64, &f64), &f64)| w * (softplus(a * m + b) - t * (a * m + b));
        margins.iter().zip(&targets).zip(weights).map(one).sum()
    };
    let (mut a, mut b) = (1.0, 0.0);
    let mut best = loss(a, b);
    for _ in 0..STEPS_MAX {
        let (da, db) = newton_step(margins, &targets, weights, a, b);
        let improved = (0..HALVINGS_MAX).find_map(|halvings| {
            let scale = 0.5_f64.powi(halvings as i32);
            let (a, b) = (a - scale * da, b - scale * db);
            let found = loss(a, b);
            (found < best).then_some((a, b, found))
        });
        // No step improves: this is the minimum, as far as rounding lets it be seen.
        let Some((next_a, next_b, found)) = improved else {
            break;
        };
        (a, b, best) = (next_a, next_b, found);
    }
    (a.is_finite() && b.is_finite()).then_some((a, b))
}

/// `ln(1 + exp(x))` without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Gradient times inverse Hessian of the loss.
fn newton_step(margins: &[f64], targets: &[f64], weights: &[f64], a: f64, b: f64) -> (f64, f64) {
    // The ridge keeps the Hessian invertible where all margins are equal.
    let (mut haa, mut hab, mut hbb) = (1e-9, 0.0, 1e-9);
    let (mut ga, mut gb) = (0.0, 0.0);
    for ((m, t), w) in margins.iter().zip(targets).zip(weights) {
        let p = 1.0 / (1.0 + (-(a * m + b)).exp());
        let (gap, curve) = (w * (p - t), w * p * (1.0 - p));
        ga += gap * m;
        gb += gap;
        haa += curve * m * m;
        hab += curve * m;
        hbb += curve;
    }
    let det = haa * hbb - hab * hab;
    ((hbb * ga - hab * gb) / det, (haa * gb - hab * ga) / det)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Dice;

    #[test]
    fn finds_slope_and_intercept_again() {
        for (slope, intercept) in [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7)] {
            let mut dice = Dice::new(3);
            let margins: Vec<f64> = (0..40_000).map(|_| dice.between(-3.0, 2.0)).collect();
            let labels: Vec<bool> = (margins.iter())
                .map(|m| dice.chance(1.0 / (1.0 + f64::exp(-(slope * m + intercept)))))
                .collect();
            let (a, b) = fit(&margins, &labels, &vec![1.0; labels.len()]).unwrap();
            assert!((a - slope).abs() < 0.06, "slope {a}, expected {slope}");
            assert!(
                (b - intercept).abs() < 0.06,
                "intercept {b}, expected {intercept}"
            );
        }
    }

    #[test]
    fn odd_margins_do_not_break_it() {
        let labels = [true, false, true, false];
        assert!(fit(&[0.0; 4], &labels, &[1.0; 4]).is_some());
        let (a, _) = fit(&[3.0, -3.0, 3.0, -3.0], &labels, &[1.0; 4]).unwrap();
        assert!(a.is_finite(), "separable margins give a finite slope");
    }
}
