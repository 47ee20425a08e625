//! What the sink remembers over a restart.
//!
//! It may lag, and it may be lost: then the streams are asked and the journal is read from its
//! beginning. What it adds is the memory of what Redis once acknowledged, without which a Redis that
//! lost a suffix while this process was down could not be told from one that never had it.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::wire::Streams;
use crate::journal::{Checkpoint, Loaded, Position};

/// The checkpoint's name within the journal's directory.
pub const NAME: &str = "sink.redis";

/// The file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    /// Everything at or below is in Redis.
    pub shipped: Position,
    /// The number of partitions it was written with.
    pub partitions: u16,
    /// The last entry known to be in each stream, by the stream's key.
    pub tops: BTreeMap<String, Position>,
}

/// Why the sink cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is outside its range.
    #[error(transparent)]
    Config(#[from] super::config::ConfigError),
    /// The checkpoint cannot be read.
    #[error("read the sink's checkpoint: {0}")]
    Checkpoint(io::Error),
    /// Entries would move between streams.
    #[error(
        "redis.partitions is {now} but this journal was shipped with {before}: what is not shipped \
         yet could be written twice. Set it back to {before}, or ship everything, stop, and delete \
         {NAME}.checkpoint and the streams"
    )]
    Partitions {
        /// In the checkpoint.
        before: u16,
        /// In the configuration.
        now: u16,
    },
    /// The sink's thread cannot be made.
    #[error("start the sink's thread: {0}")]
    Thread(io::Error),
}

impl Saved {
    /// What was saved last, or that of a sink that has shipped nothing.
    ///
    /// # Errors
    /// The disk's, or it was written with another number of partitions.
    pub fn load(checkpoint: &Checkpoint, partitions: u16) -> Result<Saved, StartError> {
        let nothing = Saved {
            shipped: Position::START,
            partitions,
            tops: BTreeMap::new(),
        };
        let saved = match checkpoint.load().map_err(StartError::Checkpoint)? {
            Loaded::Value(saved) => saved,
            Loaded::Missing => nothing,
            Loaded::Damaged => {
                warn!("the sink's checkpoint is damaged: redis is asked and the journal read anew");
                nothing
            }
        };
        if saved.partitions != partitions {
            return Err(StartError::Partitions {
                before: saved.partitions,
                now: partitions,
            });
        }
        Ok(saved)
    }

    /// The tops in the order of `streams`.
    #[must_use]
    pub fn tops(&self, streams: &Streams) -> Vec<Position> {
        let top = |key| self.tops.get(key).copied().unwrap_or(Position::START);
        streams.keys().iter().map(top).collect()
    }
}
