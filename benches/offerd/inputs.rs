//! Binding a request's features to a model's, by how many there are; beside it the standard library's map.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::inputs::bind_slots;
use offerd::decide::words::Words;
use offerd::domain::FeatureValue;

use crate::support;

/// What operators call their features: short and long, some alike.
fn names(count: usize) -> Vec<String> {
    const STEMS: [&str; 6] = [
        "tenure",
        "MonthlyCharges",
        "Contract",
        "days_since_last_visit",
        "has_tv",
        "InternetService",
    ];
    let name = |i: usize| match i / STEMS.len() {
        0 => STEMS[i].to_owned(),
        n => format!("{}_{n}", STEMS[i % STEMS.len()]),
    };
    (0..count).map(name).collect()
}

pub fn bench(c: &mut Criterion) {
    for count in [5, 20, 60] {
        let names = names(count);
        let mut request = support::request(1);
        let features = (names.iter()).map(|name| (name.as_str(), FeatureValue::Number(1.0)));
        request.customer.features = features.collect();
        // A request sends what models of last month knew too.
        request.customer.features[count / 2].0 = "no_longer_known";
        let words = Words::new(names.iter().map(String::as_str));
        let mut slots = Vec::new();
        c.bench_function(&format!("inputs/bind/{count}"), |b| {
            b.iter(|| {
                bind_slots(&words, black_box(&request), &mut slots);
                slots[count - 1]
            });
        });
        let map: HashMap<Box<str>, u16> =
            (names.iter().map(|n| n.as_str().into()).zip(0..)).collect();
        c.bench_function(&format!("inputs/bind-std-map/{count}"), |b| {
            b.iter(|| {
                slots.clear();
                slots.resize(map.len(), u16::MAX);
                for (i, (name, _)) in (0..).zip(&black_box(&request).customer.features) {
                    if let Some(slot) = map.get(*name) {
                        slots[usize::from(*slot)] = i;
                    }
                }
                slots[count - 1]
            });
        });
    }
}
