//! Who belongs to which group of an experiment, by hash alone: GrowthBook's published algorithm.
//!
//! A customer stays in one group without anybody remembering it, and any of GrowthBook's SDKs (in the
//! tracker page, in a warehouse) finds the same group from the same id. Strings are hashed by their
//! UTF-16 units, as JavaScript does it.

/// A part of the line from 0 to 1: from (inclusive), until (exclusive).
pub type BucketRange = (f64, f64);

/// Where `value` falls on the line from 0 to 1, for an experiment known by `seed`.
///
/// Version 2 has 10,000 places and is unbiased: use it. Version 1 has 1,000 places, and experiments
/// whose seeds are alike overlap; it is here for namespaces and for experiments that began with it.
/// `None` for any other version.
#[must_use]
pub fn hash(seed: &str, value: &str, version: u32) -> Option<f64> {
    match version {
        1 => {
            let hashed = fnv1a32([value, seed].into_iter().flat_map(str::encode_utf16));
            Some(f64::from(hashed % 1_000) / 1_000.0)
        }
        2 => {
            let first = fnv1a32([seed, value].into_iter().flat_map(str::encode_utf16));
            let hashed = fnv1a32(decimal(first));
            Some(f64::from(hashed % 10_000) / 10_000.0)
        }
        _ => None,
    }
}

/// Fowler, Noll and Vo's hash FNV-1a, 32 bits (draft-eastlake-fnv), over units that may exceed a byte.
fn fnv1a32(units: impl Iterator<Item = u16>) -> u32 {
    const OFFSET_BASIS: u32 = 0x811C_9DC5;
    const PRIME: u32 = 0x0100_0193;
    units.fold(OFFSET_BASIS, |hash, unit| {
        (hash ^ u32::from(unit)).wrapping_mul(PRIME)
    })
}

/// The decimal digits of `number` as text, without allocating.
fn decimal(number: u32) -> impl Iterator<Item = u16> {
    let digits = number.checked_ilog10().unwrap_or(0);
    (0..=digits).rev().map(move |place| {
        let digit = number / 10_u32.pow(place) % 10;
        u16::from(b'0') + u16::try_from(digit).expect("a digit is below 10")
    })
}

/// The same weight for each of `variations`; they sum to 1.
#[must_use]
pub fn equal_weights(variations: usize) -> Vec<f64> {
    vec![1.0 / variations as f64; variations]
}

/// The range of each variation, from the share of customers that take part (`coverage`, held to
/// 0 to 1) and the weights of the variations.
///
/// Each range begins where it would at full coverage, so raising the coverage moves nobody from one
/// variation to another. Equal weights replace weights that are not one per variation or whose sum is
/// not within 0.01 of 1.
#[must_use]
pub fn bucket_ranges(
    variations: usize,
    coverage: f64,
    weights: Option<&[f64]>,
) -> Vec<BucketRange> {
    let coverage = coverage.clamp(0.0, 1.0);
    let equal;
    let weights = match weights {
        Some(weights) if weights.len() == variations && sums_to_one(weights) => weights,
        _ => {
            equal = equal_weights(variations);
            &equal
        }
    };
    let mut from = 0.0;
    let ranges = weights.iter().map(|weight| {
        let range = (from, from + coverage * weight);
        from += weight;
        range
    });
    ranges.collect()
}

fn sums_to_one(weights: &[f64]) -> bool {
    (0.99..=1.01).contains(&weights.iter().sum::<f64>())
}

/// The variation whose range holds `place`; `None` for a customer who takes no part.
#[must_use]
pub fn choose_variation(place: f64, ranges: &[BucketRange]) -> Option<usize> {
    ranges.iter().position(|range| in_range(place, *range))
}

/// Whether a customer is in this part of a namespace. Experiments that share a namespace and not a
/// part of it never have a customer in common.
#[must_use]
pub fn in_namespace(value: &str, namespace: &str, part: BucketRange) -> bool {
    let seed = ["__", namespace].into_iter().flat_map(str::encode_utf16);
    let hashed = fnv1a32(value.encode_utf16().chain(seed));
    in_range(f64::from(hashed % 1_000) / 1_000.0, part)
}

fn in_range(place: f64, (from, until): BucketRange) -> bool {
    from <= place && place < until
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a32_of_published_inputs() {
        // From the test suite of the hash's authors.
        for (text, expected) in [
            ("", 0x811c_9dc5),
            ("a", 0xe40c_292c),
            ("foobar", 0xbf9c_f968),
        ] {
            assert_eq!(fnv1a32(text.encode_utf16()), expected, "{text}");
        }
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 7, 10, 909, 4_294_967_295] {
            let digits: Vec<u16> = decimal(number).collect();
            let text = String::from_utf16(&digits).expect("digits are text");
            assert_eq!(text, number.to_string());
        }
    }

    #[test]
    fn version_2_spreads_evenly() {
        let mut tenths = [0_u32; 10];
        for id in 0..100_000 {
            let place = hash("spring", &id.to_string(), 2).expect("version 2 exists");
            tenths[(place * 10.0) as usize] += 1;
        }
        // Within 5 standard deviations of the 10,000 expected.
        assert!(
            tenths.iter().all(|n| n.abs_diff(10_000) < 475),
            "{tenths:?}"
        );
    }

    #[test]
    fn more_coverage_moves_nobody() {
        let some = bucket_ranges(3, 0.4, Some(&[0.2, 0.3, 0.5]));
        let all = bucket_ranges(3, 1.0, Some(&[0.2, 0.3, 0.5]));
        for place in 0..1_000 {
            let place = f64::from(place) / 1_000.0;
            if let Some(variation) = choose_variation(place, &some) {
                assert_eq!(choose_variation(place, &all), Some(variation), "{place}");
            }
        }
    }

    #[test]
    fn what_is_no_number_takes_no_part() {
        assert_eq!(choose_variation(f64::NAN, &[(0.0, 1.0)]), None);
        assert_eq!(hash("seed", "id", 0), None);
        assert_eq!(
            bucket_ranges(2, 1.0, Some(&[f64::NAN, 0.5])),
            bucket_ranges(2, 1.0, None)
        );
        assert!(bucket_ranges(0, 1.0, None).is_empty());
    }
}
