//! What operators can do, whichever door they come through.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::problem::Problem;
use crate::control::budget::ExploringBudget;
use crate::control::replay::{Replayed, Replayer};
use crate::control::{CatalogOutcome, Control, Shipped};
use crate::domain::{DecisionId, Entry, EntryKind, Millis, NameHash};
use crate::journal::sink::SinkHandle;
use crate::journal::{Journal, Position};
use crate::learn::learner::day;
use crate::learn::learner::run::{Embedded, Progress};
use crate::ledger::Ledger;
use crate::telemetry;

/// A decision's record is looked for up to this long after the decision: the writer may be behind a
/// slow disk, but never by so much.
const RECORD_DELAY_MS_MAX: i64 = 10 * 60_000;

/// Records read at a time while looking for one.
const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

/// Says who may be here, by a request's headers; else why not.
pub type Authorize = Box<dyn Fn(&http::HeaderMap) -> Result<(), String> + Send + Sync>;

/// Who a caller is, for people who look at it later.
pub type Who = Box<dyn Fn(&http::HeaderMap) -> String + Send + Sync>;

/// What an operator's requests need.
pub struct Parts {
    /// This node's name.
    pub node: String,
    /// Catalogs and models.
    pub control: Arc<Control>,
    /// Where the control plane keeps its files.
    pub control_dir: PathBuf,
    /// What the program brings along.
    pub shipped: Shipped,
    /// Records.
    pub journal: Journal,
    /// Who has been shown what.
    pub ledger: Arc<Ledger>,
    /// Where records are shipped; `None` without Redis.
    pub sink: Option<Arc<SinkHandle>>,
    /// What learns; `None` where nothing does.
    pub learner: Option<Arc<Embedded>>,
    /// The metrics page.
    pub render: Box<dyn Fn() -> String + Send + Sync>,
    /// Whether this process should be sent requests.
    pub ready: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Whether the caller may be here, by the value of their `Authorization` header.
    pub authorize: Authorize,
    /// Who a caller that may be here is.
    pub who: Who,
    /// The clock.
    pub now: fn() -> Millis,
}

/// The operators' port.
pub struct Operator {
    parts: Parts,
}

/// How records get from the journal to Redis.
#[derive(Debug, Serialize)]
pub struct Delivery {
    /// This node's name.
    pub node: String,
    /// Records written since the start, by type.
    pub appended: BTreeMap<&'static str, u64>,
    /// Events that had been counted before.
    pub duplicates: u64,
    /// Records known to be lost, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// The last record that is durable.
    pub durable: Place,
    /// Everything up to here is in Redis.
    pub shipped: Place,
    /// Records waiting to be written.
    pub queued: u64,
    /// Records after `shipped`; 0 without a sink.
    pub lag_entries: u64,
    /// Milliseconds from `shipped` to the journal's end; 0 without a sink.
    pub lag_ms: u64,
    /// Whether records are shipped at all.
    pub sink: bool,
    /// Whether Redis answers.
    pub connected: bool,
    /// What Redis said last when it refused.
    pub last_error: Option<String>,
    /// What the operator should know about that Redis' settings.
    pub warnings: Vec<String>,
    /// What is wrong with the journal's disk.
    pub trouble: Option<&'static str>,
}

/// What has been learnt, from what, and what was left out and why.
#[derive(Debug, Serialize)]
pub struct Learning {
    /// This node's name.
    pub node: String,
    /// Whether this node and its catalog learn.
    pub enabled: bool,
    /// What costs are in, minor units.
    pub currency: String,
    /// The day in the operator's time zone, as `learning_cost` has it.
    pub today: String,
    /// The version of the posterior that decides.
    pub serving: Option<u64>,
    /// What each class with a budget for exploring has spent of it today.
    pub budgets: BTreeMap<&'static str, ExploringBudget>,
    /// How far the learner is; absent where there is none.
    #[serde(flatten)]
    pub progress: Option<Progress>,
}

/// A place in the journal.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Place {
    /// Milliseconds since the Unix epoch.
    pub ms: i64,
    /// The record's number.
    pub seq: u64,
}

impl From<Position> for Place {
    fn from(position: Position) -> Place {
        Place {
            ms: position.ms,
            seq: position.seq,
        }
    }
}

