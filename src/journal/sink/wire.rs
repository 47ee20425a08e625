//! What goes to Redis and what comes back: keys, fields, and the batch that cannot leave a hole.
//!
//! # A batch is one script
//!
//! Ids only grow, so an entry that is left out while a later one is taken can never be written. Every
//! batch is therefore a compare-and-append in a single command, a script that Redis runs with nothing
//! in between:
//!
//! ```text
//! EVAL script 1 key expected  n id field value …  n id field value …
//! ```
//!
//! 1. If the stream's top is not `expected`, answer the top and append nothing. So a batch is never
//!    taken after `FLUSHALL`, `DEL`, an eviction, a restore, a `REPLICAOF` there and back, or behind
//!    an earlier batch that was refused, none of which need break the connection. A stream that is
//!    gone has the top `0-0`: only a stream's first batch makes it.
//! 2. Append one entry after the other. The first refusal ends the script, so what is in the stream
//!    is the batch's beginning, in order. The reply is then the error, and the shipper asks for the
//!    top.
//!
//! A question for the top is a batch that expects none and has no entries.
//!
//! # Why not a transaction
//!
//! `MULTI`/`EXEC` is all or none against errors that Redis sees while queueing, but it is taken onto
//! whatever the stream is *then*. A guard before it has to undo it from outside, with `WATCH` and a
//! script that touches the watched key where the top is another. Where writes are refused (READONLY,
//! NOREPLICAS, MISCONF) that touch is refused as well; and a pipeline is read from the socket in
//! pieces, so the fault may be cured before the `EXEC`, which is then taken without the batch before
//! it. A right that is taken away or a script that is flushed between two of the commands does the
//! same. Here there is nothing between.
//!
//! The price is the arguments' way into Lua and back: 0.28 against 0.42 million entries a second
//! (600-byte records, Redis 7.0.15). True records are worth more than raw speed.
//!
//! The script is sent as text with every batch, about half a kilobyte: with `EVALSHA` there would be
//! a script cache to fill, to lose and to fill again, and rights to it.

use std::fmt::Write as _;

use redis::{Cmd, RedisWrite as _, Value};

use super::error::ErrorCode;
use crate::domain::{Entry, EntryKind};
use crate::journal::Position;

/// The schema version: the stream's `v` field.
const SCHEMA: &str = "1";

/// Every stream's key is a member.
pub const STREAMS_KEY: &str = "offerd:streams";

/// Compares and appends, as the module says. Answers how many entries it has appended, or the
/// stream's top where that is not the expected one. `ARGV` is the expected top and then, for each
/// entry, how many arguments follow and the arguments of `XADD` after its key.
const SCRIPT: &str = "\
local key, top = KEYS[1], '0-0'
local info = redis.pcall('XINFO', 'STREAM', key)
if info.err then
  if not string.find(info.err, 'no such key', 1, true) then return info end
else
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then top = info[i + 1] end
  end
end
if top ~= ARGV[1] then return top end
local at, last, applied = 2, #ARGV, 0
while at <= last do
  local n = tonumber(ARGV[at])
  redis.call('XADD', key, unpack(ARGV, at + 1, at + n))
  at, applied = at + n + 1, applied + 1
end
return applied";

/// The streams of one node: `2 * partition`, plus 1 for the entries of test requests.
#[derive(Clone, Debug)]
pub struct Streams {
    node: String,
    partitions: u64,
    keys: Vec<String>,
}

impl Streams {
    /// The streams of `node`.
    #[must_use]
    pub fn new(node: &str, partitions: u16) -> Streams {
        let key = |p| ["events", "test"].map(|class| format!("{{offerd:{p:02}}}:{class}:{node}"));
        Streams {
            node: node.to_owned(),
            partitions: u64::from(partitions),
            keys: (0..partitions).flat_map(key).collect(),
        }
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The keys, by index.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Which stream an entry belongs to; `None` where it is not shipped.
    #[must_use]
    pub fn of(&self, entry: &Entry) -> Option<usize> {
        (entry.kind() != Some(EntryKind::Snapshot)).then(|| {
            let partition = usize::try_from(entry.route % self.partitions)
                .expect("there are at most 100 partitions");
            2 * partition + usize::from(entry.test)
        })
    }
}

/// The fields that every entry has: `v`, `type`, `id`, `at`, `node`, `seq` and `json`.
const FIELDS_ALWAYS: usize = 7;

/// Puts entries into batches, with a buffer for what must be formatted first.
#[derive(Debug, Default)]
pub struct Encoder {
    text: String,
}

impl Encoder {
    /// A batch without entries for the stream at `key`, to be taken onto the top `expected` only.
    pub fn open(&mut self, key: &str, expected: Position) -> Cmd {
        self.text.clear();
        write!(self.text, "{expected}").expect("a string takes everything");
        script(key, &self.text)
    }

