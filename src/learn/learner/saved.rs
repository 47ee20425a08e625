//! A learner's state on disk: statistics and positions in one file that is always whole.
//!
//! Written under another name, synced, renamed, and the directory synced. Whoever is killed before the rename finds the state
//! before, with the position that belongs to it, and hears the records since then again. That is all that
//! exactly-once takes: nothing is learnt outside of what is saved together.

use std::io;

use super::State;
use crate::journal::disk::Disk;

const NAME: &str = "state";
const UNFINISHED: &str = "state.tmp";
/// Of the form of the file and of everything in it. Another release's is not read: the journal is.
const MAGIC: &[u8; 16] = b"offerd learner 3";
/// Magic, length and checksum.
const HEAD: usize = 16 + 8 + 4;

/// Where a state is kept.
#[derive(Clone)]
pub struct Saved<D: Disk> {
    disk: D,
}

impl<D: Disk> Saved<D> {
    /// In that directory, which it has for itself.
    pub fn on(disk: D) -> Saved<D> {
        Saved { disk }
    }

    /// The state last saved; `None` where there is none, or it is damaged or of another release: then the
    /// journal is read from its start.
    ///
    /// # Errors
    /// When the disk refuses; never for what the file holds.
    pub fn load(&self) -> io::Result<Option<State>> {
        let file = match self.disk.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 1 << 20];
        loop {
            let got = self.disk.read_at(&file, bytes.len() as u64, &mut chunk)?;
            if got == 0 {
                return Ok(decode(&bytes));
            }
            bytes.extend_from_slice(&chunk[..got]);
        }
    }

    /// Saves a state; when this returns it survives a power cut.
    ///
    /// # Errors
    /// When the disk refuses; the state saved before is then still there.
    pub fn save(&self, state: &State) -> io::Result<()> {
        let bytes = encode(state)?;
        let written = (|| {
            let file = self.disk.create(UNFINISHED)?;
            self.disk.write_at(&file, 0, &bytes)?;
            self.disk.sync(&file)?;
            self.disk.rename(UNFINISHED, NAME)
        })();
        if let Err(error) = written {
            // On a full disk, half a file must not keep what little space there is.
            let _ = self.disk.remove(UNFINISHED);
            return Err(error);
        }
        self.disk.sync_dir()
    }
}

/// A state as bytes: the same state is the same bytes.
fn encode(state: &State) -> io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(state).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

fn decode(bytes: &[u8]) -> Option<State> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    let whole = body.len() as u64 == u64::from_le_bytes(*length)
        && crc32c::crc32c(body) == u32::from_le_bytes(*crc);
    whole.then(|| postcard::from_bytes(body).ok()).flatten()
}

/// SHA-256 of a state, hexadecimal: two learners that heard the same records agree on it.
///
/// # Errors
/// Never, for states that a learner made.
pub fn digest(state: &State) -> io::Result<String> {
    let bytes = encode(state)?;
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    Ok(digest.as_ref().iter().map(|b| format!("{b:02x}")).collect())
}
