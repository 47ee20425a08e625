//! Pairwise-odds matching: Thompson sampling's odds, in closed form.
//!
//! Thompson sampling shows each candidate as often as it is believed to be the best. That probability is an
//! integral; how likely a candidate is better than the present best is one value `u` of the normal distribution, and
//! odds in proportion to `u / (1 - u)`, the best's own being 1, have the same ratio between the candidate and the best as if
//! the two were alone. `docs/learning.md` proves what holds (normalised; Thompson's own odds for two candidates and for ties;
//! order; monotone in the score) and measures what does not (how far from Thompson with many).
//!
//! Beliefs are normal in the log-odds of a conversion, and a conversion is never surer than certain: a candidate whose
//! value could not reach the best's even if everybody took it gets the floor alone. In the logarithm of the score,
//! which is simpler, wide beliefs have tails beyond that bound, and exploring them cost up to 0.04 of the reward
//! on the streams of `offerd bandit`.

use super::{Arms, normal};

/// `p ∝ u / (1 - u)`; beliefs are `alpha` times as wide as stated.
pub(super) fn fill(alpha: f64, arms: &Arms<'_>, odds: &mut [f64]) {
    let Some(best) = super::best(arms.scores) else {
        return;
    };
    let rival = Rival::new(alpha, arms, best);
    let mut sum = 0.0;
    for (i, p) in odds.iter_mut().enumerate() {
        let u = rival.lost_to(alpha, arms, i);
        *p = u / (1.0 - u);
        sum += *p;
    }
    // The best is compared with itself, which is a draw: its weight is 1, and the sum at least that.
    odds.iter_mut().for_each(|p| *p /= sum);
}

/// The candidate of the best score, whom each other is compared with.
struct Rival {
    score: f64,
    deviation: f64,
}

impl Rival {
    fn new(alpha: f64, arms: &Arms<'_>, best: usize) -> Rival {
        Rival {
            score: arms.scores[best],
            deviation: alpha * arms.deviation(best),
        }
    }

    /// How probably candidate `i` is the better one; at most a half.
    fn lost_to(&self, alpha: f64, arms: &Arms<'_>, i: usize) -> f64 {
        let score = arms.scores[i];
        if score >= self.score {
            return 0.5;
        }
        let p = arms.probability(i);
        // With what probability of a conversion it would be worth as much as the best.
        let needed = p * (self.score / score);
        if !(score > 0.0 && needed < 1.0) {
            return 0.0;
        }
        // What its log-odds would have to gain: those of the one probability less those of the other.
        let gap = (needed * (1.0 - p) / (p * (1.0 - needed))).ln();
        let own = alpha * arms.deviation(i);
        let deviation = (own * own + self.deviation * self.deviation).sqrt();
        // Two that nobody is unsure of: 0 behind is a draw above, anything else is lost.
        normal::below(-gap / deviation.max(f64::MIN_POSITIVE)).min(0.5)
    }
}