    /// Puts `entry` at the end of `batch`. What the entry does not have is left out: `decision`, and
    /// `offer` and what follows it. The stream is trimmed to about `entries_max`, 0 for never.
    pub fn append(
        &mut self,
        batch: &mut Cmd,
        streams: &Streams,
        entries_max: u64,
        position: Position,
        entry: &Entry,
    ) {
        let words = [
            ("offer", &entry.offer),
            ("placement", &entry.placement),
            ("phase", &entry.phase),
        ];
        let decision = entry.decision();
        let fields = FIELDS_ALWAYS
            + words.iter().filter(|(_, word)| word.is_some()).count()
            + usize::from(decision.is_some())
            + usize::from(entry.propensity.is_some())
            + usize::from(entry.model.is_some());
        let trim = if entries_max > 0 { 3 } else { 0 };
        batch.arg(trim + 1 + 2 * fields);
        if entries_max > 0 {
            batch.arg("MAXLEN").arg("~").arg(entries_max);
        }
        batch.write_arg_fmt(position);
        let kind = entry.kind().map_or("unknown", EntryKind::as_str);
        batch.arg("v").arg(SCHEMA).arg("type").arg(kind);
        batch.arg("id").arg(&entry.id);
        if let Some(id) = decision {
            batch.arg("decision").write_arg_fmt(id);
        }
        batch.arg("at").arg(self.instant(entry.at));
        batch.arg("node").arg(streams.node());
        batch.arg("seq").arg(position.seq);
        for (name, value) in words {
            if let Some(value) = value {
                batch.arg(name).arg(value);
            }
        }
        if let Some(propensity) = entry.propensity {
            batch.arg("propensity").write_arg_fmt(propensity);
        }
        if let Some(model) = &entry.model {
            batch.arg("model").arg(model);
        }
        batch.arg("json").arg(&entry.json);
    }

    /// RFC 3339, UTC, three decimals. An instant outside the years that format can tell is the
    /// nearest that it can.
    fn instant(&mut self, ms: i64) -> &str {
        const PRINTER: jiff::fmt::temporal::DateTimePrinter =
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(3));
        let (min, max) = (jiff::Timestamp::MIN, jiff::Timestamp::MAX);
        let ms = ms.clamp(min.as_millisecond() + 1, max.as_millisecond() - 1);
        let at = jiff::Timestamp::from_millisecond(ms).expect("clamped to the range");
        self.text.clear();
        PRINTER
            .print_timestamp(&at, &mut self.text)
            .expect("a string takes everything");
        &self.text
    }
}

/// The question for a stream's top.
#[must_use]
pub fn ask_top(key: &str) -> Cmd {
    // No top is empty, so every top is answered.
    script(key, "")
}

fn script(key: &str, expected: &str) -> Cmd {
    let mut cmd = Cmd::with_capacity(32, SCRIPT.len() + 512);
    cmd.arg("EVAL").arg(SCRIPT).arg(1).arg(key).arg(expected);
    cmd
}

/// The question whether a stream holds an entry.
#[must_use]
pub fn ask_entry(key: &str, position: Position) -> Cmd {
    let mut cmd = redis::cmd("XRANGE");
    cmd.arg(key);
    cmd.write_arg_fmt(position);
    cmd.write_arg_fmt(position);
    cmd
}

/// Enters a key into the set of streams.
#[must_use]
pub fn register(key: &str) -> Cmd {
    let mut cmd = redis::cmd("SADD");
    cmd.arg(STREAMS_KEY).arg(key);
    cmd
}

/// Whether the reply to [`register`] says that the key is in the set.
///
/// # Errors
/// The error that Redis answered.
pub fn entered(reply: &Value) -> Result<(), Failure> {
    match reply {
        Value::Int(_) => Ok(()),
        Value::ServerError(error) => Err(Failure::of(error)),
        other => Err(Failure::unexpected(other)),
    }
}

/// Why a reply is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people, as Redis said it.
    pub detail: String,
}

impl Failure {
    pub(super) fn new(code: ErrorCode, detail: &str) -> Failure {
        Failure {
            code,
            detail: detail.to_owned(),
        }
    }

