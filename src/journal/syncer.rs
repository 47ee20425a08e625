//! The thread that waits for the disk, so that the writer need not.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::core::Ticket;
use super::disk::Disk;
use super::queue::Queue;

/// A sync that has been made.
pub struct Ended<D: Disk> {
    /// What was asked for.
    pub ticket: Ticket<D>,
    /// What the disk said.
    pub result: io::Result<()>,
    /// How long it took.
    pub took: Duration,
}

/// The writer's end of it. The thread ends when this is dropped.
pub struct Syncer<D: Disk> {
    tickets: Sender<Ticket<D>>,
    ended: Receiver<Ended<D>>,
    /// Tickets given to the thread and not come back; the core allows one.
    out: usize,
}

impl<D: Disk> Syncer<D> {
    /// Starts the thread; `queue` is poked when a sync has ended.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start(queue: Arc<Queue>) -> io::Result<Syncer<D>> {
        let (tickets, todo) = channel::<Ticket<D>>();
        let (done, ended) = channel();
        std::thread::Builder::new()
            .name("journal-sync".to_owned())
            .spawn(move || {
                for ticket in todo {
                    let started = Instant::now();
                    let result = ticket.run();
                    let took = started.elapsed();
                    let told = done.send(Ended {
                        ticket,
                        result,
                        took,
                    });
                    if told.is_err() {
                        break;
                    }
                    queue.poke();
                }
            })?;
        Ok(Syncer {
            tickets,
            ended,
            out: 0,
        })
    }

    /// Has a sync made.
    pub fn begin(&mut self, ticket: Ticket<D>) {
        // Without the thread nothing ends: `wait` tells.
        if self.tickets.send(ticket).is_ok() {
            self.out += 1;
        }
    }

    /// A sync that has ended, if one has.
    pub fn ended(&mut self) -> Option<Ended<D>> {
        let ended = self.ended.try_recv().ok()?;
        self.out -= 1;
        Some(ended)
    }

    /// Waits for the sync under way; `None` when none is.
    pub fn wait(&mut self) -> Option<Ended<D>> {
        if self.out == 0 {
            return None;
        }
        self.out -= 1;
        self.ended.recv().ok()
    }
}
