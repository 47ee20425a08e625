//! The few things the journal asks of a disk, so that a simulated one can fail at each of them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One directory of files without subdirectories.
///
/// What was written is certain to survive a power cut only after [`Disk::sync`], and a name (made,
/// renamed or removed) only after [`Disk::sync_dir`].
pub trait Disk: Clone + Send + 'static {
    /// An open file; closing happens on drop.
    type File: Send + Sync;

    /// Every regular file's name and length.
    ///
    /// # Errors
    /// Whatever the disk says; so do all the others.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// Makes an empty file, emptying one that is there.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Opens a file for reading, writing and syncing.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Reads up to `bytes.len()` bytes; 0 at the end of the file.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn read_at(&self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes`; on error any part of them may have been written.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file off.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()>;
    /// `fdatasync`. After an error the file is never synced again: the kernel may have marked the
    /// pages clean, and the next call would say yes to lost data (Rebello et al., "Can Applications
    /// Recover from fsync Failures?", USENIX ATC 2020).
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn sync(&self, file: &Self::File) -> io::Result<()>;
    /// Makes names certain.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn sync_dir(&self) -> io::Result<()>;
    /// Gives a file another name, in place of whatever had it.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// See [`Disk::list`].
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// What is wrong with a disk, as far as callers must tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiskTrouble {
    /// No space or no quota is left; it returns by itself when some is freed.
    NoSpace,
    /// The file system cannot be written to.
    ReadOnly,
    /// Anything else: the device fails.
    Io,
}

impl DiskTrouble {
    /// The word for labels and messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DiskTrouble::NoSpace => "no_space",
            DiskTrouble::ReadOnly => "read_only",
            DiskTrouble::Io => "io",
        }
    }
}

impl From<&io::Error> for DiskTrouble {
    fn from(error: &io::Error) -> DiskTrouble {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => DiskTrouble::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                DiskTrouble::ReadOnly
            }
            _ => DiskTrouble::Io,
        }
    }
}

/// A directory of the real file system.
#[derive(Clone, Debug)]
pub struct RealDisk {
    dir: Arc<PathBuf>,
}

/// Holding this keeps other processes out of the directory; the kernel lets go when we end, however.
#[derive(Debug)]
pub struct DirLock {
    _file: File,
}

/// The file whose lock stands for the directory.
pub const LOCK_NAME: &str = "lock";

impl RealDisk {
    /// The directory `dir`, made if it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(dir: &Path) -> io::Result<RealDisk> {
        fs::create_dir_all(dir)?;
        Ok(RealDisk {
            dir: Arc::new(dir.to_owned()),
        })
    }

    /// The directory `dir`, as it is.
    #[must_use]
    pub fn existing(dir: &Path) -> RealDisk {
        RealDisk {
            dir: Arc::new(dir.to_owned()),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Takes the directory for this process; `None` when another has it.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn lock(&self) -> io::Result<Option<DirLock>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.dir.join(LOCK_NAME))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DirLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Disk for RealDisk {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for found in fs::read_dir(&*self.dir)? {
            let found = found?;
            let data = match found.metadata() {
                Ok(data) => data,
                // Removed or renamed since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if data.is_file() {
                let name = found
                    .file_name()
                    .into_string()
                    .unwrap_or_else(|name: OsString| name.to_string_lossy().into_owned());
                files.push((name, data.len()));
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.dir.join(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.dir.join(name))
    }

    fn read_at(&self, file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match file.read_at(bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&*self.dir)?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }
}
