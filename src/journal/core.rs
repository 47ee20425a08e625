//! What the writer knows and does, without a thread, a clock or a queue.
//!
//! The core owns the segment being written. It gives records their positions, refuses duplicates,
//! writes groups, makes them durable, repairs what a failing disk leaves behind and deletes what is
//! old. Time and disk are passed in, so that the simulation can crash it at every call.
//!
//! Three places matter, each at or before the next: the *durable* place (everything up to it
//! survives a power cut; readers see exactly this much), the *written* place (survives the process),
//! and the end of the file (may hold half a group that the disk refused). The bytes between the first
//! two are also kept in memory. When the active file is long enough, or can no longer be trusted (an
//! `fdatasync` failed, or half a group could not be taken back), the core begins a new segment that
//! *follows* the durable place and holds those bytes again. Its name appears only when it is
//! complete, so there is no moment at which a crash could lose a record or show one twice.
//!
//! Syncing takes as long as the disk likes, and writing must not wait for it. So the core only says
//! what to sync, with a [`Ticket`]; whoever has the time does that and tells how it ended, and in
//! between the core goes on writing (the file `sync.rs` has the rules).

mod retain;
mod stage;
mod sync;
mod write;

use std::sync::Arc;

use crate::domain::{Ack, Entry, Millis};

use super::config::JournalConfig;
use super::dedup::Dedup;
use super::disk::{Disk, DiskTrouble};
use super::format::{HEADER_BYTES, Header, Place, node_hash};
use super::index::{Index, Segment};
use super::position::Position;
use super::recover::{self, OpenError, Recovery};
use super::status::Counters;

pub use self::sync::Ticket;

use self::stage::Staged;
use self::sync::Underway;
use self::write::{Active, begin_segment};

/// Written at a time at most: what one failed call can cost its group.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// Bytes that may wait for an `fdatasync`. Beyond it entries are refused: the bytes are kept in
/// memory until the disk has them for certain.
const UNSYNCED_BYTES_MAX: usize = 32 << 20;
/// What [`Core::must_wait`] leaves free of that, for the group about to come.
const GROUP_BYTES: usize = 8 << 20;
/// How many times its length a segment may reach while the next one is being made.
const OVERLONG: u64 = 2;
/// How often the age of segments and keys is looked at.
const HOUSEKEEPING_MS: u64 = 10_000;

/// The time, twice: the wall clock for positions and ages, a monotonic one for waiting.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since the epoch; may jump.
    pub wall: Millis,
    /// Milliseconds since some fixed moment; never goes back.
    pub monotonic_ms: u64,
}

/// What became of an entry that the journal took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is on record there.
    New(Position),
    /// One of its keys had been seen; nothing was written.
    Duplicate,
}

/// Why the journal did not take an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The queue is full.
    #[error("the journal's queue is full")]
    Full,
    /// The disk refuses.
    #[error("the journal's disk refuses: {}", .0.as_str())]
    Disk(DiskTrouble),
    /// The journal has been closed.
    #[error("the journal is closed")]
    Closed,
    /// Too much waits for the disk to confirm.
    #[error("the journal waits for its disk")]
    Overloaded,
    /// The entry's record would be longer than 1 MiB.
    #[error("the entry is longer than a journal record may be")]
    TooLarge,
}

/// One entry on its way through [`Core::append`].
#[derive(Debug)]
pub struct Submission {
    /// What to write.
    pub entry: Entry,
    /// How firmly.
    pub ack: Ack,
    /// The answer; `None` until the core has looked at it.
    pub outcome: Option<Result<Taken, AppendError>>,
}

/// An answer, and when it becomes true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What became of the entry.
    pub appended: Appended,
    /// It may be told once the durable position has reached this one; `None` for at once.
    pub once_durable: Option<Position>,
}

/// The journal's writer.
pub struct Core<D: Disk> {
    disk: D,
    config: JournalConfig,
    node: u64,
    index: Arc<Index>,
    counters: Arc<Counters>,
    dedup: Dedup,
    active: Active<D::File>,
    /// Up to where a power cut would leave the journal whole.
    durable: Place,
    durable_position: Position,
    /// The keys with smaller numbers belong to durable records.
    durable_keys: u64,
    /// Likewise for written records; keys of a group still being written have larger numbers.
    written_keys: u64,
    written: Position,
    /// The frames between the durable place and the written one.
    unsynced: Vec<u8>,
    staged: Staged,
    underway: Option<Underway<D::File>>,
    ticket_next: u64,
    /// Until then a segment that is full goes on: the next one could not be begun.
    rotate_after: u64,
    number_next: u64,
    /// What the last attempt to write or to sync met; `None` when it went well.
    trouble: Option<DiskTrouble>,
    sync_trouble: bool,
    sync_due: Option<u64>,
    /// Bytes written since somebody began to wait for a sync.
    group_bytes: Option<usize>,
    housekeeping_due: u64,
}

