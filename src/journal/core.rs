//! What the writer knows and does, without a thread, a clock or a queue.
//!
//! The core owns the segment being written. It gives records their positions, refuses duplicates,
//! writes groups, makes them durable, repairs what a failing disk leaves behind and deletes what is
//! old. Time and disk are passed in, so that the simulation can crash it at every call.
//!
//! Three places matter, each at or before the next: the *durable* place (everything up to it
//! survives a power cut; readers see exactly this much), the *written* place (survives the process),
//! and the end of the file (may hold half a group that the disk refused). The bytes between the first
//! two are also kept in memory. When the active file can no longer be trusted — an `fdatasync`
//! failed, or half a group could not be taken back — the core begins a new segment that *follows* the
//! durable place and holds those bytes again. Its name appears only when it is complete, so there is
//! no moment at which a crash could lose a record or show one twice.

use std::io;
use std::sync::Arc;

use crate::domain::{Ack, Entry, Millis};

use super::config::{JournalConfig, WritePolicy};
use super::dedup::Dedup;
use super::disk::{Disk, DiskTrouble};
use super::format::{self, HEADER_BYTES, Header, Place, RECORD_BYTES_MAX, node_hash};
use super::index::{Index, Segment, segment_name};
use super::position::Position;
use super::recover::{self, OpenError, Recovery};
use super::status::{Counters, Lost};

/// Written at a time at most: what one failed call can cost its group.
const WRITE_BYTES_MAX: usize = 1 << 20;
/// Bytes that may wait for an `fdatasync`. Beyond it entries are refused: the bytes are kept in
/// memory until the disk has them for certain.
const UNSYNCED_BYTES_MAX: usize = 32 << 20;
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

/// The file being written.
struct Active<F> {
    file: F,
    number: u64,
    /// The end of the last whole record.
    len: u64,
    /// Behind `len` there may be half a group.
    tail_dirty: bool,
    /// A sync of it has failed: it is never synced again.
    suspect: bool,
}

