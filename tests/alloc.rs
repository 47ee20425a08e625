//! Does deciding allocate? Not once the buffers have grown.

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;

use offerd::decide::explore::{Arms, Explorer, Policy};
use offerd::decide::record::DecisionRecord;
use offerd::decide::snapshot::{Set, Snapshot};
use offerd::decide::{Scratch, decide};
use offerd::domain::record::Packer;
use offerd::domain::{
    Entry, EntryKind, Exposure, Facts, NameHash, Phase, PlacementAsk, Request, Shown,
};
use offerd::journal::Position;
use offerd::learn::attribution::Limits;
use offerd::learn::learner::{Learner, State, bind};

/// Every phase, with all the demo's placements asked for, several decisions each.
fn requests(snapshot: &offerd::decide::snapshot::Snapshot) -> Vec<Request<'_>> {
    let mut requests = Vec::new();
    for (i, &phase) in Phase::ALL.iter().enumerate() {
        for j in 0..20 {
            let mut request = support::request((i * 100 + j) as u128);
            request.appointment.phase = phase;
            request.placements = snapshot
                .catalog
                .placements
                .iter()
                .map(|p| PlacementAsk {
                    id: &p.id,
                    count: 3,
                    exclude_offers: vec!["none"],
                })
                .collect();
            requests.push(request);
        }
    }
    requests
}

fn check(what: &str, snapshot: &offerd::decide::snapshot::Snapshot) {
    let requests = requests(snapshot);
    let exposure = Exposure {
        offer: NameHash(1),
        sells: true,
        at: support::NOON,
        confirmed: true,
    };
    let facts = Facts {
        exposures: vec![exposure; 3],
    };
    let mut scratch = Scratch::default();
    for request in &requests {
        decide(snapshot, request, &facts, &mut scratch);
    }
    let mut shown = 0;
    let allocations = allocation_counter::measure(|| {
        for request in &requests {
            shown += decide(snapshot, request, &facts, &mut scratch)
                .choices
                .len();
        }
    });
    assert!(
        shown > 100,
        "{what}: only {shown} offers were shown, so this proves nothing"
    );
    assert_eq!(allocations.count_total, 0, "{what}: {allocations:?}");
}

/// With a posterior that looks at everything that the catalog's `[learning]` names.
fn learnt(mut snapshot: Snapshot) -> Snapshot {
    let request = support::request(1);
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    let record = DecisionRecord::new(&snapshot, &request, &Facts::default(), decision, 1.0);
    let entry = Entry {
        kind: EntryKind::Decision as u8,
        shown: vec![
            Shown {
                offer: 1,
                sells: true
            };
            decision.choices.len()
        ],
        decision: Some(request.decision.0),
        record: Packer::default().pack(&record),
        ..Entry::empty()
    };
    let catalog = Arc::clone(&snapshot.catalog);
    let find = Box::new(move |_: &str| Some(Arc::clone(&catalog)));
    let mut learner = Learner::new(State::default(), Limits::default(), find);
    learner.hear("journal", Position { ms: 1, seq: 1 }, &entry);
    assert!(learner.report().columns > 15, "{:?}", learner.report());
    let label = &*snapshot.model.label;
    let posterior = bind(&learner.learnt(), &snapshot.catalog, &[label]);
    snapshot.posterior = Some(Arc::new(posterior));
    snapshot
}

#[test]
fn deciding_does_not_allocate() {
    check("prior", &support::by_prior(support::DEMO));
    let mut held = support::by_prior(support::DEMO);
    held.spent.classes = Set::ALL;
    check("held", &held);
    check("learnt", &learnt(support::by_prior(support::DEMO)));
    check("both", &learnt(support::by_model("propensity-forest")));
    for name in [
        "propensity-linear",
        "propensity-forest",
        "propensity-lightgbm",
        "propensity-xgboost",
    ] {
        check(name, &support::by_model(name));
    }
}

#[test]
fn no_explorer_allocates() {
    let scores: Vec<f64> = (0..200).map(|i| 100.0 + f64::from(i * 37 % 101)).collect();
    let probabilities: Vec<f64> = scores.iter().map(|s| s / 5_000.0).collect();
    let arms = Arms {
        scores: &scores,
        probabilities: &probabilities,
        spreads: &vec![0.3; scores.len()],
    };
    let mut odds = vec![0.0; scores.len()];
    let (alpha, floor) = (0.35, 0.01);
    for explorer in [
        Explorer::Deterministic { floor },
        Explorer::EpsilonGreedy { epsilon: 0.1 },
        Explorer::Softmax {
            temperature: 0.25,
            floor,
        },
        Explorer::Uniform,
        Explorer::InverseGap {
            gamma: 100.0,
            floor,
        },
        Explorer::InverseGapBudget {
            budget: 0.05,
            floor,
        },
        Explorer::PairwiseOdds { alpha, floor },
        Explorer::Thompson { alpha, floor },
    ] {
        let policy = Policy {
            explorer,
            uniform_share: 0.01,
        };
        let allocations = allocation_counter::measure(|| policy.fill(&arms, &mut odds));
        assert_eq!(allocations.count_total, 0, "{explorer}: {allocations:?}");
    }
}

