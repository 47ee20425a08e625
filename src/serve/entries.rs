//! Decisions and events as journal entries: the envelope and the record in it.

use std::cell::RefCell;

use serde::Serialize;

use crate::decide::record::{Made, rfc3339};
use crate::decide::snapshot::Snapshot;
use crate::domain::record::Packer;
use crate::domain::{
    Decision, DecisionId, Entry, EntryKind, EventType, Millis, Money, NameHash, Phase, Record,
    Shown, SubjectKey,
};

/// Puts into `shown` the offers a decision shows, as the ledger counts them.
pub fn shown(snapshot: &Snapshot, decision: &Decision, shown: &mut Vec<Shown>) {
    let one = |c: &crate::domain::Choice| {
        let offer = snapshot.catalog.offer(c.offer);
        Shown {
            offer: offer.hash.0,
            sells: offer.class.sells(),
        }
    };
    shown.clear();
    shown.extend(decision.choices.iter().map(one));
}

/// A decision on its way into the journal.
pub fn decision(made: &Made<'_>, shown: &[Shown], hold_until: Millis) -> Entry {
    let request = made.request;
    let measured = made.is_measured();
    Entry {
        kind: EntryKind::Decision as u8,
        test: request.test,
        at: request.at.0,
        decision: Some(request.decision.0),
        route: request.decision.hash64(),
        subject: request.customer.subject.filter(|_| measured).map(|s| s.0),
        shown: shown.to_vec(),
        hold_until: hold_until.0,
        id: request.decision.to_string(),
        phase: Some(request.appointment.phase.as_str().into()),
        model: Some(made.model().into()),
        record: PACKER.with_borrow_mut(|packer| made.pack(packer)),
        ..Entry::empty()
    }
}

/// An event about an offer, as its token tells it.
#[derive(Clone, Copy, Debug)]
pub struct Attributed<'a> {
    /// The decision that showed the offer.
    pub decision: DecisionId,
    /// Whom the ledger books it on.
    pub subject: Option<SubjectKey>,
    /// Hash of the offer's id.
    pub offer_hash: NameHash,
    /// Whether its class sells.
    pub sells: bool,
    /// The offer's id, or its hash in hexadecimal where no catalog since the start has had it.
    pub offer: &'a str,
    /// The placement's id, or its hash likewise.
    pub placement: &'a str,
    /// The appointment's phase when the offer was shown.
    pub phase: Phase,
    /// `name@version` of the model that scored it, or its hash likewise.
    pub model: &'a str,
    /// Index of the placement in the request.
    pub slot: u8,
    /// Rank within the placement.
    pub rank: u8,
    /// Exact probability of the offer at that rank.
    pub propensity: f64,
    /// Made by a `test` request.
    pub test: bool,
}

/// What an event says besides its attribution.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// What it was worth.
    pub value: Option<Money>,
    /// Keyed hash of the appointment's id.
    pub appointment: Option<SubjectKey>,
    /// The phase that was looked at.
    pub phase: Option<Phase>,
    /// For how long.
    pub dwell_ms: Option<u64>,
    /// The element that was used.
    pub element: Option<&'a str>,
    /// 1 to 5.
    pub rating: Option<u8>,
}

/// An event's record, as the stream's readers see it.
#[derive(Serialize)]
struct EventRecord<'a> {
    v: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    at: String,
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    placement: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rank: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    propensity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appointment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dwell_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    element: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rating: Option<u8>,
    test: bool,
}

#[derive(Serialize)]
struct Value<'a> {
    amount_minor: i64,
    currency: &'a str,
}

/// When an event happened, and when it came in.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// As the sender says.
    pub at: Millis,
    /// By this server's clock.
    pub received: Millis,
}

/// An event on its way into the journal.
pub fn event(
    kind: EventType,
    id: &str,
    when: When,
    attributed: Option<Attributed<'_>>,
    said: Said<'_>,
    keys: Vec<u128>,
) -> Entry {
    let phase = said
        .phase
        .or(attributed.map(|a| a.phase))
        .map(Phase::as_str);
    let test = attributed.is_some_and(|a| a.test);
    let record = EventRecord {
        v: 1,
        kind: kind.as_str(),
        id,
        at: rfc3339(when.at),
        received_at: rfc3339(when.received),
        decision: attributed.map(|a| a.decision.to_string()),
        offer: attributed.map(|a| a.offer),
        placement: attributed.map(|a| a.placement),
        slot: attributed.map(|a| a.slot),
        rank: attributed.map(|a| a.rank),
        phase,
        propensity: attributed.map(|a| a.propensity),
        model: attributed.map(|a| a.model),
        subject: attributed.and_then(|a| a.subject).map(|s| s.to_string()),
        appointment: said.appointment.map(|s| s.to_string()),
        value: said.value.as_ref().map(|m| Value {
            amount_minor: m.amount_minor,
            currency: m.currency.as_str(),
        }),
        dwell_ms: said.dwell_ms,
        element: said.element,
        rating: said.rating,
        test,
    };
    let route = match (attributed, said.appointment) {
        (Some(a), _) => a.decision.hash64(),
        (None, Some(appointment)) => appointment.0 as u64,
        (None, None) => 0,
    };
    Entry {
        kind: EntryKind::from(kind) as u8,
        test,
        at: when.at.0,
        keys,
        decision: attributed.map(|a| a.decision.0),
        route,
        subject: attributed.and_then(|a| a.subject).map(|s| s.0),
        shown: attributed
            .iter()
            .map(|a| Shown {
                offer: a.offer_hash.0,
                sells: a.sells,
            })
            .collect(),
        id: id.into(),
        offer: attributed.map(|a| a.offer.into()),
        placement: attributed.map(|a| a.placement.into()),
        phase: phase.map(Into::into),
        propensity: attributed.map(|a| a.propensity),
        model: attributed.map(|a| a.model.into()),
        record: pack(&record),
        ..Entry::empty()
    }
}

thread_local! {
    static PACKER: RefCell<Packer> = RefCell::default();
}

fn pack(record: &impl Serialize) -> Record {
    PACKER.with_borrow_mut(|packer| packer.pack(record))
}
