//! What the sink tells while it works: the status, the log, the checkpoint.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::redis::Worker;
use super::saved::Saved;
use super::status::BlockedStream;
use super::steps::Blocked;
use super::wire::Failure;
use crate::journal::Position;

impl Worker {
    pub(super) fn count(&mut self, failure: &Failure) {
        self.works = false;
        let mut status = self.shared.status();
        *status.errors.entry(failure.code.as_str()).or_default() += 1;
        status.last_error = Some(failure.detail.clone());
    }

    /// Brings the status up to date, and the checkpoint when its time has come.
    pub(super) fn report(&mut self) {
        let (shipped, end) = (self.shipper.shipped(), *self.end.borrow());
        let blocked: BTreeMap<usize, Blocked> = self.shipper.blocked().collect();
        if blocked != self.reported {
            self.log_blocked(&blocked);
        }
        {
            let mut status = self.shared.status();
            status.shipped = shipped;
            if status.connected && blocked.is_empty() && (self.works || shipped >= end) {
                status.last_error = None;
            }
            status.lag_entries = end.seq.saturating_sub(shipped.seq);
            let lag_ms = end.ms.saturating_sub(shipped.ms).try_into().unwrap_or(0);
            status.lag_ms = if shipped < end { lag_ms } else { 0 };
            status.suffixes_lost = self.shipper.suffixes_lost();
            status.adopted = self.shipper.adopted();
            if blocked != self.reported {
                status.blocked = blocked
                    .iter()
                    .map(|(&i, &why)| self.describe(i, why))
                    .collect();
            }
        }
        self.reported = blocked;
        self.shared
            .shipped
            .send_if_modified(|known| std::mem::replace(known, shipped) != shipped);
        let due = self
            .saved_at
            .is_none_or(|at| at.elapsed() >= Duration::from_millis(self.config.checkpoint_ms));
        if due {
            self.save();
        }
    }

    fn describe(&self, stream: usize, why: Blocked) -> BlockedStream {
        let (reason, refused) = match why {
            Blocked::Failing(code) => (format!("redis answers {code}"), false),
            Blocked::Ahead { top } => (
                format!(
                    "the stream ends at {top}, beyond this journal's end: another journal wrote it \
                     under this node's name. Give this node a name of its own"
                ),
                true,
            ),
            Blocked::Overtaken { top, missing } => (
                format!(
                    "the stream ends at {top} and does not hold {missing}, which can no longer be \
                     written: another journal writes under this node's name. Give this node a name \
                     of its own"
                ),
                true,
            ),
        };
        BlockedStream {
            key: self.streams.keys()[stream].clone(),
            reason,
            refused,
        }
    }

    fn log_blocked(&self, blocked: &BTreeMap<usize, Blocked>) {
        for (&stream, &why) in blocked {
            if self.reported.get(&stream) == Some(&why) {
                continue;
            }
            let BlockedStream {
                key,
                reason,
                refused,
            } = self.describe(stream, why);
            if refused {
                error!(key, reason, "nothing can be shipped to a stream");
            } else {
                warn!(key, reason, "a stream is blocked for now");
            }
        }
    }

    /// Writes the checkpoint where it has changed, and only then lets the journal forget.
    pub(super) fn save(&mut self) {
        self.saved_at = Some(Instant::now());
        let keys = self.streams.keys().iter().cloned();
        let saved = Saved {
            shipped: self.shipper.shipped(),
            partitions: self.config.partitions,
            tops: keys
                .zip(self.shipper.tops())
                .filter(|(_, top)| *top > Position::START)
                .collect(),
        };
        if saved == self.saved {
            return;
        }
        match self.checkpoint.save(&saved) {
            Ok(()) => {
                if let Some(floor) = self.window.floor(saved.shipped) {
                    self.journal.set_shipped(floor);
                }
                self.saved = saved;
            }
            Err(error) => {
                warn!(%error, "the sink's checkpoint cannot be written; it lags");
            }
        }
    }
}
