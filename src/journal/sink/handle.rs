//! Starting the sink, asking how it is, waiting for it, stopping it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::config::RedisConfig;
use super::redis::Worker;
use super::saved::{self, Saved, StartError};
use super::status::Status;
use crate::journal::{Checkpoint, Journal, Position};

/// Starts the sink.
pub struct Sink;

/// A sink at work. Dropping it stops the work without waiting for it.
#[derive(Debug)]
pub struct SinkHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
}

#[derive(Debug)]
pub(super) struct Shared {
    status: Mutex<Status>,
    pub(super) shipped: watch::Sender<Position>,
}

impl Shared {
    pub(super) fn status(&self) -> MutexGuard<'_, Status> {
        // Plain figures: a panic while writing them leaves nothing half-done.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Ships `journal` to the streams of `node`, keeping the checkpoint in `dir`, best the journal's
    /// own. Redis need not be there. `journal` may let go of entries only once they are shipped, so
    /// at most one sink may follow it.
    ///
    /// # Errors
    /// A setting outside its range, a checkpoint that is damaged or belongs to other settings.
    pub fn start(
        config: RedisConfig,
        node: &str,
        dir: &Path,
        journal: Journal,
    ) -> Result<SinkHandle, StartError> {
        config.check()?;
        let checkpoint = Checkpoint::new(dir, saved::NAME).map_err(StartError::Checkpoint)?;
        let saved = Saved::load(&checkpoint, config.partitions)?;
        let shared = Arc::new(Shared {
            status: Mutex::default(),
            shipped: watch::Sender::new(saved.shipped),
        });
        let (stop, stopped) = watch::channel(false);
        let (finished, done) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("offerd-redis")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let mut worker = Worker::new(
            config,
            node,
            checkpoint,
            journal,
            saved,
            shared.clone(),
            stopped,
        );
        std::thread::Builder::new()
            .name("offerd-sink".to_owned())
            .spawn(move || {
                runtime.block_on(worker.run());
                finished.send_replace(true);
            })
            .map_err(StartError::Thread)?;
        Ok(SinkHandle { shared, stop, done })
    }
}

impl SinkHandle {
    /// What the sink says about itself now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// Waits until everything up to `position` is in Redis. Wrap it in a timeout: without Redis it
    /// waits for ever. `false` where the sink stopped first.
    pub async fn drained(&self, position: Position) -> bool {
        let mut shipped = self.shared.shipped.subscribe();
        let mut done = self.done.clone();
        tokio::select! {
            reached = shipped.wait_for(|shipped| *shipped >= position) => reached.is_ok(),
            _ = done.wait_for(|done| *done) => *self.shared.shipped.borrow() >= position,
        }
    }

    /// Stops after the rounds on their way are answered, and writes the checkpoint.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // An error says that the thread is gone, which is what is waited for.
        let _ = self.done.wait_for(|done| *done).await;
    }
}
