//! What the journal holds: an envelope that machines read quickly around a record that is whole.

use super::phase::vocabulary;
use serde::{Deserialize, Serialize};

use super::{DecisionId, EventType, Millis, NameHash, Record, SubjectKey};

vocabulary! {
    /// What kind of record an entry is. The words are the `type` field of the stream.
    EntryKind {
        /// A decision.
        Decision = "decision",
        /// See [`EventType::Impression`]; the events follow in their own order.
        Impression = "impression",
        /// See [`EventType::Viewable`].
        Viewable = "viewable",
        /// See [`EventType::Click`].
        Click = "click",
        /// See [`EventType::Dismiss`].
        Dismiss = "dismiss",
        /// See [`EventType::Order`].
        Order = "order",
        /// See [`EventType::Conversion`].
        Conversion = "conversion",
        /// See [`EventType::Reversal`].
        Reversal = "reversal",
        /// See [`EventType::PhaseView`].
        PhaseView = "phase_view",
        /// See [`EventType::Element`].
        Element = "element",
        /// See [`EventType::Feedback`].
        Feedback = "feedback",
        /// The catalog, model and settings from this entry on: what replay needs, never shipped.
        Snapshot = "snapshot",
    }
}

impl From<EventType> for EntryKind {
    fn from(event: EventType) -> EntryKind {
        EntryKind::ALL[event as usize + 1]
    }
}

/// How firmly the journal must hold an entry before its sender hears of success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ack {
    /// Handed to the operating system: survives the process, not the machine.
    Written,
    /// After `fdatasync`: survives the machine too.
    Durable,
}

/// One offer that a decision put on a page, as the ledger counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Hash of the offer's id.
    pub offer: u64,
    /// Whether its class sells.
    pub sells: bool,
}

/// A record on its way into the journal.
///
/// The envelope holds what the ledger, the deduplication and the shipper need without parsing
/// `record`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// An [`EntryKind`] by its index.
    pub kind: u8,
    /// Made by a `test` request: shipped to the test streams, never learnt from.
    pub test: bool,
    /// When it happened, milliseconds since the Unix epoch.
    pub at: i64,
    /// Idempotency keys; an entry is a duplicate when any of them has been seen. Empty for decisions.
    pub keys: Vec<u128>,
    /// The decision it is or belongs to.
    pub decision: Option<u128>,
    /// What chooses its partition: hash of the decision id, else of the appointment id.
    pub route: u64,
    /// Whom the ledger books it on; `None` where measurement or caps do not apply.
    pub subject: Option<u128>,
    /// What was shown (decision), or the one offer the event is about.
    pub shown: Vec<Shown>,
    /// Until when the decision's reservations hold if no impression confirms them.
    pub hold_until: i64,
    /// The stream's `id` field: the decision's id or the event's.
    pub id: String,
    /// The stream's `offer` field.
    pub offer: Option<String>,
    /// The stream's `placement` field.
    pub placement: Option<String>,
    /// The stream's `phase` field.
    pub phase: Option<String>,
    /// The stream's `propensity` field.
    pub propensity: Option<f64>,
    /// The stream's `model` field.
    pub model: Option<String>,
    /// The whole record: one JSON object, packed or as text. The last in the envelope, where
    /// releases that knew text alone had it.
    pub record: Record,
}

impl Entry {
    /// The kind, where this release knows it.
    #[must_use]
    pub fn kind(&self) -> Option<EntryKind> {
        EntryKind::from_index(self.kind)
    }

    /// When it happened.
    #[must_use]
    pub fn at(&self) -> Millis {
        Millis(self.at)
    }

    /// The decision's id.
    #[must_use]
    pub fn decision(&self) -> Option<DecisionId> {
        self.decision.map(DecisionId)
    }

    /// Whom the ledger books it on.
    #[must_use]
    pub fn subject(&self) -> Option<SubjectKey> {
        self.subject.map(SubjectKey)
    }
}

impl Shown {
    /// The offer's hash as the rest of the program knows it.
    #[must_use]
    pub fn offer(&self) -> NameHash {
        NameHash(self.offer)
    }
}

impl Entry {
    /// An entry with nothing in it, to be filled by name.
    #[must_use]
    pub fn empty() -> Entry {
        Entry {
            kind: 0,
            test: false,
            at: 0,
            keys: Vec::new(),
            decision: None,
            route: 0,
            subject: None,
            shown: Vec::new(),
            hold_until: 0,
            id: String::new(),
            offer: None,
            placement: None,
            phase: None,
            propensity: None,
            model: None,
            record: Record::default(),
        }
    }
}
