//! A disk that keeps its promises and not a bit more.
//!
//! The model of "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014): until synced, a
//! write may be kept, dropped, or torn at sectors or pages, independently of the writes around it; a
//! name may be old or new until the directory is synced. After a failed sync the pages are clean and
//! what did not reach the disk never will (Rebello et al., USENIX ATC 2020).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use offerd::journal::disk::Disk;

/// Random numbers from a seed (SplitMix64, Steele et al., OOPSLA 2014).
#[derive(Clone)]
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The operating system lives on, with everything it was handed.
    Process,
    /// Only what the disk itself holds is left.
    Power,
}

enum Pending {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

enum NameOp {
    Link(String, u64),
    Unlink(String),
    Rename(String, String, u64),
}

#[derive(Default)]
struct Inode {
    live: Vec<u8>,
    stable: Vec<u8>,
    pending: Vec<Pending>,
    sync_failed: bool,
}

pub struct State {
    inodes: HashMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    stable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameOp>,
    next_inode: u64,
    dice: Dice,
    /// Changes asked for so far, and at which the machine stops.
    pub calls: u64,
    pub crash_at: Option<u64>,
    pub crashed: bool,
    /// One call in so many fails; 0 for none.
    pub fail_one_in: u64,
    /// Calls, counted like `calls`, that fail.
    pub fail_at: Vec<u64>,
    /// Bytes all files together may have.
    pub capacity: Option<u64>,
    pub failures: u64,
}

#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn gone() -> io::Error {
    io::Error::other("the machine has stopped")
}

impl State {
    fn begin(&mut self) -> io::Result<()> {
        if self.crashed {
            return Err(gone());
        }
        self.calls += 1;
        if self.crash_at == Some(self.calls) {
            self.crashed = true;
        }
        let chance = self.fail_one_in > 0 && self.dice.one_in(self.fail_one_in);
        if chance || self.fail_at.contains(&self.calls) {
            self.failures += 1;
            let no_space = self.dice.one_in(2);
            return Err(io::Error::from_raw_os_error(if no_space {
                ENOSPC
            } else {
                EIO
            }));
        }
        Ok(())
    }

    /// After the call's effect: whoever asked does not live to hear of it if the machine stopped.
    fn end<T>(&self, value: T) -> io::Result<T> {
        if self.crashed { Err(gone()) } else { Ok(value) }
    }

    /// At the call where the machine stops, the effect happens or not.
    fn happens(&mut self) -> bool {
        !self.crashed || self.dice.one_in(2)
    }

    fn inode(&mut self, file: u64) -> &mut Inode {
        self.inodes.get_mut(&file).expect("an open file")
    }

    fn write(&mut self, file: u64, offset: u64, bytes: &[u8]) {
        let inode = self.inode(file);
        put(&mut inode.live, offset, bytes);
        inode.pending.push(Pending::Write(offset, bytes.to_vec()));
    }

    fn used(&self) -> u64 {
        let files = self.names.values();
        files.map(|i| self.inodes[i].live.len() as u64).sum()
    }

    /// Lets some of what is pending reach the disk, as if it had been written back in any order.
    fn write_back_some(&mut self, file: u64) {
        let mut dice = self.dice.clone();
        let inode = self.inode(file);
        for pending in std::mem::take(&mut inode.pending) {
            match pending {
                Pending::Truncate(len) => {
                    if dice.one_in(2) {
                        cut(&mut inode.stable, len);
                    }
                }
                Pending::Write(offset, bytes) => {
                    let block = [512, 4096, usize::MAX][dice.roll(3) as usize];
                    let mut at = 0;
                    while at < bytes.len() {
                        // Blocks are those of the file, not of the write.
                        let here = usize::try_from(offset).unwrap() + at;
                        let room = if block == usize::MAX {
                            block
                        } else {
                            block - here % block
                        };
                        let to = bytes.len().min(at.saturating_add(room));
                        if dice.one_in(2) {
                            put(&mut inode.stable, here as u64, &bytes[at..to]);
                        }
                        at = to;
                    }
                }
            }
        }
        self.dice = dice;
    }

    fn names_back_some(&mut self) {
        for op in std::mem::take(&mut self.pending_names) {
            if self.dice.one_in(2) {
                apply(&mut self.stable_names, op);
            }
        }
    }
}

fn apply(names: &mut BTreeMap<String, u64>, op: NameOp) {
    match op {
        NameOp::Link(name, inode) => {
            names.insert(name, inode);
        }
        NameOp::Unlink(name) => {
            names.remove(&name);
        }
        NameOp::Rename(from, to, inode) => {
            names.remove(&from);
            names.insert(to, inode);
        }
    }
}

