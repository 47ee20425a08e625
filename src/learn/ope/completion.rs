//! Conversions come late, and a young showing has not had its chance yet.
//!
//! What share of conversions has come by some age is estimated from the delays of those that came. Only
//! short delays can be seen on young showings, so an average of delays would be too short; the product-limit
//! estimator for right-truncated times (Lynden-Bell 1971; Kalbfleisch and Lawless 1989 for reporting delays) compares
//! each delay only with those that had as much time to be seen.

/// Fewer conversions than this say nothing of delays.
const CONVERSIONS_MIN: usize = 50;

/// The share of conversions that has come by an age.
#[derive(Clone, Debug, Default)]
pub struct Completion {
    /// Delays, ascending, and the share that comes before each.
    steps: Vec<(i64, f64)>,
}

impl Completion {
    /// From the delay of every conversion and the age that its showing has by now, in milliseconds.
    #[must_use]
    pub fn of(mut seen: Vec<(i64, i64)>) -> Completion {
        seen.retain(|(delay, age)| delay <= age);
        if seen.len() < CONVERSIONS_MIN {
            return Completion::default();
        }
        let mut delays: Vec<i64> = seen.iter().map(|(delay, _)| *delay).collect();
        let mut ages: Vec<i64> = seen.iter().map(|(_, age)| *age).collect();
        delays.sort_unstable();
        ages.sort_unstable();
        let mut share = 1.0;
        let mut steps = Vec::new();
        for group in delays.chunk_by(|a, b| a == b).rev() {
            let delay = group[0];
            steps.push((delay, share));
            // Of those with a delay of at most this, who had at least as much time.
            let shorter = delays.partition_point(|d| *d <= delay);
            let too_young = ages.partition_point(|a| *a < delay);
            let at_risk = shorter.saturating_sub(too_young).max(group.len());
            share *= 1.0 - group.len() as f64 / at_risk as f64;
        }
        steps.reverse();
        Completion { steps }
    }

    /// The share of conversions that has come by `age_ms`, among those that ever come within the
    /// longest delay seen; `None` where too few came to say.
    #[must_use]
    pub fn share(&self, age_ms: i64) -> Option<f64> {
        if self.steps.is_empty() {
            return None;
        }
        let after = self.steps.partition_point(|(delay, _)| *delay <= age_ms);
        let (_, share) = *self.steps.get(after.checked_sub(1)?)?;
        Some(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Dice;

    #[test]
    fn without_truncation_it_counts() {
        let seen = (1..=100).map(|delay| (delay, 1_000)).collect();
        let completion = Completion::of(seen);
        for (age, share) in [(100, 1.0), (50, 0.5), (10, 0.1), (5_000, 1.0)] {
            let found = completion.share(age).unwrap();
            assert!((found - share).abs() < 1e-9, "{age}: {found}");
        }
        assert_eq!(completion.share(0), None);
        assert_eq!(Completion::of(vec![(1, 2); 49]).share(2), None);
    }

    #[test]
    fn young_showings_do_not_make_delays_look_short() {
        // Delays are uniform up to an hour, ages up to two: of the young ones only the quick are seen.
        let mut dice = Dice::new(3);
        let mut seen = Vec::new();
        for _ in 0..20_000 {
            let (delay, age) = (dice.below(3_600) as i64, dice.below(7_200) as i64);
            if delay <= age {
                seen.push((delay, age));
            }
        }
        let half = |seen: &[(i64, i64)]| {
            let quick = seen.iter().filter(|(delay, _)| *delay <= 1_800).count();
            quick as f64 / seen.len() as f64
        };
        assert!(half(&seen) > 0.57, "naive counting is off: {}", half(&seen));
        let found = Completion::of(seen).share(1_800).unwrap();
        assert!((found - 0.5).abs() < 0.02, "{found}");
    }
}
