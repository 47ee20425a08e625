//! How long a task that is ready waits for its turn: the sign of overload.
//!
//! Requests wait where no counter shows it, in the runtime's line of tasks that are ready. So some tasks of
//! our own go to its end, and see how long it takes them. How they go there matters. A task that a
//! timer or a socket wakes is run first of all, unless another one is woken after it; and with many
//! requests none is, because their connections wake themselves (hyper does, when a body is read) and so
//! stand in the line already when their next request comes. Who measures by being woken therefore finds no
//! line at all, however long it is. A task that wakes itself goes to its end, as they do.
//!
//! That its wait is everybody's also takes a runtime that is fair to all who wait (see `crate::cmd::serve`).
//! There are several, since one alone would measure, and have ruled, ever more rarely as waits grow.

use std::future::poll_fn;
use std::io;
use std::mem::replace;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use super::admission::{Admission, WINDOW};

/// How often a wait is measured.
const PERIOD: Duration = Duration::from_millis(5);

/// Tasks that take turns.
const PROBES: u32 = 8;

/// A window has at least so many measurements, or it goes on: a process that the machine has put aside for a
/// moment is not a queue.
const WAITS_MIN: usize = 4;

/// Measures how long a task that is ready waits and rules by it, for as long as it is polled: on the
/// runtime that answers requests, since it is there that they wait.
///
/// # Errors
///
/// A bug has ended a measuring task.
pub async fn watch(admission: Admission) -> io::Result<()> {
    watch_by(admission, Instant::now).await
}

/// The same by a clock that may be another one: counted in turns of those who wait, a wait is the same on every machine.
///
/// # Errors
///
/// A bug has ended a measuring task.
pub async fn watch_by(
    admission: Admission,
    clock: impl Fn() -> Instant + Clone + Send + 'static,
) -> io::Result<()> {
    let book = Arc::new(Mutex::new(Book {
        admission,
        begin: clock(),
        waits: Vec::new(),
    }));
    // They end with this future.
    let mut probes = JoinSet::new();
    for n in 0..PROBES {
        probes.spawn(probe(Arc::clone(&book), n, clock.clone()));
    }
    while let Some(ended) = probes.join_next().await {
        ended?;
    }
    Ok(())
}

/// Measures again and again, the `n`-th of those that take turns.
async fn probe(book: Arc<Mutex<Book>>, n: u32, clock: impl Fn() -> Instant) {
    let first = tokio::time::Instant::now() + PERIOD * n;
    let mut ticks = interval_at(first, PERIOD * PROBES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let ready = clock();
        end_of_the_line().await;
        let now = clock();
        let mut book = book.lock().unwrap_or_else(PoisonError::into_inner);
        book.note(now - ready, now);
    }
}

/// Lets everybody who is ready go first. `tokio::task::yield_now` would not do: it has the task woken when
/// the runtime next looks at its sockets, and then run first.
async fn end_of_the_line() {
    let mut there = false;
    poll_fn(|cx| {
        if replace(&mut there, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// What was measured in this window.
struct Book {
    admission: Admission,
    begin: Instant,
    waits: Vec<Duration>,
}

impl Book {
    fn note(&mut self, wait: Duration, now: Instant) {
        self.waits.push(wait);
        let lasted = now.saturating_duration_since(self.begin);
        if lasted < WINDOW || self.waits.len() < WAITS_MIN {
            return;
        }
        // Not the median: with several threads and long lines, half of all turns are those of tasks in the
        // short lines. Not the longest: a few may have met a task that is an exception.
        self.waits.sort_unstable();
        let usual = self.waits[self.waits.len() * 3 / 4];
        self.admission.turn(usual, lasted);
        self.begin = now;
        self.waits.clear();
    }
}
