//! Epsilon-greedy: the baseline that every other explorer must beat.

/// The best gets `1 - epsilon`, everyone an equal part of `epsilon`.
pub(super) fn fill(epsilon: f64, scores: &[f64], odds: &mut [f64]) {
    let Some(best) = super::best(scores) else {
        return;
    };
    let each = epsilon / scores.len() as f64;
    odds.fill(each);
    odds[best] = (1.0 - epsilon + each).min(1.0);
}
