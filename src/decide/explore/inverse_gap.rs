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

/// With the smallest gamma, at least 1, at which all but the best get `budget` together.
pub(super) fn budgeted(budget: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores) else {
        return;
    };
    for (gap_of, &score) in odds.iter_mut().zip(scores) {
        *gap_of = gap(score, scores[best]);
    }
    // Whatever gamma, the best has no gap, and so a weight that is none of the others'.
    let candidates = scores.len();
    let gamma = gamma(budget, candidates, odds);
    for p in odds.iter_mut() {
        *p = weight(gamma, *p, candidates);
    }
    let others = odds.iter().sum::<f64>() - odds[best];
    // Those as good as the best have no gap that any gamma could widen.
    if others > budget {
        odds.iter_mut().for_each(|p| *p *= budget / others);
    }
    leave_the_rest(best, odds);
}

/// The gamma at which all weights but the best's sum up to `budget`.
///
/// Newton's steps on the reciprocal of the sum: a harmonic mean of straight lines, so that it rises ever more slowly
/// with gamma, each step falls short and none goes too far; with equal gaps the first is exact.
fn gamma(budget: f64, candidates: usize, gaps: &[f64]) -> f64 {
    let mut gamma = 1.0;
    for _ in 0..STEPS_MAX {
        let (mut mass, mut slope) = (-1.0 / candidates as f64, 0.0);
        for &gap in gaps {
            let weight = weight(gamma, gap, candidates);
            mass += weight;
            slope += weight * weight * gap;
        }
        let step = mass * (mass / budget - 1.0) / slope;
        // Not so for what is enough already, and where nobody has a gap.
        if !(step > gamma * NEAR && step < f64::INFINITY) {
            break;
        }
        gamma = (gamma + step).min(GAMMA_MAX);
    }
    gamma
}

/// Steps to gamma; five or six are usual, one or two more for each power of ten between gaps.
const STEPS_MAX: usize = 60;
/// The last step's part of gamma. What is left beyond the budget is scaled away.
const NEAR: f64 = 1e-9;
/// The largest gamma: a gap of a millionth then still gets less than one in a million.
const GAMMA_MAX: f64 = (1u64 << 40) as f64;

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
