//! Records as a server writes them, without a server: real decisions, made events, and the journal's clock.

use std::collections::HashMap;
use std::sync::Arc;

use offerd::control::catalog;
use offerd::decide::budget::Spent;
use offerd::decide::record::{DecisionRecord, rfc3339};
use offerd::decide::snapshot::{Catalog, LiveModel, Snapshot};
use offerd::decide::{Scratch, decide};
use offerd::domain::record::Packer;
use offerd::domain::{
    Decision, DecisionId, Entry, EntryKind, EventType, Facts, Millis, PlacementAsk, Request, Shown,
    Verdict,
};
use offerd::journal::Position;
use offerd::learn::attribution::Limits;
use offerd::learn::learner::{Learner, State, bind};

use crate::support::{NOON, request};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;

/// Three offers at one placement, everything at random; `more` goes into `[learning]`.
pub fn offers(more: &str) -> String {
    let mut text = format!(
        "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n[consent]\npersonalization = true\nmarketing = true\n\
         measurement = true\n[explorer]\nkind = \"epsilon_greedy\"\nepsilon = 1.0\n[features]\n\
         tenure = {{ kind = \"number\", min = 0, max = 100 }}\n[learning]\nfeatures = [\"tenure\"]\n{more}\n\
         [[placement]]\nid = \"card\"\ncount_max = 2\n"
    );
    for (id, class, prior) in [
        ("a", "upsell", 0.05),
        ("b", "upsell", 0.05),
        ("c", "content", 0.05),
    ] {
        text += &offer(id, class, prior);
    }
    text
}

pub fn offer(id: &str, class: &str, prior: f64) -> String {
    format!(
        "[[offer]]\nid = \"{id}\"\nclass = \"{class}\"\nvalue_minor = 1000\nprior = {prior}\n\
         [[offer.creatives]]\ntitle = \"{id}\"\n"
    )
}

/// An offer that was shown.
#[derive(Clone, Debug)]
pub struct Shows {
    pub decision: DecisionId,
    pub rank: u8,
    pub offer: String,
}

pub struct World {
    pub snapshot: Snapshot,
    pub log: Vec<(Position, Entry)>,
    catalogs: HashMap<String, Arc<Catalog>>,
    scratch: Scratch,
    decisions: u128,
}

/// Milliseconds since the world began.
pub fn at(ms: i64) -> i64 {
    NOON.0 + ms
}

impl World {
    pub fn new(text: &str) -> World {
        let catalog = catalog::read(text).unwrap_or_else(|m| panic!("{m}"));
        let model = Arc::new(LiveModel::prior(&catalog));
        let mut world = World {
            snapshot: Snapshot {
                epoch: 1,
                salt: 7,
                catalog,
                model,
                canary: None,
                shadow: None,
                posterior: None,
                spent: Spent::NOTHING,
            },
            log: Vec::new(),
            catalogs: HashMap::new(),
            scratch: Scratch::default(),
            decisions: 0,
        };
        world.put(text);
        world
    }

    /// Another catalog serves from here on.
    pub fn put(&mut self, text: &str) {
        let catalog = catalog::read(text).unwrap_or_else(|m| panic!("{m}"));
        let digest = catalog.digest.clone();
        self.catalogs.insert(digest, Arc::clone(&catalog));
        self.snapshot.model = Arc::new(LiveModel::prior(&catalog));
        self.snapshot.catalog = catalog;
    }

    pub fn learner(&self, state: State) -> Learner {
        self.limited(state, Limits::default())
    }

    pub fn limited(&self, state: State, limits: Limits) -> Learner {
        let catalogs = self.catalogs.clone();
        Learner::new(state, limits, Box::new(move |d| catalogs.get(d).cloned()))
    }

    /// Everything that is on record, heard once.
    pub fn learnt(&self) -> Learner {
        let mut learner = self.learner(State::default());
        for (position, entry) in &self.log {
            learner.hear("journal", *position, entry);
        }
        learner
    }

    fn push(&mut self, ms: i64, entry: Entry) {
        let last = self.log.last().map_or(Position::START, |(p, _)| *p);
        self.log.push((last.next(Millis(at(ms))), entry));
    }

    /// One decision, of a customer that `change` makes.
    pub fn show(&mut self, ms: i64, change: impl FnOnce(&mut Request<'_>)) -> Vec<Shows> {
        self.decisions += 1;
        let id = DecisionId::v7(Millis(at(ms)), self.decisions);
        let mut asked = request(id.0);
        asked.at = Millis(at(ms));
        asked.placements = vec![PlacementAsk {
            id: "card",
            count: 1,
            exclude_offers: Vec::new(),
        }];
        change(&mut asked);
        let facts = Facts::default();
        let decision = decide(&self.snapshot, &asked, &facts, &mut self.scratch);
        let record = DecisionRecord::new(&self.snapshot, &asked, &facts, decision, 1.0);
        let slate = &record.placements[0].slate;
        let shows = slate.iter().map(|c| Shows {
            decision: id,
            rank: c.rank,
            offer: c.offer.to_string(),
        });
        let shows: Vec<Shows> = shows.collect();
        let entry = Entry {
            kind: EntryKind::Decision as u8,
            test: asked.test,
            at: asked.at.0,
            decision: Some(id.0),
            shown: vec![
                Shown {
                    offer: 0,
                    sells: false
                };
                shows.len()
            ],
            id: record.id.clone(),
            record: Packer::default().pack(&record),
            ..Entry::empty()
        };
        self.push(ms, entry);
        shows
    }

    /// Something happened with an offer shown, and is heard of in the same moment.
    pub fn event(&mut self, ms: i64, kind: EventType, shows: &Shows) {
        self.event_heard(ms, ms, kind, shows);
    }

    /// Something happened, and is heard of at `heard`.
    pub fn event_heard(&mut self, ms: i64, heard: i64, kind: EventType, shows: &Shows) {
        let json = serde_json::json!({
            "type": kind.as_str(), "decision": shows.decision.to_string(), "slot": 0,
            "rank": shows.rank, "at": rfc3339(Millis(at(ms))),
        });
        let entry = Entry {
            kind: EntryKind::from(kind) as u8,
            at: at(ms),
            decision: Some(shows.decision.0),
            record: json.to_string().into(),
            ..Entry::empty()
        };
        self.push(heard, entry);
    }

    /// Time passes: a record that says nothing.
    pub fn pass(&mut self, ms: i64) {
        self.show(ms, |asked| asked.test = true);
    }

    /// What is believed of an offer: probability and spread.
    pub fn believed(&mut self, learner: &Learner, id: &str) -> (f64, f64) {
        let catalog = &self.snapshot.catalog;
        let posterior = bind(&learner.learnt(), catalog, &["prior@0"]);
        self.snapshot.posterior = Some(Arc::new(posterior));
        let asked = request(1);
        let asked = Request {
            placements: vec![PlacementAsk {
                id: "card",
                count: 1,
                exclude_offers: Vec::new(),
            }],
            ..asked
        };
        let decision = decide(&self.snapshot, &asked, &Facts::default(), &mut self.scratch);
        let found = of(decision, &self.snapshot.catalog, id);
        self.snapshot.posterior = None;
        found
    }
}

fn of(decision: &Decision, catalog: &Catalog, id: &str) -> (f64, f64) {
    let mut candidates = decision.candidates.iter();
    let candidate = candidates.find(|c| *catalog.offer(c.offer).id == *id);
    match candidate.map(|c| c.verdict) {
        Some(Verdict::Eligible {
            probability,
            spread,
            ..
        }) => (probability, spread),
        other => panic!("{id}: {other:?}"),
    }
}
