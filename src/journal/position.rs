//! Where a record stands in a node's journal.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::Millis;

/// A record's place: strictly increasing in the order written, so that it can be a stream's id.
///
/// `ms` is the wall clock when the record was written, held back from ever going backwards; `seq`
/// counts the node's records without gaps, across segments and restarts, from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position {
    /// Milliseconds since the Unix epoch, never smaller than the record before's.
    pub ms: i64,
    /// The record's number.
    pub seq: u64,
}

impl Position {
    /// Before every record.
    pub const START: Position = Position { ms: 0, seq: 0 };
    /// After every record.
    pub const END: Position = Position {
        ms: i64::MAX,
        seq: u64::MAX,
    };

    /// The place of the record that follows, written at `now`.
    #[must_use]
    pub fn next(self, now: Millis) -> Position {
        Position {
            ms: self.ms.max(now.0),
            seq: self.seq + 1,
        }
    }

    /// Whether a record may stand here when the last one stood at `last`.
    #[must_use]
    pub fn follows(self, last: Position) -> bool {
        self.seq > last.seq && self.ms >= last.ms
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}
