//! Do the readers of foreign model files take what their trainers write, and nothing else?
//!
//! That they give the trainers' own numbers is shown on real data by `tests/peers/parity`; here are the
//! shipped models, whose golden rows the trainers' libraries wrote, and files that nobody's trainer writes.
#![expect(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::path::Path;
use std::time::{Duration, Instant};

use offerd::decide::{Scratch, decide};
use offerd::domain::Facts;
use offerd::learn::Dice;
use offerd::model::{Function, Model, load, load_unproven};
use serde_json::{Value, json};

use crate::support;

fn shipped(name: &str, file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models");
    std::fs::read(folder.join(name).join(file)).unwrap()
}

fn manifest(name: &str) -> Value {
    serde_json::from_slice(&shipped(name, "manifest.json")).unwrap()
}

fn lightgbm() -> String {
    String::from_utf8(shipped("propensity-lightgbm", "artifact.txt")).unwrap()
}

fn xgboost() -> Value {
    serde_json::from_slice(&shipped("propensity-xgboost", "artifact.json")).unwrap()
}

/// UBJSON as XGBoost writes it: counted arrays, numbers of one kind without their markers.
fn ubj(value: &Value) -> Vec<u8> {
    let count = |n: usize| [b"L".as_slice(), &(n as i64).to_be_bytes()].concat();
    let text = |s: &str| [count(s.len()).as_slice(), s.as_bytes()].concat();
    match value {
        Value::String(s) => [b"S".as_slice(), &text(s)].concat(),
        Value::Number(n) if n.is_f64() => {
            [b"d".as_slice(), &(n.as_f64().unwrap() as f32).to_be_bytes()].concat()
        }
        Value::Number(n) => [b"l".as_slice(), &(n.as_i64().unwrap() as i32).to_be_bytes()].concat(),
        Value::Array(values) => {
            let kinds: Vec<u8> = values.iter().map(|v| ubj(v)[0]).collect();
            let bytes = values.iter().map(ubj);
            match kinds.first() {
                Some(&kind @ (b'd' | b'l')) if kinds.iter().all(|k| *k == kind) => {
                    let numbers: Vec<u8> = bytes.flat_map(|b| b[1..].to_vec()).collect();
                    [
                        b"[$",
                        [kind].as_slice(),
                        b"#",
                        &count(values.len()),
                        &numbers,
                    ]
                    .concat()
                }
                _ => [
                    b"[#".as_slice(),
                    &count(values.len()),
                    &bytes.collect::<Vec<_>>().concat(),
                ]
                .concat(),
            }
        }
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .flat_map(|(key, value)| [text(key), ubj(value)].concat());
            [b"{".as_slice(), &fields.collect::<Vec<_>>(), b"}"].concat()
        }
        Value::Null | Value::Bool(_) => panic!("XGBoost writes none"),
    }
}

#[test]
fn shipped_models_decide_for_the_demo_operator() {
    for name in ["propensity-lightgbm", "propensity-xgboost"] {
        let snapshot = support::by_model(name);
        let mut scratch = Scratch::default();
        let facts = Facts::default();
        let shown: usize = (0..50)
            .map(|i| {
                decide(&snapshot, &support::request(i), &facts, &mut scratch)
                    .choices
                    .len()
            })
            .sum();
        assert!(shown > 10, "{name}: {shown} offers in 50 decisions");
    }
}

#[test]
fn xgboosts_two_formats_are_the_same_model() {
    let mut manifest = manifest("propensity-xgboost");
    manifest["sha256"] = Value::Null;
    let text = load_unproven(&manifest.to_string(), xgboost().to_string().as_bytes()).unwrap();
    let binary = load_unproven(&manifest.to_string(), &ubj(&xgboost())).unwrap();
    assert_eq!(text.scorer.function, binary.scorer.function);
}

#[test]
fn features_are_matched_by_name_whatever_their_order() {
    for (name, artifact) in [
        ("propensity-lightgbm", lightgbm().into_bytes()),
        ("propensity-xgboost", xgboost().to_string().into_bytes()),
    ] {
        let mut manifest = manifest(name);
        manifest["sha256"] = Value::Null;
        manifest["features"].as_array_mut().unwrap().reverse();
        for golden in manifest["golden"].as_array_mut().unwrap() {
            golden["features"].as_array_mut().unwrap().reverse();
        }
        load_unproven(&manifest.to_string(), &artifact).unwrap();
        manifest["features"][0]["name"] = "offer.weight".into();
        let error = load_unproven(&manifest.to_string(), &artifact).unwrap_err();
        assert!(
            error.field().starts_with("artifact.feature_names["),
            "{error}"
        );
        assert!(error.to_string().contains("`offer.complexity`"), "{error}");
        manifest["features"].as_array_mut().unwrap().pop();
        manifest["golden"] = json!([]);
        let error = load_unproven(&manifest.to_string(), &artifact)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("has 13 features, the manifest declares 12"),
            "{error}"
        );
    }
}

