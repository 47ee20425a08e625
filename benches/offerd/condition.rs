//! Offer conditions, by how many tests they hold.

use std::hint::black_box;

use criterion::Criterion;
use offerd::decide::condition::{Attr, Attributes, Condition, Groups, Key};
use serde_json::{Value, json};

/// The attribute that a key names; every one has a value.
struct Customer;

impl Attributes for Customer {
    fn get(&self, key: Key) -> Attr<'_> {
        match key.0 % 2 {
            0 => Attr::Number(f64::from(key.0)),
            _ => Attr::Text("Month-to-month"),
        }
    }
}

/// `tests` tests of which all hold, so that every one is made.
fn source(tests: u32) -> Value {
    let test = |i: u32| match i % 2 {
        0 => json!({ "$gte": 0, "$lt": 1_000 }),
        _ => json!({ "$in": ["One year", "Two year", "Month-to-month"] }),
    };
    let members = (0..tests).map(|i| (format!("a{i}"), test(i)));
    Value::Object(members.collect())
}

fn compile(source: &Value) -> Condition {
    let number = |name: &str| Key(name[1..].parse().expect("names are a and a number"));
    let (condition, problems) =
        Condition::compile(source, &Groups::default(), &mut |name| number(name));
    assert!(problems.is_empty(), "{problems:?}");
    condition
}

pub fn bench(c: &mut Criterion) {
    for tests in [1, 4, 16] {
        let condition = compile(&source(tests));
        assert!(condition.holds(&Customer));
        let name = format!("condition/holds/{tests}");
        c.bench_function(&name, |b| {
            b.iter(|| condition.holds(black_box(&Customer)));
        });
    }
    let regex = compile(&json!({ "a1": { "$regex": "^Month-.*month$" } }));
    assert!(regex.holds(&Customer));
    c.bench_function("condition/regex/1", |b| {
        b.iter(|| regex.holds(black_box(&Customer)));
    });
}
