//! The writer's thread: takes groups from the queue, passes them to the core, sends the answers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{oneshot, watch};

use crate::domain::{Ack, Millis};

use super::core::{AppendError, Core, Now, Submission};
use super::disk::Disk;
use super::position::Position;
use super::queue::{Answer, Item, Queue};

/// Entries passed to the core at once, so that those who wait are answered in between.
const GROUP_ENTRIES_MAX: usize = 4096;

/// Answers that are not true yet.
struct Waiting {
    reply: oneshot::Sender<Vec<Answer>>,
    answers: Vec<Answer>,
    once_durable: Position,
}

/// The thread's own state.
pub struct Writer<D: Disk> {
    core: Core<D>,
    queue: Arc<Queue>,
    committed: watch::Sender<Position>,
    clock: Clock,
    waiting: Vec<Waiting>,
    group: Vec<Submission>,
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
    /// A writer for `core` fed by `queue`.
    pub fn new(
        core: Core<D>,
        queue: Arc<Queue>,
        committed: watch::Sender<Position>,
        clock: Clock,
    ) -> Writer<D> {
        Writer {
            core,
            queue,
            committed,
            clock,
            waiting: Vec::new(),
            group: Vec::new(),
        }
    }

    /// Writes until the queue is closed and empty, then syncs a last time.
    pub fn run(mut self) {
        let _closer = CloseOnDrop(Arc::clone(&self.queue));
        let mut items = Vec::new();
        loop {
            let deadline = self.clock.instant(self.core.due());
            if !self.queue.take(&mut items, Some(deadline)) {
                break;
            }
            self.pass_on(&mut items);
            self.settle();
        }
        // What the disk refuses now has been counted by the core; those who wait hear of it.
        let _ = self.core.close(self.clock.now());
        self.settle();
    }

    fn pass_on(&mut self, items: &mut Vec<Item>) {
        // Where each waiting sender's entries stand in the group.
        let mut replies = Vec::new();
        for item in items.drain(..) {
            match item {
                Item::Record(entry) => self.group.push(Submission {
                    entry,
                    ack: Ack::Written,
                    outcome: None,
                }),
                Item::Append(entries, reply) => {
                    let start = self.group.len();
                    self.group
                        .extend(entries.into_iter().map(|(entry, ack)| Submission {
                            entry,
                            ack,
                            outcome: None,
                        }));
                    replies.push((start..self.group.len(), reply));
                }
            }
            if self.group.len() >= GROUP_ENTRIES_MAX {
                self.write(&mut replies);
            }
        }
        self.write(&mut replies);
    }

    fn write(&mut self, replies: &mut Vec<(std::ops::Range<usize>, oneshot::Sender<Vec<Answer>>)>) {
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
        self.answer();
    }

    /// Does what is due, then answers whom it concerns.
    fn settle(&mut self) {
        let before = self.core.counters().syncs.get();
        let started = Instant::now();
        self.core.tick(self.clock.now());
        if self.core.counters().syncs.get() > before {
            let counters = self.core.counters();
            let took = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            counters.note_sync(took, self.clock.now().wall.0);
        }
        self.answer();
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
