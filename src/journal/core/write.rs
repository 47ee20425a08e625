//! Writing groups to the active file, and having the disk forget half a group.

use std::io;
use std::sync::Arc;

use super::super::disk::{Disk, DiskTrouble};
use super::super::format::{HEADER_BYTES, Header};
use super::super::index::segment_name;
use super::{Core, Now, OVERLONG};

/// The file being written.
pub(super) struct Active<F> {
    pub(super) file: Arc<F>,
    pub(super) number: u64,
    /// The end of the last whole record.
    pub(super) len: u64,
    /// Behind `len` there may be half a group.
    pub(super) tail_dirty: bool,
    /// A sync of it has failed, or its name is not certain: it is never synced again.
    pub(super) suspect: bool,
}

impl<F> Active<F> {
    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.len <= HEADER_BYTES as u64
    }
}

impl<D: Disk> Core<D> {
    /// Whether the next segment should be begun.
    pub(super) fn is_full(&self, now: Now) -> bool {
        self.active.len >= self.config.segment_bytes_max
            && !self.active.is_empty()
            && self.rotate_after <= now.monotonic_ms
    }

    /// Whether the active segment may not grow any more, though the next cannot be begun.
    pub(super) fn is_overlong(&self) -> bool {
        self.active.len >= self.config.segment_bytes_max * OVERLONG
    }

    /// Appends `frames` to the active file, whole or not at all.
    pub(super) fn write(&mut self, now: Now, frames: &[u8]) -> Result<(), DiskTrouble> {
        loop {
            match self.write_once(now, frames) {
                Ok(()) => {
                    if !self.sync_trouble {
                        self.trouble = None;
                    }
                    return Ok(());
                }
                Err(trouble) if self.make_room(trouble) => {}
                Err(trouble) => {
                    self.counters.write_failures.add(1);
                    self.trouble = Some(trouble);
                    return Err(trouble);
                }
            }
        }
    }

    fn write_once(&mut self, now: Now, frames: &[u8]) -> Result<(), DiskTrouble> {
        if self.is_overlong() {
            self.rotate(now)?;
        }
        if self.active.tail_dirty {
            self.clean_tail(now)?;
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
                let _ = self.clean_tail(now);
                Err(DiskTrouble::from(&error))
            }
        }
    }

    /// Has the disk forget half a group for certain, before its numbers are given out again.
    fn clean_tail(&mut self, now: Now) -> Result<(), DiskTrouble> {
        // The file cannot be synced twice at once: of a failure only one of the two would hear.
        if self.underway.is_some() {
            return Err(self.trouble.unwrap_or(DiskTrouble::Io));
        }
        let cut = self.disk.truncate(&self.active.file, self.active.len);
        if cut.is_err() {
            self.active.suspect = true;
        }
        // Either the cut is synced, or the active file is left behind for a new one.
        if self.active.suspect {
            self.rotate(now)?;
        } else {
            let ticket = self.sync_active();
            self.run(ticket, now)?;
        }
        self.active.tail_dirty = false;
        Ok(())
    }
}

/// Writes a whole segment under another name, syncs it and gives it its own; the directory is not
/// yet synced.
pub(super) fn begin_segment<D: Disk>(
    disk: &D,
    header: &Header,
    frames: &[u8],
) -> io::Result<D::File> {
    let file = write_unfinished(disk, header, frames)?;
    let made = disk.sync(&file).and_then(|()| finish(disk, header.number));
    if made.is_err() {
        remove_unfinished(disk, header.number);
    }
    made.map(|()| file)
}

/// Writes a whole segment under another name; nothing is synced.
pub(super) fn write_unfinished<D: Disk>(
    disk: &D,
    header: &Header,
    frames: &[u8],
) -> io::Result<D::File> {
    let written = (|| {
        let file = disk.create(&unfinished_name(header.number))?;
        disk.write_at(&file, 0, &header.encode())?;
        if !frames.is_empty() {
            disk.write_at(&file, HEADER_BYTES as u64, frames)?;
        }
        Ok(file)
    })();
    if written.is_err() {
        remove_unfinished(disk, header.number);
    }
    written
}

/// Gives a segment its name: from now on it is the journal's end.
pub(super) fn finish<D: Disk>(disk: &D, number: u64) -> io::Result<()> {
    let name = segment_name(number);
    disk.rename(&unfinished_name(number), &name)
        .inspect_err(|_| {
            // Should it have happened nevertheless, a start would end the journal there.
            let _ = disk.remove(&name);
        })
}

pub(super) fn remove_unfinished<D: Disk>(disk: &D, number: u64) {
    // What stays is removed by the next start.
    let _ = disk.remove(&unfinished_name(number));
}

fn unfinished_name(number: u64) -> String {
    format!("{}.tmp", segment_name(number))
}
