//! JSON in and out. The peer is `serde_json::Value`, which reads the same bytes and checks nothing.

use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::{Scratch, Views, decide};
use offerd::domain::{Facts, SubjectKey};
use offerd::serve::wire::{Answering, DecisionRequest, answer, parse, validate};
use serde_json::Value;

use crate::example::{BODY, arrival};
use crate::support;

fn decode(c: &mut Criterion) {
    let (body, arrival) = (BODY.as_bytes(), arrival());
    let subject = |_: &str, id: &str| SubjectKey(id.len() as u128);
    let read = || -> usize {
        let message: DecisionRequest<'_> = parse(black_box(body)).expect("it is a request");
        let request = validate(&message, &arrival, subject).expect("it breaks no rule");
        request.placements.len()
    };
    assert_eq!(read(), 1);
    c.bench_function(&format!("wire/decode-and-check/{}", body.len()), |b| {
        b.iter(read);
    });
    c.bench_function(&format!("wire/peer-value/{}", body.len()), |b| {
        b.iter(|| serde_json::from_slice::<Value>(black_box(body)).expect("it is JSON"));
    });
}

fn encode(c: &mut Criterion) {
    let snapshot = support::by_model("propensity-forest");
    let request = support::request(1);
    let mut scratch = Scratch::default();
    decide(&snapshot, &request, &Facts::default(), &mut scratch);
    let (scratch, decision) = (&scratch, scratch.decision());
    let offers = decision.choices.len();
    assert!(offers > 0, "an empty answer would measure little");
    let views = Views::of(&snapshot, &request, scratch);
    let from = || Answering {
        snapshot: &snapshot,
        request: &request,
        decision,
        reveal: true,
    };
    // Signing is measured by itself.
    let render = || {
        let answer = answer(from(), |place| views.at(place), |_, _, _| "t".repeat(110));
        serde_json::to_vec(&answer).expect("answers are plain data")
    };
    c.bench_function(&format!("wire/encode/{offers}"), |b| b.iter(render));
    let value: Value = serde_json::from_slice(&render()).expect("it is JSON");
    c.bench_function(&format!("wire/peer-value-encode/{offers}"), |b| {
        b.iter(|| serde_json::to_vec(black_box(&value)).expect("values are plain data"));
    });
}

pub fn bench(c: &mut Criterion) {
    decode(c);
    encode(c);
}
