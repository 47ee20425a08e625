//! Taking entries in: positions, duplicates, groups, and what their senders hear.

use crate::domain::Ack;

use super::super::disk::{Disk, DiskTrouble};
use super::super::format::{self, RECORD_BYTES_MAX};
use super::super::position::Position;
use super::super::status::Lost;
use super::{
    AppendError, Appended, Core, Now, Submission, Taken, UNSYNCED_BYTES_MAX, WRITE_BYTES_MAX,
};

/// A group being put together.
#[derive(Default)]
pub(super) struct Staged {
    frames: Vec<u8>,
    /// Index of the submission, and what it will hear.
    answers: Vec<(usize, Taken)>,
    keys: usize,
    last: Position,
}

impl<D: Disk> Core<D> {
    /// Gives an entry its place in the group, or its answer.
    pub(super) fn stage(&mut self, now: Now, group: &mut [Submission], i: usize) {
        let (ack, keys) = (group[i].ack, &group[i].entry.keys);
        if self.sync_trouble && ack == Ack::Durable {
            let trouble = self.trouble.unwrap_or(DiskTrouble::Io);
            self.refuse(group, i, AppendError::Disk(trouble));
            return;
        }
        if let Some(number) = keys.iter().filter_map(|key| self.dedup.find(*key)).max() {
            let waits = ack == Ack::Durable && number >= self.durable_keys;
            let last = self.staged_last();
            let taken = Taken {
                appended: Appended::Duplicate,
                once_durable: waits.then_some(last),
            };
            self.staged.answers.push((i, taken));
            return;
        }
        if self.unsynced.len() + self.staged.frames.len() + RECORD_BYTES_MAX > UNSYNCED_BYTES_MAX {
            self.flush(now, group);
            // While the disk refuses, its interval is the rhythm of new attempts.
            if self.sync_trouble || self.underway.is_some() || self.sync(now).is_err() {
                self.refuse(group, i, AppendError::Overloaded);
                return;
            }
        }
        let position = self.staged_last().next(now.wall);
        let before = self.staged.frames.len();
        if format::encode_record(&mut self.staged.frames, position, &group[i].entry).is_err() {
            self.refuse(group, i, AppendError::TooLarge);
            return;
        }
        if self.staged.frames.len() > WRITE_BYTES_MAX {
            let frame = self.staged.frames.split_off(before);
            self.flush(now, group);
            // A refused flush has freed its numbers: encode again if ours has changed.
            if self.staged_last().next(now.wall) == position {
                self.staged.frames = frame;
            } else {
                self.stage(now, group, i);
                return;
            }
        }
        for key in &group[i].entry.keys {
            // An entry may name the same key twice.
            if self.dedup.find(*key).is_none() {
                self.dedup.insert(*key, position.ms);
                self.staged.keys += 1;
            }
        }
        self.staged.last = position;
        let taken = Taken {
            appended: Appended::New(position),
            once_durable: (ack == Ack::Durable).then_some(position),
        };
        self.staged.answers.push((i, taken));
    }

    fn staged_last(&self) -> Position {
        self.staged.last.max(self.written)
    }

    fn refuse(&self, group: &mut [Submission], i: usize, error: AppendError) {
        let reason = match error {
            AppendError::TooLarge => Lost::TooLarge,
            _ => Lost::Disk,
        };
        self.counters.lost(reason).add(1);
        group[i].outcome = Some(Err(error));
    }

    /// Writes what is staged, and answers.
    pub(super) fn flush(&mut self, now: Now, group: &mut [Submission]) {
        let staged = std::mem::take(&mut self.staged);
        let written = if staged.frames.is_empty() {
            Ok(())
        } else {
            self.write(now, &staged.frames)
        };
        match written {
            Ok(()) => self.accept(now, staged, group),
            Err(trouble) => self.take_back(staged, group, trouble),
        }
    }

    fn accept(&mut self, now: Now, mut staged: Staged, group: &mut [Submission]) {
        self.written = staged.last.max(self.written);
        self.written_keys = self.dedup.next_number();
        self.unsynced.extend_from_slice(&staged.frames);
        let mut waits = false;
        for (i, taken) in staged.answers.drain(..) {
            waits |= taken.once_durable.is_some();
            match taken.appended {
                Appended::New(_) => self.counters.appended(group[i].entry.kind()).add(1),
                Appended::Duplicate => self.counters.duplicates.add(1),
            }
            group[i].outcome = Some(Ok(taken));
        }
        self.plan_sync(now, staged.frames.len(), waits);
        // Keep the buffer for the next group.
        staged.frames.clear();
        self.staged.frames = staged.frames;
        self.dedup.expire(now.wall.0);
    }

    fn plan_sync(&mut self, now: Now, bytes: usize, waits: bool) {
        if bytes == 0 && !waits {
            return;
        }
        let mut wait_ms = self.config.flush_interval_ms;
        if waits || self.group_bytes.is_some() {
            let group = self.group_bytes.unwrap_or(0) + bytes;
            self.group_bytes = Some(group);
            wait_ms = if group >= self.config.group_commit_bytes {
                0
            } else {
                self.config.group_commit_ms_max.min(wait_ms)
            };
        }
        if self.is_full(now) {
            wait_ms = 0;
        }
        let due = now.monotonic_ms + wait_ms;
        self.sync_due = Some(self.sync_due.map_or(due, |d| d.min(due)));
    }

    /// Forgets a group that could not be written: its numbers and keys are free again.
    fn take_back(&mut self, staged: Staged, group: &mut [Submission], trouble: DiskTrouble) {
        for _ in 0..staged.keys {
            self.dedup.remove_last();
        }
        for (i, _) in staged.answers {
            // A duplicate of an entry of this very group would be a false yes; one of an older entry
            // is answered like the rest, its sender will ask again.
            self.refuse(group, i, AppendError::Disk(trouble));
        }
    }
}
