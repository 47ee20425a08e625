//! How long the parts of a request take, one file per part.
//!
//! `cargo bench` runs all, `cargo bench -- decide` the names that contain the word. Names are
//! `part/variant/size`. Figures of different machines, or of one machine on different days, do not
//! compare: where a part has a peer, or a floor below which nothing can go, it runs beside it.

mod condition;
mod decide;
mod eligibility;
mod explore;
mod inputs;
mod journal;
mod ledger;
mod score;
mod tokens;
mod wire;

#[path = "../example/mod.rs"]
mod example;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Short: these are for comparing two versions in one sitting, not for papers.
fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30)
}

criterion_group! {
    name = parts;
    config = settings();
    targets =
        decide::bench,
        inputs::bench,
        eligibility::bench,
        score::bench,
        condition::bench,
        explore::bench,
        tokens::bench,
        wire::bench,
        journal::bench,
        ledger::bench,
}
criterion_main!(parts);
