//! A small value in a file that is always whole: the one before or the one after, never half.
//!
//! Written under another name, synced, renamed, and the directory synced. A checkpoint may lag
//! behind what it describes, and may be lost: whoever uses one must be able to begin again earlier.

use std::io;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::disk::{Disk, RealDisk};

/// What the names of checkpoint files end in.
pub const SUFFIX: &str = ".checkpoint";
/// Checkpoints are small; a file beyond this is damage.
const BYTES_MAX: usize = 1 << 20;

/// A named checkpoint in a directory.
#[derive(Clone, Debug)]
pub struct Checkpoint<D = RealDisk> {
    disk: D,
    name: String,
}

/// What a checkpoint file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded<T> {
    /// There is none.
    Missing,
    /// There is one, and it cannot be used.
    Damaged,
    /// The value last saved.
    Value(T),
}

impl<T> Loaded<T> {
    /// The value, if there is one.
    #[must_use]
    pub fn value(self) -> Option<T> {
        match self {
            Loaded::Value(value) => Some(value),
            Loaded::Missing | Loaded::Damaged => None,
        }
    }
}

impl Checkpoint {
    /// The checkpoint `name` in `dir`, which may be the journal's own; the file is `name.checkpoint`.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn new(dir: &Path, name: &str) -> io::Result<Checkpoint> {
        Ok(Checkpoint::on(RealDisk::new(dir)?, name))
    }
}

impl<D: Disk> Checkpoint<D> {
    /// The checkpoint `name` on `disk`.
    pub fn on(disk: D, name: &str) -> Checkpoint<D> {
        Checkpoint {
            disk,
            name: format!("{name}{SUFFIX}"),
        }
    }

    /// Reads the value last saved.
    ///
    /// # Errors
    /// When the disk refuses; never for what the file holds.
    pub fn load<T: DeserializeOwned>(&self) -> io::Result<Loaded<T>> {
        let file = match self.disk.open(&self.name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Missing),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        loop {
            let had = text.len();
            text.resize(had + 4096, 0);
            let got = self.disk.read_at(&file, had as u64, &mut text[had..])?;
            text.truncate(had + got);
            if got == 0 || text.len() > BYTES_MAX {
                break;
            }
        }
        Ok(decode(&text).map_or(Loaded::Damaged, Loaded::Value))
    }

    /// Saves `value`; when this returns it survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses; the value saved before is then still there.
    pub fn save<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let json = serde_json::to_string(value).map_err(io::Error::other)?;
        let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
        let unfinished = format!("{}.tmp", self.name);
        let written = (|| {
            let file = self.disk.create(&unfinished)?;
            self.disk.write_at(&file, 0, text.as_bytes())?;
            self.disk.sync(&file)?;
            self.disk.rename(&unfinished, &self.name)
        })();
        if let Err(error) = written {
            // On a full disk, half a file must not keep what little space there is.
            let _ = self.disk.remove(&unfinished);
            return Err(error);
        }
        self.disk.sync_dir()
    }
}

fn decode<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(text).ok()?;
    let (json, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32c::crc32c(json.as_bytes()))
        .then(|| serde_json::from_str(json).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_loads_what_was_saved_and_never_half_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(dir.path(), "shipper").unwrap();
        assert_eq!(checkpoint.load::<Vec<u64>>().unwrap(), Loaded::Missing);
        checkpoint.save(&vec![1_u64, 2]).unwrap();
        checkpoint.save(&vec![3_u64]).unwrap();
        assert_eq!(
            checkpoint.load::<Vec<u64>>().unwrap(),
            Loaded::Value(vec![3])
        );
        let path = dir.path().join("shipper.checkpoint");
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(checkpoint.load::<Vec<u64>>().unwrap(), Loaded::Damaged);
        }
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &bytes).unwrap();
            let loaded = checkpoint.load::<Vec<u64>>().unwrap();
            // One bit of a hexadecimal digit is its case, which says the same.
            assert!(matches!(loaded, Loaded::Damaged) || loaded == Loaded::Value(vec![3]));
        }
    }
}
