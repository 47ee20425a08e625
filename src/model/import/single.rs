//! Comparisons of 32-bit numbers, told as comparisons of 64-bit ones.
//!
//! XGBoost and scikit-learn's forests round every input to 32 bits before they compare it. Rounding keeps
//! the order, so there is a 64-bit number up to which inputs round to at most a given 32-bit one.

/// The largest number that rounds to at most `limit`, which is not NaN and not plus infinity.
pub(super) fn at_most(limit: f32) -> f64 {
    // Beyond the largest 32-bit number come the infinities, where the next power of two would be.
    let beyond = 2.0_f64.powi(128);
    let wide = |x: f32| {
        if x.is_infinite() {
            beyond.copysign(x.into())
        } else {
            f64::from(x)
        }
    };
    // Exact: it has one bit more than a 32-bit number.
    let middle = f64::midpoint(wide(limit), wide(limit.next_up()));
    // The middle itself rounds to the even neighbour.
    if limit.to_bits().is_multiple_of(2) {
        middle
    } else {
        middle.next_down()
    }
}

/// The largest number that rounds to less than `limit`, which is not NaN and not minus infinity.
pub(super) fn below(limit: f32) -> f64 {
    at_most(limit.next_down())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(limit: f32) {
        let last = at_most(limit);
        assert!(last as f32 <= limit, "{limit}: {last}");
        assert!(last.next_up() as f32 > limit, "{limit}: {last}");
        let last = below(limit);
        assert!((last as f32) < limit, "{limit}: {last}");
        assert!(last.next_up() as f32 >= limit, "{limit}: {last}");
    }

    #[test]
    fn every_magnitude_keeps_its_order() {
        let tiny = f32::from_bits(1);
        for limit in [
            0.0,
            tiny,
            f32::MIN_POSITIVE,
            0.1,
            1.0,
            16_777_217.0,
            f32::MAX,
        ] {
            check(limit);
            check(-limit);
        }
    }

    proptest! {
        #[test]
        fn every_limit_keeps_its_order(limit in any::<f32>().prop_filter("finite", |x| x.is_finite())) {
            check(limit);
        }
    }
}
