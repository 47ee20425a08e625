//! Reading a segment from front to back, through whatever damage it has.
//!
//! A hole is bytes that are no record. Behind it the search goes on for the next magic; what is found
//! must have a right checksum and stand later than the last record believed, else it is a leftover
//! of an older write. Sectors that cannot be read count as holes too.

use std::io;

use super::Position;
use super::disk::Disk;
use super::format::{PAYLOAD_BYTES_MAX, Parsed, RECORD_HEAD_BYTES, RECORD_MAGIC, parse};

/// Read at a time: enough for the longest record to be whole in memory, and for a disk to stream.
const CHUNK_BYTES: usize = 1 << 20;
/// What one unreadable spot costs.
const SECTOR_BYTES: usize = 4096;

/// A pass over one file.
pub struct Scan<D: Disk> {
    disk: D,
    file: D::File,
    /// Bytes of the file from `base` on.
    bytes: Vec<u8>,
    base: u64,
    /// The next byte to look at, within `bytes`.
    at: usize,
    /// Where the pass ends; the file may be longer.
    limit: u64,
    /// The last record believed.
    last: Position,
    /// Where the present hole began.
    hole: Option<u64>,
    damage: Damage,
}

/// What a pass had to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Holes with a record behind them.
    pub holes: u64,
    /// Bytes in those holes.
    pub hole_bytes: u64,
    /// Bytes behind the last record.
    pub tail_bytes: u64,
    /// Whole records that were older than what was read before them.
    pub stale: u64,
    /// Sectors the disk could not read.
    pub unreadable: u64,
}

/// A record as it stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// Where it stands in the journal.
    pub position: Position,
    /// The whole record.
    pub frame: &'a [u8],
    /// The offset just behind it.
    pub end: u64,
}

impl<'a> Found<'a> {
    /// The encoded entry.
    pub fn payload(&self) -> &'a [u8] {
        &self.frame[RECORD_HEAD_BYTES..]
    }
}

impl<D: Disk> Scan<D> {
    /// A pass over `file` from `offset` to `limit`, believing only what stands behind `last`.
    pub fn new(disk: D, file: D::File, offset: u64, limit: u64, last: Position) -> Scan<D> {
        Scan {
            disk,
            file,
            bytes: Vec::new(),
            base: offset,
            at: 0,
            limit,
            last,
            hole: None,
            damage: Damage::default(),
        }
    }

    /// Lets the pass go on to `limit`: the file has grown.
    pub fn extend_to(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// What was left out so far; the tail is known once the pass has ended.
    pub fn damage(&self) -> Damage {
        self.damage
    }

    /// The next record, or `None` at the end.
    pub fn next(&mut self) -> Option<Found<'_>> {
        loop {
            match parse(&self.bytes[self.at..]) {
                Parsed::Record {
                    position, bytes, ..
                } => {
                    if position.follows(self.last) {
                        return Some(self.believe(position, bytes));
                    }
                    self.damage.stale += 1;
                    self.at += bytes;
                }
                Parsed::Short(wanted) => {
                    if !self.fill(wanted) {
                        if self.at == self.bytes.len() {
                            self.end();
                            return None;
                        }
                        self.resync();
                    }
                }
                Parsed::Bad => self.resync(),
            }
        }
    }

    fn believe(&mut self, position: Position, bytes: usize) -> Found<'_> {
        if let Some(from) = self.hole.take() {
            self.damage.holes += 1;
            self.damage.hole_bytes += self.offset() - from;
        }
        self.last = position;
        let start = self.at;
        self.at += bytes;
        Found {
            position,
            frame: &self.bytes[start..self.at],
            end: self.base + self.at as u64,
        }
    }

    fn end(&mut self) {
        if let Some(from) = self.hole {
            self.damage.tail_bytes = self.offset() - from;
        }
    }

    fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// Moves to the next byte that may begin a record.
    fn resync(&mut self) {
        self.hole = self.hole.or(Some(self.offset()));
        let rest = &self.bytes[self.at + 1..];
        self.at += 1 + rest
            .iter()
            .position(|byte| *byte == RECORD_MAGIC[0])
            .unwrap_or(rest.len());
    }

    /// Has `wanted` bytes in memory from `at` on, if the file has them; whether it got any further.
    fn fill(&mut self, wanted: usize) -> bool {
        debug_assert!(wanted <= RECORD_HEAD_BYTES + PAYLOAD_BYTES_MAX);
        self.bytes.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let had = self.bytes.len();
        while self.bytes.len() < wanted && self.read_chunk() {}
        self.bytes.len() > had
    }

    fn read_chunk(&mut self) -> bool {
        let from = self.base + self.bytes.len() as u64;
        let room = self.limit.saturating_sub(from).min(CHUNK_BYTES as u64);
        let had = self.bytes.len();
        let want = usize::try_from(room).expect("at most a chunk");
        self.bytes.resize(had + want, 0);
        let got = match self.read(from, had, want) {
            Ok(got) => got,
            // The chunk has a sector that cannot be read: go on behind the first sector, so that a
            // bad one costs no more than itself.
            Err(_) => match self.read(from, had, want.min(SECTOR_BYTES)) {
                Ok(got) => got,
                Err(_) => {
                    self.damage.unreadable += 1;
                    let lost = want.min(SECTOR_BYTES);
                    self.bytes[had..had + lost].fill(0);
                    lost
                }
            },
        };
        self.bytes.truncate(had + got);
        got > 0
    }

    fn read(&mut self, from: u64, at: usize, len: usize) -> io::Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        self.disk
            .read_at(&self.file, from, &mut self.bytes[at..at + len])
    }
}
