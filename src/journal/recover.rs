//! What a start finds in the directory, and what it makes of it.
//!
//! No content of any file keeps the journal from opening. Damage costs the records it hit, which are
//! counted; files that are not ours stay where they are; a file of ours without a single readable
//! record is renamed, not deleted, so that somebody can look at it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use crate::domain::Entry;

use super::checkpoint::{Checkpoint, Loaded, SUFFIX as CHECKPOINT_SUFFIX};
use super::config::ConfigError;
use super::disk::{Disk, LOCK_NAME};
use super::format::{HEADER_BYTES, Header, HeaderFault, Place, decode_entry};
use super::index::{Segment, segment_name};
use super::position::Position;
use super::scan::{Damage, Scan};

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process has the directory.
    #[error("journal directory {} is in use by another process", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The directory belongs to another node.
    #[error(
        "the journal directory belongs to node `{found}`, not `{expected}`: \
         set node.id = \"{found}\" or give this node a directory of its own"
    )]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Who wanted it.
        expected: String,
    },
    /// The disk refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
}

impl OpenError {
    pub(super) fn io(what: &'static str) -> impl Fn(io::Error) -> OpenError {
        move |source| OpenError::Io { what, source }
    }
}

/// What a start found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segments with records.
    pub segments: usize,
    /// Records read.
    pub records: u64,
    /// The last of them.
    pub last: Position,
    /// Records missing between others: damaged, or in a file that is gone.
    pub missing: u64,
    /// Records with a right checksum that this release cannot read.
    pub undecodable: u64,
    /// Damaged places with records behind them, and sectors that could not be read.
    pub holes: u64,
    /// Bytes in those places.
    pub hole_bytes: u64,
    /// Bytes cut off behind a segment's last record: what a crash left half-written.
    pub tail_bytes: u64,
    /// Segments with a damaged header whose records were read nevertheless.
    pub headers_damaged: u64,
    /// Files without anything readable, renamed to `*.damaged`.
    pub files_damaged: u64,
    /// Segments of another format version, left alone.
    pub files_other_version: u64,
    /// Segments of another node, left alone.
    pub files_other_node: u64,
    /// Files that are none of the journal's, left alone.
    pub files_foreign: u64,
    /// Idempotency keys remembered.
    pub dedup_keys: usize,
}

/// What [`scan`] found.
pub(super) struct Found {
    pub recovery: Recovery,
    /// Segments with records, in order.
    pub segments: Vec<Segment>,
    /// The last record of `segments`.
    pub before: Position,
    /// The last record of all.
    pub last: Position,
    /// Where the next segment follows.
    pub end: Place,
    /// Frames behind `before` that must be written again.
    pub again: Vec<u8>,
    /// How many.
    pub again_records: u64,
    /// The first number no file has.
    pub number_next: u64,
    /// Files of ours that hold nothing valid once the next segment has begun.
    pub void: Vec<String>,
    /// Such files that are damaged.
    pub damaged: Vec<String>,
}

/// Makes sure that the directory is this node's.
pub(super) fn claim<D: Disk>(disk: &D, node: &str) -> Result<(), OpenError> {
    let file = Checkpoint::on(disk.clone(), "node");
    let loaded = file
        .load::<String>()
        .map_err(OpenError::io("read the node's name"))?;
    match loaded {
        Loaded::Value(found) if found == node => Ok(()),
        Loaded::Value(found) => Err(OpenError::OtherNode {
            found,
            expected: node.to_owned(),
        }),
        // A damaged file cannot veto a start; the segments' headers still tell whose they are.
        Loaded::Missing | Loaded::Damaged => file
            .save(&node)
            .map_err(OpenError::io("write the node's name")),
    }
}

/// One segment file that can be read.
struct Candidate {
    header: Option<Header>,
    /// Where it ends: the file's end, or where a later segment says so.
    limit: u64,
}