impl<D: Disk> Core<D> {
    /// Opens the directory: reads every segment once, tells `visit` of each entry in order, and
    /// begins a new segment behind the last good record.
    ///
    /// # Errors
    /// When the disk fails or the directory belongs to another node; never for what the files hold.
    /// The settings are taken as they are: [`JournalConfig::check`] is the caller's.
    pub fn open(
        disk: D,
        config: JournalConfig,
        now: Now,
        visit: &mut dyn FnMut(Position, &Entry),
    ) -> Result<(Core<D>, Recovery), OpenError> {
        let node = node_hash(&config.node);
        recover::claim(&disk, &config.node)?;
        let mut dedup = Dedup::new(
            config.dedup_keys_max,
            i64::from(config.dedup_days) * 86_400_000,
        );
        let found = recover::scan(&disk, node, &mut |position, entry: &Entry| {
            for key in &entry.keys {
                if dedup.find(*key).is_none() {
                    dedup.insert(*key, position.ms);
                }
            }
            dedup.expire(position.ms);
            visit(position, entry);
        })?;
        dedup.expire(now.wall.0);
        let mut recovery = found.recovery.clone();
        recovery.dedup_keys = dedup.count();

        let header = Header {
            node,
            number: found.number_next,
            follows: found.end,
            before: found.before,
        };
        let file = begin_segment(&disk, &header, &found.again)
            .map_err(OpenError::io("begin a segment"))?;
        disk.sync_dir()
            .map_err(OpenError::io("sync the directory"))?;
        let len = (HEADER_BYTES + found.again.len()) as u64;

        let index = Arc::new(Index::new(found.segments.clone(), found.last));
        index.begin(Segment::new(header.number, found.before));
        index.extend(header.number, found.last, len, found.again_records);
        recover::sweep(&disk, &found);
        let core = Core {
            active: Active {
                file: Arc::new(file),
                number: header.number,
                len,
                tail_dirty: false,
                suspect: false,
            },
            durable: if found.again.is_empty() {
                header.follows
            } else {
                Place {
                    segment: header.number,
                    offset: len,
                }
            },
            durable_position: found.last,
            durable_keys: dedup.next_number(),
            written_keys: dedup.next_number(),
            // The wall clock of the last run may have been ahead; positions never go back.
            written: found.last,
            unsynced: Vec::new(),
            staged: Staged::default(),
            underway: None,
            ticket_next: 0,
            rotate_after: 0,
            number_next: header.number + 1,
            trouble: None,
            sync_trouble: false,
            sync_due: None,
            group_bytes: None,
            housekeeping_due: 0,
            counters: Arc::new(Counters::default()),
            disk,
            config,
            node,
            index,
            dedup,
        };
        Ok((core, recovery))
    }

    /// What readers look at.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// The last record that would survive a power cut.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.durable_position
    }

    /// What is wrong with the disk at present.
    #[must_use]
    pub fn trouble(&self) -> Option<DiskTrouble> {
        self.trouble
    }

    /// Why nothing becomes durable at present; `None` when it does.
    #[must_use]
    pub fn durable_refused(&self) -> Option<DiskTrouble> {
        self.trouble.filter(|_| self.sync_trouble)
    }

    /// When [`Core::tick`] wants to be called, by the monotonic clock.
    #[must_use]
    pub fn due(&self) -> u64 {
        let housekeeping = self.housekeeping_due;
        match self.sync_due {
            // The next one waits for the end of the one under way.
            Some(due) if self.underway.is_none() => due.min(housekeeping),
            _ => housekeeping,
        }
    }

    /// Whether [`Core::append`] may have to refuse what it could take once the sync under way has
    /// ended.
    #[must_use]
    pub fn must_wait(&self) -> bool {
        self.underway.is_some()
            && (self.active.tail_dirty
                || self.unsynced.len() + GROUP_BYTES > UNSYNCED_BYTES_MAX
                || self.is_overlong())
    }

    /// Writes a group and gives every submission its outcome.
    pub fn append(&mut self, now: Now, group: &mut [Submission]) {
        for i in 0..group.len() {
            self.stage(now, group, i);
        }
        self.flush(now, group);
        self.publish_health();
    }

    /// Does the housekeeping when it is due, and begins the sync that somebody waits for or that is
    /// late: the ticket is to be run, and its end told to [`Core::end_sync`].
    pub fn tick(&mut self, now: Now) -> Option<Ticket<D>> {
        if self.housekeeping_due <= now.monotonic_ms {
            self.housekeeping_due = now.monotonic_ms + HOUSEKEEPING_MS;
            self.dedup.expire(now.wall.0);
            self.retain(now);
        }
        let due = self.sync_due.is_some_and(|due| due <= now.monotonic_ms);
        let ticket = due.then(|| self.begin_sync(now)).flatten();
        self.publish_health();
        ticket
    }

    /// Ends in order: everything durable, and an empty segment behind it as the sign of that.
    ///
    /// # Errors
    /// When the disk refuses. The next start then takes more care, and a little longer.
    pub fn close(&mut self, now: Now) -> Result<(), DiskTrouble> {
        self.sync(now)?;
        if self.active.is_empty() {
            return Ok(());
        }
        let closed = self.rotate(now);
        self.publish_health();
        closed
    }

    fn publish_health(&self) {
        self.counters
            .publish(self.trouble, self.sync_trouble, &self.dedup);
    }
}
