//! Reads a journal's folder from outside, while a server may be writing to it.
//!
//! Nothing is locked, repaired or removed: whoever looks must not disturb whoever serves. What is
//! being written at that moment may or may not be seen.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;

use super::Position;
use super::checkpoint::{Checkpoint, Loaded};
use super::disk::{Disk, RealDisk};
use super::format::node_hash;
use super::recover::{OpenError, Recovery, scan};
use crate::domain::Entry;

/// How often the reading is begun again because a file went away in the middle. A live server deletes
/// one a few seconds or hours, never several while a folder is read.
const ATTEMPTS: u32 = 10;

/// Tells `visit` of every record in `dir`, in order.
///
/// Where a file goes away meanwhile (retention deleted it, or another took its place), the reading is
/// begun again, and `visit` hears only of what it has not heard yet.
///
/// # Errors
/// When there is no journal in the folder or it cannot be read; never for what its files hold.
pub fn read_folder(
    dir: &Path,
    visit: &mut dyn FnMut(Position, &Entry),
) -> Result<Recovery, OpenError> {
    let missing = || {
        let text = format!("no journal in {}", dir.display());
        OpenError::io("read the journal")(io::Error::new(io::ErrorKind::NotFound, text))
    };
    if !dir.is_dir() {
        return Err(missing());
    }
    let disk = ReadOnly(RealDisk::existing(dir));
    let node = match Checkpoint::on(disk.clone(), "node").load::<String>() {
        Ok(Loaded::Value(node)) => node_hash(&node),
        Ok(_) => return Err(missing()),
        Err(error) => return Err(OpenError::io("read the node's name")(error)),
    };
    let mut told = Position::START;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let read = scan(&disk, node, &mut |position, entry| {
            if position.follows(told) {
                told = position;
                visit(position, entry);
            }
        });
        match read {
            Err(OpenError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS => {}
            read => return read.map(|found| found.recovery),
        }
    }
}

/// A disk on which nothing changes.
#[derive(Clone)]
struct ReadOnly(RealDisk);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    type File = <RealDisk as Disk>::File;

    /// A directory that changes while it is listed may show neither the old name of a file nor the
    /// new one: it is listed until it shows the same names twice.
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut before = self.0.list()?;
        for _ in 0..ATTEMPTS {
            let files = self.0.list()?;
            let names = |files: &[(String, u64)]| -> BTreeSet<String> {
                files.iter().map(|(name, _)| name.clone()).collect()
            };
            if names(&files) == names(&before) {
                return Ok(files);
            }
            before = files;
        }
        Ok(before)
    }

    fn create(&self, _: &str) -> io::Result<Self::File> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        // Whoever looks may have no right to write.
        File::open(self.0.dir().join(name))
    }

    fn read_at(&self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(file, offset, bytes)
    }

    fn write_at(&self, _: &Self::File, _: u64, _: &[u8]) -> io::Result<()> {
        refused()
    }

    fn truncate(&self, _: &Self::File, _: u64) -> io::Result<()> {
        refused()
    }

    fn sync(&self, _: &Self::File) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }
}