/// Reads every segment once, in order.
pub(super) fn scan<D: Disk>(
    disk: &D,
    node: u64,
    visit: &mut dyn FnMut(Position, &Entry),
) -> Result<Found, OpenError> {
    let mut recovery = Recovery::default();
    let (mut candidates, number_next) = candidates(disk, node, &mut recovery)?;
    let mut found = Found {
        recovery: Recovery::default(),
        segments: Vec::new(),
        before: Position::START,
        last: Position::START,
        end: Place::default(),
        again: Vec::new(),
        again_records: 0,
        number_next,
        void: cut(&mut candidates),
        damaged: Vec::new(),
    };
    let mut oldest = true;
    // The one that was being written; a file with a damaged header cannot say that it was.
    let newest = candidates
        .iter()
        .rev()
        .find(|(_, candidate)| candidate.header.is_some())
        .or(candidates.last_key_value())
        .map(|(number, _)| *number);
    for (number, candidate) in &candidates {
        if let Some(header) = candidate.header
            && header.before.seq > found.last.seq
        {
            // Before the oldest segment there is only what retention has deleted.
            if !oldest {
                recovery.missing += header.before.seq - found.last.seq;
            }
            found.last = header.before;
        }
        let pass = Pass {
            number: *number,
            candidate,
            first: oldest && candidate.header.is_none(),
            last: newest == Some(*number),
        };
        oldest = false;
        read_segment(disk, &pass, &mut found, &mut recovery, visit)?;
    }
    found.before = found.last;
    if let Some(number) = newest {
        secure(number, &candidates[&number], &mut found);
    }
    recovery.segments = found.segments.len();
    recovery.last = found.last;
    found.recovery = recovery;
    Ok(found)
}

/// Sorts the files of the directory; unfinished ones are removed.
fn candidates<D: Disk>(
    disk: &D,
    node: u64,
    recovery: &mut Recovery,
) -> Result<(BTreeMap<u64, Candidate>, u64), OpenError> {
    let mut candidates = BTreeMap::new();
    let mut number_next = 1;
    for (name, bytes) in disk.list().map_err(OpenError::io("list the directory"))? {
        let Some(number) = number_of(&name) else {
            sort_other(disk, &name, recovery);
            continue;
        };
        number_next = number_next.max(number + 1);
        let mut head = [0; HEADER_BYTES];
        let read = disk
            .open(&name)
            .and_then(|file| disk.read_at(&file, 0, &mut head));
        // A header that cannot be read is a damaged one.
        let head = &head[..read.unwrap_or(0)];
        let header = match Header::decode(head) {
            Ok(header) if header.node != node => {
                recovery.files_other_node += 1;
                continue;
            }
            Ok(header) if header.number != number => {
                recovery.files_foreign += 1;
                continue;
            }
            Err(HeaderFault::Version(_)) => {
                recovery.files_other_version += 1;
                continue;
            }
            Ok(header) => Some(header),
            Err(HeaderFault::Damaged) => None,
        };
        let limit = bytes;
        candidates.insert(number, Candidate { header, limit });
    }
    Ok((candidates, number_next))
}

fn sort_other<D: Disk>(disk: &D, name: &str, recovery: &mut Recovery) {
    if name.strip_suffix(".tmp").is_some_and(is_ours) {
        // Never finished, so nobody relies on it. If it stays, the next start tries again.
        let _ = disk.remove(name);
    } else if !is_ours(name) {
        recovery.files_foreign += 1;
    }
}

fn is_ours(name: &str) -> bool {
    name == LOCK_NAME
        || name.ends_with(CHECKPOINT_SUFFIX)
        || name.ends_with(".damaged")
        || number_of(name).is_some()
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal")?;
    let number = digits.parse().ok()?;
    // `parse` also takes `+1` and `01`, which are not names we give.
    (segment_name(number) == name && number < u64::MAX).then_some(number)
}

/// Applies what each header says about where the journal ended before it; the names of void files.
fn cut(candidates: &mut BTreeMap<u64, Candidate>) -> Vec<String> {
    let cuts: Vec<(u64, Place)> = candidates
        .iter()
        .filter_map(|(number, c)| Some((*number, c.header?.follows)))
        .collect();
    let mut void = Vec::new();
    for (number, follows) in cuts {
        candidates.retain(|n, candidate| {
            if *n == follows.segment {
                candidate.limit = candidate.limit.min(follows.offset);
            }
            let between = *n > follows.segment && *n < number;
            if between {
                void.push(segment_name(*n));
            }
            !between
        });
    }
    void
}

