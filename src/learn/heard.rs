//! What every reader of a log asks of a record first: whether it is a decision, and which showing it is about.

use serde::Deserialize;

use crate::decide::record::Text;
use crate::domain::record::read;
use crate::domain::{DecisionId, Millis};

/// One offer shown: decision, placement asked for, rank.
pub type Showing = (u128, u8, u8);

/// The beginning of a decision's or an event's record, as far as joining the two takes.
#[derive(Deserialize)]
pub struct Head<'a> {
    /// `decision`, or the type of the event.
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    decision: Option<Text<'a>>,
    slot: Option<u8>,
    rank: Option<u8>,
    /// When it happened, RFC 3339.
    #[serde(borrow)]
    pub at: Option<Text<'a>>,
    /// Digest of a decision's catalog.
    #[serde(borrow)]
    pub catalog: Option<Text<'a>>,
}

impl<'a> Head<'a> {
    /// `None` for what is no record.
    #[must_use]
    pub fn of(record: &'a (impl AsRef<[u8]> + ?Sized)) -> Option<Head<'a>> {
        read(record).ok()
    }

    /// The showing that an event is about; `None` for decisions and for events about the visit.
    #[must_use]
    pub fn showing(&self) -> Option<Showing> {
        let decision: DecisionId = self.decision.as_ref()?.parse().ok()?;
        Some((decision.0, self.slot?, self.rank?))
    }

    /// When it happened, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn at_ms(&self) -> Option<i64> {
        Millis::read(self.at.as_ref()?).map(|at| at.0)
    }
}

/// Whether it is a record of something else than a decision. What is no record at all may have been one.
#[must_use]
pub fn is_event(record: &(impl AsRef<[u8]> + ?Sized)) -> bool {
    Head::of(record).is_some_and(|head| head.kind != "decision")
}
