//! Eligibility alone: catalogs in which nobody may compete, told at the first look or at the last.
//!
//! A decision is then little else, which is why these are whole decisions.

use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::{Scratch, decide};
use offerd::domain::Facts;

use super::decide::{catalog, request};
use crate::support;

pub fn bench(c: &mut Criterion) {
    for (what, line) in [
        ("phase", "phases = [\"completed\"]"),
        ("condition", "when = { reschedules = { \"$gt\" = 1000 } }"),
    ] {
        for offers in [10, 100, 1_000] {
            let text = catalog(offers).replace("value_minor", &format!("{line}\nvalue_minor"));
            let snapshot = support::by_prior(&text);
            let (request, facts) = (request(1), Facts::default());
            let mut scratch = Scratch::default();
            let made = decide(&snapshot, &request, &facts, &mut scratch);
            assert_eq!((made.candidates.len(), made.choices.len()), (offers, 0));
            c.bench_function(&format!("eligibility/{what}/{offers}"), |b| {
                b.iter(|| {
                    decide(&snapshot, black_box(&request), &facts, &mut scratch)
                        .candidates
                        .len()
                });
            });
        }
    }
}
