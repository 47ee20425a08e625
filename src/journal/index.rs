//! Which segments there are and how far each is valid: the one thing writer and readers share.
//!
//! The lock is held for a few loads and stores, never during I/O.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::position::Position;

/// What is known of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The number in its name.
    pub number: u64,
    /// The last position before it.
    pub before: Position,
    /// Its last durable record, or `before` when it has none.
    pub last: Position,
    /// Bytes that are valid and durable.
    pub end: u64,
    /// Durable records in it.
    pub records: u64,
}

impl Segment {
    /// A segment without records.
    #[must_use]
    pub fn new(number: u64, before: Position) -> Segment {
        Segment {
            number,
            before,
            last: before,
            end: 0,
            records: 0,
        }
    }
}

/// The segments in order; the last one is being written.
pub struct Index {
    inner: Mutex<Inner>,
}

struct Inner {
    segments: Vec<Segment>,
    committed: Position,
    shipped: Position,
}

impl Index {
    /// The segments found at the start.
    #[must_use]
    pub fn new(segments: Vec<Segment>, committed: Position) -> Index {
        Index {
            inner: Mutex::new(Inner {
                segments,
                committed,
                shipped: Position::START,
            }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new segment is being written.
    pub fn begin(&self, segment: Segment) {
        let mut inner = self.lock();
        // An active one without any record was left behind for this one.
        inner.segments.retain(|s| s.records > 0);
        inner.segments.push(segment);
    }

    /// The active segment is durable up to `end`.
    pub fn extend(&self, number: u64, last: Position, end: u64, records: u64) {
        let mut inner = self.lock();
        inner.committed = last;
        if let Some(segment) = inner.segments.iter_mut().find(|s| s.number == number) {
            segment.last = last;
            segment.end = end;
            segment.records += records;
        }
    }

    /// The last durable record.
    #[must_use]
    pub fn committed(&self) -> Position {
        self.lock().committed
    }

    /// Everything up to here may be deleted when it is old.
    #[must_use]
    pub fn shipped(&self) -> Position {
        self.lock().shipped
    }

    /// Moves [`Index::shipped`] forwards.
    pub fn set_shipped(&self, position: Position) {
        let mut inner = self.lock();
        inner.shipped = inner.shipped.max(position);
    }

    /// The first segment that has, or may get, records behind `position`.
    #[must_use]
    pub fn behind(&self, position: Position) -> Option<Segment> {
        let inner = self.lock();
        let active = inner.segments.last();
        inner
            .segments
            .iter()
            .find(|s| s.last > position)
            .or(active)
            .copied()
    }

    /// That segment as it is now.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<Segment> {
        self.lock()
            .segments
            .iter()
            .find(|s| s.number == number)
            .copied()
    }

    /// The number of the segment before `number`; 0 when it is the first.
    #[must_use]
    pub fn newest_before(&self, number: u64) -> u64 {
        let inner = self.lock();
        let before = inner.segments.iter().rev().find(|s| s.number < number);
        before.map_or(0, |s| s.number)
    }

    /// The oldest segment, unless it is the one being written.
    #[must_use]
    pub fn oldest_closed(&self) -> Option<Segment> {
        match self.lock().segments.as_slice() {
            [oldest, _, ..] => Some(*oldest),
            _ => None,
        }
    }

    /// Forgets a deleted segment; how many of its records had not been shipped.
    pub fn drop_segment(&self, number: u64) -> u64 {
        let mut inner = self.lock();
        let shipped = inner.shipped;
        let Some(at) = inner.segments.iter().position(|s| s.number == number) else {
            return 0;
        };
        let segment = inner.segments.remove(at);
        let unshipped = segment.last.seq.saturating_sub(shipped.seq);
        unshipped.min(segment.records)
    }

    /// Segments there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().segments.len()
    }

    /// Whether there are none, which is never the case in an open journal.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Their valid bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.lock().segments.iter().map(|s| s.end).sum()
    }

    /// The time before the oldest record still there; `None` without records.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        let inner = self.lock();
        let oldest = inner.segments.iter().find(|s| s.records > 0)?;
        Some(if oldest.before == Position::START {
            oldest.last.ms
        } else {
            oldest.before.ms
        })
    }
}

/// The name of a segment's file.
#[must_use]
pub fn segment_name(number: u64) -> String {
    format!("{number:010}.wal")
}
