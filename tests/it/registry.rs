//! Model versions while customers ask: swapped under load, tried on some, watched, and failing.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use offerd::app::SHIPPED;
use offerd::control::registry::{Insist, ModelsConfig, Push, Stage};
use offerd::control::replay::Replayer;
use offerd::control::{Control, Settings};
use offerd::decide::record::DecisionRecord;
use offerd::decide::shadow::ShadowScores;
use offerd::decide::snapshot::{Canary, LiveModel, Shadow, Snapshot};
use offerd::decide::{Scratch, decide};
use offerd::domain::{Effort, EntryKind, Facts, Millis, SubjectKey};
use offerd::journal::{Journal, JournalConfig, read_folder};
use offerd::ledger::{Ledger, LedgerConfig};
use offerd::model::{Batch, Scorer, ScorerScratch};
use offerd::serve::keys::Keys;
use offerd::serve::token::{TokenConfig, hash32};
use offerd::serve::wire::{DecisionRequest, parse};
use offerd::serve::{Asked, DecisionConfig, Service};
use offerd::telemetry::Metrics;
use offerd::telemetry::tally::Tallies;

use crate::support;

mod drift;

/// A shipped model under another name and version.
fn renamed(folder: &str, version: &str) -> (String, Vec<u8>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("models")
        .join(folder);
    let manifest = std::fs::read_to_string(dir.join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    manifest["name"] = "swapped".into();
    manifest["version"] = version.into();
    (
        manifest.to_string(),
        std::fs::read(dir.join("artifact.json")).unwrap(),
    )
}

/// The data path and the control plane of a server, without its ports.
struct Node {
    dir: tempfile::TempDir,
    journal: Journal,
    control: Control,
    service: Service,
}

impl Node {
    fn start() -> Node {
        Node::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut ModelsConfig)) -> Node {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            dir: dir.path().join("journal"),
            ..JournalConfig::default()
        };
        let now = offerd::serve::now();
        let (journal, _) = Journal::open(config, now, &mut |_, _| {}).unwrap();
        let tallies: Arc<Tallies> = Arc::default();
        // A trial reads the journal and decides a thousand times: what is asked here is the swap.
        let mut models = ModelsConfig {
            trial_requests: 0,
            ..ModelsConfig::default()
        };
        models.gate.enabled = false;
        change(&mut models);
        let settings = Settings {
            memory: offerd::control::catalog::Memory {
                horizon_ms: i64::MAX,
                exposures_max: u32::MAX,
            },
            models,
            tallies: Arc::clone(&tallies),
        };
        let path = dir.path().join("control");
        let control = Control::start(path, None, SHIPPED, journal.clone(), settings, now).unwrap();
        let service = Service::new(
            control.live(),
            journal.clone(),
            Arc::new(Ledger::new(LedgerConfig::default())),
            Arc::new(Keys::generate().unwrap()),
            Arc::new(Metrics::new()),
            DecisionConfig::default(),
            TokenConfig::default(),
        )
        .counting(tallies);
        Node {
            dir,
            journal,
            control,
            service,
        }
    }

    fn push(&self, folder: &str, version: &str, stage: Stage) {
        let (manifest, artifact) = renamed(folder, version);
        let push = Push {
            name: "swapped",
            version,
            manifest: &manifest,
            artifact: &artifact,
            signature: None,
            stage: Some(stage),
            percent: Some(50.0),
            insist: Insist::default(),
        };
        self.control.push(&push, offerd::serve::now()).unwrap();
    }

    /// The answer to a request of a trusted caller.
    fn decide(&self, body: &str) -> serde_json::Value {
        let message: DecisionRequest<'_> = parse(body.as_bytes()).unwrap();
        let asked = Asked {
            since: Instant::now(),
            effort: Effort::Full,
            gpc: false,
            believed: true,
            reveal: true,
        };
        let answer = self
            .service
            .decide(&message, asked, |answer| serde_json::to_value(&answer));
        answer.expect("the request is well-formed").unwrap()
    }

    /// One decision: its id and its model, which all of its tokens must name too.
    fn ask(&self, customer: &str) -> (String, String) {
        let body = format!(
            r#"{{"appointment": {{"phase": "en_route"}}, "customer": {{"id": "{customer}",
                "features": {{"tenure": 14}}}}, "placements": [{{"id": "tracker_hero"}}, {{"id": "map_card"}}]}}"#
        );
        let answer = self.decide(&body);
        assert_eq!(answer["degraded"], serde_json::json!([]), "{answer}");
        let model = answer["model"].as_str().unwrap().to_owned();
        for placement in answer["placements"].as_array().unwrap() {
            for offer in placement["offers"].as_array().unwrap() {
                let token = offer["token"].as_str().unwrap();
                let token = self.service.keys().read(token).unwrap();
                assert_eq!(token.model, hash32(&model), "{answer}");
            }
        }
        (answer["decision_id"].as_str().unwrap().to_owned(), model)
    }

    /// Every decision on record must be one of `answers`, with the same model, and none may be missing;
    /// decided again, each must come out the same.
    async fn check_records(self, mut answers: HashMap<String, String>) {
        self.journal.close().await;
        let control = self.dir.path().join("control");
        let mut replayer = Replayer::open(control, SHIPPED).unwrap();
        let mut replayed = 0;
        read_folder(&self.dir.path().join("journal"), &mut |_, entry| {
            if entry.kind() != Some(EntryKind::Decision) {
                return;
            }
            let answered = answers.remove(&entry.id);
            assert_eq!(answered, entry.model, "{}", entry.record);
            // All of them would take minutes; every seventh meets every version many times.
            if answers.len().is_multiple_of(7) {
                assert!(
                    replayer.replay(&entry.record).unwrap().same,
                    "{}",
                    entry.record
                );
                replayed += 1;
            }
        })
        .unwrap();
        assert!(
            answers.is_empty(),
            "{} decisions are not on record",
            answers.len()
        );
        assert!(replayed > 10, "only {replayed} were decided again");
    }
}

