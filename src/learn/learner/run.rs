//! A learner on a thread of its own, behind a node's journal.
//!
//! The thread has a low priority: learning may lag, decisions may not. It publishes at least once a second while
//! there is something new, and saves as often as saving is cheap.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use super::{Find, Learner, Learnt, Report, Saved, State};
use crate::journal::disk::{DirLock, RealDisk};
use crate::journal::{Journal, Reader};
use crate::learn::attribution::Limits;

/// What a node's own journal is called among the positions.
pub const JOURNAL: &str = "journal";

/// Records read at a time.
const BATCH_ENTRIES: usize = 512;
const BATCH_BYTES: usize = 2 << 20;
/// How long a caught-up learner waits before it looks again.
const IDLE: Duration = Duration::from_millis(50);
/// Saving takes at most one part in so many of the thread's time.
const SAVING_SHARE: u32 = 50;

/// Where a node's beliefs come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It learns from its own journal.
    Journal,
    /// It believes what `offerd learn --redis` publishes, which has heard every node.
    Redis,
}

/// The learner of a node; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearnerConfig {
    /// Whether this node learns. Catalogs say what; without it no catalog can.
    pub enabled: bool,
    /// Where it learns from.
    pub source: Source,
    /// At least so long between two posteriors, milliseconds.
    pub publish_ms: u64,
    /// At least so long between two savings of the state, milliseconds.
    pub checkpoint_ms: u64,
    /// Showings remembered while their windows are open, about 300 bytes each; beyond it the oldest is forgotten.
    pub showings_max: usize,
}

impl Default for LearnerConfig {
    fn default() -> LearnerConfig {
        LearnerConfig {
            enabled: true,
            source: Source::Journal,
            publish_ms: 1_000,
            checkpoint_ms: 10_000,
            showings_max: Limits::default().showings_max,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found}; it must be from {from} to {to}")]
pub struct LearnerConfigError {
    /// Which.
    pub name: &'static str,
    /// What it was set to.
    pub found: u64,
    /// The smallest that is allowed.
    pub from: u64,
    /// The largest.
    pub to: u64,
}

impl LearnerConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), LearnerConfigError> {
        let showings = self.showings_max as u64;
        for (name, found, from, to) in [
            ("publish_ms", self.publish_ms, 10, 60_000),
            ("checkpoint_ms", self.checkpoint_ms, 10, 3_600_000),
            ("showings_max", showings, 1_000, 50_000_000),
        ] {
            if !(from..=to).contains(&found) {
                return Err(LearnerConfigError {
                    name,
                    found,
                    from,
                    to,
                });
            }
        }
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits {
            showings_max: self.showings_max,
        }
    }
}

/// Takes what has been learnt.
pub type Publish = Box<dyn FnMut(Learnt) + Send>;

/// Why a learner cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder.
    #[error("the learner's folder: {0}")]
    Disk(#[from] io::Error),
    /// Another process has it.
    #[error("another learner works in {0}")]
    InUse(std::path::PathBuf),
}

/// A learner at work; stops when it is dropped.
pub struct Embedded {
    shared: Arc<Shared>,
    journal: Journal,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    stop: AtomicBool,
    report: Mutex<Arc<Report>>,
    published: Mutex<Instant>,
}

/// How far a learner is.
#[derive(Clone, Debug, Serialize)]
pub struct Progress {
    /// Whether its thread runs.
    pub running: bool,
    /// Records of the journal that it has not heard yet.
    pub lag_entries: u64,
    /// Milliseconds since it last looked at all there was.
    pub age_ms: u64,
    /// What it has made of them.
    #[serde(flatten)]
    pub report: Report,
}

/// A folder that one learner at a time works in, and what it knew last.
pub struct Folder {
    saved: Saved<RealDisk>,
    /// What was saved; nothing where there was nothing.
    pub state: State,
    _lock: DirLock,
}

impl Folder {
    /// Takes the folder.
    ///
    /// # Errors
    /// When the disk refuses or another learner works there.
    pub fn open(dir: &Path) -> Result<Folder, StartError> {
        let disk = RealDisk::new(dir)?;
        let lock = disk.lock()?;
        let lock = lock.ok_or_else(|| StartError::InUse(dir.to_owned()))?;
        let saved = Saved::on(disk);
        let state = saved.load()?.unwrap_or_default();
        Ok(Folder {
            saved,
            state,
            _lock: lock,
        })
    }

