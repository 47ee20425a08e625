//! Whatever is sent, reading ends with a catalog or with mistakes: never with a panic.

use offerd::control::catalog::{read, read_json, read_toml, to_json};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::BASE;

/// Runs `test` on 2,000 values that are the same each time.
fn run<S: Strategy>(strategy: &S, test: impl Fn(S::Value)) {
    let config = Config {
        cases: 2_000,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |value| {
        test(value);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Reads a text in every way; mistakes must be told with places that the text has.
fn read_all(text: &str) {
    let lines = text.split('\n').count();
    for result in [read(text), read_toml(text), read_json(text)] {
        if let Err(mistakes) = result {
            assert!(!mistakes.all().is_empty());
            for mistake in mistakes.all() {
                assert!(!mistake.message.is_empty());
                let line = mistake.line.unwrap_or(0) as usize;
                assert!(line <= lines.max(1), "{line} of {lines} lines: {mistake}");
            }
        }
    }
    let _ = to_json(text);
}

/// Pieces that catalogs are made of, and values of every kind.
fn piece() -> impl Strategy<Value = String> {
    let pieces = BASE.lines().map(str::to_owned).collect::<Vec<_>>();
    let values = [
        "= 1",
        "= -1",
        "= nan",
        "= 1e400",
        "= 99999999999999999999",
        "= \"\"",
        "= \"{{\"",
        "= []",
        "= {}",
        "= [[]]",
        "= [1, \"a\", {}]",
        "= 2026-02-30",
        "= 2026-11-01",
        "= 00:00",
        "= true",
        "= \"javascript:\"",
    ];
    let keys = [
        "id ",
        "when ",
        "offer ",
        "creatives ",
        "features ",
        "caps ",
        "flight ",
        "operator.x ",
    ];
    let odd = proptest::sample::select(keys.to_vec()).prop_flat_map(move |key| {
        proptest::sample::select(values.to_vec()).prop_map(move |v| format!("{key}{v}"))
    });
    prop_oneof![4 => proptest::sample::select(pieces), 1 => odd, 1 => any::<String>()]
}

#[test]
fn arbitrary_text_never_panics() {
    run(&any::<String>(), |text| read_all(&text));
}

#[test]
fn arbitrary_lines_of_catalogs_never_panic() {
    run(&vec(piece(), 0..40), |lines| read_all(&lines.join("\n")));
}

/// Goal: mistakes deep inside an otherwise good catalog are met too.
/// Method: one value of the base catalog, as JSON, is replaced by a value of another kind.
#[test]
fn a_catalog_with_one_odd_value_never_panics() {
    let base = to_json(BASE).expect("is TOML");
    let paths = paths(&base, String::new());
    let odd = serde_json::json!([
        null, true, 0, -1, 1e308, u64::MAX, "", " ", "{{", "a.count", "\u{0}", [], {}, [null], [{}], {"$or": [[]]}
    ]);
    let odd = odd.as_array().expect("is a list").clone();
    for path in paths {
        for value in &odd {
            let mut catalog = base.clone();
            *catalog.pointer_mut(&path).expect("the path is there") = value.clone();
            read_all(&catalog.to_string());
        }
    }
}

/// JSON pointers to everything inside a value.
fn paths(value: &serde_json::Value, path: String) -> Vec<String> {
    let children: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        serde_json::Value::Object(members) => members
            .iter()
            .map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v))
            .collect(),
        _ => Vec::new(),
    };
    let deeper = children
        .into_iter()
        .flat_map(|(k, v)| paths(v, format!("{path}/{k}")));
    std::iter::once(path.clone()).chain(deeper).collect()
}
