//! Softmax (Boltzmann) exploration on scores relative to the best, with a uniform floor.
//!
//! Scores are expected values in cents; taken relative to the best one, a temperature means the same
//! for a 1-dollar class as for a 100-dollar one.

/// `p ∝ exp((score - best) / (temperature * |best|))`, mixed with `floor` spread equally.
pub(super) fn fill(temperature: f64, floor: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores).map(|i| scores[i]) else {
        return;
    };
    let scale = temperature * best.abs().max(f64::MIN_POSITIVE);
    let mut sum = 0.0;
    for (p, score) in odds.iter_mut().zip(scores) {
        *p = ((score - best) / scale).exp();
        sum += *p;
    }
    let each = floor / scores.len() as f64;
    for p in odds {
        *p = *p / sum * (1.0 - floor) + each;
    }
}
