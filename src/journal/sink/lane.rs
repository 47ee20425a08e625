//! A connection at work: it takes batches and questions in the order they are given.
//!
//! A batch needs an answer before it is sent, so one connection alone would leave Redis idle while
//! bytes travel. Several share the streams, each stream being on one of them for its order; and on
//! each the next batch's guard is sent behind the present batch's load, which makes one round trip
//! for each batch.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::connection::Connection;
use super::dialogue::{Batch, Dialogue, Turn};
use super::error::ErrorCode;
use super::resp::{Commands, Reply};
use super::wire::{self, Failure, Load};
use crate::journal::Position;

type Replies = Vec<Reply>;

enum Job {
    Ask(Commands, oneshot::Sender<Replies>),
    Append(Append),
}

struct Append {
    load: Load,
    outcome: oneshot::Sender<Result<(), Failure>>,
}

impl Batch for Append {
    fn expected(&self) -> Position {
        self.load.expected
    }

    fn commands(&self) -> usize {
        // EXEC is the last.
        self.load.commands.number() - 1
    }

    fn registers(&self) -> bool {
        self.load.registers
    }
}

/// A connection with a task of its own. It ends with its first failure, and when it is dropped.
pub struct Lane {
    jobs: UnboundedSender<Job>,
    lost: Arc<OnceLock<Failure>>,
    task: JoinHandle<()>,
}

impl Lane {
    /// Puts `connection` to work. `patience` is how long a round trip may take.
    #[must_use]
    pub fn start(connection: Connection, patience: Duration) -> Lane {
        let (jobs, waiting) = unbounded_channel();
        let lost = Arc::new(OnceLock::new());
        let mut worker = Worker {
            connection,
            patience,
            deadline: Instant::now() + patience,
            lost: Arc::clone(&lost),
        };
        let task = tokio::spawn(async move {
            // Who waits for an answer finds `lost`.
            let _ = worker.work(waiting).await;
        });
        Lane { jobs, lost, task }
    }

    /// Sends commands that belong to no transaction. No answer means [`Lane::lost`].
    pub fn ask(&self, commands: Commands) -> oneshot::Receiver<Replies> {
        let (answer, receiver) = oneshot::channel();
        // To a lane that has ended: the answer then does not come, which is what it says.
        let _ = self.jobs.send(Job::Ask(commands, answer));
        receiver
    }

    /// Sends a batch. No answer means [`Lane::lost`], and that nothing is known of the batch.
    pub fn append(&self, load: Load) -> oneshot::Receiver<Result<(), Failure>> {
        let (outcome, receiver) = oneshot::channel();
        // As above.
        let _ = self.jobs.send(Job::Append(Append { load, outcome }));
        receiver
    }

    /// Why there was no answer.
    #[must_use]
    pub fn lost(&self) -> Failure {
        let ended = || Failure::new(ErrorCode::Other, "the connection's task has ended");
        self.lost.get().cloned().unwrap_or_else(ended)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The connection is lost, and it has been noted why.
struct Lost;

struct Worker {
    connection: Connection,
    patience: Duration,
    /// When the present round trip has taken too long.
    deadline: Instant,
    lost: Arc<OnceLock<Failure>>,
}

impl Worker {
    async fn work(&mut self, mut jobs: UnboundedReceiver<Job>) -> Result<(), Lost> {
        let mut job = jobs.recv().await;
        while let Some(present) = job {
            let next = match present {
                Job::Ask(commands, answer) => {
                    self.ask(&commands, answer).await?;
                    None
                }
                Job::Append(append) => self.append(append, &mut jobs).await?,
            };
            job = match next {
                Some(job) => Some(job),
                None => jobs.recv().await,
            };
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        commands: &Commands,
        answer: oneshot::Sender<Replies>,
    ) -> Result<(), Lost> {
        self.deadline = Instant::now() + self.patience;
        let asked = self.connection.ask(commands);
        let replies = in_time(self.deadline, asked).await;
        // Nobody waits any more where the session has ended.
        let _ = answer.send(replies.map_err(|failure| self.lose(failure))?);
        Ok(())
    }

    /// Sends batches for as long as there is a next one in time. What was taken from `jobs` and is
    /// no batch is handed back.
    async fn append(
        &mut self,
        first: Append,
        jobs: &mut UnboundedReceiver<Job>,
    ) -> Result<Option<Job>, Lost> {
        let mut dialogue = Dialogue::new();
        let mut other = None;
        self.send(&first.load.guard).await?;
        dialogue.guard(first);
        while !dialogue.is_idle() {
            let reply = self.hear().await?;
            match dialogue.hear(reply) {
                Turn::Wait => continue,
                Turn::Done(batch, outcome) => {
                    // As above.
                    let _ = batch.outcome.send(outcome);
                }
                Turn::Load => {
                    let batch = dialogue.present().expect("its guard was just answered");
                    self.send(&batch.load.commands).await?;
                }
                Turn::Discard => self.send(&wire::single("DISCARD")).await?,
                Turn::Unwatch => self.send(&wire::single("UNWATCH")).await?,
            }
            if other.is_none() && dialogue.may_guard() {
                match jobs.try_recv() {
                    Ok(Job::Append(next)) => {
                        self.send(&next.load.guard).await?;
                        dialogue.guard(next);
                    }
                    Ok(job) => other = Some(job),
                    // None yet, or none any more: the caller finds out.
                    Err(_) => {}
                }
            }
        }
        Ok(other)
    }

    /// Sends, and from now on waits as long as a round trip may take.
    async fn send(&mut self, commands: &Commands) -> Result<(), Lost> {
        self.deadline = Instant::now() + self.patience;
        let sent = self.connection.send(commands.bytes());
        let sent = in_time(self.deadline, sent).await;
        sent.map_err(|failure| self.lose(failure))
    }

    async fn hear(&mut self) -> Result<Reply, Lost> {
        loop {
            match self.connection.heard() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(failure) => return Err(self.lose(failure)),
            }
            let heard = in_time(self.deadline, self.connection.listen()).await;
            heard.map_err(|failure| self.lose(failure))?;
        }
    }

    fn lose(&self, failure: Failure) -> Lost {
        // The first is the cause.
        let _ = self.lost.set(failure);
        Lost
    }
}

/// What comes of `work`, or that it took too long.
async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let late = |_| Failure::new(ErrorCode::Timeout, "redis did not answer in time");
    tokio::time::timeout_at(deadline, work)
        .await
        .map_err(late)?
}