/// One segment about to be read.
struct Pass<'a> {
    number: u64,
    candidate: &'a Candidate,
    /// Nothing tells what was before it.
    first: bool,
    /// It was being written when the last process ended.
    last: bool,
}

fn read_segment<D: Disk>(
    disk: &D,
    pass: &Pass<'_>,
    found: &mut Found,
    recovery: &mut Recovery,
    visit: &mut dyn FnMut(Position, &Entry),
) -> Result<(), OpenError> {
    let name = segment_name(pass.number);
    let file = disk.open(&name).map_err(OpenError::io("open a segment"))?;
    let mut segment = Segment::new(pass.number, found.last);
    segment.end = HEADER_BYTES as u64;
    let limit = pass.candidate.limit;
    let mut scan = Scan::new(disk.clone(), file, segment.end, limit, found.last);
    while let Some(record) = scan.next() {
        if pass.first && segment.records == 0 {
            segment.before = Position {
                ms: record.position.ms,
                seq: record.position.seq - 1,
            };
            segment.last = segment.before;
        }
        recovery.missing += record.position.seq - segment.last.seq - 1;
        segment.last = record.position;
        segment.end = record.end;
        segment.records += 1;
        if pass.last {
            found.again.extend_from_slice(record.frame);
        }
        match decode_entry(record.payload()) {
            Some(entry) => visit(record.position, &entry),
            None => recovery.undecodable += 1,
        }
    }
    let damage = scan.damage();
    count(recovery, damage);
    let header_damaged = pass.candidate.header.is_none();
    recovery.records += segment.records;
    recovery.headers_damaged += u64::from(header_damaged && segment.records > 0);
    found.last = segment.last;
    let nothing_read = segment.records == 0;
    if !nothing_read {
        found.segments.push(segment);
        found.end = Place {
            segment: pass.number,
            offset: segment.end,
        };
    } else if let Some(header) = pass.candidate.header {
        // It will be removed; what it said of its predecessor's end must be said again.
        found.end = header.follows;
    }
    if nothing_read && header_damaged {
        recovery.files_damaged += 1;
        found.damaged.push(name);
    } else if nothing_read {
        found.void.push(name);
    } else if pass.last && (damage.holes > 0 || damage.unreadable > 0 || header_damaged) {
        // Its records are written again; the file itself is kept for whoever looks into the damage.
        found.damaged.push(name);
    } else if pass.last {
        found.void.push(name);
    }
    Ok(())
}

fn count(recovery: &mut Recovery, damage: Damage) {
    recovery.holes += damage.holes + damage.unreadable;
    recovery.hole_bytes += damage.hole_bytes;
    recovery.tail_bytes += damage.tail_bytes;
}

/// The last process may have died between `write` and `fdatasync`, even after an `fdatasync` that
/// failed: syncing the file again would prove nothing. So what its last segment holds is written
/// once more, into the segment about to begin, which takes the place of the old one. A journal that
/// was closed in order ends with an empty segment and has nothing to write.
fn secure(number: u64, candidate: &Candidate, found: &mut Found) {
    let Some(segment) = found.segments.pop_if(|s| s.number == number) else {
        return;
    };
    found.before = segment.before;
    found.again_records = segment.records;
    found.end = candidate.header.map_or(
        Place {
            segment: number,
            offset: HEADER_BYTES as u64,
        },
        |header| header.follows,
    );
}

/// Clears away what [`scan`] found without use. What stays is found again at the next start.
pub(super) fn sweep<D: Disk>(disk: &D, found: &Found) {
    for name in &found.void {
        let _ = disk.remove(name);
    }
    for name in &found.damaged {
        let _ = disk.rename(name, &format!("{name}.damaged"));
    }
}
