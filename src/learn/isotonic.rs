//! Isotonic calibration: the curve that never descends and is nearest to what happened.
//!
//! The pool-adjacent-violators algorithm (Ayer, Brunk, Ewing, Reid and Silverman 1955), as Zadrozny and
//! Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates", use it.
//! It needs more conversions than Platt's two numbers, and bends where they cannot.

/// Rows that scored alike, or that had to be pooled.
#[derive(Clone, Copy, Debug)]
struct Block {
    weight: f64,
    /// Sums over the rows, each times its weight.
    raw: f64,
    converted: f64,
}

impl Block {
    fn rate(self) -> f64 {
        self.converted / self.weight
    }
}

/// Points of the curve, raw scores strictly ascending and probabilities never descending, strictly within
/// 0 and 1; `None` where fewer than two are left, which rank nothing.
///
/// Each block is moved by one row of the average kind: no block of luck becomes a probability of 0 or 1.
pub(super) fn fit(raw: &[f64], labels: &[bool], weights: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
    let total: f64 = weights.iter().sum();
    let converted = labels.iter().zip(weights).filter(|(label, _)| **label);
    let rate = converted.map(|(_, weight)| weight).sum::<f64>() / total;
    let smoothed = |block: &Block| (block.converted + rate) / (block.weight + 1.0);
    let (mut points, mut curve) = (Vec::<f64>::new(), Vec::<f64>::new());
    for block in pooled(raw, labels, weights) {
        let at = block.raw / block.weight;
        // Rounding may put two means on one number; smoothing may bend small blocks down.
        if points.last().is_none_or(|last| at > *last) {
            let floor = curve.last().copied().unwrap_or(0.0);
            points.push(at);
            curve.push(smoothed(&block).max(floor));
        }
    }
    (points.len() >= 2).then_some((points, curve))
}

fn pooled(raw: &[f64], labels: &[bool], weights: &[f64]) -> Vec<Block> {
    let mut order: Vec<usize> = (0..raw.len()).collect();
    order.sort_by(|&a, &b| raw[a].total_cmp(&raw[b]));
    let mut blocks: Vec<Block> = Vec::new();
    for alike in order.chunk_by(|&a, &b| raw[a] == raw[b]) {
        let sum = |of: &dyn Fn(usize) -> f64| alike.iter().map(|&i| weights[i] * of(i)).sum();
        let mut block = Block {
            weight: sum(&|_| 1.0),
            raw: sum(&|i| raw[i]),
            converted: sum(&|i| f64::from(u8::from(labels[i]))),
        };
        while let Some(last) = blocks.pop_if(|last| last.rate() >= block.rate()) {
            block.weight += last.weight;
            block.raw += last.raw;
            block.converted += last.converted;
        }
        blocks.push(block);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Dice;

    #[test]
    fn pools_what_descends() {
        let raw = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let labels = [false, true, false, false, true, true];
        let blocks = pooled(&raw, &labels, &[1.0; 6]);
        let found: Vec<(f64, f64)> = (blocks.iter())
            .map(|b| (b.raw / b.weight, b.rate()))
            .collect();
        assert_eq!(found, [(1.0, 0.0), (3.0, 1.0 / 3.0), (5.5, 1.0)]);
        let (points, curve) = fit(&raw, &labels, &[1.0; 6]).unwrap();
        assert_eq!(points, [1.0, 3.0, 5.5]);
        assert_eq!(curve, [0.25, 0.375, 2.5 / 3.0]);
    }

    #[test]
    fn finds_a_curve_again() {
        let mut dice = Dice::new(5);
        let truth = |raw: f64| 0.02 + 0.1 * raw * raw;
        let raw: Vec<f64> = (0..50_000).map(|_| dice.unit()).collect();
        let labels: Vec<bool> = raw.iter().map(|r| dice.chance(truth(*r))).collect();
        let (points, curve) = fit(&raw, &labels, &vec![1.0; raw.len()]).unwrap();
        assert!(points.windows(2).all(|w| w[0] < w[1]));
        assert!(curve.windows(2).all(|w| w[0] <= w[1]));
        for (at, p) in points
            .iter()
            .zip(&curve)
            .filter(|(at, _)| (0.1..0.9).contains(*at))
        {
            assert!(
                (p - truth(*at)).abs() < 0.02,
                "{p} at {at}, {} expected",
                truth(*at)
            );
        }
    }

    #[test]
    fn nothing_that_ranks_is_no_curve() {
        assert!(fit(&[1.0, 1.0], &[true, false], &[1.0; 2]).is_none());
        assert!(fit(&[1.0, 2.0, 3.0], &[true, false, false], &[1.0; 3]).is_none());
    }
}