    fn of(error: &redis::ServerError) -> Failure {
        let details = error.details().unwrap_or_default();
        Failure {
            code: ErrorCode::of_reply(error.code(), details),
            detail: format!("{} {details}", error.code()),
        }
    }

    fn unexpected(reply: &Value) -> Failure {
        Failure::new(ErrorCode::Protocol, &format!("unexpected reply {reply:?}"))
    }
}

/// Whether a batch of `entries` was applied in full. Where it was not, its beginning may have been.
///
/// # Errors
/// The error that Redis answered, or [`ErrorCode::Moved`] where the top is not the expected one.
pub fn applied(reply: &Value, entries: usize) -> Result<(), Failure> {
    match reply {
        Value::Int(count) if usize::try_from(*count) == Ok(entries) => Ok(()),
        Value::BulkString(_) => {
            let top = top(reply)?;
            let detail = format!("the stream's top is {top}, not where the batch begins");
            Err(Failure::new(ErrorCode::Moved, &detail))
        }
        Value::ServerError(error) => Err(Failure::of(error)),
        other => Err(Failure::unexpected(other)),
    }
}

/// The top in the reply to [`ask_top`].
///
/// # Errors
/// The error that Redis answered.
pub fn top(reply: &Value) -> Result<Position, Failure> {
    match reply {
        Value::BulkString(id) => std::str::from_utf8(id)
            .ok()
            .and_then(position)
            .ok_or_else(|| Failure::unexpected(reply)),
        Value::ServerError(error) => Err(Failure::of(error)),
        other => Err(Failure::unexpected(other)),
    }
}

/// Whether the reply to [`ask_entry`] holds an entry.
///
/// # Errors
/// The error that Redis answered.
pub fn holds(reply: &Value) -> Result<bool, Failure> {
    match reply {
        Value::Array(entries) => Ok(!entries.is_empty()),
        Value::ServerError(error) => Err(Failure::of(error)),
        other => Err(Failure::unexpected(other)),
    }
}

/// Reads an id as a position; ids beyond what a position can hold are as far as it can.
fn position(id: &str) -> Option<Position> {
    let (ms, seq) = id.split_once('-')?;
    let ms: u64 = ms.parse().ok()?;
    Some(Position {
        ms: i64::try_from(ms).unwrap_or(i64::MAX),
        seq: seq.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry that has those of the six optional fields whose bit is set.
    fn entry_with(has: u32) -> Entry {
        let word = |bit: u32| (has >> bit & 1 == 1).then(|| "word".to_owned());
        Entry {
            kind: EntryKind::Decision as u8,
            test: false,
            at: 5,
            keys: Vec::new(),
            decision: word(0).map(|_| 1),
            route: 0,
            subject: None,
            shown: Vec::new(),
            hold_until: 0,
            id: "e-1".to_owned(),
            offer: word(1),
            placement: word(2),
            phase: word(3),
            propensity: word(4).map(|_| 0.5),
            model: word(5),
            json: "{}".to_owned(),
        }
    }

    #[test]
    fn an_entry_tells_how_many_arguments_it_has() {
        let streams = Streams::new("n1", 1);
        let position = Position { ms: 5, seq: 1 };
        for trim in [0, 10] {
            for has in 0..1 << 6 {
                let mut batch = redis::cmd("EVAL");
                Encoder::default().append(&mut batch, &streams, trim, position, &entry_with(has));
                let told = match batch.args_iter().nth(1) {
                    Some(redis::Arg::Simple(text)) => String::from_utf8_lossy(text).parse(),
                    _ => Ok(0),
                };
                let there = batch.args_iter().count() - 2;
                assert_eq!(told, Ok(there), "trim {trim}, {has:06b}");
            }
        }
    }

    #[test]
    fn only_the_whole_batch_is_applied() {
        let check = |reply: Value, expected: Result<(), ErrorCode>| {
            let found = applied(&reply, 3).map_err(|failure| failure.code);
            assert_eq!(found, expected, "{reply:?}");
        };
        check(Value::Int(3), Ok(()));
        check(Value::Int(2), Err(ErrorCode::Protocol));
        check(Value::Int(-3), Err(ErrorCode::Protocol));
        check(Value::Nil, Err(ErrorCode::Protocol));
        check(Value::BulkString(b"7-1".to_vec()), Err(ErrorCode::Moved));
        check(Value::BulkString(b"x".to_vec()), Err(ErrorCode::Protocol));
    }
}
