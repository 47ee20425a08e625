//! GrowthBook's published test vectors: conditions and bucketing mean here what they mean there.
//!
//! The vectors are not part of this repository. They are read from
//! `data/growthbook/cases.json` below the folder that `OFFERD_SHARED` names (default `../shared`); any
//! version of the official file does. Groups of vectors that are not about what offerd implements are
//! ignored.

use std::path::PathBuf;

use offerd::decide::bucketing;
use offerd::decide::condition::{Attr, Attributes, Condition, Groups, Key};
use serde_json::Value;

/// The vectors of one group, or `None` (and a word about it) where the file is not there.
#[track_caller]
fn vectors(group: &str) -> Option<Vec<Value>> {
    let shared = std::env::var_os("OFFERD_SHARED").map_or("../shared".into(), PathBuf::from);
    let path = shared.join("data/growthbook/cases.json");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no {}", path.display());
        return None;
    };
    let file: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let vectors = file[group].as_array().cloned().unwrap_or_default();
    assert!(
        !vectors.is_empty(),
        "{} has no vectors of {group}",
        path.display()
    );
    Some(vectors)
}

/// Runs every vector of a group: `run` says what went wrong with one.
#[track_caller]
fn check(group: &str, run: impl Fn(&Value) -> Result<(), String>) {
    let Some(vectors) = vectors(group) else {
        return;
    };
    let failures: Vec<String> = vectors
        .iter()
        .filter_map(|vector| run(vector).err().map(|why| format!("{vector}: {why}")))
        .collect();
    println!(
        "{group}: {} of {} vectors passed",
        vectors.len() - failures.len(),
        vectors.len()
    );
    assert!(failures.is_empty(), "{group}:\n{}", failures.join("\n"));
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no string"))
}

/// A number that counts; the vectors also ask for negative counts, and mean none.
#[track_caller]
fn count(value: &Value) -> usize {
    usize::try_from(value.as_i64().expect("a whole number")).unwrap_or(0)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().into_iter().flatten().map(number).collect()
}

fn ranges(value: &Value) -> Vec<bucketing::BucketRange> {
    let pairs = value.as_array().into_iter().flatten();
    pairs
        .map(|pair| (number(&pair[0]), number(&pair[1])))
        .collect()
}

fn expect<T: PartialEq + std::fmt::Debug>(actual: T, expected: T) -> Result<(), String> {
    (actual == expected)
        .then_some(())
        .ok_or_else(|| format!("got {actual:?}"))
}

/// Vectors give eight digits.
fn expect_close(actual: &[f64], expected: &[f64]) -> Result<(), String> {
    let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-8;
    let same = actual.len() == expected.len() && actual.iter().zip(expected).all(close);
    same.then_some(()).ok_or_else(|| format!("got {actual:?}"))
}

/// The attributes of a vector, with the paths its condition asked for.
struct Sample<'a> {
    root: &'a Value,
    paths: Vec<String>,
}

impl Attributes for Sample<'_> {
    fn get(&self, key: Key) -> Attr<'_> {
        Attr::Json(self.root).at(&self.paths[key.0 as usize])
    }
}

/// A vector: name, condition, attributes, expected, groups.
fn eval_condition(vector: &Value) -> Result<(), String> {
    let groups: Groups = match &vector[4] {
        Value::Null => Groups::new(),
        groups => serde_json::from_value(groups.clone()).expect("groups are lists by name"),
    };
    let mut paths = Vec::new();
    let (condition, problems) = Condition::compile(&vector[1], &groups, &mut |path| {
        paths.push(path.to_owned());
        Key(u32::try_from(paths.len() - 1).expect("few paths"))
    });
    let root = &vector[2];
    let holds = condition.holds(&Sample { root, paths });
    let expected = vector[3].as_bool().expect("true or false");
    expect(holds, expected).map_err(|why| format!("{why}, problems: {problems:?}"))
}

#[test]
fn growthbook_eval_condition() {
    check("evalCondition", eval_condition);
}

#[test]
fn growthbook_hash() {
    // A vector: seed, value, version, expected place or null.
    check("hash", |v| {
        let version = u32::try_from(count(&v[2])).expect("a small number");
        let place = bucketing::hash(text(&v[0]), text(&v[1]), version);
        expect(place, v[3].as_f64())
    });
}

#[test]
fn growthbook_get_bucket_range() {
    // A vector: name, [variations, coverage, weights or null], expected ranges.
    check("getBucketRange", |v| {
        let input = &v[1];
        let coverage = input[1].as_f64().unwrap_or(1.0);
        let weights = input[2].is_array().then(|| numbers(&input[2]));
        let actual = bucketing::bucket_ranges(count(&input[0]), coverage, weights.as_deref());
        let flat = |ranges: &[(f64, f64)]| -> Vec<f64> {
            ranges
                .iter()
                .flat_map(|(from, until)| [*from, *until])
                .collect()
        };
        expect_close(&flat(&actual), &flat(&ranges(&v[2])))
    });
}

#[test]
fn growthbook_choose_variation() {
    // A vector: name, place, ranges, expected index or -1.
    check("chooseVariation", |v| {
        let variation = bucketing::choose_variation(number(&v[1]), &ranges(&v[2]));
        expect(
            variation.map_or(-1, |i| i as i64),
            v[3].as_i64().expect("a whole number"),
        )
    });
}

#[test]
fn growthbook_in_namespace() {
    // A vector: name, id, [namespace, from, until], expected.
    check("inNamespace", |v| {
        let namespace = &v[2];
        let part = (number(&namespace[1]), number(&namespace[2]));
        let inside = bucketing::in_namespace(text(&v[1]), text(&namespace[0]), part);
        expect(inside, v[3].as_bool().expect("true or false"))
    });
}

#[test]
fn growthbook_get_equal_weights() {
    // A vector: variations, expected weights.
    check("getEqualWeights", |v| {
        expect_close(&bucketing::equal_weights(count(&v[0])), &numbers(&v[1]))
    });
}
