//! Scores to odds. The floor is reading the scores once and writing equal odds.

use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::explore::{Arms, Explorer};

fn uniform(scores: &[f64], odds: &mut [f64]) {
    let sum: f64 = scores.iter().sum();
    let all = if sum.is_finite() {
        scores.len() as f64
    } else {
        1.0
    };
    odds.fill(1.0 / all);
}

pub fn bench(c: &mut Criterion) {
    let explorers = [
        ("deterministic", Explorer::Deterministic { floor: 0.0 }),
        ("epsilon_greedy", Explorer::EpsilonGreedy { epsilon: 0.1 }),
        (
            "softmax",
            Explorer::Softmax {
                temperature: 0.25,
                floor: 0.05,
            },
        ),
        (
            "inverse_gap_budget",
            Explorer::InverseGapBudget {
                budget: 0.05,
                floor: 0.01,
            },
        ),
        (
            "pairwise_odds",
            Explorer::PairwiseOdds {
                alpha: 0.35,
                floor: 0.01,
            },
        ),
        (
            "thompson",
            Explorer::Thompson {
                alpha: 0.35,
                floor: 0.01,
            },
        ),
    ];
    for candidates in [4, 64, 1_000] {
        let scores: Vec<f64> = (0..candidates)
            .map(|i| 1.0 + f64::from(i * 37 % 101))
            .collect();
        let spreads = vec![0.1; scores.len()];
        let probabilities: Vec<f64> = scores.iter().map(|s| s / 1_000.0).collect();
        let mut odds = vec![0.0; scores.len()];
        for (name, explorer) in explorers {
            let name = format!("explore/{name}/{candidates}");
            c.bench_function(&name, |b| {
                b.iter(|| {
                    let arms = Arms {
                        scores: black_box(&scores),
                        probabilities: &probabilities,
                        spreads: &spreads,
                    };
                    explorer.fill(&arms, &mut odds);
                    odds[0]
                });
            });
        }
        let name = format!("explore/floor/{candidates}");
        c.bench_function(&name, |b| {
            b.iter(|| {
                uniform(black_box(&scores), &mut odds);
                odds[0]
            });
        });
    }
}
