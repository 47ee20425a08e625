//! The normal distribution's cumulative probability.

/// The probability that a standard normal number is below `x`; 0.5 exactly at 0.
///
/// Hart's rational approximation (algorithm 5666) with West's continued fraction in the tail (West 2005, "Better
/// approximations to cumulative normal functions"): 15 digits, 8 in the far tail, from additions and one exponential only, so that
/// every machine with IEEE numbers and the same `exp` writes the same odds.
pub(super) fn below(x: f64) -> f64 {
    let tail = tail(x.abs());
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// The probability of a number above `x`, which is at least 0.
fn tail(x: f64) -> f64 {
    if x > FAR {
        return 0.0;
    }
    let bell = (-0.5 * x * x).exp();
    if x < NEAR {
        bell * polynomial(&ABOVE, x) / polynomial(&BELOW, x)
    } else {
        let fraction = (1..=4)
            .rev()
            .fold(x + 0.65, |sum, k| x + f64::from(k) / sum);
        bell / fraction / ROOT_TAU
    }
}

/// From the highest power down (Horner).
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// Beyond it the tail is 0 in double precision.
const FAR: f64 = 37.0;
/// Up to here the rational approximation is used.
const NEAR: f64 = 7.071_067_811_865_47;
/// The square root of a full turn.
const ROOT_TAU: f64 = 2.506_628_274_631;
const ABOVE: [f64; 7] = [
    3.526_249_659_989_11e-2,
    0.700_383_064_443_688,
    6.373_962_203_531_65,
    33.912_866_078_383,
    112.079_291_497_871,
    221.213_596_169_931,
    220.206_867_912_376,
];
const BELOW: [f64; 8] = [
    8.838_834_764_831_84e-2,
    1.755_667_163_182_64,
    16.064_177_579_207,
    86.780_732_202_946_1,
    296.564_248_779_674,
    637.333_633_378_831,
    793.826_512_519_948,
    440.413_735_824_752,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_tables() {
        assert_eq!(below(0.0).to_bits(), 0.5_f64.to_bits());
        for (x, p) in [
            (1.0, 0.841_344_746_068_542_9),
            (-1.96, 0.024_997_895_148_220_43),
            (-3.0, 0.001_349_898_031_630_094_6),
            (-8.0, 6.220_960_574_271_78e-16),
            (-20.0, 2.753_624_118_606_23e-89),
        ] {
            let found = below(x);
            assert!((found / p - 1.0).abs() < 1e-7, "{x}: {found}, expected {p}");
        }
        assert_eq!((below(-40.0), below(40.0)), (0.0, 1.0));
    }
}
