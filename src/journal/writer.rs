//! The writer's thread: takes groups from the queue, passes them to the core, sends the answers.
//!
//! It never syncs while it serves: that is another thread's work, which may take as long as the disk
//! likes ([`Syncer`]). Only where the core could take nothing in, the writer waits for it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use crate::domain::{Ack, Entry, Millis};

use super::core::{AppendError, Core, Now, Submission};
use super::disk::Disk;
use super::position::Position;
use super::queue::{Answer, Item, Queue, weight};
use super::syncer::{Ended, Syncer};

/// Entries passed to the core at once, so that those who wait are answered in between.
const GROUP_ENTRIES_MAX: usize = 4096;
/// Their bytes, likewise.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// Answers that are not true yet.
struct Waiting {
    reply: oneshot::Sender<Vec<Answer>>,
    answers: Vec<Answer>,
    once_durable: Position,
}

/// The thread's own state.
pub struct Writer<D: Disk> {
    core: Core<D>,
    syncer: Syncer<D>,
    queue: Arc<Queue>,
    committed: watch::Sender<Position>,
    clock: Clock,
    waiting: Vec<Waiting>,
    group: Vec<Submission>,
    group_bytes: usize,
}

/// However the thread ends, nobody may go on believing that something is written.
struct CloseOnDrop(Arc<Queue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
        // Dropping what is left tells those who wait.
        self.0.take(&mut Vec::new(), None);
    }
}

impl<D: Disk> Writer<D> {
    /// A writer for `core` fed by `queue`, and the thread that syncs for it.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn new(
        core: Core<D>,
        queue: Arc<Queue>,
        committed: watch::Sender<Position>,
        clock: Clock,
    ) -> io::Result<Writer<D>> {
        Ok(Writer {
            core,
            syncer: Syncer::start(Arc::clone(&queue))?,
            queue,
            committed,
            clock,
            waiting: Vec::new(),
            group: Vec::new(),
            group_bytes: 0,
        })
    }

    /// Writes until the queue is closed and empty, then syncs a last time.
    pub fn run(mut self) {
        let _closer = CloseOnDrop(Arc::clone(&self.queue));
        let mut items = Vec::new();
        loop {
            let deadline = self.clock.instant(self.core.due());
            let open = self.queue.take(&mut items, Some(deadline));
            while let Some(ended) = self.syncer.ended() {
                self.end_sync(ended);
            }
            if !open {
                break;
            }
            self.pass_on(&mut items);
            self.settle();
        }
        while let Some(ended) = self.syncer.wait() {
            self.end_sync(ended);
        }
        // What the disk refuses now has been counted by the core; those who wait hear of it.
        let _ = self.core.close(self.clock.now());
        self.answer();
    }

    fn pass_on(&mut self, items: &mut Vec<Item>) {
        // Where each waiting sender's entries stand in the group.
        let mut replies = Vec::new();
        for item in items.drain(..) {
            match item {
                Item::Record(entry) => self.join(entry, Ack::Written),
                Item::Append(entries, reply) => {
                    let start = self.group.len();
                    for (entry, ack) in entries {
                        self.join(entry, ack);
                    }
                    replies.push((start..self.group.len(), reply));
                }
            }
            if self.group.len() >= GROUP_ENTRIES_MAX || self.group_bytes >= GROUP_BYTES_MAX {
                self.write(&mut replies);
            }
        }
        self.write(&mut replies);
    }

    fn join(&mut self, entry: Entry, ack: Ack) {
        self.group_bytes += weight(&entry);
        self.group.push(Submission {
            entry,
            ack,
            outcome: None,
        });
    }

    fn write(&mut self, replies: &mut Vec<(std::ops::Range<usize>, oneshot::Sender<Vec<Answer>>)>) {
        // Meanwhile the queue holds what comes, up to its limits.
        while self.core.must_wait()
            && let Some(ended) = self.syncer.wait()
        {
            self.end_sync(ended);
        }
        self.core.append(self.clock.now(), &mut self.group);
        for (range, reply) in replies.drain(..) {
            let mut once_durable = Position::START;
            let answers = self.group[range]
                .iter()
                .map(|submission| match submission.outcome {
                    Some(Ok(taken)) => {
                        let wanted = taken.once_durable.unwrap_or(Position::START);
                        once_durable = once_durable.max(wanted);
                        Ok(taken.appended)
                    }
                    Some(Err(error)) => Err(error),
                    None => Err(AppendError::Closed),
                })
                .collect();
            self.waiting.push(Waiting {
                reply,
                answers,
                once_durable,
            });
        }
        self.group.clear();
        self.group_bytes = 0;
        self.answer();
    }

    /// Does what is due, then answers whom it concerns.
    fn settle(&mut self) {
        if let Some(ticket) = self.core.tick(self.clock.now()) {
            self.syncer.begin(ticket);
        }
        self.answer();
    }

    fn end_sync(&mut self, ended: Ended<D>) {
        let now = self.clock.now();
        if ended.ticket.is_file() {
            let took = u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX);
            self.core.counters().note_sync(took, now.wall.0);
        }
        if let Some(next) = self.core.end_sync(ended.ticket, ended.result, now) {
            self.syncer.begin(next);
        }
    }

    fn answer(&mut self) {
        let durable = self.core.durable();
        self.committed
            .send_if_modified(|at| std::mem::replace(at, durable) != durable);
        let refused = self.core.durable_refused();
        for mut waiting in self.waiting.extract_if(.., |waiting| {
            waiting.once_durable <= durable || refused.is_some()
        }) {
            if waiting.once_durable > durable {
                // Written but not certain: the sender asks again and then hears `Duplicate`, once
                // that is true.
                let trouble = refused.map_or(AppendError::Closed, AppendError::Disk);
                for answer in &mut waiting.answers {
                    *answer = answer.and(Err(trouble));
                }
            }
            // A sender who has gone away does not need an answer.
            let _ = waiting.reply.send(waiting.answers);
        }
    }
}

/// The two clocks of the process.
#[derive(Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Monotonic time counts from now.
    pub fn start() -> Clock {
        Clock {
            start: Instant::now(),
        }
    }

    /// The time by both.
    pub fn now(self) -> Now {
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            });
        Now {
            wall: Millis(wall),
            monotonic_ms: u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn instant(self, monotonic_ms: u64) -> Instant {
        self.start + Duration::from_millis(monotonic_ms)
    }
}
