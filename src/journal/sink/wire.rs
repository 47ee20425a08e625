//! What is said to Redis and read back: keys, fields, and the batch that cannot leave a hole.
//!
//! # A batch is one transaction behind a confirmed guard
//!
//! Ids only grow, so an entry that is left out while a later one is taken can never be written. A
//! batch must therefore be taken whole or not at all, and only onto the top that it expects. Two
//! writes, and between them an answer:
//!
//! ```text
//! WATCH key   XINFO STREAM key   MULTI                            answers awaited
//! XSETID key expected   XADD key id field value …  …   EXEC
//! ```
//!
//! 1. **Nothing of a batch leaves before `MULTI` has answered OK**, after `WATCH` has and after the
//!    top was the expected one. So no `XADD` can be taken by itself: not when a right, a memory limit
//!    or a missing replica comes and goes between two of the commands, which Redis reads from the
//!    socket in pieces. Nothing but this connection's `EXEC` ends the transaction, and a connection
//!    that breaks takes it along.
//! 2. **An error while queueing leaves nothing**: `EXEC` answers `EXECABORT`. At `EXEC` itself Redis
//!    judges the transaction by all its commands at once: READONLY, OOM, NOREPLICAS, MISCONF,
//!    LOADING, BUSY and a lost right to `EXEC` refuse the whole of it.
//! 3. **The stream is as it was**, or `EXEC` answers nil: everything that changes an existing key is
//!    seen by `WATCH` (`XADD`, `XDEL`, `XTRIM`, `DEL`, `RENAME`, `RESTORE`, expiry and eviction,
//!    `FLUSHALL`, `SWAPDB`, a reload, the data of a new primary), with two exceptions. `XSETID` is not
//!    seen: the transaction sets the id back to where the guard found it. And a key that is not there
//!    can come with a new primary's data unseen: the batch that makes a stream has a single entry
//!    (`shipper`), of which no part can be missing.
//! 4. **Within `EXEC` nothing is between two commands.** What `XADD` can still answer then is the
//!    same for all of a batch: the right to it (one command, one key) and the key's type. Ids grow and
//!    are above the top; entries are far below the 1 GiB that a stream's node may have; the words are
//!    this module's. Should one entry be refused and a later one taken all the same, the answer says
//!    so and is reported.
//!
//! The shipper asks for the top after everything but a plain yes, so a lost answer is no loss. A
//! connection that was given up may still deliver its `EXEC`; whichever of two transactions for the
//! same entries is second finds the stream changed.
//!
//! Left is somebody who sets a stream's last id *and* takes from this user the right to do so, or
//! raises the greatest deleted id, both between guard and `EXEC`: entries below that id are lost, as
//! they are to any writer.
//!
//! # What is not safe
//!
//! * `MULTI … EXEC` in one write: where `MULTI` is refused and the rest is not (a right, BUSY or a
//!   loading server that ends in between), every `XADD` is taken by itself.
//! * A guard within the pipeline, a script that touches the watched key or renames the stream where
//!   the top is another: the guard can be refused, or run alone, by the same fault.
//! * Without `XSETID` in the transaction: one from elsewhere, to an id within the batch, refuses the
//!   entries below it and takes those above.
//!
//! A script that compares and appends is as safe as this and was here before. It cost Redis 3.2 us
//! for an entry with a 600-byte record, of which every byte goes into Lua and back, where plain
//! pipelined `XADD` costs 1.8; a transaction of some hundred entries 1.9.
//!
//! # Rights
//!
//! `+watch +unwatch +multi +exec +discard +xinfo|stream +xadd +xsetid +xrange +sadd`, and `+info` for
//! the status page.

use std::fmt::Write as _;

use super::error::ErrorCode;
use super::resp::{Commands, Reply};
use crate::domain::{Entry, EntryKind, Record};
use crate::journal::Position;

/// Every stream's key is a member.
pub const STREAMS_KEY: &str = "offerd:streams";

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

