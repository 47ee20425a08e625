//! Are odds odds?
//!
//! *Goal:* for any finite scores, any beliefs and any allowed setting, an explorer's output is a distribution
//! that keeps the order of the scores and the floor, and what is drawn comes as often as is logged.
//! *Method:* random scores of wildly different sizes, with ties, zeros and the largest and smallest numbers there are;
//! and the draw itself over many decision ids at fixed inputs.

use offerd::decide::explore::{Arms, Explorer, Policy};
use offerd::decide::{pick, uniform};
use offerd::domain::DecisionId;
use proptest::prelude::*;

/// A candidate: its score, its probability and the spread of its score.
type Candidate = (f64, f64, f64);

fn odds(policy: impl Into<Policy>, candidates: &[Candidate]) -> Vec<f64> {
    let part = |of: fn(&Candidate) -> f64| candidates.iter().map(of).collect::<Vec<f64>>();
    let (scores, probabilities, spreads) = (part(|c| c.0), part(|c| c.1), part(|c| c.2));
    let mut odds = vec![f64::NAN; candidates.len()];
    let arms = Arms {
        scores: &scores,
        probabilities: &probabilities,
        spreads: &spreads,
    };
    policy.into().fill(&arms, &mut odds);
    odds
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
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
    ]
}

fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0, 2 => 0.0..0.05, 1 => Just(0.0), 1 => Just(1.0), 1 => Just(1e-300)]
}

fn spread() -> impl Strategy<Value = f64> {
    prop_oneof![3 => 0.0..2.0, 1 => Just(0.0), 1 => Just(1e-300), 1 => Just(f64::MAX)]
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    let any = prop::collection::vec((score(), probability(), spread()), 1..64);
    let unknown = prop::collection::vec((score(), probability(), Just(0.0)), 1..64);
    prop_oneof![any, unknown]
}

/// A share of 1: both ends, ordinary ones and tiny ones.
fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..1.0, 0.0..1e-12]
}

fn explorer() -> impl Strategy<Value = Explorer> {
    let temperature = prop_oneof![1e-3..10.0, Just(1e-300), Just(1e300), Just(5e-324)];
    let gamma = prop_oneof![0.0..1e4, Just(0.0), Just(1e6)];
    let alpha = || prop_oneof![0.0..10.0, Just(0.0), Just(0.35)];
    prop_oneof![
        Just(Explorer::Uniform),
        share().prop_map(|floor| Explorer::Deterministic { floor }),
        share().prop_map(|epsilon| Explorer::EpsilonGreedy { epsilon }),
        (temperature, share())
            .prop_map(|(temperature, floor)| Explorer::Softmax { temperature, floor }),
        (gamma, share()).prop_map(|(gamma, floor)| Explorer::InverseGap { gamma, floor }),
        (share(), share()).prop_map(|(budget, floor)| Explorer::InverseGapBudget { budget, floor }),
        (alpha(), share()).prop_map(|(alpha, floor)| Explorer::PairwiseOdds { alpha, floor }),
        (alpha(), share()).prop_map(|(alpha, floor)| Explorer::Thompson { alpha, floor }),
    ]
}

