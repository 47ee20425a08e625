//! What goes to Redis and what comes back: keys, fields, and the batch that cannot leave a hole.
//!
//! # A batch is one script
//!
//! Ids only grow, so an entry that is left out while a later one is taken can never be written. Every
//! batch is therefore a compare-and-append in a single command, a script that Redis runs with nothing
//! in between:
//!
//! ```text
//! EVAL script 1 key expected node trim  form id value …  form id value …
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
//! A transaction whose guard renames the stream to a second key, appends there with `NOMKSTREAM` and
//! renames it back is safe only inside its `MULTI`: where that one command is refused and the next is
//! taken (a right given back between two reads of the socket), the guard runs alone, readers see no
//! stream, and each append is taken or refused by itself, which is a hole. No script is told whether
//! it runs in a transaction.
//!
//! # What it costs
//!
//! Every argument's way into Lua and back, so the names of the fields do not make it: the script
//! knows them, and an entry brings its values and its form, which says what it has. Processor time of
//! Redis 7.0.15 per entry with a 600-byte record: 1.80 us by `XADD` alone, 3.56 with the names as
//! arguments, 3.11 without. A good fifth of that is Lua hashing every byte of the record, which no
//! script can avoid. True records are worth more than raw speed.
//!
//! The script is sent as text with every batch, 1.4 kB: with `EVALSHA` there would be
//! a script cache to fill, to lose and to fill again, and rights to it.

use std::fmt::Write as _;

use redis::{Cmd, RedisWrite as _, Value};

use super::error::ErrorCode;
use crate::domain::{Entry, EntryKind, Record};
use crate::journal::Position;

/// Every stream's key is a member.
pub const STREAMS_KEY: &str = "offerd:streams";

/// Compares and appends, as the module says. Answers how many entries it has appended, or the
/// stream's top where that is not the expected one. `ARGV` is the expected top, the node, how many
/// entries the stream is trimmed to (`0` for never) and then, for each entry, its form, its id and
/// its values in the order of the fields. `words` are the arguments of `XADD` for one form, `slots`
/// the places in them that every entry fills anew.
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
local args, call = ARGV, redis.call
if top ~= args[1] then return top end
local function learn(form)
  local words, slots, bits = {'XADD', key}, {}, tonumber(form)
  local function slot() words[#words + 1] = ''; slots[#slots + 1] = #words end
  local function put(name) words[#words + 1] = name; slot() end
  local function may(name)
    if bits % 2 == 1 then put(name) end
    bits = math.floor(bits / 2)
  end
  local function say(...) for _, word in ipairs({...}) do words[#words + 1] = word end end
  if args[3] ~= '0' then say('MAXLEN', '~', args[3]) end
  slot() say('v', '1') put('type') put('id') may('decision') put('at') say('node', args[2]) put('seq')
  may('offer') may('placement') may('phase') may('propensity') may('model') put('json')
  return {words, slots, #slots}
end
local forms, at, last, applied = {}, 4, #args, 0
while at <= last do
  local form = forms[args[at]]
  if not form then form = learn(args[at]); forms[args[at]] = form end
  local words, slots, n = form[1], form[2], form[3]
  for i = 1, n do words[slots[i]] = args[at + i] end
  call(unpack(words))
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

/// Puts entries into batches, with a buffer for what must be formatted first.
#[derive(Debug, Default)]
pub struct Encoder {
    text: String,
}

impl Encoder {
    /// A batch without entries for the stream at `key`, to be taken onto the top `expected` only. The
    /// stream is trimmed to about `entries_max`, 0 for never.
    pub fn open(&mut self, key: &str, node: &str, entries_max: u64, expected: Position) -> Cmd {
        self.text.clear();
        write!(self.text, "{expected}").expect("a string takes everything");
        let mut batch = script(key, &self.text);
        batch.arg(node).arg(entries_max);
        batch
    }

    /// Puts `entry` at the end of `batch`. What the entry does not have is left out: `decision`, and
    /// `offer` and what follows it. The order is the script's.
    pub fn append(&mut self, batch: &mut Cmd, position: Position, entry: &Entry) {
        batch.arg(form(entry));
        batch.write_arg_fmt(position);
        batch.arg(entry.kind().map_or("unknown", EntryKind::as_str));
        batch.arg(&entry.id);
        if let Some(id) = entry.decision() {
            batch.write_arg_fmt(id);
        }
        batch.arg(self.instant(entry.at)).arg(position.seq);
        let words = [&entry.offer, &entry.placement, &entry.phase];
        for word in words.into_iter().flatten() {
            batch.arg(word);
        }
        if let Some(propensity) = entry.propensity {
            batch.write_arg_fmt(propensity);
        }
        if let Some(model) = &entry.model {
            batch.arg(model);
        }
        batch.arg(self.json(&entry.record));
    }

    /// The record as its readers know it. What has a right checksum and cannot be read is a fault of ours; the
    /// stream says so at its place instead of ending before it.
    fn json(&mut self, record: &Record) -> &str {
        self.text.clear();
        if let Err(problem) = record.write_json(&mut self.text) {
            write!(
                self.text,
                r#"{{"v":1,"type":"unreadable","problem":"{problem}"}}"#
            )
            .expect("a string takes everything");
        }
        &self.text
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

/// Which of the fields an entry has that not every entry has, a bit for each in their order.
fn form(entry: &Entry) -> u32 {
    let has = [
        entry.decision().is_some(),
        entry.offer.is_some(),
        entry.placement.is_some(),
        entry.phase.is_some(),
        entry.propensity.is_some(),
        entry.model.is_some(),
    ];
    (0..).zip(has).map(|(bit, has)| u32::from(has) << bit).sum()
}

/// The question for a stream's top.
#[must_use]
pub fn ask_top(key: &str) -> Cmd {
    // No top is empty, so every top is answered, and what a batch says besides is not looked at.
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
            record: "{}".into(),
        }
    }

    #[test]
    fn the_form_tells_how_many_values_follow() {
        /// The id, `type`, `id`, `at`, `seq` and `json`.
        const ALWAYS: usize = 6;
        let position = Position { ms: 5, seq: 1 };
        for has in 0..1 << 6 {
            let mut batch = redis::cmd("EVAL");
            Encoder::default().append(&mut batch, position, &entry_with(has));
            let told = match batch.args_iter().nth(1) {
                Some(redis::Arg::Simple(text)) => String::from_utf8_lossy(text).parse(),
                _ => Ok(u32::MAX),
            };
            assert_eq!(told, Ok(has));
            let values = batch.args_iter().count() - 2;
            assert_eq!(values, ALWAYS + has.count_ones() as usize, "{has:06b}");
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
