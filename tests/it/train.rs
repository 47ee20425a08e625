//! Training on a log: what the server wrote down, and a table from elsewhere.
//!
//! Goal: what is learnt is near what is true, from examples that are what the scorer will see.
//! Method: the simulator's customers ask the demo operator's own decision code, the simulator decides
//! what they then do, and the records go through a journal's folder like any other's.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use offerd::control::{bind, catalog};
use offerd::decide::record::DecisionRecord;
use offerd::decide::snapshot::{OfferFeature, Snapshot};
use offerd::decide::{Scratch, decide};
use offerd::domain::{
    Appointment, DecisionId, Entry, EntryKind, Facts, FeatureValue, Millis, PlacementAsk, Request,
    Trigger,
};
use offerd::journal::{Journal, JournalConfig, read_folder};
use offerd::learn::dataset::{Dataset, Value};
use offerd::learn::log::{Counts, Examples, Limits, Outcomes, Split};
use offerd::learn::metrics::Quality;
use offerd::learn::simulate::{Showing, Simulator};
use offerd::learn::train::{self, Calibrator, Options, TrainError, Trained};
use offerd::learn::{Dice, choose};
use offerd::model::{self, Format};
use serde_json::json;

use crate::support::{DEMO, NOON, by_prior, request};

/// The demo operator with every explorer at random half of the time: a log of a week in one of an hour.
pub fn exploring() -> Snapshot {
    let own = DEMO.replace("kind = \"pairwise_odds\"", "kind = \"softmax\"");
    let own = own.replace("alpha = 0.2", "temperature = 1.0");
    by_prior(&own.replace("floor = 0.01", "floor = 0.5"))
}

const PLACEMENT: &str = "tracker_hero";

/// What a simulated customer sends.
fn asked<'a>(showing: &'a Showing, decision: u128) -> Request<'a> {
    let text = |name: &str| match showing.value(name) {
        Value::Text(text) => Some(text),
        _ => None,
    };
    let number = |name: &str| match showing.value(name) {
        Value::Number(number) => Some(number),
        _ => None,
    };
    let names = [
        "tenure",
        "Contract",
        "InternetService",
        "StreamingTV",
        "TechSupport",
        "MonthlyCharges",
    ];
    let features = names
        .into_iter()
        .filter_map(|name| match showing.value(name) {
            Value::Number(number) => Some((name, FeatureValue::Number(number))),
            Value::Text(text) => Some((name, FeatureValue::Text(text))),
            Value::Missing => None,
        });
    let mut asked = request(decision);
    asked.at = Millis(NOON.0 + decision as i64 * 1_000);
    asked.device = text("device");
    asked.appointment = Appointment {
        phase: text("phase").unwrap().parse().unwrap(),
        eta_seconds: number("eta_seconds").map(|eta| eta as u32),
        ..asked.appointment
    };
    asked.customer.features = features.collect();
    asked.triggers = vec![Trigger {
        name: "map_viewed",
        count: number("map_viewed.count").unwrap() as u32,
        age_ms: 1_000,
    }];
    asked.triggers.retain(|trigger| trigger.count > 0);
    asked.placements = vec![PlacementAsk {
        id: PLACEMENT,
        count: 1,
        exclude_offers: vec![],
    }];
    asked
}

pub struct Log {
    pub records: Vec<String>,
    /// By decision: how likely what it showed truly was.
    pub truth: HashMap<u128, f64>,
}

