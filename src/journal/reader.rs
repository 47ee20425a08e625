//! Reading the journal in order, behind the writer.
//!
//! A reader sees a record once it is durable, never earlier: what has been shipped or learnt from
//! cannot be un-happened by a power cut, and a position is never given to two different records that
//! anybody saw. It blocks on the disk and belongs on a thread of its own.

use std::io;
use std::sync::Arc;

use crate::domain::Entry;

use super::disk::{Disk, RealDisk};
use super::format::{HEADER_BYTES, decode_entry};
use super::index::{Index, Segment, segment_name};
use super::position::Position;
use super::scan::Scan;

/// What a reader had to pass over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records that are not there: damaged, or deleted before they were read.
    pub missing: u64,
    /// Records this release cannot read.
    pub undecodable: u64,
}

/// A place in the journal that moves forwards.
pub struct Reader<D: Disk = RealDisk> {
    disk: D,
    index: Arc<Index>,
    at: Position,
    open: Option<(u64, Scan<D>)>,
    skipped: Skipped,
}

impl<D: Disk> Reader<D> {
    /// A reader of what stands behind `after`.
    pub fn new(disk: D, index: Arc<Index>, after: Position) -> Reader<D> {
        Reader {
            disk,
            index,
            at: after,
            open: None,
            skipped: Skipped::default(),
        }
    }

    /// The last record read or passed over.
    #[must_use]
    pub fn position(&self) -> Position {
        self.at
    }

    /// What had to be passed over since this reader was made.
    #[must_use]
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The next records, at most `max_entries` and, beyond the first, `max_bytes` of payload. Empty
    /// when the reader has caught up: wait for the journal's watch, then ask again.
    ///
    /// # Errors
    /// When a segment cannot be opened. Asking again is safe.
    pub fn next_batch(
        &mut self,
        max_entries: usize,
        max_bytes: usize,
    ) -> io::Result<Vec<(Position, Entry)>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < max_entries && bytes < max_bytes {
            let Some(segment) = self.segment()? else {
                break;
            };
            let Some((_, scan)) = &mut self.open else {
                break;
            };
            let Some(found) = scan.next() else {
                self.leave(&segment);
                continue;
            };
            let position = found.position;
            let entry = decode_entry(found.payload());
            bytes += found.frame.len();
            self.arrive(position, 1);
            match entry {
                Some(entry) => batch.push((position, entry)),
                None => self.skipped.undecodable += 1,
            }
        }
        Ok(batch)
    }

    /// Passes over at most `max_entries` records without looking into them, and tells over how many: a fraction of
    /// what reading them takes.
    ///
    /// # Errors
    /// When a segment cannot be opened. Asking again is safe.
    pub fn pass_over(&mut self, max_entries: usize) -> io::Result<usize> {
        let mut passed = 0;
        while passed < max_entries {
            let Some(segment) = self.segment()? else {
                break;
            };
            let Some((_, scan)) = &mut self.open else {
                break;
            };
            let Some(position) = scan.next().map(|found| found.position) else {
                self.leave(&segment);
                continue;
            };
            self.arrive(position, 1);
            passed += 1;
        }
        Ok(passed)
    }

    /// The segment to read from, open and with its present end; `None` when nothing is left.
    fn segment(&mut self) -> io::Result<Option<Segment>> {
        loop {
            let Some(segment) = self.index.behind(self.at).filter(|s| s.last > self.at) else {
                return Ok(None);
            };
            if let Some((number, scan)) = &mut self.open
                && *number == segment.number
            {
                scan.extend_to(segment.end);
                return Ok(Some(segment));
            }
            // What retention has deleted before it was read.
            if segment.before > self.at {
                // Who begins at the start asks for what there is.
                if self.at == Position::START {
                    self.at = segment.before;
                }
                self.arrive(segment.before, 0);
            }
            match self.disk.open(&segment_name(segment.number)) {
                Ok(file) => {
                    let start = HEADER_BYTES as u64;
                    // What was read before is older than `at`, and so passed over.
                    let after = segment.before.max(self.at);
                    let scan = Scan::new(self.disk.clone(), file, start, segment.end, after);
                    self.open = Some((segment.number, scan));
                    return Ok(Some(segment));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Deleted since we asked, or by somebody else.
                    if self.index.get(segment.number).is_some() {
                        self.leave(&segment);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Moves to `position`, having read `read` records on the way there.
    fn arrive(&mut self, position: Position, read: u64) {
        self.skipped.missing += position.seq - self.at.seq - read;
        self.at = position;
    }

    /// Gives up on the rest of a segment: it is damaged to its end, or gone.
    fn leave(&mut self, segment: &Segment) {
        self.arrive(segment.last, 0);
        self.open = None;
    }
}