/// *Goal:* a file's claims cost nothing. *Method:* small files that claim much, and large ones of the
/// smallest parts there are, each with the memory its verdict took at its peak.
#[test]
fn a_model_file_gets_no_more_memory_than_it_is_worth() {
    let manifest = |format: &str| {
        format!(
            r#"{{ "name": "m", "version": "1", "format": "{format}", "target": "conversion",
            "features": [ {{ "name": "x", "kind": "number", "source": "customer" }} ] }}"#
        )
    };
    let check = |format: &str, artifact: Vec<u8>| {
        let manifest = manifest(format);
        let start = String::from_utf8_lossy(&artifact[..artifact.len().min(60)]).into_owned();
        let mut accepted = false;
        let allocations = allocation_counter::measure(|| {
            accepted = offerd::model::load_unproven(&manifest, &artifact).is_ok();
        });
        assert!(!accepted, "{format}: {start}");
        let most = (64 << 20) + 8 * artifact.len() as u64;
        assert!(
            allocations.bytes_max < most,
            "{format}: {start}: {allocations:?}"
        );
    };
    let head = "tree\nnum_class=1\nmax_feature_idx=0\nobjective=regression\n\nTree=0\n";
    check(
        "lightgbm",
        format!("{head}num_leaves=4294967296\n\nend of trees\n").into(),
    );
    check(
        "lightgbm",
        format!(
            "{head}num_leaves=2\nleaf_value={}\n\n",
            "0 ".repeat(4 << 20)
        )
        .into(),
    );
    check(
        "lightgbm",
        format!("{head}{}", "num_leaves=1\nleaf_value=0\n\n".repeat(100_000)).into(),
    );
    let json = |tree: &str| {
        format!(
            r#"{{"learner":{{"learner_model_param":{{"base_score":"0.5","num_feature":"1"}},"objective":{{"name":"x"}},
            "gradient_booster":{{"name":"gbtree","model":{{"trees":[{tree}]}}}}}}}}"#
        )
        .into_bytes()
    };
    check("xgboost", json(&"{},".repeat(1 << 20)));
    check(
        "xgboost",
        json(&format!(
            r#"{{"left_children":[{}0]}}"#,
            "0,".repeat(4 << 20)
        )),
    );
    // Each of these splits asks for a set of 2^24 categories.
    let splits = 1_000;
    let list =
        |of: &dyn Fn(usize) -> String| (0..2 * splits + 1).map(of).collect::<Vec<_>>().join(",");
    let few = |of: &dyn Fn(usize) -> String| (0..splits).map(of).collect::<Vec<_>>().join(",");
    let inner = |i: usize| i < splits;
    check(
        "xgboost",
        json(&format!(
            r#"{{"left_children":[{}],"right_children":[{}],"split_indices":[{zero}],"split_conditions":[{zero}],
            "default_left":[{zero}],"split_type":[{}],"categories":[{}],"categories_nodes":[{}],
            "categories_segments":[{}],"categories_sizes":[{}],"tree_param":{{}}}}"#,
            list(&|i| if inner(i) {
                (2 * i + 1).to_string()
            } else {
                "-1".into()
            }),
            list(&|i| if inner(i) {
                (2 * i + 2).to_string()
            } else {
                "-1".into()
            }),
            list(&|i| u8::from(inner(i)).to_string()),
            few(&|_| "16777215".into()),
            few(&|i| i.to_string()),
            few(&|i| i.to_string()),
            few(&|_| "1".into()),
            zero = list(&|_| "0".into()),
        )),
    );
    let ubj = |text: &str| text.as_bytes().to_vec();
    check(
        "xgboost",
        ubj("{U\x07learner{U\x0dfeature_names[#L\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"),
    );
    check(
        "xgboost",
        ubj("{U\x07learner{U\x01x[$U#L\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"),
    );
    check(
        "xgboost",
        ubj(&format!("{{U\x07learner{{U\x01x{}", "[".repeat(1 << 20))),
    );
    check("sklearn", br#"{"forest":{"bits":64,"trees":["#.iter().copied().chain(b"{},".repeat(1 << 20)).collect());
    check("linear", b"[".repeat(1 << 20));
}