/// So many decisions of `snapshot` and what became of them. Of a hundred offers shown ten are not seen,
/// and of a hundred conversions five are taken back.
pub fn log(snapshot: &Snapshot, seed: u64, decisions: u128) -> Log {
    let (mut dice, mut scratch) = (Dice::new(seed + 1), Scratch::default());
    let mut log = Log {
        records: Vec::new(),
        truth: HashMap::new(),
    };
    for (id, showing) in (1..=decisions).zip(Simulator::new(seed)) {
        let request = asked(&showing, id);
        let facts = Facts::default();
        let decision = decide(snapshot, &request, &facts, &mut scratch);
        let record = DecisionRecord::new(snapshot, &request, &facts, decision, 1.0);
        log.records.push(serde_json::to_string(&record).unwrap());
        let Some(choice) = record.placements[0].slate.first() else {
            continue;
        };
        let offer = &snapshot
            .catalog
            .offers
            .iter()
            .find(|o| *o.id == *choice.offer)
            .unwrap();
        let number = |name: &str| match offer.features.iter().find(|(n, _)| **n == *name) {
            Some((_, OfferFeature::Number(number))) => Some(*number),
            _ => None,
        };
        let truth = showing.probability_of(
            offer.class,
            number("price"),
            number("complexity").unwrap_or(0.0),
        );
        log.truth.insert(id, truth * 0.95);
        let mut event = |kind: &str| {
            let event = json!({ "v": 1, "type": kind, "decision": request.decision.to_string(), "slot": 0,
                                "rank": choice.rank, "offer": choice.offer, "test": false });
            log.records.push(event.to_string());
        };
        if dice.chance(0.9) {
            event("impression");
            if dice.chance(truth) {
                event("conversion");
                if dice.chance(0.05) {
                    event("reversal");
                }
            }
        }
    }
    log
}

/// The same through a journal's folder.
pub async fn through_a_journal(dir: &Path, records: &[String]) -> Vec<String> {
    let config = JournalConfig {
        dir: dir.to_owned(),
        ..JournalConfig::default()
    };
    let (journal, _) = Journal::open(config, NOON, &mut |_, _| {}).unwrap();
    for (place, record) in records.iter().enumerate() {
        let kind = if record.contains("\"type\":\"decision\"") {
            EntryKind::Decision
        } else {
            EntryKind::Conversion
        };
        let entry = Entry {
            kind: kind as u8,
            at: NOON.0,
            id: place.to_string(),
            record: record.clone().into(),
            ..Entry::empty()
        };
        while !journal.record(entry.clone()) {
            tokio::task::yield_now().await;
        }
    }
    journal.close().await;
    let mut read = Vec::new();
    read_folder(dir, &mut |_, entry| read.push(entry.record.to_string())).unwrap();
    read
}

pub const LIMITS: Limits = Limits {
    weight_max: 20.0,
    examples_max: 1_000_000,
    split: Split::Time,
};

pub fn examples(snapshot: &Snapshot, records: &[String], limits: Limits) -> (Dataset, Counts) {
    let mut outcomes = Outcomes::default();
    records.iter().for_each(|record| outcomes.hear(record));
    assert_eq!(
        outcomes.newest_catalog(),
        Some(snapshot.catalog.digest.as_str())
    );
    let declared = catalog::declared_features(&snapshot.catalog.source).unwrap();
    let features = choose::features(&snapshot.catalog, declared, &[], &[]).unwrap();
    let catalog = Arc::clone(&snapshot.catalog);
    let find = |digest: &str| (digest == catalog.digest).then(|| Arc::clone(&catalog));
    let mut examples = Examples::new(outcomes, features, limits, find);
    records.iter().for_each(|record| examples.add(record));
    examples.finish()
}

pub fn options(format: Format, calibrator: Calibrator) -> Options {
    Options {
        name: "propensity".into(),
        version: "1".into(),
        format,
        calibrator,
        seed: 7,
        trained_at: None,
        note: None,
    }
}

pub fn trained(data: &Dataset, format: Format, calibrator: Calibrator) -> Trained {
    train::train(data, options(format, calibrator), |_| ()).unwrap()
}

/// How the truth itself would fare on the rows that were measured on.
fn of_truth(data: &Dataset, truth: &[f64]) -> Quality {
    let held_out = |row: &usize| data.parts[*row] == offerd::learn::dataset::Part::HeldOut;
    let (p, labels): (Vec<f64>, Vec<bool>) = (0..data.rows())
        .filter(held_out)
        .map(|row| (truth[row], data.labels[row]))
        .unzip();
    Quality::of(&p, &labels)
}

