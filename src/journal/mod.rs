//! The append-only log of every decision and every event.
//!
//! Everything that happened is written here first, with Redis or without; from here it is shipped,
//! learnt from and, after a restart, the ledger and the deduplication are rebuilt. What the journal
//! promises:
//!
//! - A decision never waits: [`Journal::record`] is one push, and what cannot be pushed is dropped
//!   and counted.
//! - An event waits exactly as long as the safety its sender asked for: [`Ack::Written`] survives the
//!   process, [`Ack::Durable`] the machine.
//! - Nothing that was acknowledged is lost while the disk comes back, and what is lost for any other
//!   reason is counted.
//! - An idempotency key is on record once.
//! - No content of any file keeps it from opening.
//!
//! It never talks to the network, and its core ([`core`]) knows neither thread nor clock: the disk
//! and the time are passed in, so that `tests/it/simulation.rs` can cut the power at every call.
//!
//! ```text
//! record/append → queue → writer thread → core → segment files → reader → shipper, learner
//!                              ↑↓ tickets
//!                         sync thread
//! ```

pub mod checkpoint;
mod config;
pub mod core;
mod dedup;
pub mod disk;
mod folder;
pub mod format;
pub mod index;
mod position;
mod queue;
mod reader;
mod recover;
mod scan;
pub mod sink;
mod status;
mod syncer;
#[cfg(test)]
mod testing;
mod writer;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{oneshot, watch};

use crate::domain::{Ack, Entry, Millis};

pub use self::checkpoint::{Checkpoint, Loaded};
pub use self::config::{ConfigError, JournalConfig, WritePolicy};
pub use self::core::{AppendError, Appended};
pub use self::disk::DiskTrouble;
pub use self::folder::read_folder;
pub use self::position::Position;
pub use self::reader::{Reader, Skipped};
pub use self::recover::{OpenError, Recovery};
pub use self::status::{Counters, Lost, Status};

use self::core::{Core, Now};
use self::disk::RealDisk;
use self::index::Index;
use self::queue::{Item, Queue};
use self::writer::{Clock, Writer};

/// A handle to the open journal; clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
}

struct Shared {
    disk: RealDisk,
    queue: Arc<Queue>,
    index: Arc<Index>,
    counters: Arc<Counters>,
    committed: watch::Receiver<Position>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Closed (its sender dropped) when the writer has ended.
    ended: watch::Receiver<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        // The writer drains the queue and syncs on its own; nobody is left to wait for it.
        self.queue.close();
    }
}