/// What everybody gets at least, in total.
fn floor(explorer: Explorer) -> f64 {
    match explorer {
        Explorer::Uniform => 1.0,
        Explorer::EpsilonGreedy { epsilon } => epsilon,
        Explorer::Deterministic { floor }
        | Explorer::Softmax { floor, .. }
        | Explorer::InverseGap { floor, .. }
        | Explorer::InverseGapBudget { floor, .. }
        | Explorer::PairwiseOdds { floor, .. }
        | Explorer::Thompson { floor, .. } => floor,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn odds_are_a_distribution(
        explorer in explorer(),
        uniform_share in share(),
        candidates in candidates(),
    ) {
        let odds = odds(Policy { explorer, uniform_share }, &candidates);
        let inside = odds.iter().all(|p| (0.0..=1.0).contains(p));
        prop_assert!(inside, "{:?}", odds);
        let sum: f64 = odds.iter().sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "sum {} of {:?}", sum, odds);
        let each = floor(explorer).max(uniform_share) / candidates.len() as f64;
        // A floor is kept up to the rounding of mixing it twice.
        prop_assert!(odds.iter().all(|p| *p >= each * (1.0 - 1e-15)), "{} of {:?}", each, odds);
    }

    #[test]
    fn a_higher_score_never_has_lower_odds(
        explorer in explorer(),
        scores in prop::collection::vec(score(), 1..64),
        probability in probability(),
        spread in spread(),
    ) {
        let candidates: Vec<_> = scores.iter().map(|s| (*s, probability, spread)).collect();
        let odds = odds(explorer, &candidates);
        // The normal distribution rounds. A grid does more than that: where beliefs are so wide that a step
        // holds half of them, it confuses neighbours.
        let rounding = match explorer {
            Explorer::Thompson { .. } => 0.05,
            _ => 1e-9,
        };
        for (a, p) in scores.iter().zip(&odds) {
            for (b, q) in scores.iter().zip(&odds) {
                prop_assert!(a <= b || *p >= q - rounding, "{} has {}, {} has {}", a, p, b, q);
            }
        }
    }

    #[test]
    fn odds_go_with_the_candidate_not_with_its_place(
        temperature in 1e-3..10.0,
        alpha in 0.01..3.0,
        floor in share(),
        candidates in candidates(),
    ) {
        // Where nobody is unsure there can be only one best of equals: the first.
        let unsure = candidates.iter().any(|c| c.2 > 0.0);
        let reversed: Vec<Candidate> = candidates.iter().rev().copied().collect();
        let explorers = [
            (Explorer::Softmax { temperature, floor }, true),
            (Explorer::PairwiseOdds { alpha, floor }, false),
            (Explorer::Thompson { alpha, floor }, unsure),
        ];
        for (explorer, symmetric) in explorers {
            let back = odds(explorer, &reversed);
            for (p, q) in odds(explorer, &candidates).iter().zip(back.iter().rev()) {
                prop_assert!(!symmetric || (p - q).abs() < 1e-9, "{explorer}: {} and {}", p, q);
            }
        }
    }
}

/// Five candidates: near the best, unsure, sure, hopeless, and one that is worth nothing.
const FIVE: [Candidate; 5] = [
    (4.0, 0.04, 0.2),
    (3.6, 0.012, 0.9),
    (3.9, 0.3, 0.05),
    (0.5, 0.05, 0.3),
    (0.0, 0.0, 0.1),
];

/// The share of each candidate over `ids` decisions is within 4 standard errors of its logged propensity.
///
/// Ids are taken in order, which is the hardest: the draw's hash alone makes them look random.
#[track_caller]
fn check_shares(policy: impl Into<Policy>, ids: u32) {
    let policy = policy.into();
    let odds = odds(policy, &FIVE);
    let mut counts = [0u32; FIVE.len()];
    for id in 0..ids {
        let u = uniform(DecisionId(u128::from(id)), 77, 0, 1);
        counts[pick(u, &odds).expect("somebody")] += 1;
    }
    for (i, (&count, &p)) in counts.iter().zip(&odds).enumerate() {
        let n = f64::from(ids);
        let off = f64::from(count) / n - p;
        let error = (p * (1.0 - p) / n).sqrt();
        assert!(
            off.abs() <= 4.0 * error.max(f64::EPSILON),
            "{policy}, candidate {i}: {count} of {ids}, propensity {p}"
        );
    }
}

fn check_all_shares(ids: u32) {
    let (alpha, floor) = (0.5, 0.02);
    for explorer in [
        Explorer::Deterministic { floor: 0.0 },
        Explorer::Deterministic { floor },
        Explorer::EpsilonGreedy { epsilon: 0.1 },
        Explorer::Softmax {
            temperature: 0.25,
            floor,
        },
        Explorer::Uniform,
        Explorer::InverseGap { gamma: 20.0, floor },
        Explorer::InverseGapBudget {
            budget: 0.05,
            floor,
        },
        Explorer::PairwiseOdds { alpha, floor },
        Explorer::Thompson { alpha, floor },
    ] {
        check_shares(explorer, ids);
        check_shares(
            Policy {
                explorer,
                uniform_share: 0.05,
            },
            ids,
        );
    }
}

#[test]
fn what_is_drawn_comes_as_often_as_is_logged() {
    check_all_shares(1_000_000);
}