/// Goal: 1,000 swaps under load without one failed, mixed-version or dropped decision.
///
/// Method: two threads decide without pause while live changes a thousand times between two models of
/// different formats, one of them beside a canary and a shadow. Every answer names the model of all of
/// its tokens and of its record, every decision is on record, and decided again it comes out the same.
#[tokio::test]
async fn a_thousand_swaps_under_load() {
    const SWAPS: usize = 1_000;
    let node = Arc::new(Node::start());
    node.push("propensity-linear", "a", Stage::Live);
    node.push("propensity-forest", "b", Stage::Live);
    node.push("propensity-linear", "c", Stage::Canary);
    node.push("propensity-forest", "d", Stage::Shadow);
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let (node, over) = (Arc::clone(&node), Arc::clone(&over));
            std::thread::spawn(move || {
                let mut answers = Vec::new();
                while !over.load(Ordering::Relaxed) {
                    answers.push(node.ask(&format!("c-{thread}-{}", answers.len() % 1_000)));
                }
                answers
            })
        })
        .collect();
    let first = node.control.live().load().epoch;
    for swap in 0..SWAPS {
        let version = ["a", "b"][swap % 2];
        let now = offerd::serve::now();
        let staged = node.control.stage(
            "swapped",
            version,
            Stage::Live,
            None,
            Insist::default(),
            now,
        );
        assert_eq!(staged.unwrap().epoch, first + 1 + swap as u64);
    }
    over.store(true, Ordering::Relaxed);
    let answers: HashMap<String, String> = threads
        .into_iter()
        .flat_map(|thread| thread.join().expect("no decision failed"))
        .collect();
    let by = |label: &str| answers.values().filter(|model| *model == label).count();
    for label in ["swapped@a", "swapped@b", "swapped@c"] {
        assert!(by(label) > 20, "{label} decided {} times", by(label));
    }
    let node = Arc::into_inner(node).expect("every thread has ended");
    node.check_records(answers).await;
}

fn with_canary(percent: f64) -> Snapshot {
    let mut snapshot = support::by_model("propensity-forest");
    let model = support::by_model("propensity-linear").model;
    snapshot.canary = Some(Canary { percent, model });
    snapshot
}

/// Goal: a canary gets its share, keeps its customers, and more of it takes nobody away.
#[test]
fn a_canary_keeps_its_customers() {
    let (some, more) = (with_canary(10.0), with_canary(25.0));
    let mut taken = 0;
    for customer in 0..20_000_u128 {
        let mut request = support::request(1 + customer * 7);
        request.customer.subject = Some(SubjectKey(customer << 64 | 5));
        let canary = some.is_canary(&request);
        taken += usize::from(canary);
        assert!(!canary || more.is_canary(&request), "{customer}");
        let again = support::request(2 + customer * 11);
        request.decision = again.decision;
        assert_eq!(some.is_canary(&request), canary, "{customer}");
    }
    assert!((1_800..2_200).contains(&taken), "{taken} of 20000 at 10 %");
    // Without a customer each decision falls for itself.
    let anonymous = (0..20_000).filter(|&n| {
        let mut request = support::request(n);
        request.customer.subject = None;
        some.is_canary(&request)
    });
    let anonymous = anonymous.count();
    assert!(
        (1_800..2_200).contains(&anonymous),
        "{anonymous} of 20000 at 10 %"
    );
    let everybody = with_canary(100.0);
    assert!((0..1_000).all(|n| everybody.is_canary(&support::request(n))));
}