    /// Saves a state.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn save(&self, state: &State) -> io::Result<()> {
        self.saved.save(state)
    }
}

impl Embedded {
    /// Starts learning from `journal`, with the state kept in `dir`. What was known at the last run is
    /// published before this returns.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn start(
        dir: &Path,
        journal: Journal,
        config: &LearnerConfig,
        find: Find,
        mut publish: Publish,
    ) -> Result<Embedded, StartError> {
        let mut folder = Folder::open(dir)?;
        let mut state = std::mem::take(&mut folder.state);
        let known = state.positions.get(JOURNAL).copied().unwrap_or_default();
        if known > journal.committed() {
            tracing::warn!(%known, "the journal is another than the learner's: learning anew");
            state = State::default();
        }
        let learner = Learner::new(state, config.limits(), find);
        publish(learner.learnt());
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            report: Mutex::new(Arc::new(learner.report())),
            published: Mutex::new(Instant::now()),
        });
        let mut worker = Worker {
            reader: journal.reader(learner.position(JOURNAL)),
            published: learner.edition(),
            publish_every: Duration::from_millis(config.publish_ms),
            publish_at: Instant::now(),
            save_every: Duration::from_millis(config.checkpoint_ms),
            save_at: Instant::now() + Duration::from_millis(config.checkpoint_ms),
            unsaved: false,
            learner,
            folder,
            publish,
            shared: Arc::clone(&shared),
        };
        let thread = std::thread::Builder::new().name("learner".to_owned());
        let thread = thread.spawn(move || worker.run())?;
        Ok(Embedded {
            shared,
            journal,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// How far it is, and what it has made of the records.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let report = Report::clone(&lock(&self.shared.report));
        let at = report.positions.get(JOURNAL).map_or(0, |p| p.seq);
        let age = lock(&self.shared.published).elapsed().as_millis();
        Progress {
            running: lock(&self.thread)
                .as_ref()
                .is_some_and(|t| !t.is_finished()),
            lag_entries: self.journal.committed().seq.saturating_sub(at),
            age_ms: u64::try_from(age).unwrap_or(u64::MAX),
            report,
        }
    }

    /// Hears everything that is durable by now, saves, and ends.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = lock(&self.thread).take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the learner panicked");
            }
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What a panic left is the last whole value: they are replaced, never changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    learner: Learner,
    reader: Reader,
    folder: Folder,
    publish: Publish,
    /// The version that was published last.
    published: u64,
    publish_every: Duration,
    publish_at: Instant,
    save_every: Duration,
    save_at: Instant,
    unsaved: bool,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(&mut self) {
        let nicest = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);
        let thread = thread_native_id();
        // The lowest priority that still gets its turn on a machine that is never idle. Where the
        // system refuses, the work is done all the same.
        if set_thread_priority_and_policy(thread, ThreadPriority::Min, nicest).is_err() {
            tracing::debug!("the learner runs at the priority of everything else");
        }
        loop {
            let caught_up = match self.reader.next_batch(BATCH_ENTRIES, BATCH_BYTES) {
                Ok(batch) => {
                    for (position, entry) in &batch {
                        self.learner.hear(JOURNAL, *position, entry);
                    }
                    self.unsaved |= !batch.is_empty();
                    batch.is_empty()
                }
                Err(error) => {
                    tracing::warn!(%error, "the learner cannot read the journal and tries again");
                    true
                }
            };
            self.publish();
            self.save(false);
            if caught_up && self.shared.stop.load(Ordering::Relaxed) {
                self.save(true);
                return;
            }
            if caught_up {
                std::thread::park_timeout(IDLE);
            }
        }
    }

    fn publish(&mut self) {
        if Instant::now() < self.publish_at {
            return;
        }
        self.publish_at = Instant::now() + self.publish_every;
        if self.learner.edition() != self.published {
            self.published = self.learner.edition();
            (self.publish)(self.learner.learnt());
        }
        let report = Arc::new(self.learner.report());
        *lock(&self.shared.report) = report;
        *lock(&self.shared.published) = Instant::now();
    }

    fn save(&mut self, now: bool) {
        let since = Instant::now();
        if !self.unsaved || !now && since < self.save_at {
            return;
        }
        match self.folder.save(self.learner.state()) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::warn!(%error, "the learner cannot save and tries again"),
        }
        let took = since.elapsed();
        self.save_at = since + self.save_every.max(took * SAVING_SHARE);
    }
}
