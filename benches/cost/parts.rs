//! The parts that CI guards, from the whole of a request down to one token.

use std::sync::Arc;

use arc_swap::ArcSwap;
use offerd::decide::explore::{Arms, Explorer};
use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, Views, decide};
use offerd::domain::{DecisionId, Effort, Entry, EntryKind, Facts, SubjectKey};
use offerd::journal::{Journal, JournalConfig};
use offerd::ledger::{Ledger, LedgerConfig};
use offerd::serve::keys::Keys;
use offerd::serve::token::TokenConfig;
use offerd::serve::wire::{Answering, DecisionRequest, answer, parse, validate};
use offerd::serve::{Asked, DecisionConfig, Service};
use offerd::telemetry::Metrics;

use crate::example::{self, BODY};
use crate::growth;
use crate::made::{self, Barred, Scorer};
use crate::readers;
use crate::support::{self, NOON};
use crate::{COUNTED, WARM_UP, Work};

/// Name and work of every part. Names are `part/variant/size`.
pub fn all() -> Vec<(String, Work)> {
    let mut parts: Vec<(String, Work)> = vec![("request/demo-linear/15".into(), request())];
    for (name, scorer, sizes) in [
        ("prior", Scorer::Prior, &[10, 50, 200][..]),
        ("linear", Scorer::Linear, &[10, 50, 200]),
        ("forest500", Scorer::Forest(500), &[50, 200]),
    ] {
        for &size in sizes {
            let catalog = made::catalog(size, size, Barred::Nobody);
            let work = growth::decision(made::snapshot(catalog, scorer));
            parts.push((format!("decide/{name}/{size}"), work));
        }
    }
    for (name, barred) in [("phase", Barred::ByPhase), ("rule", Barred::ByRule)] {
        let snapshot = made::snapshot(made::catalog(1_000, 10, barred), Scorer::Prior);
        parts.push((format!("excluded/{name}/990"), growth::decision(snapshot)));
    }
    let demo = || support::by_model("propensity-linear");
    let (sign, read) = tokens();
    parts.extend([
        ("wire/parse".into(), parsing()),
        ("wire/validate".into(), validating()),
        ("wire/answer".into(), answering(demo())),
        ("record/demo".into(), growth::record(demo())),
        ("tokens/sign".into(), sign),
        ("tokens/read".into(), read),
        ("explore/softmax/50".into(), exploring()),
        ("ledger/100accounts/1000".into(), ledger()),
        ("journal/hand-over".into(), handing_over()),
        ("learn/hear/10".into(), readers::hearing(10)),
        ("learn/hear/200".into(), readers::hearing(200)),
        ("record/json/15".into(), readers::json()),
    ]);
    parts
}

/// All that happens between a body and an answer: everything but the transport.
fn request() -> Work {
    let (journal, folder) = journal();
    let keys = Arc::new(Keys::generate().expect("the system has random numbers"));
    let service = Service::new(
        Arc::new(ArcSwap::from_pointee(support::by_model(
            "propensity-linear",
        ))),
        journal,
        Arc::new(Ledger::new(LedgerConfig::default())),
        keys,
        Arc::new(Metrics::new()),
        DecisionConfig::default(),
        TokenConfig::default(),
    );
    Box::new(move || {
        let _kept = &folder;
        let asked = Asked {
            since: std::time::Instant::now(),
            effort: Effort::Full,
            gpc: false,
            believed: true,
            reveal: true,
        };
        let message: DecisionRequest<'_> = parse(BODY.as_bytes()).expect("it is a request");
        let answer = service.decide(&message, asked, |answer| json(&answer));
        assert!(!answer.expect("it breaks no rule").is_empty());
    })
}

/// As the server writes it.
fn json(answer: &impl serde::Serialize) -> String {
    let mut out = String::with_capacity(4_096);
    offerd::domain::record::json::write(answer, &mut out);
    out
}

fn parsing() -> Work {
    Box::new(|| {
        let message: DecisionRequest<'_> = parse(BODY.as_bytes()).expect("it is a request");
        assert!(message.deadline_ms().is_some());
    })
}

fn validating() -> Work {
    let arrival = example::arrival();
    let message: DecisionRequest<'static> = parse(BODY.as_bytes()).expect("it is a request");
    Box::new(move || {
        let subject = |_: &str, id: &str| SubjectKey(id.len() as u128);
        let request = validate(&message, &arrival, subject).expect("it breaks no rule");
        assert_eq!(request.placements.len(), 1);
    })
}

fn answering(snapshot: Snapshot) -> Work {
    let request = support::request(1);
    let mut scratch = Scratch::default();
    decide(&snapshot, &request, &Facts::default(), &mut scratch);
    Box::new(move || {
        let views = Views::of(&snapshot, &request, &scratch);
        let from = Answering {
            snapshot: &snapshot,
            request: &request,
            decision: scratch.decision(),
            reveal: true,
        };
        // Signing is counted by itself.
        let answer = answer(from, |place| views.at(place), |_, _, _| "t".repeat(110));
        assert!(!json(&answer).is_empty());
    })
}

fn tokens() -> (Work, Work) {
    let token = example::token();
    let keys = Arc::new(Keys::generate().expect("the system has random numbers"));
    let text = keys.sign(&token).to_string();
    let signer = Arc::clone(&keys);
    let sign = move || assert!(!signer.sign(&token).as_str().is_empty());
    let read = move || assert!(keys.read(&text).is_ok());
    (Box::new(sign), Box::new(read))
}

fn exploring() -> Work {
    let scores: Vec<f64> = (0..50).map(|i| 1.0 + f64::from(i * 37 % 101)).collect();
    let probabilities: Vec<f64> = scores.iter().map(|score| score / 1_000.0).collect();
    let spreads = vec![0.1; scores.len()];
    let mut odds = vec![0.0; scores.len()];
    let softmax = Explorer::Softmax {
        temperature: 0.25,
        floor: 0.05,
    };
    Box::new(move || {
        let arms = Arms {
            scores: &scores,
            probabilities: &probabilities,
            spreads: &spreads,
        };
        softmax.fill(&arms, &mut odds);
        assert!(odds[0] > 0.0);
    })
}

/// A hundred accounts at a time: how long one is looked for depends on the seed of the hash.
fn ledger() -> Work {
    let mut account = growth::point("customers", "account", 1_000).expect("there is such a curve");
    Box::new(move || (0..100).for_each(|_| account()))
}

/// What the request's thread does for the journal; writing is another thread's work.
fn handing_over() -> Work {
    let (journal, folder) = journal();
    let entry = Entry {
        kind: EntryKind::Decision as u8,
        at: NOON.0,
        decision: Some(7),
        id: DecisionId(7).to_string(),
        record: "{}".into(),
        ..Entry::empty()
    };
    let mut entries = vec![entry; (WARM_UP + COUNTED) as usize];
    Box::new(move || {
        let _kept = &folder;
        let entry = entries.pop().expect("one for every call");
        assert!(journal.record(entry));
    })
}

fn journal() -> (Journal, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = JournalConfig {
        dir: folder.path().join("journal"),
        ..JournalConfig::default()
    };
    let (journal, _) = Journal::open(config, NOON, &mut |_, _| {}).expect("an empty folder opens");
    (journal, folder)
}
