//! The shipped models by themselves, by how many candidates they are asked about at once.
//!
//! Peers and large forests are `benches/peers/scoring`'s.

use std::hint::black_box;

use criterion::Criterion;
use offerd::model::{Batch, ScorerScratch};

use crate::support;

pub fn bench(c: &mut Criterion) {
    for name in ["linear", "forest"] {
        let snapshot = support::by_model(&format!("propensity-{name}"));
        let model = &snapshot.model;
        let scorer = model.scorer.as_deref().expect("a shipped model scores");
        let shared = vec![0.5; model.inputs.len()];
        let width = model.offers.own_inputs().len();
        for candidates in [1, 10, 30] {
            let batch = Batch {
                shared: &shared,
                own_inputs: model.offers.own_inputs(),
                own: &model.offers.own()[..candidates * width],
            };
            let mut scratch = ScorerScratch::default();
            let mut out = vec![0.0; candidates];
            c.bench_function(&format!("score/{name}/{candidates}"), |b| {
                b.iter(|| {
                    scorer.score(black_box(&batch), &mut scratch, &mut out);
                    out[0]
                });
            });
        }
    }
}