/// A group being put together.
#[derive(Default)]
struct Staged {
    frames: Vec<u8>,
    /// Index of the submission, and what it will hear.
    answers: Vec<(usize, Taken)>,
    records: u64,
    keys: usize,
    last: Position,
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
                file,
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
        self.sync_due
            .map_or(housekeeping, |due| due.min(housekeeping))
    }

    /// Writes a group and gives every submission its outcome.
    pub fn append(&mut self, now: Now, group: &mut [Submission]) {
        for i in 0..group.len() {
            self.stage(now, group, i);
        }
        self.flush(now, group);
        self.publish_health();
    }

    /// Does what is due: the sync that somebody waits for or that is late, and the housekeeping.
    pub fn tick(&mut self, now: Now) {
        if self.sync_due.is_some_and(|due| due <= now.monotonic_ms) {
            // A failure is kept in `trouble`, and tried again after the same interval.
            let _ = self.sync(now);
        }
        if self.housekeeping_due <= now.monotonic_ms {
            self.housekeeping_due = now.monotonic_ms + HOUSEKEEPING_MS;
            self.dedup.expire(now.wall.0);
            self.retain(now);
        }
        self.publish_health();
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// When the disk refuses, in the active file and in a new one.
    pub fn sync(&mut self, now: Now) -> Result<(), DiskTrouble> {
        self.sync_due = None;
        self.group_bytes = None;
        let done = self.sync_or_relocate();
        match done {
            Ok(()) if self.sync_trouble => {
                self.trouble = None;
                self.sync_trouble = false;
            }
            Ok(()) => {}
            Err(trouble) => {
                self.counters.sync_failures.add(1);
                self.trouble = Some(trouble);
                self.sync_trouble = true;
                self.sync_due = Some(now.monotonic_ms + self.config.flush_interval_ms);
            }
        }
        self.publish_health();
        done
    }

    /// Ends in order: everything durable, and an empty segment behind it as the sign of that.
    ///
    /// # Errors
    /// When the disk refuses. The next start then takes more care, and a little longer.
    pub fn close(&mut self, now: Now) -> Result<(), DiskTrouble> {
        self.rotate(now)
    }

    // ── taking entries in ────────────────────────────────────────────────────────────────────────

    fn stage(&mut self, now: Now, group: &mut [Submission], i: usize) {
        let (ack, keys) = (group[i].ack, &group[i].entry.keys);
        if self.sync_trouble && ack == Ack::Durable {
            let trouble = self.trouble.unwrap_or(DiskTrouble::Io);
            self.refuse(group, i, AppendError::Disk(trouble));
            return;
        }
        if let Some(number) = keys.iter().filter_map(|key| self.dedup.find(*key)).max() {
            let waits = ack == Ack::Durable && number >= self.durable_keys;
            let last = self.staged_last();
            let taken = Taken {
                appended: Appended::Duplicate,
                once_durable: waits.then_some(last),
            };
            self.staged.answers.push((i, taken));
            return;
        }
        if self.unsynced.len() + self.staged.frames.len() + RECORD_BYTES_MAX > UNSYNCED_BYTES_MAX {
            self.flush(now, group);
            // While the disk refuses, its interval is the rhythm of new attempts.
            if self.sync_trouble || self.sync(now).is_err() {
                self.refuse(group, i, AppendError::Overloaded);
                return;
            }
        }
        let position = self.staged_last().next(now.wall);
        let before = self.staged.frames.len();
        if format::encode_record(&mut self.staged.frames, position, &group[i].entry).is_err() {
            self.refuse(group, i, AppendError::TooLarge);
            return;
        }
        let over =
            self.active.len + self.staged.frames.len() as u64 > self.config.segment_bytes_max;
        if over || self.staged.frames.len() > WRITE_BYTES_MAX {
            let frame = self.staged.frames.split_off(before);
            self.flush(now, group);
            if over && self.rotate(now).is_err() {
                let trouble = self.trouble.unwrap_or(DiskTrouble::Io);
                self.refuse(group, i, AppendError::Disk(trouble));
                return;
            }
            // A refused flush has freed its numbers: encode again if ours has changed.
            if self.staged_last().next(now.wall) == position {
                self.staged.frames = frame;
            } else {
                self.stage(now, group, i);
                return;
            }
        }
        for key in &group[i].entry.keys {
            // An entry may name the same key twice.
            if self.dedup.find(*key).is_none() {
                self.dedup.insert(*key, position.ms);
                self.staged.keys += 1;
            }
        }
        self.staged.records += 1;
        self.staged.last = position;
        let taken = Taken {
            appended: Appended::New(position),
            once_durable: (ack == Ack::Durable).then_some(position),
        };
        self.staged.answers.push((i, taken));
    }

    fn staged_last(&self) -> Position {
        self.staged.last.max(self.written)
    }

    fn refuse(&self, group: &mut [Submission], i: usize, error: AppendError) {
        let reason = match error {
            AppendError::TooLarge => Lost::TooLarge,
            _ => Lost::Disk,
        };
        self.counters.lost(reason).add(1);
        group[i].outcome = Some(Err(error));
    }

    /// Writes what is staged, and answers.
    fn flush(&mut self, now: Now, group: &mut [Submission]) {
        let staged = std::mem::take(&mut self.staged);
        let written = if staged.frames.is_empty() {
            Ok(())
        } else {
            self.write(&staged.frames)
        };
        match written {
            Ok(()) => self.accept(now, staged, group),
            Err(trouble) => self.take_back(staged, group, trouble),
        }
    }

    fn accept(&mut self, now: Now, mut staged: Staged, group: &mut [Submission]) {
        self.written = staged.last.max(self.written);
        self.written_keys = self.dedup.next_number();
        self.unsynced.extend_from_slice(&staged.frames);
        let mut waits = false;
        for (i, taken) in staged.answers.drain(..) {
            waits |= taken.once_durable.is_some();
            match taken.appended {
                Appended::New(_) => self.counters.appended(group[i].entry.kind()).add(1),
                Appended::Duplicate => self.counters.duplicates.add(1),
            }
            group[i].outcome = Some(Ok(taken));
        }
        self.plan_sync(now, staged.frames.len(), waits);
        // Keep the buffer for the next group.
        staged.frames.clear();
        self.staged.frames = staged.frames;
        self.dedup.expire(now.wall.0);
    }

    fn plan_sync(&mut self, now: Now, bytes: usize, waits: bool) {
        if bytes == 0 && !waits {
            return;
        }
        let mut wait_ms = self.config.flush_interval_ms;
        if waits || self.group_bytes.is_some() {
            let group = self.group_bytes.unwrap_or(0) + bytes;
            self.group_bytes = Some(group);
            wait_ms = if group >= self.config.group_commit_bytes {
                0
            } else {
                self.config.group_commit_ms_max.min(wait_ms)
            };
        }
        let due = now.monotonic_ms + wait_ms;
        self.sync_due = Some(self.sync_due.map_or(due, |d| d.min(due)));
    }

    /// Forgets a group that could not be written: its numbers and keys are free again.
    fn take_back(&mut self, staged: Staged, group: &mut [Submission], trouble: DiskTrouble) {
        for _ in 0..staged.keys {
            self.dedup.remove_last();
        }
        for (i, _) in staged.answers {
            // A duplicate of an entry of this very group would be a false yes; one of an older entry
            // is answered like the rest, its sender will ask again.
            self.refuse(group, i, AppendError::Disk(trouble));
        }
    }

    // ── writing ──────────────────────────────────────────────────────────────────────────────────

    fn write(&mut self, frames: &[u8]) -> Result<(), DiskTrouble> {
        loop {
            match self.write_once(frames) {
                Ok(()) => {
                    if !self.sync_trouble {
                        self.trouble = None;
                    }
                    return Ok(());
                }
                Err(DiskTrouble::NoSpace) if self.may_drop() && self.drop_oldest() => {}
                Err(trouble) => {
                    self.counters.write_failures.add(1);
                    self.trouble = Some(trouble);
                    return Err(trouble);
                }
            }
        }
    }

    fn write_once(&mut self, frames: &[u8]) -> Result<(), DiskTrouble> {
        if self.active.tail_dirty {
            self.clean_tail()?;
        }
        let active = &mut self.active;
        match self.disk.write_at(&active.file, active.len, frames) {
            Ok(()) => {
                active.len += frames.len() as u64;
                Ok(())
            }
            Err(error) => {
                active.tail_dirty = true;
                // The writer's own error is what the caller should hear of.
                let _ = self.clean_tail();
                Err(DiskTrouble::from(&error))
            }
        }
    }

    /// Has the disk forget half a group for certain, before its numbers are given out again.
    fn clean_tail(&mut self) -> Result<(), DiskTrouble> {
        let cut = self.disk.truncate(&self.active.file, self.active.len);
        if cut.is_err() {
            self.active.suspect = true;
        }
        // Either the cut is synced, or the active file is left behind for a new one.
        self.force_sync()?;
        self.active.tail_dirty = false;
        Ok(())
    }

    fn sync_or_relocate(&mut self) -> Result<(), DiskTrouble> {
        if self.unsynced.is_empty() && !self.active.suspect {
            return Ok(());
        }
        self.force_sync()
    }

    fn force_sync(&mut self) -> Result<(), DiskTrouble> {
        if !self.active.suspect {
            if self.disk.sync(&self.active.file).is_ok() {
                self.set_durable();
                return Ok(());
            }
            self.counters.sync_failures.add(1);
            self.active.suspect = true;
        }
        self.relocate().map_err(|error| DiskTrouble::from(&error))
    }

    fn set_durable(&mut self) {
        // An empty segment is followed by its replacement as if it had never been: what it says of
        // its predecessor's end would go with it otherwise.
        if self.active.len > HEADER_BYTES as u64 {
            self.durable = Place {
                segment: self.active.number,
                offset: self.active.len,
            };
        }
        let records = self.written.seq - self.durable_position.seq;
        self.durable_position = self.written;
        self.durable_keys = self.written_keys;
        // A burst's memory is given back, the everyday buffer kept.
        self.unsynced.clear();
        self.unsynced.shrink_to(WRITE_BYTES_MAX);
        self.index
            .extend(self.active.number, self.written, self.active.len, records);
        self.counters.syncs.add(1);
    }

    /// Leaves the active file behind: a new one follows the durable place and holds everything since.
    fn relocate(&mut self) -> io::Result<()> {
        let frames = std::mem::take(&mut self.unsynced);
        let left = self.active.number;
        let begun = self.begin(&frames);
        self.unsynced = frames;
        begun?;
        self.counters.relocations.add(1);
        self.confirm_begun()?;
        if left != self.index.newest_before(self.active.number) {
            // Nothing in it is valid; recovery would find it void as well.
            let _ = self.disk.remove(&segment_name(left));
        }
        Ok(())
    }

    /// Closes the active file, all of it durable, and begins the next.
    fn rotate(&mut self, now: Now) -> Result<(), DiskTrouble> {
        self.sync(now)?;
        if self.active.len <= HEADER_BYTES as u64 {
            return Ok(());
        }
        loop {
            let begun = self
                .begin(&[])
                .and_then(|()| self.confirm_begun())
                .map_err(|error| DiskTrouble::from(&error));
            match begun {
                Ok(()) => break,
                Err(DiskTrouble::NoSpace) if self.may_drop() && self.drop_oldest() => {}
                Err(trouble) => {
                    self.trouble = Some(trouble);
                    return Err(trouble);
                }
            }
        }
        self.retain(now);
        Ok(())
    }

    /// Makes a segment of `frames` the active one. On error the old one still is.
    fn begin(&mut self, frames: &[u8]) -> io::Result<()> {
        // A number is used once: a failed attempt may have left its file behind.
        let number = self.number_next;
        self.number_next += 1;
        let header = Header {
            node: self.node,
            number,
            follows: self.durable,
            before: self.durable_position,
        };
        let file = begin_segment(&self.disk, &header, frames)?;
        self.active = Active {
            file,
            number,
            len: (HEADER_BYTES + frames.len()) as u64,
            tail_dirty: false,
            suspect: true,
        };
        Ok(())
    }

    /// Makes the new segment's name certain. Until then it counts as suspect, and another attempt
    /// takes another file.
    fn confirm_begun(&mut self) -> io::Result<()> {
        self.disk.sync_dir()?;
        self.active.suspect = false;
        self.index
            .begin(Segment::new(self.active.number, self.durable_position));
        self.set_durable();
        Ok(())
    }

    // ── letting go ───────────────────────────────────────────────────────────────────────────────

    fn retain(&mut self, now: Now) {
        let oldest_ms = now.wall.0 - i64::from(self.config.retain_days) * 86_400_000;
        let shipped = self.index.shipped();
        while let Some(segment) = self.index.oldest_closed() {
            let forced = self.index.bytes() > self.config.retain_bytes_max;
            let old = segment.last.ms < oldest_ms && segment.last <= shipped;
            if !(forced || old) || !self.drop_segment(&segment) {
                break;
            }
        }
    }

    fn may_drop(&self) -> bool {
        self.config.write_policy == WritePolicy::DropOldest
    }

    fn drop_oldest(&mut self) -> bool {
        self.index
            .oldest_closed()
            .is_some_and(|segment| self.drop_segment(&segment))
    }

    fn drop_segment(&mut self, segment: &Segment) -> bool {
        let removed = self.disk.remove(&segment_name(segment.number));
        if removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            return false;
        }
        let unshipped = self.index.drop_segment(segment.number);
        self.counters.lost(Lost::Retention).add(unshipped);
        self.counters.segments_deleted.add(1);
        true
    }

    fn publish_health(&self) {
        self.counters
            .publish(self.trouble, self.sync_trouble, &self.dedup);
    }
}

/// Writes a whole segment under another name, syncs it and gives it its own; the directory is not
/// yet synced.
pub(super) fn begin_segment<D: Disk>(
    disk: &D,
    header: &Header,
    frames: &[u8],
) -> io::Result<D::File> {
    let name = segment_name(header.number);
    let unfinished = format!("{name}.tmp");
    let made = (|| {
        let file = disk.create(&unfinished)?;
        disk.write_at(&file, 0, &header.encode())?;
        if !frames.is_empty() {
            disk.write_at(&file, HEADER_BYTES as u64, frames)?;
        }
        disk.sync(&file)?;
        disk.rename(&unfinished, &name)?;
        Ok(file)
    })();
    if made.is_err() {
        let _ = disk.remove(&unfinished);
    }
    made
}
