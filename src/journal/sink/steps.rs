//! What the shipper takes in and gives out: batches, questions, answers, and why a stream is blocked.

use super::error::ErrorCode;
use crate::journal::Position;

/// One stream's batch, as it goes to Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Which stream.
    pub stream: usize,
    /// The top onto which it may be applied.
    pub expected: Position,
    /// Its first entry.
    pub first: Position,
    /// Its last entry.
    pub last: Position,
    /// How many entries.
    pub entries: usize,
    /// Replies from before a later doubt are void.
    pub(super) epoch: u32,
}

/// A question about one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Which stream.
    pub stream: usize,
    /// Whether the stream holds this entry; where `None`, only the top is asked for.
    pub proof: Option<Position>,
    /// Replies from before a later doubt are void.
    pub(super) epoch: u32,
}

/// What Redis says about a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its last generated id; [`Position::START`] where there is no stream.
    pub top: Position,
    /// Whether it holds the entry asked for.
    pub proven: bool,
}

/// Why nothing is shipped to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Redis answered with an error; tried again after a while.
    Failing(ErrorCode),
    /// The stream ends beyond the journal: another journal wrote it under this node's name.
    Ahead {
        /// Where the stream ends.
        top: Position,
    },
    /// The stream ends beyond an entry that it does not hold and now can never take.
    Overtaken {
        /// Where the stream ends.
        top: Position,
        /// The entry that is missing in it.
        missing: Position,
    },
}

/// What becomes of an entry that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in Redis already, on its way, or its stream is blocked.
    Pass,
    /// It belongs to the batch of this index in the round under construction.
    Join(usize),
}

/// Waiting times between attempts, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub min_ms: u64,
    /// Upper bound of every wait.
    pub max_ms: u64,
}

impl Backoff {
    /// How long to wait after `failures` failures in a row: full jitter, so that many nodes that
    /// lost the same Redis do not come back as one. `random` is any 64 bits.
    #[must_use]
    pub fn wait_ms(self, failures: u32, random: u64) -> u64 {
        let doublings = failures.saturating_sub(1).min(32);
        let bound = self.min_ms.saturating_mul(1 << doublings).min(self.max_ms);
        1 + random % bound.max(1)
    }
}