fn put(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let offset = usize::try_from(offset).unwrap();
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

fn cut(file: &mut Vec<u8>, len: u64) {
    file.resize(usize::try_from(len).unwrap(), 0);
}

impl SimDisk {
    pub fn new(seed: u64) -> SimDisk {
        SimDisk {
            state: Arc::new(Mutex::new(State {
                inodes: HashMap::new(),
                names: BTreeMap::new(),
                stable_names: BTreeMap::new(),
                pending_names: Vec::new(),
                next_inode: 0,
                dice: Dice(seed),
                calls: 0,
                crash_at: None,
                crashed: false,
                fail_one_in: 0,
                fail_at: Vec::new(),
                capacity: None,
                failures: 0,
            })),
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The machine comes back after `crash`, with healthy hardware.
    pub fn restart(&self, crash: Crash) {
        let mut state = self.state();
        state.crashed = false;
        state.crash_at = None;
        for inode in state.inodes.values_mut() {
            inode.sync_failed = false;
        }
        if crash == Crash::Process {
            return;
        }
        state.names_back_some();
        state.names = state.stable_names.clone();
        let files: Vec<u64> = state.inodes.keys().copied().collect();
        for file in files {
            state.write_back_some(file);
            let inode = state.inode(file);
            inode.live.clone_from(&inode.stable);
        }
        let State { inodes, names, .. } = &mut *state;
        inodes.retain(|inode, _| names.values().any(|named| named == inode));
    }

    /// A file as it is.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let inode = state.names.get(name)?;
        Some(state.inodes[inode].live.clone())
    }

    /// Puts a file there, for certain.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.next_inode;
        state.next_inode += 1;
        let inode = Inode {
            live: bytes.to_vec(),
            stable: bytes.to_vec(),
            ..Inode::default()
        };
        state.inodes.insert(number, inode);
        state.names.insert(name.to_owned(), number);
        state.stable_names.insert(name.to_owned(), number);
    }

    pub fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

impl Disk for SimDisk {
    type File = u64;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let files = state.names.iter();
        Ok(files
            .map(|(name, inode)| (name.clone(), state.inodes[inode].live.len() as u64))
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<u64> {
        let mut state = self.state();
        state.begin()?;
        let number = state.next_inode;
        state.next_inode += 1;
        if state.happens() {
            state.inodes.insert(number, Inode::default());
            state.names.insert(name.to_owned(), number);
            let link = NameOp::Link(name.to_owned(), number);
            state.pending_names.push(link);
        }
        state.end(number)
    }

    fn open(&self, name: &str) -> io::Result<u64> {
        let state = self.state();
        if state.crashed {
            return Err(gone());
        }
        let file = state.names.get(name).copied();
        file.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn read_at(&self, file: &u64, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let state = self.state();
        if state.crashed {
            return Err(gone());
        }
        let live = &state.inodes[file].live;
        let from = live.len().min(usize::try_from(offset).unwrap());
        let n = bytes.len().min(live.len() - from);
        bytes[..n].copy_from_slice(&live[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, file: &u64, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        let mut begun = state.begin();
        let grows = (offset + bytes.len() as u64)
            .saturating_sub(state.inodes.get(file).map_or(0, |i| i.live.len() as u64));
        if let Some(capacity) = state.capacity
            && begun.is_ok()
            && grows > 0
            && state.used() + grows > capacity
        {
            begun = Err(io::Error::from_raw_os_error(ENOSPC));
        }
        let stopped_before = state.crashed && state.crash_at != Some(state.calls);
        if stopped_before {
            return begun;
        }
        if begun.is_err() || state.crashed {
            // Any part of it may have been written.
            let part = state.dice.roll(bytes.len() as u64 + 1);
            let part = usize::try_from(part).unwrap();
            if part > 0 {
                state.write(*file, offset, &bytes[..part]);
            }
            begun?;
        } else {
            state.write(*file, offset, bytes);
        }
        state.end(())
    }

    fn truncate(&self, file: &u64, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.happens() {
            let inode = state.inode(*file);
            cut(&mut inode.live, len);
            inode.pending.push(Pending::Truncate(len));
        }
        state.end(())
    }

    fn sync(&self, file: &u64) -> io::Result<()> {
        let mut state = self.state();
        let begun = state.begin();
        if begun.is_err() && state.crashed {
            return begun;
        }
        assert!(
            !state.inode(*file).sync_failed,
            "a file is synced again after its sync has failed"
        );
        if begun.is_err() {
            state.write_back_some(*file);
            state.inode(*file).sync_failed = true;
            return begun;
        }
        if state.happens() {
            let inode = state.inode(*file);
            for pending in std::mem::take(&mut inode.pending) {
                match pending {
                    Pending::Write(offset, bytes) => put(&mut inode.stable, offset, &bytes),
                    Pending::Truncate(len) => cut(&mut inode.stable, len),
                }
            }
        }
        state.end(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        let begun = state.begin();
        if begun.is_err() && state.crashed {
            return begun;
        }
        if begun.is_err() {
            state.names_back_some();
            return begun;
        }
        if state.happens() {
            for op in std::mem::take(&mut state.pending_names) {
                apply(&mut state.stable_names, op);
            }
        }
        state.end(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.happens() {
            let inode = state.names.remove(from);
            let inode = inode.ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), inode);
            let rename = NameOp::Rename(from.to_owned(), to.to_owned(), inode);
            state.pending_names.push(rename);
        }
        state.end(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if state.happens() {
            state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            state.pending_names.push(NameOp::Unlink(name.to_owned()));
        }
        state.end(())
    }
}