/// A batch as it goes to Redis.
#[derive(Debug)]
pub struct Load {
    /// The top that it may be taken onto.
    pub expected: Position,
    /// Whether the stream's key is entered into the set of streams first.
    pub registers: bool,
    /// `WATCH`, `XINFO`, `MULTI`.
    pub guard: Commands,
    /// What the guard permits, `EXEC` last once it is closed.
    pub commands: Commands,
    /// `XADD`, the key, how to trim; encoded.
    head: Vec<u8>,
    head_words: usize,
    /// The field `node`, encoded.
    node: Vec<u8>,
}

/// Puts entries into batches, with a buffer for what must be formatted first.
#[derive(Debug, Default)]
pub struct Encoder {
    text: String,
    json: Vec<u8>,
}

impl Encoder {
    /// A batch without entries for the stream at `key`, to be taken onto the top `expected` only. The
    /// stream is trimmed to about `entries_max`, 0 for never; `registers` where its key may not be in
    /// the set of streams.
    pub fn open(
        &mut self,
        key: &str,
        node: &str,
        entries_max: u64,
        expected: Position,
        registers: bool,
    ) -> Load {
        let mut guard = Commands::default();
        if registers {
            guard.push(&["SADD", STREAMS_KEY, key]);
        }
        guard.push(&["WATCH", key]);
        ask_top(&mut guard, key);
        guard.push(&["MULTI"]);
        let mut commands = Commands::default();
        if expected != Position::START {
            commands.push(&["XSETID", key, self.tell(expected)]);
        }
        let mut head = vec!["XADD", key];
        let trimmed = entries_max.to_string();
        if entries_max > 0 {
            head.extend(["MAXLEN", "~", &trimmed]);
        }
        Load {
            expected,
            registers,
            guard,
            commands,
            head_words: head.len(),
            head: words(&head),
            node: words(&["node", node]),
        }
    }

    /// Puts `entry` at the end of `load`. What the entry does not have is left out: `decision`, and
    /// `offer` and what follows it.
    pub fn append(&mut self, load: &mut Load, position: Position, entry: &Entry) {
        let xadd = &mut load.commands;
        let fields = 7 + optional_fields(entry);
        xadd.begin(load.head_words + 1 + 2 * fields);
        xadd.encoded(&load.head);
        xadd.word(self.tell(position));
        xadd.encoded(b"$1\r\nv\r\n$1\r\n1\r\n$4\r\ntype\r\n");
        xadd.word(entry.kind().map_or("unknown", EntryKind::as_str));
        xadd.encoded(b"$2\r\nid\r\n");
        xadd.word(&entry.id);
        if let Some(id) = entry.decision() {
            xadd.encoded(b"$8\r\ndecision\r\n");
            xadd.word(self.tell(id));
        }
        xadd.encoded(b"$2\r\nat\r\n");
        xadd.word(self.instant(entry.at));
        xadd.encoded(&load.node);
        xadd.encoded(b"$3\r\nseq\r\n");
        xadd.word(self.tell(position.seq));
        if let Some(offer) = &entry.offer {
            xadd.encoded(b"$5\r\noffer\r\n");
            xadd.word(offer);
        }
        if let Some(placement) = &entry.placement {
            xadd.encoded(b"$9\r\nplacement\r\n");
            xadd.word(placement);
        }
        if let Some(phase) = &entry.phase {
            xadd.encoded(b"$5\r\nphase\r\n");
            xadd.word(phase);
        }
        if let Some(propensity) = entry.propensity {
            xadd.encoded(b"$10\r\npropensity\r\n");
            xadd.word(self.tell(propensity));
        }
        if let Some(model) = &entry.model {
            xadd.encoded(b"$5\r\nmodel\r\n");
            xadd.word(model);
        }
        xadd.encoded(b"$4\r\njson\r\n");
        xadd.word(self.json(&entry.record));
    }

    fn tell(&mut self, value: impl std::fmt::Display) -> &str {
        self.text.clear();
        write!(self.text, "{value}").expect("a string takes everything");
        &self.text
    }