/// Goal: what the canary decides is what its model alone would have decided, and its record says so.
#[test]
fn a_canary_decides_as_if_it_were_live() {
    let tried = with_canary(100.0);
    let alone = support::by_model("propensity-linear");
    let facts = Facts::default();
    let (mut one, mut other) = (Scratch::default(), Scratch::default());
    for n in 0..50 {
        let request = support::request(n);
        let a = decide(&tried, &request, &facts, &mut one);
        let b = decide(&alone, &request, &facts, &mut other);
        let a = DecisionRecord::new(&tried, &request, &facts, a, 0.0);
        let b = DecisionRecord::new(&alone, &request, &facts, b, 0.0);
        assert!(a.same_outcome(&b));
        assert_eq!(a.model, b.model);
    }
}

/// Goal: a shadow says what its model would have said, for the candidates on record, and changes nothing.
#[test]
fn a_shadow_is_put_on_record_and_changes_nothing() {
    let plain = support::by_model("propensity-forest");
    let mut watched = support::by_model("propensity-forest");
    let shadow = support::by_model("propensity-linear");
    watched.shadow = Some(Shadow {
        share: 0.5,
        model: Arc::clone(&shadow.model),
    });
    let facts = Facts::default();
    let (mut one, mut other, mut third) = Default::default();
    let mut scores = ShadowScores::default();
    let mut scored = 0;
    for n in 0..200 {
        let mut request = support::request(n);
        // What a second placement may show depends on what the first did.
        request.placements.truncate(1);
        let a = decide(&plain, &request, &facts, &mut one);
        let b = decide(&watched, &request, &facts, &mut other);
        assert_eq!(a, b);
        let Some((model, probabilities)) = scores.of(&watched, &request, b) else {
            continue;
        };
        scored += 1;
        assert_eq!(model.label, shadow.model.label);
        let c = decide(&shadow, &request, &facts, &mut third);
        let expected = DecisionRecord::new(&shadow, &request, &facts, c, 0.0);
        for (placement, said) in expected.placements.iter().zip(probabilities) {
            let candidates = placement.candidates.iter();
            let would: Vec<f64> = candidates.filter_map(|c| c.probability).collect();
            assert_eq!(would, *said);
        }
    }
    assert!(
        (60..140).contains(&scored),
        "{scored} of 200 at a share of a half"
    );
}

/// A model that takes its thread down with it.
struct Poison;

impl Scorer for Poison {
    fn inputs(&self) -> usize {
        0
    }

    fn score(&self, _: &Batch<'_>, scratch: &mut ScorerScratch, _: &mut [f64]) {
        scratch.row.push(f64::NAN);
        panic!("a poisoned model");
    }
}

/// Goal: a model that panics costs its own answers: the priors decide, and the answer says so.
#[test]
fn a_model_that_panics_gives_way_to_the_priors() {
    let prior = support::by_prior(support::DEMO);
    let mut poisoned = support::by_prior(support::DEMO);
    poisoned.model = Arc::new(LiveModel {
        scorer: Some(Arc::new(Poison)),
        ..LiveModel::prior(&poisoned.catalog)
    });
    let facts = Facts::default();
    let (mut one, mut other) = (Scratch::default(), Scratch::default());
    for n in 0..20 {
        let request = support::request(n);
        let expected = decide(&prior, &request, &facts, &mut one);
        let found = decide(&poisoned, &request, &facts, &mut other);
        assert!(found.degraded.model_failed && !found.choices.is_empty());
        assert_eq!(found.choices, expected.choices);
        assert_eq!(found.candidates, expected.candidates);
    }
    // The buffers are as good as new for the next model.
    let sound = support::by_model("propensity-forest");
    let request = support::request(7);
    let mut fresh = Scratch::default();
    let expected = decide(&sound, &request, &facts, &mut fresh).clone();
    assert_eq!(*decide(&sound, &request, &facts, &mut other), expected);
}