#[tokio::test]
async fn a_log_teaches_what_is_true() {
    let snapshot = exploring();
    let log = log(&snapshot, 3, 16_000);
    let dir = tempfile::tempdir().unwrap();
    let records = through_a_journal(dir.path(), &log.records).await;
    assert_eq!(records, log.records);
    let (data, counts) = examples(&snapshot, &records, LIMITS);
    assert_eq!(counts.decisions, 16_000);
    assert!(
        counts.unseen * 8 < counts.shown && counts.unseen * 12 > counts.shown,
        "{counts:?}"
    );
    assert!(
        counts.reversed > 0 && counts.conversions > 200,
        "{counts:?}"
    );
    assert_eq!(data.rows() as u64, counts.examples);
    let names: Vec<&str> = data.features.iter().map(|f| f.name.as_str()).collect();
    for name in [
        "tenure",
        "phase",
        "map_viewed.count",
        "offer.class",
        "offer.price",
        "offer.category",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    // Never sent, always the same, not a category, the operator's own affair.
    for name in [
        "gender",
        "placement",
        "first_name",
        "offer.value",
        "offer.id",
    ] {
        assert!(!names.contains(&name), "{names:?}");
    }
    // Rows come in the order of decisions; the truth of those that were seen.
    let seen = records
        .iter()
        .filter(|r| r.contains("\"type\":\"impression\""));
    let truth: Vec<f64> = seen
        .map(|r| serde_json::from_str::<serde_json::Value>(r).unwrap())
        .map(|r| {
            log.truth[&r["decision"]
                .as_str()
                .unwrap()
                .parse::<DecisionId>()
                .unwrap()
                .0]
        })
        .collect();
    let best = of_truth(&data, &truth);
    for (format, calibrator) in [
        (Format::Linear, Calibrator::Platt),
        (Format::Smartcore, Calibrator::Isotonic),
    ] {
        let model = trained(&data, format, calibrator);
        let (found, baseline) = (model.report.held_out, model.report.baseline);
        let told =
            format!("{format} {calibrator:?}: {found:?}, truth {best:?}, base rate {baseline:?}");
        eprintln!("{told}");
        assert!(found.log_loss < baseline.log_loss, "{told}");
        assert!(found.log_loss < best.log_loss + 0.004, "{told}");
        assert!(found.auc > best.auc - 0.09, "{told}");
        assert!(found.ece < 0.012, "{told}");
        let manifest = model.model.manifest.to_json();
        let loaded = model::load(&manifest, &model.artifact).unwrap();
        bind::bind(&loaded, &snapshot.catalog).unwrap();
    }
}

#[test]
fn examples_are_what_the_scorer_sees() {
    let mut snapshot = exploring();
    let (data, _) = examples(&snapshot, &log(&snapshot, 3, 6_000).records, LIMITS);
    let model = trained(&data, Format::Linear, Calibrator::Platt).model;
    snapshot.model = Arc::new(bind::bind(&model, &snapshot.catalog).unwrap());
    // What the server says under the model is what the model says about the examples made of it.
    let log = log(&snapshot, 9, 500);
    let (outcomes, features) = (Outcomes::default(), model.manifest.features.clone());
    let catalog = Arc::clone(&snapshot.catalog);
    let mut examples = Examples::new(outcomes, features.clone(), LIMITS, |_| {
        Some(Arc::clone(&catalog))
    });
    let mut expected = Vec::new();
    for record in log.records.iter().filter(|r| r.contains("\"slate\":[{")) {
        let decision: DecisionRecord<'_> = serde_json::from_str(record).unwrap();
        let choice = &decision.placements[0].slate[0];
        expected.push(choice.probability);
        let mut seen = Outcomes::default();
        seen.hear(
            &json!({ "type": "impression", "decision": decision.id, "slot": 0, "rank": 1 })
                .to_string(),
        );
        examples.hear(seen);
        examples.add(record);
    }
    let (data, _) = examples.finish_as_they_are();
    assert_eq!(data.features, features);
    // To the order of a sum: what candidates share is added up first there, and last here.
    for (own, expected) in train::score(&model, &data).iter().zip(&expected) {
        assert!((own - expected).abs() < 1e-12, "{own}, expected {expected}");
    }
    assert_eq!(data.rows(), expected.len());
    assert!(expected.len() > 400);
}

#[test]
fn what_must_not_teach_does_not() {
    let snapshot = by_prior(DEMO);
    let seen = log(&snapshot, 5, 50).records;
    let made = |change: &dyn Fn(&str) -> String| {
        let records: Vec<String> = seen.iter().map(|r| change(r)).collect();
        let mut outcomes = Outcomes::default();
        records.iter().for_each(|record| outcomes.hear(record));
        let features = choose::features(&snapshot.catalog, Vec::new(), &[], &[]).unwrap();
        let catalog = Arc::clone(&snapshot.catalog);
        let find = |digest: &str| (digest == catalog.digest).then(|| Arc::clone(&catalog));
        let mut examples = Examples::new(outcomes, features, LIMITS, find);
        records.iter().for_each(|record| examples.add(record));
        examples.finish().1
    };
    let as_is = made(&|r| r.to_owned());
    assert!(as_is.examples > 30 && as_is.unseen > 0, "{as_is:?}");
    assert_eq!(as_is.examples + as_is.unseen, as_is.shown);
    let changed = |from: &str, to: &str| made(&|r| r.replace(from, to));
    // Nothing was learnt, and one count says why.
    let check = |counts: Counts, count: u64| {
        assert_eq!((counts.examples, count), (0, 50), "{counts:?}");
    };
    let test = changed("\"test\":false", "\"test\":true");
    check(test.clone(), test.test);
    let unmeasured = changed("\"measured\":true", "\"measured\":false");
    check(unmeasured.clone(), unmeasured.unmeasured);
    let degraded = changed(
        "\"degraded\":[\"prior_only\"]",
        "\"degraded\":[\"model_deadline\"]",
    );
    assert_eq!(degraded.examples, 0, "{degraded:?}");
    let other = changed(&snapshot.catalog.digest, &"0".repeat(64));
    check(other.clone(), other.no_catalog);
    let newer = changed(
        "{\"v\":1,\"type\":\"decision\"",
        "{\"v\":9,\"type\":\"decision\"",
    );
    check(newer.clone(), newer.unreadable);
    let twice: Vec<String> = seen.iter().chain(&seen).cloned().collect();
    let (_, counts) = examples(&snapshot, &twice, LIMITS);
    assert_eq!((counts.examples, counts.repeated), (as_is.examples, 50));
    let few = Limits {
        examples_max: 10,
        ..LIMITS
    };
    let (data, counts) = examples(&snapshot, &seen, few);
    assert_eq!((data.rows(), counts.over_limit), (10, as_is.examples - 10));
}

#[test]
fn weights_are_the_inverse_of_propensities_up_to_the_limit() {
    let snapshot = by_prior(DEMO);
    let (data, counts) = examples(&snapshot, &log(&snapshot, 5, 400).records, LIMITS);
    assert!(data.weights.iter().all(|w| (1.0..=20.0).contains(w)));
    assert!(data.weighted());
    let limited = data.weights.iter().filter(|w| **w == 20.0).count() as u64;
    assert_eq!(counts.clipped, limited);
    assert!(counts.effective_examples < counts.examples as f64);
}

#[test]
fn too_little_is_told_with_what_is_needed() {
    let snapshot = exploring();
    let (data, _) = examples(&snapshot, &log(&snapshot, 3, 1_000).records, LIMITS);
    let error =
        train::train(&data, options(Format::Linear, Calibrator::Platt), |_| ()).unwrap_err();
    assert!(matches!(error, TrainError::TooFewRows { .. }), "{error}");
    let (mut data, _) = examples(&snapshot, &log(&snapshot, 3, 4_000).records, LIMITS);
    data.labels.fill(false);
    let error =
        train::train(&data, options(Format::Linear, Calibrator::Platt), |_| ()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("0 conversions") && text.contains("at least 10"),
        "{text}"
    );
}