/// A manifest without proof: what is refused is refused for its structure.
fn unproven(name: &str) -> String {
    let mut manifest = manifest(name);
    manifest["sha256"] = Value::Null;
    manifest["golden"] = json!([]);
    manifest.to_string()
}

#[test]
fn what_lightgbm_does_and_we_do_not_is_refused_by_its_name() {
    let manifest = unproven("propensity-lightgbm");
    let text = lightgbm();
    let check = |from: &str, to: &str, at: &str| {
        let spoilt = text.replacen(from, to, 1);
        assert_ne!(spoilt, text, "{from}");
        let error = load_unproven(&manifest, spoilt.as_bytes()).unwrap_err();
        assert_eq!(error.field(), format!("artifact.{at}"), "{error}");
    };
    check("num_class=1", "num_class=3", "num_class");
    check(
        "num_tree_per_iteration=1",
        "num_tree_per_iteration=3",
        "num_tree_per_iteration",
    );
    check(
        "objective=binary sigmoid:1",
        "objective=lambdarank",
        "objective",
    );
    check(
        "objective=binary sigmoid:1",
        "objective=regression sqrt",
        "reg_sqrt",
    );
    check(
        "objective=binary sigmoid:1",
        "objective=binary sigmoid:x",
        "sigmoid",
    );
    check("objective=binary sigmoid:1\n", "", "objective");
    check("is_linear=0", "is_linear=1", "trees[0].is_linear");
    check("tree\n", "trie\n", "line 1");
    check("Tree=3\n", "Tree=4\n", "line 75");
    check("end of trees", "", "line 1262");
    check("left_child=1 ", "left_child=99 ", "trees[0].left_child[0]");
    check("left_child=1 ", "left_child=-9 ", "trees[0].left_child[0]");
    check("left_child=1 ", "left_child=0 ", "trees[0].node[0]");
    check("left_child=1 ", "left_child=x ", "trees[0].left_child[0]");
    check("left_child=1 ", "left_child=", "trees[0].left_child");
    check(
        "num_leaves=8",
        "num_leaves=4294967296",
        "trees[0].split_feature",
    );
    check("num_leaves=8", "num_leaves=0", "trees[0].num_leaves");
    check("leaf_value=", "leaf_value=nan ", "trees[0].leaf_value");
    check(
        "split_feature=",
        "split_feature=99 ",
        "trees[0].split_feature",
    );
    check(
        "cat_boundaries=0 ",
        "cat_boundaries=0 4294967295 ",
        "trees[0].cat_boundaries",
    );
}

#[test]
fn what_xgboost_does_and_we_do_not_is_refused_by_its_name() {
    let manifest = unproven("propensity-xgboost");
    let check = |pointer: &str, value: Value, at: &str| {
        let mut spoilt = xgboost();
        *spoilt.pointer_mut(pointer).unwrap() = value;
        for bytes in [spoilt.to_string().into_bytes(), ubj(&spoilt)] {
            let error = load_unproven(&manifest, &bytes).unwrap_err();
            assert_eq!(error.field(), format!("artifact.{at}"), "{error}");
        }
    };
    let param = |name: &str| format!("/learner/learner_model_param/{name}");
    check(
        "/learner/objective/name",
        "multi:softprob".into(),
        "objective.name",
    );
    check(
        "/learner/gradient_booster/name",
        "gbforest".into(),
        "gradient_booster.name",
    );
    check(&param("num_class"), "3".into(), "num_class");
    check(&param("num_target"), "2".into(), "num_target");
    check(&param("base_score"), "[5E-1,5E-1]".into(), "base_score");
    check(&param("base_score"), "1".into(), "base_score");
    check("/learner/feature_names/3", "x".into(), "feature_names[3]");
    let tree = |name: &str| format!("/learner/gradient_booster/model/trees/0/{name}");
    check(
        &tree("tree_param/size_leaf_vector"),
        "2".into(),
        "trees[0].tree_param.size_leaf_vector",
    );
    check(&tree("left_children/0"), 0.into(), "trees[0].node[0]");
    check(&tree("left_children/0"), 99.into(), "trees[0].node[0]");
    check(&tree("right_children/0"), json!(-1), "trees[0].node[0]");
    check(&tree("split_indices/0"), 13.into(), "trees[0]");
    check(&tree("split_indices"), json!([0]), "trees[0].split_indices");
    check(&tree("split_type/0"), 2.into(), "trees[0].split_type[0]");
    check("/learner/gradient_booster/model/trees", json!([]), "trees");
}

