//! Metrics: every name, its help text and its handle, in one place.
//!
//! Names are an interface: dashboards and alerts of people we do not know read them. Handles are made
//! once and kept; labels come from enums, never from requests, so that the number of series is fixed.

pub mod durations;
pub mod models;
pub mod tally;

use std::sync::{Mutex, PoisonError};

use metrics::{Counter, counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use self::durations::Durations;
use crate::domain::{Class, EventType, Exclusion, Lack};

// What models do is rendered from the tallies; see `models`.
const MODEL_DECISIONS: &str = "offerd_model_decisions_total";
const MODEL_FAILURES: &str = "offerd_model_failures_total";
const MODEL_DURATION: &str = "offerd_model_duration_seconds";
const MODEL_INPUTS_ODD: &str = "offerd_model_inputs_odd_total";
const MODEL_DRIFT: &str = "offerd_model_drift_psi";
const MODEL_DRIFT_LARGEST: &str = "offerd_model_drift_largest_psi";
const MODEL_DRIFT_ROWS: &str = "offerd_model_drift_rows";

/// What became of a decision as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// At least one offer is shown.
    Offered,
    /// None is.
    Empty,
    /// The request was refused.
    Refused,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventResult {
    /// New, and the journal holds it.
    Accepted,
    /// Seen before.
    Duplicate,
    /// Malformed, forged, expired.
    Rejected,
    /// The journal could not take it.
    Failed,
}

/// Handles of everything the data path counts.
pub struct Metrics {
    /// Last byte of the request read to first byte of the answer handed over.
    pub decision_duration: Durations,
    decisions: [Counter; 3],
    degraded: [Counter; DEGRADED.len()],
    empty: Vec<Counter>,
    events: Vec<[Counter; 4]>,
    shed: Vec<Vec<Counter>>,
    /// Tokens refused, by reason.
    pub tokens_rejected: fn(&'static str) -> Counter,
    /// Features that neither the catalog nor the model knows.
    pub features_ignored: Counter,
}

/// Words of the degraded label, in the order of `Degraded`'s fields.
const DEGRADED: [&str; 5] = [
    "model_deadline",
    "overload",
    "model_failed",
    "prior_only",
    "unlogged",
];

impl Metrics {
    /// Makes every handle; the recorder must be installed first.
    #[must_use]
    pub fn new() -> Metrics {
        describe();
        let decisions = ["offered", "empty", "refused"]
            .map(|o| counter!("offerd_decisions_total", "outcome" => o));
        let result = |event: &EventType| {
            ["accepted", "duplicate", "rejected", "failed"]
                .map(|r| counter!("offerd_events_total", "kind" => event.as_str(), "result" => r))
        };
        let shed = |class: &Class| {
            let one = |lack: &Lack| counter!("offerd_shed_total", "class" => class.as_str(), "reason" => lack.as_str());
            Lack::ALL.iter().map(one).collect()
        };
        let empty = Exclusion::ALL
            .iter()
            .map(|r| counter!("offerd_no_offer_total", "reason" => r.as_str()))
            .collect();
        Metrics {
            decision_duration: Durations::default(),
            decisions,
            degraded: DEGRADED.map(|d| counter!("offerd_degraded_total", "what" => d)),
            empty,
            events: EventType::ALL.iter().map(result).collect(),
            shed: Class::ALL.iter().map(shed).collect(),
            tokens_rejected: |reason| counter!("offerd_token_rejected_total", "reason" => reason),
            features_ignored: counter!("offerd_features_ignored_total"),
        }
    }

    /// Counts a decision.
    pub fn decision(&self, outcome: Outcome) {
        self.decisions[outcome as usize].increment(1);
    }

    /// What the recorder behind the facade does not render: to be put behind its page.
    #[must_use]
    pub fn render(&self) -> String {
        self.decision_duration.render(
            "offerd_decision_duration_seconds",
            "last byte of the request read to first byte of the answer handed over",
        )
    }

    /// Counts what an answer had to leave out.
    pub fn degraded(&self, words: impl Iterator<Item = &'static str>) {
        for word in words {
            if let Some(i) = DEGRADED.iter().position(|d| *d == word) {
                self.degraded[i].increment(1);
            }
        }
    }

    /// Counts a request that was turned away before it was parsed.
    pub fn shed(&self, class: Class, lack: Lack) {
        self.shed[class as usize][lack as usize].increment(1);
    }

    /// Counts a placement that stayed empty.
    pub fn no_offer(&self, reason: Exclusion) {
        self.empty[reason as usize].increment(1);
    }

    /// Counts an event.
    pub fn event(&self, event: EventType, result: EventResult) {
        self.events[event as usize][result as usize].increment(1);
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// Installs the recorder behind the `metrics` facade. Once per process: later calls give the first.
#[must_use]
pub fn install() -> PrometheusHandle {
    // Held throughout: of two that begin at once, the second must get the handle of the first.
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return handle.clone();
    }
    // It has no histograms, so there are no buffers that somebody would have to empty.
    let recorder = PrometheusBuilder::new().build_recorder();
    let installed = handle.insert(recorder.handle()).clone();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another recorder counts in this process: the metrics page stays empty");
    }
    installed
}

/// Sets a gauge that is read from somebody's status when the page is rendered.
pub fn set(name: &'static str, value: f64) {
    gauge!(name).set(value);
}

/// Sets a counter kept elsewhere, with one label, when the page is rendered.
pub fn set_total(name: &'static str, label: &'static str, word: &'static str, value: u64) {
    counter!(name, label => word).absolute(value);
}

fn describe() {
    for (name, help) in [
        ("offerd_decisions_total", "decisions by outcome"),
        (
            "offerd_degraded_total",
            "answers that had to leave something out, by what",
        ),
        (
            "offerd_no_offer_total",
            "placements that stayed empty, by reason",
        ),
        ("offerd_events_total", "events by kind and result"),
        (
            "offerd_events_lost_total",
            "records known to be lost, by reason",
        ),
        (
            "offerd_shed_total",
            "requests turned away before they were parsed, by class and reason",
        ),
        (
            "offerd_token_rejected_total",
            "event tokens refused, by reason",
        ),
        (
            "offerd_features_ignored_total",
            "features sent that neither the catalog nor the model knows",
        ),
        (
            "offerd_journal_entries_total",
            "records in the journal since the start, by type",
        ),
        (
            "offerd_learner_showings_total",
            "offers shown that the learner heard of, by what became of them",
        ),
        (
            "offerd_learner_events_total",
            "events that the learner heard of, by what became of them",
        ),
        (
            "offerd_redis_errors_total",
            "error replies of Redis by code",
        ),
    ] {
        describe_counter!(name, help);
    }
    for (name, help) in [
        ("offerd_inflight", "requests being answered"),
        (
            "offerd_admitted_share",
            "part of the decisions that is let in, 1 without overload",
        ),
        (
            "offerd_queue_wait_seconds",
            "how long a ready request usually waited for its turn",
        ),
        ("offerd_epoch", "number of the snapshot that serves"),
        ("offerd_journal_bytes", "bytes of the journal on disk"),
        ("offerd_journal_segments", "segment files of the journal"),
        ("offerd_redis_up", "1 while the sink is connected"),
        (
            "offerd_flush_lag_entries",
            "records written and not yet shipped",
        ),
        (
            "offerd_flush_lag_seconds",
            "age of the oldest record not yet shipped",
        ),
        ("offerd_learner_up", "1 while the learner's thread runs"),
        (
            "offerd_learner_lag_entries",
            "durable records that the learner has not heard",
        ),
        (
            "offerd_learner_age_seconds",
            "time since the learner last published or found nothing new",
        ),
        ("offerd_posterior_version", "lessons that decisions know of"),
        ("offerd_ledger_accounts", "customers the ledger knows"),
        ("offerd_ledger_exposures", "showings the ledger counts"),
    ] {
        describe_gauge!(name, help);
    }
}
