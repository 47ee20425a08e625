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

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Condvar, Mutex};

    use tokio::sync::{oneshot, watch};

    use super::super::core::{Appended, Core};
    use super::super::disk::RealDisk;
    use super::super::queue::{Answer, Item};
    use super::super::testing::entry;
    use super::super::writer::{Clock, Writer};
    use super::super::{JournalConfig, read_folder};
    use super::*;
    use crate::domain::Ack;

    /// A real directory in which one sync takes until it is let go.
    #[derive(Clone)]
    struct Slow {
        real: RealDisk,
        gate: Arc<(Mutex<Gate>, Condvar)>,
        stuck: Sender<()>,
    }

    #[derive(Default)]
    struct Gate {
        syncs: u64,
        stuck_at: u64,
        open: bool,
    }

    impl Slow {
        fn wait(&self) {
            let (gate, changed) = &*self.gate;
            let mut state = gate.lock().unwrap();
            state.syncs += 1;
            if state.syncs == state.stuck_at {
                self.stuck.send(()).unwrap();
                drop(changed.wait_while(state, |state| !state.open).unwrap());
            }
        }

        fn stick_at(&self, nth: u64) {
            let mut state = self.gate.0.lock().unwrap();
            state.stuck_at = state.syncs + nth;
        }

        fn let_go(&self) {
            self.gate.0.lock().unwrap().open = true;
            self.gate.1.notify_all();
        }
    }

    impl Disk for Slow {
        type File = <RealDisk as Disk>::File;

        fn list(&self) -> io::Result<Vec<(String, u64)>> {
            self.real.list()
        }
        fn create(&self, name: &str) -> io::Result<Self::File> {
            self.real.create(name)
        }
        fn open(&self, name: &str) -> io::Result<Self::File> {
            self.real.open(name)
        }
        fn read_at(&self, file: &Self::File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
            self.real.read_at(file, offset, bytes)
        }
        fn write_at(&self, file: &Self::File, offset: u64, bytes: &[u8]) -> io::Result<()> {
            self.real.write_at(file, offset, bytes)
        }
        fn truncate(&self, file: &Self::File, len: u64) -> io::Result<()> {
            self.real.truncate(file, len)
        }
        fn sync(&self, file: &Self::File) -> io::Result<()> {
            self.wait();
            self.real.sync(file)
        }
        fn sync_dir(&self) -> io::Result<()> {
            self.wait();
            self.real.sync_dir()
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.real.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.real.remove(name)
        }
    }

    fn open(dir: &Path) -> (Slow, Receiver<()>, Arc<Queue>, std::thread::JoinHandle<()>) {
        let (stuck, is_stuck) = channel();
        let disk = Slow {
            real: RealDisk::new(dir).unwrap(),
            gate: Arc::default(),
            stuck,
        };
        let config = JournalConfig {
            dir: dir.to_owned(),
            segment_bytes_max: 20_000,
            ..JournalConfig::default()
        };
        let clock = Clock::start();
        let (core, _) = Core::open(disk.clone(), config, clock.now(), &mut |_, _| {}).unwrap();
        let queue = Arc::new(Queue::new(10_000, 1 << 24));
        let (committed, _) = watch::channel(core.durable());
        let writer = Writer::new(core, Arc::clone(&queue), committed, clock).unwrap();
        let thread = std::thread::spawn(move || writer.run());
        (disk, is_stuck, queue, thread)
    }

    fn send(queue: &Queue, bytes: usize, ack: Ack) -> oneshot::Receiver<Vec<Answer>> {
        let (reply, answer) = oneshot::channel();
        let mut entry = entry(2, &[]);
        entry.record = "x".repeat(bytes).into();
        queue.push(Item::Append(vec![(entry, ack)], reply)).unwrap();
        answer
    }

    fn is_new(answers: &[Answer]) -> bool {
        matches!(answers, [Ok(Appended::New(_))])
    }

    /// *Goal*: while the disk syncs, however long, records are written and `Written` is answered,
    /// and `Durable` is not. *Method*: the first sync never ends, then the second, and so on, so that
    /// each step of a change of segments has its turn; meanwhile the folder is read from outside.
    #[test]
    fn records_are_written_while_the_disk_syncs() {
        for nth in 1..=9 {
            let dir = tempfile::tempdir().unwrap();
            let (disk, is_stuck, queue, thread) = open(dir.path());
            disk.stick_at(nth);
            let mut sent = 0;
            let mut durable = loop {
                let mut durable = send(&queue, 6_000, Ack::Durable);
                sent += 1;
                let answered = loop {
                    if let Ok(answers) = durable.try_recv() {
                        break Some(answers);
                    }
                    if is_stuck.recv_timeout(Duration::from_millis(1)).is_ok() {
                        break None;
                    }
                };
                match answered {
                    Some(answers) => assert!(is_new(&answers)),
                    None => break durable,
                }
            };
            for _ in 0..20 {
                assert_eq!(queue.push(Item::Record(entry(0, &[]))), Ok(()));
            }
            let written = send(&queue, 10, Ack::Written);
            assert!(is_new(&written.blocking_recv().unwrap()), "sync {nth}");
            sent += 21;
            let mut seen = 0;
            let recovery = read_folder(dir.path(), &mut |_, _| seen += 1).unwrap();
            assert_eq!((seen, recovery.missing), (sent, 0), "sync {nth}");
            // What was sent before the sync may have been answered by an earlier one; this was not.
            let mut later = send(&queue, 10, Ack::Durable);
            let written = send(&queue, 10, Ack::Written);
            assert!(is_new(&written.blocking_recv().unwrap()));
            assert!(later.try_recv().is_err(), "sync {nth} has not ended");
            disk.let_go();
            assert!(is_new(&later.blocking_recv().unwrap()));
            assert!(durable.try_recv().is_ok_and(|answers| is_new(&answers)));
            queue.close();
            thread.join().unwrap();
        }
    }
}