/// Few trees and small proof, so that damage hits structure and thousands of files take seconds.
fn small(artifact: Vec<u8>, name: &str, format: &str) -> (String, Vec<u8>) {
    let mut manifest = manifest(name);
    manifest["format"] = format.into();
    manifest["sha256"] = Value::Null;
    let rows = manifest["golden"].as_array().unwrap()[32..].to_vec();
    manifest["golden"] = json!([]);
    let model = load_unproven(&manifest.to_string(), &artifact).unwrap();
    let golden = rows.iter().map(|row| {
        let row: Vec<Option<f64>> = serde_json::from_value(row["features"].clone()).unwrap();
        let (raw, probability) = model.score_row(&row);
        json!({ "features": row, "raw": raw, "probability": probability })
    });
    manifest["golden"] = golden.collect();
    (manifest.to_string(), artifact)
}

fn small_lightgbm() -> (String, Vec<u8>) {
    let text = lightgbm();
    let end = text.find("Tree=5").unwrap();
    small(
        format!("{}end of trees\n", &text[..end]).into_bytes(),
        "propensity-lightgbm",
        "lightgbm",
    )
}

fn few_trees() -> Value {
    let mut model = xgboost();
    let trees = model
        .pointer_mut("/learner/gradient_booster/model/trees")
        .unwrap();
    trees.as_array_mut().unwrap().truncate(5);
    model
}

fn small_sklearn() -> (String, Vec<u8>) {
    let forest: Value =
        serde_json::from_slice(&shipped("propensity-forest", "artifact.json")).unwrap();
    let trees = forest["trees"].as_array().unwrap()[..2].iter().map(|tree| {
        let leaf = |i: usize| tree["left"][i] == 0 && tree["right"][i] == 0;
        let children = |side: &str| -> Value {
            let children = tree[side].as_array().unwrap().iter().enumerate();
            children.map(|(i, child)| if leaf(i) { json!(-1) } else { child.clone() }).collect()
        };
        json!({ "children_left": children("left"), "children_right": children("right"),
                "feature": tree["feature"], "threshold": tree["threshold"], "value": tree["value"] })
    });
    let trees: Value = trees.collect();
    let file =
        json!({ "forest": { "link": "identity", "divisor": 2, "bits": 32, "trees": trees } });
    small(
        file.to_string().into_bytes(),
        "propensity-forest",
        "sklearn",
    )
}

/// *Goal:* a damaged file is refused, or does not matter, and costs neither time nor the process.
/// *Method:* 10,000 of them; whatever loads gives the golden answers, or `load` itself is broken.
#[track_caller]
fn check_mutated((manifest, original): (String, Vec<u8>), pieces: &[&[u8]]) {
    let mut dice = Dice::new(20_261_121);
    let golden: Vec<(Vec<Option<f64>>, f64)> = {
        let model: Model = load_unproven(&manifest, &original).unwrap();
        let rows = model.manifest.golden.iter();
        rows.map(|row| (row.features.clone(), row.probability))
            .collect()
    };
    let (mut accepted, mut slowest) = (0, Duration::ZERO);
    for round in 0..10_000 {
        let artifact = mutated(&original, pieces, &mut dice);
        let began = Instant::now();
        let result = load_unproven(&manifest, &artifact);
        slowest = slowest.max(began.elapsed());
        let Ok(model) = result else { continue };
        accepted += 1;
        for (row, probability) in &golden {
            let found = model.score_row(row).1;
            assert!(
                (found - probability).abs() <= 1e-6,
                "round {round}: {found}, not {probability}"
            );
        }
    }
    // The lines and fields that are for people may change, and leaves that no golden row reaches.
    assert!(
        accepted < 7_500,
        "{accepted} of 10000 damaged files were accepted"
    );
    assert!(
        slowest < Duration::from_secs(2),
        "a verdict took {slowest:?}"
    );
}

/// The bytes with one to four pieces of damage.
fn mutated(bytes: &[u8], pieces: &[&[u8]], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut below = |n: usize| (dice.unit() * n as f64) as usize;
    for _ in 0..=below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = below(bytes.len());
        let end = (at + below(40)).min(bytes.len());
        match below(7) {
            0 => bytes[at] ^= 1 << below(8),
            1 if below(4) == 0 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, pieces[below(pieces.len())].iter().copied())),
            3 => bytes[at] = b"0123456789"[below(10)],
            4 => drop(bytes.drain(at..end)),
            5 => {
                let piece = bytes[at..end].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            // A whole number for another, which keeps the form and breaks the structure.
            _ => {
                let digit = |b: &u8| b.is_ascii_digit() || b"-.eE+".contains(b);
                if let Some(start) = bytes[at..].iter().position(digit).map(|i| at + i) {
                    let length = bytes[start..].iter().take_while(|b| digit(b)).count();
                    let piece = pieces[below(pieces.len())].iter().copied();
                    drop(bytes.splice(start..start + length, piece));
                }
            }
        }
    }
    bytes
}

