//! What is done with a decision after it has been answered: learning hears of it, Redis is told as JSON.

use std::sync::Arc;

use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::Packer;
use offerd::domain::{DecisionId, Entry, EntryKind, Facts, Record, Request, Shown};
use offerd::journal::Position;
use offerd::learn::attribution::Limits;
use offerd::learn::learner::run::JOURNAL;
use offerd::learn::learner::{Learner, State, bind};

use crate::example;
use crate::made::{self, Barred, Scorer};
use crate::support::{self, NOON};
use crate::{COUNTED, WARM_UP, Work};

/// The learner hears of a decision over so many candidates, made with what it knew before.
pub fn hearing(candidates: usize) -> Work {
    let catalog = made::catalog(candidates, candidates, Barred::Nobody);
    let mut snapshot = made::snapshot(catalog, Scorer::Linear);
    let known = Arc::clone(&snapshot.catalog);
    let find = move |digest: &str| (known.digest == digest).then(|| Arc::clone(&known));
    let mut learner = Learner::new(State::default(), Limits::default(), Box::new(find));
    let posterior = bind(
        &learner.learnt(),
        &snapshot.catalog,
        &[&snapshot.model.label],
    );
    snapshot.posterior = Some(Arc::new(posterior));
    let mut records = (1..=WARM_UP + COUNTED).map(|number| {
        let id = DecisionId::v7(NOON, number.into());
        let request = Request {
            decision: id,
            ..made::request()
        };
        Entry {
            kind: EntryKind::Decision as u8,
            at: NOON.0,
            decision: Some(id.0),
            shown: vec![Shown {
                offer: 0,
                sells: false,
            }],
            id: id.to_string(),
            record: packed(&snapshot, &request),
            ..Entry::empty()
        }
    });
    let records: Vec<Entry> = records.by_ref().collect();
    let mut records = records.into_iter();
    let mut position = Position::START;
    Box::new(move || {
        position = position.next(NOON);
        let record = records.next().expect("one for every call");
        learner.hear(JOURNAL, position, &record);
        assert_eq!(learner.state().positions[JOURNAL], position);
    })
}

/// The demo's record as JSON, behind others.
pub fn json() -> Work {
    let record = packed(
        &support::by_model("propensity-linear"),
        &support::request(1),
    );
    let mut out = Vec::new();
    Box::new(move || {
        out.clear();
        record.write_json(&mut out).expect("it was just packed");
        assert!(out.ends_with(b"}"));
    })
}

fn packed(snapshot: &Snapshot, request: &Request<'_>) -> Record {
    let (facts, mut scratch) = (Facts::default(), Scratch::default());
    let decision = decide(snapshot, request, &facts, &mut scratch);
    assert!(
        !decision.choices.is_empty(),
        "nothing shown teaches nothing"
    );
    example::made(snapshot, request, &facts, decision).pack(&mut Packer::default())
}
