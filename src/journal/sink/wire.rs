//! What goes to Redis and what comes back: keys, fields, and the guarded batch.
//!
//! # A batch that cannot leave a hole
//!
//! Ids only grow, so an entry that is left out while a later one is taken can never be written. A
//! plain `MULTI`/`EXEC` is not enough to prevent that. It is all or none against errors of a kind
//! that Redis sees while queueing (OOM, MISCONF, READONLY, NOPERM, a moved slot: the whole is
//! discarded with `EXECABORT`). But it looks only at its own commands, and is taken onto whatever
//! the stream is *now*: after `FLUSHALL`, `DEL`, an eviction, a restore, a `REPLICAOF` there and
//! back, or behind an earlier batch that was refused (memory was freed in between), the entries
//! before it are missing and it is accepted all the same. None of these need break the connection.
//!
//! So every batch is a compare-and-append, at the price of three small commands:
//!
//! ```text
//! WATCH key
//! EVAL  guard 1 key expected     is the top what we think? if not, touch the watched key
//! MULTI
//! XADD  key [NOMKSTREAM] [MAXLEN ~ n] id field value …      once per entry
//! EXEC                           nil: the key was touched, nothing was applied
//! ```
//!
//! The guard touches the key with an expiry far away, set and taken back: that changes nothing and
//! needs no memory, so it works when `maxmemory` is reached. It is sent as text, since a script that
//! was flushed would leave the batch unguarded. Whatever changes the key between the guard and
//! `EXEC` touches it as well. A stream that is gone has nothing to touch; `NOMKSTREAM` then refuses
//! the entries of any batch but a stream's first.
//!
//! Doing the appends in the script would be as safe. It was measured at two thirds of the entries
//! per second (0.28 against 0.42 million, 600-byte records, Redis 7.0.15), because every argument is
//! copied into Lua and back.
//!
//! What is left: where the user's right to `MULTI`, `WATCH` or `EVAL` is taken away (checked at
//! connecting) while a batch is on its way, that batch is applied without the guard.
//!
//! While the batch runs, one error can only hit all of its commands: the type of the key and the
//! user's rights do not change in the middle, memory is not checked again, and no entry is near the
//! size limits. Should it happen nevertheless, the reply is not "applied", and the shipper asks.

use std::fmt::Write as _;

use redis::{Cmd, RedisWrite as _, Value};

use super::error::ErrorCode;
use crate::domain::{Entry, EntryKind};
use crate::journal::Position;

/// The schema version: the stream's `v` field.
const SCHEMA: &str = "1";

/// Every stream's key is a member.
pub const STREAMS_KEY: &str = "offerd:streams";

/// Answers the stream's top, `0-0` where there is none. With an expected top (not empty) it touches
/// the stream where the top is another, so that the transaction that watches it is given up.
const GUARD: &str = "\
local key, expected, top = KEYS[1], ARGV[1], '0-0'
local info = redis.pcall('XINFO', 'STREAM', key)
if info.err then
  if not string.find(info.err, 'no such key', 1, true) then return info end
else
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then top = info[i + 1] end
  end
  if expected ~= '' and expected ~= top then
    local ttl = redis.call('PTTL', key)
    redis.call('PEXPIRE', key, '3155760000000')
    if ttl < 0 then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ttl) end
  end
end
return top";

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

/// Makes the commands of entries, with a buffer for what must be formatted first.
#[derive(Debug, Default)]
pub struct Encoder {
    text: String,
}

impl Encoder {
    /// The command that appends `entry`. `create` allows the stream not to exist.
    ///
    /// What the entry does not have is left out: `decision`, and `offer` and what follows it.
    pub fn append(
        &mut self,
        streams: &Streams,
        key: &str,
        create: bool,
        entries_max: u64,
        position: Position,
        entry: &Entry,
    ) -> Cmd {
        let mut cmd = Cmd::with_capacity(32, 512 + entry.json.len());
        cmd.arg("XADD").arg(key);
        if !create {
            cmd.arg("NOMKSTREAM");
        }
        if entries_max > 0 {
            cmd.arg("MAXLEN").arg("~").arg(entries_max);
        }
        cmd.write_arg_fmt(position);
        let kind = entry.kind().map_or("unknown", EntryKind::as_str);
        cmd.arg("v").arg(SCHEMA).arg("type").arg(kind);
        cmd.arg("id").arg(&entry.id);
        if let Some(id) = entry.decision() {
            cmd.arg("decision").write_arg_fmt(id);
        }
        cmd.arg("at").arg(self.instant(entry.at));
        cmd.arg("node")
            .arg(streams.node())
            .arg("seq")
            .arg(position.seq);
        let words = [
            ("offer", &entry.offer),
            ("placement", &entry.placement),
            ("phase", &entry.phase),
        ];
        for (name, value) in words {
            if let Some(value) = value {
                cmd.arg(name).arg(value);
            }
        }
        if let Some(propensity) = entry.propensity {
            cmd.arg("propensity").write_arg_fmt(propensity);
        }
        if let Some(model) = &entry.model {
            cmd.arg("model").arg(model);
        }
        cmd.arg("json").arg(&entry.json);
        cmd
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

/// The commands before a batch's entries.
pub fn open(key: &str, expected: Position) -> [Cmd; 3] {
    let mut text = String::with_capacity(40);
    write!(text, "{expected}").expect("a string takes everything");
    [watch(key), guard(key, &text), redis::cmd("MULTI")]
}

/// Ties the next transaction to `key` being left alone.
#[must_use]
pub fn watch(key: &str) -> Cmd {
    let mut cmd = redis::cmd("WATCH");
    cmd.arg(key);
    cmd
}

/// The command after a batch's entries.
#[must_use]
pub fn close() -> Cmd {
    redis::cmd("EXEC")
}

/// How many replies a batch of `entries` has.
#[must_use]
pub fn replies(entries: usize) -> usize {
    entries + 4
}

/// The question for a stream's top.
#[must_use]
pub fn ask_top(key: &str) -> Cmd {
    guard(key, "")
}

fn guard(key: &str, expected: &str) -> Cmd {
    let mut cmd = Cmd::with_capacity(5, GUARD.len() + 96);
    cmd.arg("EVAL").arg(GUARD).arg(1).arg(key).arg(expected);
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

/// Whether a batch was applied in full.
///
/// # Errors
/// The first error among the replies, which says more than the `EXECABORT` that follows from it.
pub fn applied(replies: &[Value], entries: usize) -> Result<(), Failure> {
    let error = replies.iter().find_map(|reply| match reply {
        Value::ServerError(error) => Some(Failure::of(error)),
        _ => None,
    });
    if let Some(failure) = error {
        return Err(failure);
    }
    match replies.last() {
        Some(Value::Array(ids)) if ids.len() == entries => {
            for id in ids {
                match id {
                    Value::BulkString(_) | Value::SimpleString(_) => {}
                    Value::Nil => {
                        return Err(Failure::new(ErrorCode::Moved, "the stream is gone"));
                    }
                    Value::ServerError(error) => return Err(Failure::of(error)),
                    other => return Err(Failure::unexpected(other)),
                }
            }
            Ok(())
        }
        Some(Value::Nil) => Err(Failure::new(
            ErrorCode::Moved,
            "the stream's top is not where the batch begins",
        )),
        other => Err(Failure::unexpected(other.unwrap_or(&Value::Nil))),
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
