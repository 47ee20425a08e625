//! What the journal counts. Written by the writer and the queue, read by telemetry and the console.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::domain::EntryKind;

use super::dedup::Dedup;
use super::disk::DiskTrouble;

/// Why an entry is not, or no longer, on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Lost {
    /// The queue was full.
    QueueFull,
    /// The disk refused it.
    Disk,
    /// Its record would have been too long.
    TooLarge,
    /// The journal had been closed.
    Closed,
    /// It was deleted before it was shipped, to stay under `retain_bytes_max` or to free the disk.
    Retention,
}

impl Lost {
    /// Every reason, in order.
    pub const ALL: [Lost; 5] = [
        Lost::QueueFull,
        Lost::Disk,
        Lost::TooLarge,
        Lost::Closed,
        Lost::Retention,
    ];

    /// The label's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Lost::QueueFull => "queue_full",
            Lost::Disk => "disk",
            Lost::TooLarge => "too_large",
            Lost::Closed => "closed",
            Lost::Retention => "retention",
        }
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`Status`].
#[derive(Debug, Default)]
pub struct Counters {
    appended: [Count; EntryKind::ALL.len()],
    appended_unknown: Count,
    pub(super) duplicates: Count,
    lost: [Count; Lost::ALL.len()],
    pub(super) syncs: Count,
    pub(super) sync_failures: Count,
    pub(super) write_failures: Count,
    pub(super) relocations: Count,
    pub(super) segments_deleted: Count,
    trouble: AtomicU8,
    durable_refused: AtomicBool,
    dedup_keys: AtomicU64,
    dedup_evicted: AtomicU64,
    pub(super) sync_ms_last: AtomicU64,
    pub(super) synced_at_ms: AtomicI64,
}

const TROUBLES: [DiskTrouble; 3] = [DiskTrouble::NoSpace, DiskTrouble::ReadOnly, DiskTrouble::Io];

impl Counters {
    /// The counter of a kind; kinds of a later release share one.
    #[must_use]
    pub fn appended(&self, kind: Option<EntryKind>) -> &Count {
        kind.map_or(&self.appended_unknown, |kind| &self.appended[kind as usize])
    }

    /// The counter of a reason.
    #[must_use]
    pub fn lost(&self, reason: Lost) -> &Count {
        &self.lost[reason as usize]
    }

    pub(super) fn publish(
        &self,
        trouble: Option<DiskTrouble>,
        durable_refused: bool,
        dedup: &Dedup,
    ) {
        let code = trouble.map_or(0, |t| 1 + t as u8);
        self.trouble.store(code, Ordering::Relaxed);
        self.durable_refused
            .store(durable_refused, Ordering::Relaxed);
        self.dedup_keys
            .store(dedup.count() as u64, Ordering::Relaxed);
        self.dedup_evicted.store(dedup.evicted(), Ordering::Relaxed);
    }

    pub(super) fn note_sync(&self, took_ms: u64, wall_ms: i64) {
        self.sync_ms_last.store(took_ms, Ordering::Relaxed);
        self.synced_at_ms.store(wall_ms, Ordering::Relaxed);
    }

    /// Whether the last write was refused, so that the next probably will be.
    pub(super) fn refuses_all(&self) -> bool {
        self.trouble().is_some() && !self.durable_refused.load(Ordering::Relaxed)
    }

    /// What is wrong with the disk.
    #[must_use]
    pub fn trouble(&self) -> Option<DiskTrouble> {
        let code = usize::from(self.trouble.load(Ordering::Relaxed));
        code.checked_sub(1).map(|i| TROUBLES[i])
    }

    pub(super) fn status(&self) -> Status {
        Status {
            appended: EntryKind::ALL
                .iter()
                .map(|kind| (*kind, self.appended[*kind as usize].get()))
                .collect(),
            duplicates: self.duplicates.get(),
            lost: Lost::ALL.map(|reason| (reason, self.lost(reason).get())),
            syncs: self.syncs.get(),
            sync_failures: self.sync_failures.get(),
            write_failures: self.write_failures.get(),
            relocations: self.relocations.get(),
            segments_deleted: self.segments_deleted.get(),
            trouble: self.trouble(),
            durable_refused: self.durable_refused.load(Ordering::Relaxed),
            dedup_keys: self.dedup_keys.load(Ordering::Relaxed),
            dedup_evicted: self.dedup_evicted.load(Ordering::Relaxed),
            sync_ms_last: self.sync_ms_last.load(Ordering::Relaxed),
            synced_at_ms: self.synced_at_ms.load(Ordering::Relaxed),
            ..Status::default()
        }
    }
}

/// The journal at one moment. All counts are since the start of the process.
#[derive(Clone, Debug)]
pub struct Status {
    /// Records written, by kind.
    pub appended: Vec<(EntryKind, u64)>,
    /// Entries that had been seen before.
    pub duplicates: u64,
    /// Entries not on record, by reason.
    pub lost: [(Lost, u64); Lost::ALL.len()],
    /// Entries waiting to be written.
    pub queue_entries: usize,
    /// Their bytes, roughly.
    pub queue_bytes: usize,
    /// Segment files.
    pub segments: usize,
    /// Their valid bytes.
    pub bytes: u64,
    /// When the oldest record was written, at the latest; `None` without records.
    pub oldest_ms: Option<i64>,
    /// Times everything written was made durable.
    pub syncs: u64,
    /// Times the disk refused that.
    pub sync_failures: u64,
    /// Groups the disk refused.
    pub write_failures: u64,
    /// New files begun because the active one could not be trusted.
    pub relocations: u64,
    /// Segments deleted.
    pub segments_deleted: u64,
    /// What the last `fdatasync` took, in milliseconds.
    pub sync_ms_last: u64,
    /// When it was, milliseconds since the epoch; 0 before the first.
    pub synced_at_ms: i64,
    /// What is wrong with the disk; `None` when all is well.
    pub trouble: Option<DiskTrouble>,
    /// Durable appends are refused until the disk heals.
    pub durable_refused: bool,
    /// Idempotency keys remembered.
    pub dedup_keys: u64,
    /// Keys forgotten before their time.
    pub dedup_evicted: u64,
    /// The last durable record.
    pub committed: super::Position,
    /// Everything up to here has been shipped.
    pub shipped: super::Position,
}

impl Default for Status {
    fn default() -> Status {
        Status {
            appended: Vec::new(),
            duplicates: 0,
            lost: Lost::ALL.map(|reason| (reason, 0)),
            queue_entries: 0,
            queue_bytes: 0,
            segments: 0,
            bytes: 0,
            oldest_ms: None,
            syncs: 0,
            sync_failures: 0,
            write_failures: 0,
            relocations: 0,
            segments_deleted: 0,
            sync_ms_last: 0,
            synced_at_ms: 0,
            trouble: None,
            durable_refused: false,
            dedup_keys: 0,
            dedup_evicted: 0,
            committed: super::Position::START,
            shipped: super::Position::START,
        }
    }
}

impl Status {
    /// Entries lost for `reason`.
    #[must_use]
    pub fn lost(&self, reason: Lost) -> u64 {
        self.lost[reason as usize].1
    }
}