impl Operator {
    /// Puts the parts together.
    #[must_use]
    pub fn new(parts: Parts) -> Operator {
        Operator { parts }
    }

    /// The parts, for the doors.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Checks a catalog and, unless `dry_run`, makes it live.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn put_catalog(&self, text: &str, dry_run: bool) -> Result<CatalogOutcome, Problem> {
        let now = (self.parts.now)();
        let outcome = self.parts.control.put_catalog(text, dry_run, false, now)?;
        if outcome.live {
            tracing::info!(
                epoch = outcome.epoch,
                digest = outcome.digest,
                "catalog is live"
            );
        }
        Ok(outcome)
    }

    /// The record of a decision. Reads the journal: not for a hot path.
    ///
    /// # Errors
    /// When there is none, or the journal cannot be read.
    pub fn record(&self, id: &str) -> Result<Entry, Problem> {
        let id: DecisionId = id.parse().map_err(|e| Problem::malformed(e).about("id"))?;
        let made = i64::try_from(id.0 >> 80).unwrap_or(i64::MAX);
        let unreadable = |e: std::io::Error| Problem::internal(format!("journal: {e}"));
        let mut reader = self.parts.journal.reader(Position { ms: made, seq: 0 });
        loop {
            let batch = reader
                .next_batch(BATCH_ENTRIES, BATCH_BYTES)
                .map_err(unreadable)?;
            let past = |p: &Position| p.ms > made.saturating_add(RECORD_DELAY_MS_MAX);
            let end = batch.last().is_none_or(|(position, _)| past(position));
            let found = batch
                .into_iter()
                .find(|(_, e)| e.decision == Some(id.0) && e.kind() == Some(EntryKind::Decision));
            match found {
                Some((_, entry)) => return Ok(entry),
                None if end => {
                    return Err(Problem::not_found(format!("no decision {id} is on record")));
                }
                None => {}
            }
        }
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// As [`Operator::record`].
    pub fn record_json(&self, id: &str) -> Result<String, Problem> {
        let entry = self.record(id)?;
        let json = entry.record.json();
        let json = json.map_err(|e| Problem::internal(format!("journal: {e}")))?;
        Ok(json.into_owned())
    }

    /// Makes a decision on record again.
    ///
    /// # Errors
    /// When it is not on record or cannot be made again.
    pub fn replay(&self, id: &str) -> Result<Replayed, Problem> {
        let entry = self.record(id)?;
        let mut replayer = Replayer::open(self.parts.control_dir.clone(), self.parts.shipped)?;
        Ok(replayer.replay(&entry.record)?)
    }

    /// How records get from the journal to Redis.
    #[must_use]
    pub fn delivery(&self) -> Delivery {
        let journal = self.parts.journal.status();
        let sink = self.parts.sink.as_ref().map(|sink| sink.status());
        let server = sink.as_ref().and_then(|s| s.server.as_ref());
        let blocked = sink.iter().flat_map(|s| &s.blocked);
        let warnings = server.map(|s| s.warnings()).unwrap_or_default();
        let warnings = warnings.into_iter().map(str::to_owned);
        Delivery {
            node: self.parts.node.clone(),
            appended: journal
                .appended
                .iter()
                .filter(|(_, n)| *n > 0)
                .map(|(kind, n)| (kind.as_str(), *n))
                .collect(),
            duplicates: journal.duplicates,
            lost: journal
                .lost
                .iter()
                .map(|(reason, n)| (reason.as_str(), *n))
                .collect(),
            durable: journal.committed.into(),
            shipped: sink.as_ref().map_or(Position::START, |s| s.shipped).into(),
            queued: journal.queue_entries as u64,
            lag_entries: sink.as_ref().map_or(0, |s| s.lag_entries),
            lag_ms: sink.as_ref().map_or(0, |s| s.lag_ms),
            sink: sink.is_some(),
            connected: sink.as_ref().is_some_and(|s| s.connected),
            last_error: sink.as_ref().and_then(|s| s.last_error.clone()),
            warnings: warnings
                .chain(blocked.map(|b| format!("{}: {}", b.key, b.reason)))
                .collect(),
            trouble: journal.trouble.map(|t| t.as_str()),
        }
    }

    /// What has been learnt, from what, and what was left out and why.
    #[must_use]
    pub fn learning(&self) -> Learning {
        let catalog = self.parts.control.catalog();
        let now = (self.parts.now)();
        let mut progress = self.parts.learner.as_ref().map(|l| l.progress());
        for offer in progress.iter_mut().flat_map(|p| &mut p.report.offers) {
            let hash = u64::from_str_radix(&offer.offer, 16).map(NameHash);
            let known = hash.ok().and_then(|hash| catalog.offer_by_hash(hash));
            if let Some(known) = known {
                offer.offer = known.id.to_string();
            }
        }
        Learning {
            node: self.parts.node.clone(),
            enabled: progress.is_some() && catalog.learning.enabled,
            currency: catalog.currency.as_str().to_owned(),
            today: day(&catalog.time_zone, now.0),
            serving: self
                .parts
                .control
                .live()
                .load()
                .posterior
                .as_ref()
                .map(|p| p.version),
            budgets: self.parts.control.exploring(now),
            progress,
        }
    }

    fn learner_metrics(&self) {
        let Some(learner) = &self.parts.learner else {
            return;
        };
        let progress = learner.progress();
        let serving = self
            .parts
            .control
            .live()
            .load()
            .posterior
            .as_ref()
            .map_or(0, |p| p.version);
        for (name, value) in [
            ("offerd_learner_up", f64::from(u8::from(progress.running))),
            ("offerd_learner_lag_entries", progress.lag_entries as f64),
            (
                "offerd_learner_age_seconds",
                progress.age_ms as f64 / 1_000.0,
            ),
            ("offerd_posterior_version", serving as f64),
        ] {
            telemetry::set(name, value);
        }
        let (heard, events) = (&progress.report.decisions, &progress.report.events);
        for (word, n) in [
            ("learnt", events.learnt),
            ("unseen", events.unseen),
            ("forgotten", events.forgotten),
            ("test", heard.test),
            ("unmeasured", heard.unmeasured),
            ("degraded", heard.degraded),
            ("no_catalog", heard.no_catalog),
            ("learning_off", heard.learning_off),
            ("unknown_offer", heard.unknown_offer),
        ] {
            telemetry::set_total("offerd_learner_showings_total", "result", word, n);
        }
        for (word, n) in [
            ("used", events.used),
            ("no_showing", events.no_showing),
            ("outside_window", events.outside_window),
            ("repeated", events.repeated),
            ("no_share", events.no_share),
        ] {
            telemetry::set_total("offerd_learner_events_total", "result", word, n);
        }
    }

    /// The metrics page, with what is kept elsewhere copied in first.
    #[must_use]
    pub fn metrics(&self) -> String {
        let delivery = self.delivery();
        let journal = self.parts.journal.status();
        let ledger = self.parts.ledger.stats();
        self.learner_metrics();
        for (kind, n) in delivery.appended {
            telemetry::set_total("offerd_journal_entries_total", "type", kind, n);
        }
        for (reason, n) in delivery.lost {
            telemetry::set_total("offerd_events_lost_total", "reason", reason, n);
        }
        let sink = self.parts.sink.as_ref().map(|sink| sink.status());
        for (code, n) in sink.iter().flat_map(|s| &s.errors) {
            telemetry::set_total("offerd_redis_errors_total", "code", code, *n);
        }
        for (name, value) in [
            (
                "offerd_epoch",
                self.parts.control.live().load().epoch as f64,
            ),
            ("offerd_journal_bytes", journal.bytes as f64),
            ("offerd_journal_segments", journal.segments as f64),
            ("offerd_redis_up", f64::from(u8::from(delivery.connected))),
            ("offerd_flush_lag_entries", delivery.lag_entries as f64),
            ("offerd_flush_lag_seconds", delivery.lag_ms as f64 / 1_000.0),
            ("offerd_ledger_accounts", ledger.accounts as f64),
            ("offerd_ledger_exposures", ledger.exposures as f64),
        ] {
            telemetry::set(name, value);
        }
        (self.parts.render)() + &self.parts.control.model_metrics()
    }
}