const TEXTS: [&[u8]; 14] = [
    b"-1",
    b"0",
    b"1",
    b"2",
    b"7",
    b"1e308",
    b"-1e308",
    b"NaN",
    b"inf",
    b"4294967295",
    b"4294967296",
    b"18446744073709551616",
    b"\n\n",
    b"[[[[[[[[{",
];

#[test]
fn mutated_lightgbm_files_never_load_with_other_answers() {
    check_mutated(small_lightgbm(), &TEXTS);
}

#[test]
fn mutated_xgboost_json_never_loads_with_other_answers() {
    let artifact = few_trees().to_string().into_bytes();
    check_mutated(small(artifact, "propensity-xgboost", "xgboost"), &TEXTS);
}

#[test]
fn mutated_xgboost_ubj_never_loads_with_other_answers() {
    let pieces: [&[u8]; 8] = [
        b"[",
        b"{",
        b"[$d#L",
        b"L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff",
        b"\x7f\xc0\x00\x00",
        b"\0\0\0\0",
        b"[$Z#l\x7f\xff\xff\xff",
    ];
    check_mutated(
        small(ubj(&few_trees()), "propensity-xgboost", "xgboost"),
        &pieces,
    );
}

#[test]
fn mutated_sklearn_files_never_load_with_other_answers() {
    check_mutated(small_sklearn(), &TEXTS);
}

#[test]
fn sklearn_files_are_read_as_documented() {
    let manifest = |kind: &str| {
        json!({ "name": "m", "version": "1", "format": "sklearn", "target": "conversion", "features": [
            { "name": "x", "kind": "number", "source": "customer" },
            { "name": "y", "kind": "number", "source": kind } ] })
        .to_string()
    };
    let score = |artifact: Value, row: [Option<f64>; 2]| {
        let model = load_unproven(&manifest("customer"), artifact.to_string().as_bytes()).unwrap();
        model.score_row(&row).0
    };
    let linear = json!({ "linear": { "intercept": 1, "coefficients": [2, 3] } });
    assert_eq!(score(linear, [Some(1.0), Some(1.0)]), 6.0);
    let forest = |bits: u8| {
        json!({ "feature_names": ["y", "x"],
            "forest": { "link": "identity", "base": 0.5, "divisor": 2, "bits": bits, "trees": [
              { "children_left": [1, -1, -1], "children_right": [2, -1, -1], "feature": [1, -2, -2],
                "threshold": [0.1, -2, -2], "missing_go_to_left": [1, 0, 0], "value": [0, 1, 2] },
              { "children_left": [-1], "children_right": [-1], "feature": [-2], "threshold": [-2],
                "value": [4] } ] } })
    };
    // 0.1 rounded to 32 bits is above 0.1, so the next 64-bit number above 0.1 is left of nothing.
    let above = Some(0.1_f64.next_up());
    assert_eq!(score(forest(64), [Some(0.1), None]), 3.0);
    assert_eq!(score(forest(64), [above, None]), 3.5);
    assert_eq!(score(forest(32), [Some(0.1), None]), 3.5);
    assert_eq!(score(forest(64), [None, None]), 3.0);
    let mut present = forest(32);
    present["forest"]["trees"][0]["threshold"][0] = Value::Null;
    present["forest"]["trees"][0]["missing_go_to_left"][0] = 0.into();
    assert_eq!(score(present.clone(), [Some(1e300), None]), 3.0);
    assert_eq!(score(present, [None, None]), 3.5);
    let refused = |artifact: Value, at: &str| {
        let error = load_unproven(&manifest("customer"), artifact.to_string().as_bytes());
        assert_eq!(error.unwrap_err().field(), format!("artifact.{at}"));
    };
    refused(json!({}), "linear");
    refused(forest(16), "json");
    let mut odd = forest(64);
    odd["forest"]["trees"][0]["children_left"][0] = 0.into();
    refused(odd.clone(), "forest.trees[0].node[0]");
    odd["forest"]["trees"][0]["children_left"][0] = json!(-1);
    refused(odd, "forest.trees[0].node[0]");
}

#[test]
fn shipped_boosters_tell_their_importance() {
    for (name, file) in [
        ("propensity-lightgbm", "artifact.txt"),
        ("propensity-xgboost", "artifact.json"),
    ] {
        let model = load(&manifest(name).to_string(), &shipped(name, file)).unwrap();
        let Function::Forest(forest) = &model.scorer.function else {
            panic!("{name} is no forest");
        };
        assert!(forest.categorical_splits() > 50, "{name}");
        assert!(
            forest.gains().unwrap().iter().sum::<f64>() > 1_000.0,
            "{name}"
        );
        let splits: usize = forest.splits().iter().sum();
        assert_eq!(
            splits * 2 + forest.trees().len(),
            forest.nodes().len(),
            "{name}"
        );
    }
}
