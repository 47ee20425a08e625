//! Letting go of segments: by age once shipped, by size, and to make room on a full disk.

use std::io;

use super::super::config::WritePolicy;
use super::super::disk::{Disk, DiskTrouble};
use super::super::index::{Segment, segment_name};
use super::super::status::Lost;
use super::{Core, Now};

impl<D: Disk> Core<D> {
    /// Deletes what is old and shipped, and what is too much.
    pub(super) fn retain(&mut self, now: Now) {
        let oldest_ms = now.wall.0 - i64::from(self.config.retain_days) * 86_400_000;
        let shipped = self.index.shipped();
        while let Some(segment) = self.index.oldest_closed() {
            let forced = self.index.bytes() > self.config.retain_bytes_max;
            let old = segment.last.ms < oldest_ms && segment.last <= shipped;
            if !(forced || old) || !self.drop_segment(&segment) {
                break;
            }
        }
    }

    /// Deletes the oldest segment where the disk is full and the settings allow it: whether another
    /// attempt is worth it.
    pub(super) fn make_room(&mut self, trouble: DiskTrouble) -> bool {
        trouble == DiskTrouble::NoSpace
            && self.config.write_policy == WritePolicy::DropOldest
            && self
                .index
                .oldest_closed()
                .is_some_and(|segment| self.drop_segment(&segment))
    }

    fn drop_segment(&mut self, segment: &Segment) -> bool {
        let removed = self.disk.remove(&segment_name(segment.number));
        if removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            return false;
        }
        let unshipped = self.index.drop_segment(segment.number);
        self.counters.lost(Lost::Retention).add(unshipped);
        self.counters.segments_deleted.add(1);
        true
    }
}
