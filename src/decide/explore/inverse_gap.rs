//! Inverse-gap weighting: the further behind the best, the rarer.
//!
//! `1 / (K + gamma * gap)` for everyone but the best, who gets the rest, is the rule of Abe and Long 1999 that SquareCB
//! (Foster and Rakhlin 2020, with an online regression) and FALCON (Simchi-Levi and Xu 2020, with one refitted now and then,
//! which is what a pushed model is) prove optimal. Their gaps are absolute; here they are shares of the best
//! score, so that one gamma serves classes whose values differ a hundredfold. What exploring may cost is easier to
//! say than gamma: [`budgeted`] finds the gamma at which all others together get that much.

/// Each but the best gets `1 / (K + gamma * gap / |best|)`.
pub(super) fn fill(gamma: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores) else {
        return;
    };
    for (p, &score) in odds.iter_mut().zip(scores) {
        *p = weight(gamma, gap(score, scores[best]), scores.len());
    }
    leave_the_rest(best, odds);
}

/// With the smallest gamma, at least 1, at which all but the best get `budget` together at most.
pub(super) fn budgeted(budget: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores) else {
        return;
    };
    let mass = |gamma: f64| -> f64 {
        let others = (0..scores.len()).filter(|i| *i != best);
        others
            .map(|i| weight(gamma, gap(scores[i], scores[best]), scores.len()))
            .sum()
    };
    let (mut low, mut high) = (0.0, GAMMA_BITS_MAX);
    if mass(1.0) <= budget {
        high = 0.0;
    } else {
        for _ in 0..STEPS {
            let middle = f64::midpoint(low, high);
            if mass(middle.exp2()) > budget {
                low = middle;
            } else {
                high = middle;
            }
        }
    }
    fill(high.exp2(), scores, odds);
    // Those as good as the best have no gap that any gamma could widen.
    let others = mass(high.exp2());
    if others > budget {
        for p in odds.iter_mut() {
            *p *= budget / others;
        }
        leave_the_rest(best, odds);
    }
}

/// Steps of the bisection: gamma to one part in a hundred thousand.
const STEPS: usize = 24;
/// Base-2 logarithm of the largest gamma: a gap of a millionth then still gets less than one in a million.
const GAMMA_BITS_MAX: f64 = 40.0;

fn weight(gamma: f64, gap: f64, candidates: usize) -> f64 {
    1.0 / (candidates as f64 + gamma * gap)
}

/// How far behind the best, as a share of it.
fn gap(score: f64, best: f64) -> f64 {
    // Halves, because the difference of two finite numbers may overflow.
    let gap = (best / 2.0 - score / 2.0) / (best.abs() / 2.0).max(f64::MIN_POSITIVE);
    // Finite, because a gamma of 0 times it must be 0.
    gap.min(f64::MAX)
}

/// The best gets what the others leave, and no less than any of them.
fn leave_the_rest(best: usize, odds: &mut [f64]) {
    odds[best] = 0.0;
    let others: f64 = odds.iter().sum();
    let most = odds.iter().copied().fold(0.0, f64::max);
    odds[best] = (1.0 - others).max(most);
}
