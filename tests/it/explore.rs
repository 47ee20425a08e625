//! Are odds odds?
//!
//! *Goal:* for any finite scores and any allowed setting, an explorer's output is a distribution
//! that keeps the order of the scores and the floor. *Method:* random scores of wildly different sizes, with
//! ties, zeros and the largest and smallest numbers there are.

use offerd::decide::explore::{Arms, Explorer};
use proptest::prelude::*;

/// The odds of candidates that nobody is unsure about.
fn odds(explorer: Explorer, scores: &[f64]) -> Vec<f64> {
    let mut odds = vec![f64::NAN; scores.len()];
    let spreads = vec![0.0; scores.len()];
    let arms = Arms {
        scores,
        spreads: &spreads,
    };
    explorer.fill(&arms, &mut odds);
    odds
}

fn scores() -> impl Strategy<Value = Vec<f64>> {
    let score = prop_oneof![
        4 => -100.0..100.0,
        1 => Just(0.0),
        1 => Just(-0.0),
        1 => Just(7.25),
        1 => Just(f64::MAX),
        1 => Just(f64::MIN),
        1 => Just(f64::MIN_POSITIVE),
        1 => Just(5e-324),
        1 => Just(-5e-324),
        2 => any::<f64>().prop_filter("finite", |x| x.is_finite()),
    ];
    prop::collection::vec(score, 1..64)
}

/// A share of 1: both ends, ordinary ones and tiny ones.
fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..1.0, 0.0..1e-12]
}

fn explorer() -> impl Strategy<Value = Explorer> {
    let temperature = prop_oneof![1e-3..10.0, Just(1e-300), Just(1e300), Just(5e-324)];
    prop_oneof![
        Just(Explorer::Deterministic),
        share().prop_map(|epsilon| Explorer::EpsilonGreedy { epsilon }),
        (temperature, share())
            .prop_map(|(temperature, floor)| Explorer::Softmax { temperature, floor }),
    ]
}

/// What everybody gets at least, in total.
fn floor(explorer: Explorer) -> f64 {
    match explorer {
        Explorer::Deterministic => 0.0,
        Explorer::EpsilonGreedy { epsilon } => epsilon,
        Explorer::Softmax { floor, .. } => floor,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn odds_are_a_distribution(explorer in explorer(), scores in scores()) {
        let odds = odds(explorer, &scores);
        let inside = odds.iter().all(|p| (0.0..=1.0).contains(p));
        prop_assert!(inside, "{:?}", odds);
        let sum: f64 = odds.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "sum {} of {:?}", sum, odds);
        let each = floor(explorer) / scores.len() as f64;
        prop_assert!(odds.iter().all(|p| *p >= each), "floor {} of {:?}", each, odds);
    }

    #[test]
    fn a_higher_score_never_has_lower_odds(explorer in explorer(), scores in scores()) {
        let odds = odds(explorer, &scores);
        for (a, p) in scores.iter().zip(&odds) {
            for (b, q) in scores.iter().zip(&odds) {
                prop_assert!(a <= b || p >= q, "{} has {}, {} has {}", a, p, b, q);
            }
        }
    }

    #[test]
    fn odds_go_with_the_candidate_not_with_its_place(
        temperature in 1e-3..10.0,
        floor in share(),
        scores in scores(),
    ) {
        let explorer = Explorer::Softmax { temperature, floor };
        let fill = |scores: &[f64]| odds(explorer, scores);
        let reversed: Vec<f64> = scores.iter().rev().copied().collect();
        for (p, q) in fill(&scores).iter().zip(fill(&reversed).iter().rev()) {
            prop_assert!((p - q).abs() < 1e-12, "{} and {}", p, q);
        }
    }
}
