//! Softmax (Boltzmann) exploration on scores relative to the best, with a uniform floor.
//!
//! Scores are expected values in cents; taken relative to the best one, a temperature means the same
//! for a 1-dollar class as for a 100-dollar one. Where the best is worth nothing, any lower score is
//! infinitely far from it, and only the best and its equals share what the floor leaves.

/// `p ∝ exp((score - best) / (temperature * |best|))`, mixed with `floor` spread equally.
pub(super) fn fill(temperature: f64, floor: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores).map(|i| scores[i]) else {
        return;
    };
    let mut sum = 0.0;
    for (p, &score) in odds.iter_mut().zip(scores) {
        *p = weight(temperature, score, best);
        sum += *p;
    }
    let each = floor / scores.len() as f64;
    for p in odds {
        *p = (*p / sum * (1.0 - floor) + each).min(1.0);
    }
}

/// A weight within [0, 1], and 1 for the best: so their sum is at least 1 and can be divided by.
fn weight(temperature: f64, score: f64, best: f64) -> f64 {
    // Halves, because the difference of two finite numbers may overflow.
    let gap = best / 2.0 - score / 2.0;
    let scale = (best.abs() / 2.0).max(f64::MIN_POSITIVE);
    (-(gap / scale / temperature)).exp()
}