    /// The record as its readers know it. What has a right checksum and cannot be read is a fault of ours; the
    /// stream says so at its place instead of ending before it.
    fn json(&mut self, record: &Record) -> &[u8] {
        self.json.clear();
        if let Err(problem) = record.write_json(&mut self.json) {
            let told = format!(r#"{{"v":1,"type":"unreadable","problem":"{problem}"}}"#);
            self.json.extend_from_slice(told.as_bytes());
        }
        &self.json
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

/// How many fields an entry has that not every entry has.
fn optional_fields(entry: &Entry) -> usize {
    let has = [
        entry.decision().is_some(),
        entry.offer.is_some(),
        entry.placement.is_some(),
        entry.phase.is_some(),
        entry.propensity.is_some(),
        entry.model.is_some(),
    ];
    has.iter().filter(|has| **has).count()
}

impl Load {
    /// Ends the batch.
    pub fn close(&mut self) {
        self.commands.push(&["EXEC"]);
    }
}

/// Words as they are within a command.
fn words(words: &[&str]) -> Vec<u8> {
    let mut encoded = Commands::default();
    for word in words {
        encoded.word(word);
    }
    encoded.bytes().to_vec()
}

/// A command of one word.
#[must_use]
pub fn single(word: &str) -> Commands {
    let mut command = Commands::default();
    command.push(&[word]);
    command
}

/// The question for a stream's top.
pub fn ask_top(commands: &mut Commands, key: &str) {
    commands.push(&["XINFO", "STREAM", key]);
}

/// The question whether a stream holds an entry.
pub fn ask_entry(commands: &mut Commands, key: &str, position: Position) {
    let id = position.to_string();
    commands.push(&["XRANGE", key, &id, &id]);
}

/// Whether the reply says that the key is in the set of streams.
///
/// # Errors
/// The error that Redis answered.
pub fn entered(reply: &Reply) -> Result<(), Failure> {
    match reply {
        Reply::Int(_) => Ok(()),
        other => Err(Failure::of(other)),
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

    /// The failure that an error reply tells.
    pub(super) fn said(text: &str) -> Failure {
        // The reason for refusing a whole transaction is told behind that it was.
        let reason = text
            .strip_prefix("EXECABORT ")
            .and_then(|text| text.split_once("because of: "))
            .map_or(text, |(_, reason)| reason);
        let (code, details) = reason.split_once(' ').unwrap_or((reason, ""));
        Failure::new(ErrorCode::of_reply(code, details), text)
    }

    /// A reply that is not the one hoped for.
    pub(super) fn of(reply: &Reply) -> Failure {
        match reply {
            Reply::Error(text) => Failure::said(text),
            other => Failure::unexpected(other),
        }
    }

    pub(super) fn unexpected(reply: &Reply) -> Failure {
        let mut told = format!("unexpected reply {reply:?}");
        // An array may be long.
        told.truncate(told.floor_char_boundary(200));
        Failure::new(ErrorCode::Protocol, &told)
    }
}

/// The top in the reply to [`ask_top`].
///
/// # Errors
/// The error that Redis answered.
pub fn top(reply: &Reply) -> Result<Position, Failure> {
    match reply {
        Reply::Error(text) if text.contains("no such key") => Ok(Position::START),
        Reply::Array(parts) => parts
            .chunks_exact(2)
            .find_map(|pair| match pair {
                [Reply::Bulk(name), Reply::Bulk(id)] if name == b"last-generated-id" => {
                    position(std::str::from_utf8(id).ok()?)
                }
                _ => None,
            })
            .ok_or_else(|| Failure::unexpected(reply)),
        other => Err(Failure::of(other)),
    }
}

/// Whether the reply to [`ask_entry`] holds an entry.
///
/// # Errors
/// The error that Redis answered.
pub fn holds(reply: &Reply) -> Result<bool, Failure> {
    match reply {
        Reply::Array(entries) => Ok(!entries.is_empty()),
        other => Err(Failure::of(other)),
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
    use std::collections::BTreeMap;

    use super::super::resp;
    use super::*;
    use crate::domain::record::Packer;

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

    /// A command is an array of strings, as a reply may be.
    fn read(commands: &Commands) -> Vec<Vec<String>> {
        let mut rest = commands.bytes();
        let mut found = Vec::new();
        while let Some((Reply::Array(words), length)) = resp::parse(rest).unwrap() {
            let word = |word| match word {
                Reply::Bulk(bytes) => String::from_utf8(bytes).unwrap(),
                other => panic!("{other:?}"),
            };
            found.push(words.into_iter().map(word).collect());
            rest = &rest[length..];
        }
        assert_eq!((rest.len(), found.len()), (0, commands.number()));
        found
    }

    #[test]
    fn a_load_is_whole_commands() {
        let at = |seq| Position { ms: 5, seq };
        for (trim, expected) in [(0, Position::START), (0, at(1)), (9, at(1))] {
            let mut encoder = Encoder::default();
            let mut load = encoder.open("k", "n1", trim, expected, trim > 0);
            for has in 0..1 << 6 {
                encoder.append(&mut load, at(2 + u64::from(has)), &entry_with(has));
            }
            load.close();
            let mut guard = read(&load.guard);
            if trim > 0 {
                assert_eq!(guard.remove(0), ["SADD", STREAMS_KEY, "k"]);
            }
            assert_eq!(
                guard,
                [&["WATCH", "k"][..], &["XINFO", "STREAM", "k"], &["MULTI"]]
            );
            let mut commands = read(&load.commands);
            assert_eq!(commands.pop().unwrap(), ["EXEC"]);
            if expected != Position::START {
                assert_eq!(commands.remove(0), ["XSETID", "k", "5-1"]);
            }
            for (has, words) in (0_u32..).zip(commands) {
                let trimmed: &[&str] = if trim > 0 { &["MAXLEN", "~", "9"] } else { &[] };
                let id = at(2 + u64::from(has)).to_string();
                let head = [
                    &["XADD", "k"],
                    trimmed,
                    &[&id, "v", "1", "type", "decision"],
                ];
                assert_eq!(words[..head.concat().len()], head.concat());
                let fields = 2 * (7 + has.count_ones() as usize);
                assert_eq!(words.len(), 3 + trimmed.len() + fields, "{has:06b}");
                assert_eq!(words[words.len() - 2..], ["json", "{}"]);
            }
        }
    }

    #[test]
    fn records_are_sent_as_json() {
        let damaged: Record = postcard::from_bytes(&[2, 1, 0xFF]).unwrap();
        let cases = [
            (r#"{"n":1}"#.into(), r#"{"n":1}"#),
            (
                Packer::default().pack(&BTreeMap::from([("n", 1)])),
                r#"{"n":1}"#,
            ),
            (
                damaged,
                r#"{"v":1,"type":"unreadable","problem":"not a packed record"}"#,
            ),
        ];
        let mut encoder = Encoder::default();
        for (record, expected) in cases {
            let entry = Entry {
                record,
                ..entry_with(0)
            };
            let mut load = encoder.open("k", "n1", 0, Position::START, false);
            encoder.append(&mut load, Position { ms: 5, seq: 1 }, &entry);
            let sent = read(&load.commands);
            assert_eq!(sent[0].last().map(String::as_str), Some(expected));
        }
    }

    #[test]
    fn an_error_has_its_code_wherever_it_is_told() {
        let abort = "EXECABORT Transaction discarded because of";
        let cases = [
            ("OOM command not allowed".to_owned(), ErrorCode::Oom),
            (
                format!("{abort}: NOREPLICAS Not enough"),
                ErrorCode::NoReplicas,
            ),
            (format!("{abort} previous errors."), ErrorCode::Other),
            (
                "ERR max number of clients reached".to_owned(),
                ErrorCode::MaxClients,
            ),
            ("LOADING".to_owned(), ErrorCode::Loading),
        ];
        for (text, code) in cases {
            assert_eq!(Failure::said(&text).code, code, "{text}");
            assert_eq!(Failure::said(&text).detail, text);
        }
    }
}