impl Journal {
    /// Opens the journal in `config.dir` and starts its writer.
    ///
    /// Reads every retained segment once, telling `visit` of each entry in order: that is how the
    /// ledger is rebuilt. Takes about as long as reading the files does.
    ///
    /// # Errors
    /// A setting out of range, a directory in use or of another node, or a disk that refuses. Never
    /// what the files hold: damage is counted in [`Recovery`].
    pub fn open(
        config: JournalConfig,
        now: Millis,
        visit: &mut dyn FnMut(Position, &Entry),
    ) -> Result<(Journal, Recovery), OpenError> {
        config.check()?;
        let disk = RealDisk::new(&config.dir).map_err(OpenError::io("make the directory"))?;
        let lock = disk
            .lock()
            .map_err(OpenError::io("lock the directory"))?
            .ok_or_else(|| OpenError::InUse {
                dir: config.dir.clone(),
            })?;
        let queue = Arc::new(Queue::new(config.queue_entries_max, config.queue_bytes_max));
        let now = Now {
            wall: now,
            monotonic_ms: 0,
        };
        let (core, recovery) = Core::open(disk.clone(), config, now, visit)?;
        let (committed_tx, committed) = watch::channel(core.durable());
        let (ended_tx, ended) = watch::channel(());
        let shared = Shared {
            disk,
            queue: Arc::clone(&queue),
            index: Arc::clone(core.index()),
            counters: Arc::clone(core.counters()),
            committed,
            thread: Mutex::new(None),
            ended,
        };
        let writer = Writer::new(core, queue, committed_tx, Clock::start())
            .map_err(OpenError::io("start the thread that syncs"))?;
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                // Both are held until the last byte is synced.
                let (_lock, _ended) = (lock, ended_tx);
                writer.run();
            })
            .map_err(OpenError::io("start the writer"))?;
        *shared.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok((
            Journal {
                shared: Arc::new(shared),
            },
            recovery,
        ))
    }

    /// Hands an entry to the writer without waiting; `false` when it was dropped, and counted,
    /// because the queue is full or the journal closed.
    ///
    /// `true` means that it is on its way: a disk that refuses it later counts it as lost. When the
    /// disk is known to refuse everything the answer is `false` at once.
    pub fn record(&self, entry: Entry) -> bool {
        match self.shared.queue.push(Item::Record(entry)) {
            Ok(()) => !self.shared.counters.refuses_all(),
            Err(refused) => {
                self.count_lost(refused.into(), 1);
                false
            }
        }
    }

    /// Appends an entry and waits until it is as firm as `ack` asks.
    ///
    /// [`Appended::Duplicate`] is told only once the entry it duplicates is that firm.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::Disk`] the entry may or may not be on record; asking
    /// again with the same keys is safe.
    pub async fn append(&self, entry: Entry, ack: Ack) -> Result<Appended, AppendError> {
        let answers = self.append_all(vec![(entry, ack)]).await;
        answers
            .into_iter()
            .next()
            .unwrap_or(Err(AppendError::Closed))
    }

    /// Appends entries in order with one hand-over; one answer each, all told when the firmest is
    /// true.
    pub async fn append_all(
        &self,
        entries: Vec<(Entry, Ack)>,
    ) -> Vec<Result<Appended, AppendError>> {
        let count = entries.len();
        if count == 0 {
            return Vec::new();
        }
        let (reply, answers) = oneshot::channel();
        if let Err(refused) = self.shared.queue.push(Item::Append(entries, reply)) {
            self.count_lost(refused.into(), count);
            return vec![Err(refused.into()); count];
        }
        match answers.await {
            Ok(answers) => answers,
            Err(_) => vec![Err(AppendError::Closed); count],
        }
    }

    fn count_lost(&self, error: AppendError, count: usize) {
        let reason = match error {
            AppendError::Closed => Lost::Closed,
            _ => Lost::QueueFull,
        };
        self.shared.counters.lost(reason).add(count as u64);
    }

    /// A reader of what stands behind `from`; [`Position::START`] for everything there is.
    #[must_use]
    pub fn reader(&self, from: Position) -> Reader {
        Reader::new(
            self.shared.disk.clone(),
            Arc::clone(&self.shared.index),
            from,
        )
    }

    /// The last durable record: how far readers can read.
    #[must_use]
    pub fn committed(&self) -> Position {
        *self.shared.committed.borrow()
    }

    /// Tells of every change of [`Journal::committed`].
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.shared.committed.clone()
    }

    /// Everything up to `position` has been shipped, and that fact is durable: it may be deleted when
    /// it is old. Without a shipper, [`Position::END`].
    pub fn set_shipped(&self, position: Position) {
        self.shared.index.set_shipped(position);
    }

    /// What the journal has counted so far, and how it is.
    #[must_use]
    pub fn status(&self) -> Status {
        let (queue_entries, queue_bytes) = self.shared.queue.load();
        Status {
            queue_entries,
            queue_bytes,
            segments: self.shared.index.len(),
            bytes: self.shared.index.bytes(),
            oldest_ms: self.shared.index.oldest_ms(),
            committed: self.committed(),
            shipped: self.shared.index.shipped(),
            ..self.shared.counters.status()
        }
    }

    /// Takes nothing more in, writes and syncs what is queued, and ends the writer. Calling it again,
    /// from any handle, waits for the same end.
    pub async fn close(&self) {
        self.shared.queue.close();
        // An error means that the sender is gone: the writer has ended.
        let mut ended = self.shared.ended.clone();
        while ended.changed().await.is_ok() {}
        let thread = self
            .shared
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A panic of the writer has been printed, and everybody was told `Closed`.
            let _ = thread.join();
        }
    }
}