/// Goal: what is counted for a version is what it decided, and conversions find it by their tokens.
#[tokio::test]
async fn conversions_are_counted_for_the_version_that_decided() {
    let node = Node::start();
    node.push("propensity-linear", "a", Stage::Live);
    let mut tokens = Vec::new();
    for customer in 0..20 {
        let body = format!(
            r#"{{"appointment": {{"phase": "en_route"}}, "customer": {{"id": "{customer}"}},
                "placements": [{{"id": "tracker_hero"}}]}}"#
        );
        let answer = node.decide(&body);
        let token = answer["placements"][0]["offers"][0]["token"].as_str();
        tokens.extend(token.map(str::to_owned));
    }
    assert!(tokens.len() > 3, "only {} offers were shown", tokens.len());
    // The next version is live when the conversions come.
    node.push("propensity-forest", "b", Stage::Live);
    for (i, token) in tokens.iter().take(3).enumerate() {
        let body = format!(
            r#"{{"events": [{{"id": "e{i}", "type": "conversion", "token": "{token}",
                "value": {{"amount_minor": 500, "currency": "USD"}}}}]}}"#
        );
        for expected in [1, 0] {
            let batch = offerd::serve::wire::read_events(body.as_bytes()).unwrap();
            let said = node.service.record(&batch).await.unwrap();
            assert_eq!(said.accepted, expected, "a repeated event counts once");
        }
    }
    let list = node.control.models().unwrap();
    let counted = |version: &str| {
        let model = list.iter().find(|m| m.version == version).unwrap();
        model.health.clone()
    };
    assert_eq!(
        counted("b").map(|h| (h.decisions, h.conversions)),
        Some((0, 0))
    );
    let now = Millis(offerd::serve::now().0);
    node.control.roll_back("swapped", now).unwrap();
    let list = node.control.models().unwrap();
    assert_eq!((&*list[0].version, list[0].stage), ("a", "live"));
    node.journal.close().await;
}

/// Goal: what a model could not be told is counted by input and by why, for the version that decided and for
/// the shadow, once per decision, and its rule takes over.
#[tokio::test]
async fn odd_inputs_are_counted() {
    let node = Node::start();
    node.push("propensity-linear", "a", Stage::Live);
    node.push("propensity-forest", "b", Stage::Shadow);
    for features in [
        r#"{"tenure": 14, "Contract": "One year", "MonthlyCharges": 70.5}"#,
        r#"{"tenure": "long", "Contract": "Ten years", "MonthlyCharges": 70.5}"#,
        r#"{"tenure": 14, "Contract": 3, "MonthlyCharges": true, "shoe_size": 43}"#,
    ] {
        let body = format!(
            r#"{{"appointment": {{"phase": "en_route"}}, "customer": {{"id": "c", "features": {features}}},
                "placements": [{{"id": "tracker_hero"}}, {{"id": "map_card"}}]}}"#
        );
        let answer = node.decide(&body);
        assert_eq!(answer["degraded"], serde_json::json!([]), "{answer}");
    }
    let metrics = node.control.model_metrics();
    for (version, stage) in [("a", "live"), ("b", "shadow")] {
        let list = node.control.models().unwrap();
        let health = list.iter().find(|m| m.version == version).unwrap();
        let health = health.health.clone().unwrap();
        assert_eq!((health.decisions, health.failures), (3, 0), "{version}");
        let counts = |feature: &str| {
            let odd = health.odd_inputs.iter().find(|o| o.feature == feature);
            odd.map_or([0; 3], |o| [o.missing, o.mistyped, o.unknown])
        };
        assert_eq!(counts("tenure"), [0, 1, 0], "{version}");
        assert_eq!(counts("Contract"), [0, 1, 1], "{version}");
        assert_eq!(counts("MonthlyCharges"), [0, 0, 0], "{version}");
        assert_eq!(counts("InternetService"), [3, 0, 0], "{version}");
        assert_eq!(counts("shoe_size"), [0, 0, 0], "{version}");
        let labels = format!("{{stage=\"{stage}\",model=\"swapped@{version}\"");
        for line in [
            format!("offerd_model_decisions_total{labels}}} 3"),
            format!("offerd_model_duration_seconds_count{labels}}} 3"),
            format!(
                "offerd_model_inputs_odd_total{labels},feature=\"Contract\",what=\"unknown\"}} 1"
            ),
        ] {
            assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
        }
    }
    node.journal.close().await;
}
