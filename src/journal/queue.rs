//! The way into the journal: one bounded queue between the requests and the writer.
//!
//! The lock is held for a push or for taking everything at once, never during I/O. A push wakes the
//! writer only when it must: when it sleeps for want of work, when somebody waits for an answer, or
//! when enough has gathered. The first decision after a pause is so written at once; under load the
//! writer comes every [`GATHER`] for all that is there, and pushing costs no system call.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::{Ack, Entry};

use super::core::{AppendError, Appended};

/// What an entry weighs besides its text: the envelope and its short strings.
const ENTRY_OVERHEAD_BYTES: usize = 512;
/// A quarter of the queue is kept for entries with somebody waiting: a burst of decisions must not
/// crowd out a conversion.
const UNAWAITED_SHARE: (usize, usize) = (3, 4);
/// Unawaited entries are left to gather up to this size...
const GATHER_BYTES: usize = 64 << 10;
/// ...or until this long after the last time the writer came. What it has not taken, a crash of the
/// process costs, so it is short: long enough to save most of the wake-ups and writes, no longer.
pub const GATHER: Duration = Duration::from_millis(1);

/// What one entry hears.
pub type Answer = Result<Appended, AppendError>;

/// A hand-over.
#[expect(
    clippy::large_enum_variant,
    reason = "a box would cost every decision an allocation to spare the rarer batch a copy"
)]
pub enum Item {
    /// Nobody waits.
    Record(Entry),
    /// The answers, one per entry, are sent together once all are true.
    Append(Vec<(Entry, Ack)>, oneshot::Sender<Vec<Answer>>),
}

/// Why a push failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No room.
    Full,
    /// Nobody writes any more.
    Closed,
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> AppendError {
        match refused {
            Refused::Full => AppendError::Full,
            Refused::Closed => AppendError::Closed,
        }
    }
}

/// What the writer is doing, as far as a push must know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    Busy,
    /// Asleep until anything comes.
    Idle,
    /// Asleep until something urgent comes.
    Gathering,
}

struct Inner {
    items: Vec<Item>,
    entries: usize,
    bytes: usize,
    urgent: bool,
    closed: bool,
    writer: Writer,
    /// Until then the writer leaves unawaited entries to gather.
    gather_until: Instant,
}

/// The queue.
pub struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
    entries_max: usize,
    bytes_max: usize,
}

impl Queue {
    /// An empty queue.
    pub fn new(entries_max: usize, bytes_max: usize) -> Queue {
        Queue {
            inner: Mutex::new(Inner {
                items: Vec::new(),
                entries: 0,
                bytes: 0,
                urgent: false,
                closed: false,
                writer: Writer::Busy,
                gather_until: Instant::now(),
            }),
            wake: Condvar::new(),
            entries_max,
            bytes_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half-done by a panic.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `item` over, without waiting.
    pub fn push(&self, item: Item) -> Result<(), Refused> {
        let (entries, bytes, urgent) = match &item {
            Item::Record(entry) => (1, weight(entry), false),
            Item::Append(entries, _) => (
                entries.len(),
                entries.iter().map(|(entry, _)| weight(entry)).sum(),
                true,
            ),
        };
        let share = if urgent { (1, 1) } else { UNAWAITED_SHARE };
        let room = |max: usize| (max / share.1 * share.0).max(1);
        let mut inner = self.lock();
        if inner.closed {
            return Err(Refused::Closed);
        }
        // An empty queue takes anything, or a large batch could never get in.
        let full = inner.entries + entries > room(self.entries_max)
            || inner.bytes + bytes > room(self.bytes_max);
        if full && inner.entries > 0 {
            return Err(Refused::Full);
        }
        inner.items.push(item);
        inner.entries += entries;
        inner.bytes += bytes;
        inner.urgent |= urgent || inner.bytes >= GATHER_BYTES;
        let wake = match inner.writer {
            Writer::Busy => false,
            Writer::Idle => true,
            Writer::Gathering => inner.urgent,
        };
        if wake {
            // Once is enough, until the writer says again that it sleeps.
            inner.writer = Writer::Busy;
        }
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Takes everything, waiting for something to come until `deadline` or until poked; `false` once
    /// the queue is closed and empty.
    pub fn take(&self, items: &mut Vec<Item>, deadline: Option<Instant>) -> bool {
        items.clear();
        let mut inner = self.lock();
        loop {
            let now = Instant::now();
            let gathering = now < inner.gather_until;
            let work = !inner.items.is_empty() && !gathering;
            let due = deadline.is_some_and(|at| at <= now);
            if inner.closed || inner.urgent || work || due {
                break;
            }
            inner.writer = if gathering {
                Writer::Gathering
            } else {
                Writer::Idle
            };
            let until = gathering.then_some(inner.gather_until);
            inner = match [deadline, until].into_iter().flatten().min() {
                Some(until) => {
                    let wait = until.saturating_duration_since(now);
                    let woken = self.wake.wait_timeout(inner, wait);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let woken = self.wake.wait(inner);
                    woken.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        inner.writer = Writer::Busy;
        inner.urgent = false;
        inner.entries = 0;
        inner.bytes = 0;
        inner.gather_until = Instant::now() + GATHER;
        std::mem::swap(items, &mut inner.items);
        !inner.closed || !items.is_empty()
    }

    /// Wakes the writer: something else than an entry waits for it.
    pub fn poke(&self) {
        self.lock().urgent = true;
        self.wake.notify_one();
    }

    /// Takes nothing more in and wakes the writer.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
    }

    /// Entries waiting, and their bytes.
    pub fn load(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.entries, inner.bytes)
    }
}

/// What an entry counts in the queue, in bytes.
pub fn weight(entry: &Entry) -> usize {
    entry.record.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::super::testing::entry;
    use super::*;

    fn record() -> Item {
        Item::Record(entry(0, &[]))
    }

    fn append(n: usize) -> Item {
        let entries = vec![(entry(1, &[]), Ack::Written); n];
        Item::Append(entries, oneshot::channel().0)
    }

    #[test]
    fn decisions_leave_room_for_events() {
        let queue = Queue::new(8, 1 << 20);
        for _ in 0..6 {
            assert_eq!(queue.push(record()), Ok(()));
        }
        assert_eq!(queue.push(record()), Err(Refused::Full));
        assert_eq!(queue.push(append(2)), Ok(()));
        assert_eq!(queue.push(append(1)), Err(Refused::Full));
        let mut items = Vec::new();
        assert!(queue.take(&mut items, None));
        assert_eq!(items.len(), 7);
        assert_eq!(
            queue.push(append(9)),
            Ok(()),
            "an empty queue takes anything"
        );
    }

    #[test]
    fn bytes_count_too() {
        let queue = Queue::new(1000, 4 * ENTRY_OVERHEAD_BYTES);
        for _ in 0..3 {
            assert_eq!(queue.push(record()), Ok(()));
        }
        assert_eq!(queue.push(record()), Err(Refused::Full));
    }

    #[test]
    fn what_was_in_is_still_given_out_after_closing() {
        let queue = Queue::new(8, 1 << 20);
        assert_eq!(queue.push(record()), Ok(()));
        queue.close();
        assert_eq!(queue.push(record()), Err(Refused::Closed));
        let mut items = Vec::new();
        assert!(queue.take(&mut items, None));
        assert_eq!(items.len(), 1);
        assert!(!queue.take(&mut items, None));
    }
}
