//! Reads a journal's folder from outside, while a server may be writing to it.
//!
//! Nothing is locked, repaired or removed: whoever looks must not disturb whoever serves. What is
//! being written at that moment may or may not be seen.

use std::io;
use std::path::Path;

use super::Position;
use super::checkpoint::{Checkpoint, Loaded};
use super::disk::{Disk, RealDisk};
use super::format::node_hash;
use super::recover::{OpenError, Recovery, scan};
use crate::domain::Entry;

/// Tells `visit` of every record in `dir`, in order.
///
/// # Errors
/// When there is no journal in the folder or it cannot be read; never for what its files hold.
pub fn read_folder(
    dir: &Path,
    visit: &mut dyn FnMut(Position, &Entry),
) -> Result<Recovery, OpenError> {
    let missing = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("no journal in {}", dir.display()),
        )
    };
    if !dir.is_dir() {
        return Err(OpenError::io("read the journal")(missing()));
    }
    let disk = ReadOnly(RealDisk::new(dir).map_err(OpenError::io("read the journal"))?);
    let node = match Checkpoint::on(disk.clone(), "node").load::<String>() {
        Ok(Loaded::Value(node)) => node,
        Ok(_) => return Err(OpenError::io("read the journal")(missing())),
        Err(error) => return Err(OpenError::io("read the node's name")(error)),
    };
    scan(&disk, node_hash(&node), visit).map(|found| found.recovery)
}

/// A disk on which nothing changes.
#[derive(Clone)]
struct ReadOnly(RealDisk);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnly {
    type File = <RealDisk as Disk>::File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.0.list()
    }

    fn create(&self, _: &str) -> io::Result<Self::File> {
        refused()
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        self.0.open(name)
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
