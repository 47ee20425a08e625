//! What the sink says about itself, for readiness, metrics and the console.

use std::collections::BTreeMap;

use serde::Serialize;

use super::server::Server;
use crate::journal::Position;

/// A snapshot of the sink's state.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// Whether a connection is up and has answered.
    pub connected: bool,
    /// The last error, as it came; `None` again once everything works.
    pub last_error: Option<String>,
    /// Everything at or below is in Redis, as far as is known.
    pub shipped: Position,
    /// Entries in the journal after `shipped`, whether they are shipped or not.
    pub lag_entries: u64,
    /// Milliseconds between `shipped` and the journal's end.
    pub lag_ms: u64,
    /// Entries that Redis has confirmed since the start.
    pub entries_applied: u64,
    /// Connections made since the start.
    pub connections: u64,
    /// Failures since the start, by the word of their code.
    pub errors: BTreeMap<&'static str, u64>,
    /// Streams to which nothing can be shipped now.
    pub blocked: Vec<BlockedStream>,
    /// How many times a stream had lost entries that Redis had acknowledged; they were sent again.
    pub suffixes_lost: u64,
    /// How many times a stream ended in an entry that this journal does not hold and was continued.
    pub adopted: u64,
    /// What the server told about itself at the last connection.
    pub server: Option<Server>,
}

/// A stream to which nothing can be shipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockedStream {
    /// The stream's key.
    pub key: String,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether waiting cannot help: a person must look.
    pub refused: bool,
}
