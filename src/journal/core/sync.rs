//! Making records durable while others are being written.
//!
//! A sync covers what had been written when it was begun. What is written while it runs may or may
//! not reach the disk with it; nobody can tell, so it waits for the next one. Only one sync is under
//! way at a time: of two on one file, the kernel tells a failure to one.
//!
//! There are two ways to become durable. The active file is synced. Or, when it is full or suspect,
//! a *successor* takes its place: a new segment with everything that is not durable, in three steps.
//!
//! ```text
//! written under another name, whole        here
//! synced                                   ticket        meanwhile groups go to the active file
//! … those groups added, renamed            here          from here on groups go to the successor
//! directory synced                         ticket        only now is anything in it durable
//! ```
//!
//! A process that dies before the name appears leaves the active file, which holds every group; one
//! that dies after it leaves the successor, which does as well. A power cut may undo the name until
//! the last step, and then the active file still holds everything durable.

use std::io;
use std::sync::Arc;

use super::super::disk::{Disk, DiskTrouble};
use super::super::format::{HEADER_BYTES, Header, Place};
use super::super::index::{Segment, segment_name};
use super::super::position::Position;
use super::write::{Active, finish, remove_unfinished, write_unfinished};
use super::{Core, Now, WRITE_BYTES_MAX};

/// A sync to be made, by whoever has the time.
#[must_use = "the core waits for its end"]
pub struct Ticket<D: Disk> {
    id: u64,
    disk: D,
    /// `None` for the directory.
    file: Option<Arc<D::File>>,
}

impl<D: Disk> Ticket<D> {
    /// Syncs, for as long as the disk takes. To be called once.
    ///
    /// # Errors
    /// The disk's, for [`Core::end_sync`].
    pub fn run(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => self.disk.sync(file),
            None => self.disk.sync_dir(),
        }
    }

    /// Whether it makes a file's content certain, not a name.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.file.is_some()
    }
}

/// The sync that is under way.
pub(super) struct Underway<F> {
    id: u64,
    step: Step<F>,
    covers: Covered,
}

enum Step<F> {
    /// The active file is being synced.
    Active,
    /// The successor is, which still has another name.
    Successor(Arc<F>),
    /// Its name is being made certain. It is the active file already.
    Name {
        /// The segment before it.
        left: u64,
    },
}

/// What is durable once a sync has ended well.
#[derive(Clone, Copy)]
struct Covered {
    /// The segment synced, and its length.
    number: u64,
    len: u64,
    written: Position,
    written_keys: u64,
    /// Bytes of [`Core::unsynced`].
    bytes: usize,
}

impl<D: Disk> Core<D> {
    /// Begins to make everything written durable; `None` when everything is, or when that cannot
    /// even be begun, which is tried again later.
    pub fn begin_sync(&mut self, now: Now) -> Option<Ticket<D>> {
        if self.underway.is_some() {
            return None;
        }
        self.sync_due = None;
        self.group_bytes = None;
        if self.active.suspect || self.is_full(now) {
            match self.begin_successor() {
                Ok(ticket) => return Some(ticket),
                Err(error) => return self.cannot_follow(now, &error),
            }
        }
        (!self.unsynced.is_empty()).then(|| self.sync_active())
    }

    /// Hears how a sync has ended. A further ticket is to be run at once.
    pub fn end_sync(
        &mut self,
        ticket: Ticket<D>,
        ended: io::Result<()>,
        now: Now,
    ) -> Option<Ticket<D>> {
        // One of a file that was left behind says nothing about the present one.
        let Underway { step, covers, .. } = self.underway.take_if(|u| u.id == ticket.id)?;
        let next = match (step, ended) {
            (Step::Active, Ok(())) => {
                self.confirm(&covers);
                None
            }
            (Step::Active, Err(_)) => {
                self.counters.sync_failures.add(1);
                self.active.suspect = true;
                self.begin_sync(now)
            }
            (Step::Successor(file), Ok(())) => match self.succeed(file, &covers) {
                Ok(ticket) => Some(ticket),
                Err(error) => self.give_up(&covers, now, &error),
            },
            (Step::Successor(_), Err(error)) => self.give_up(&covers, now, &error),
            (Step::Name { left }, Ok(())) => {
                self.follow(left, &covers, now);
                None
            }
            (Step::Name { .. }, Err(error)) => self.cannot_follow(now, &error),
        };
        self.publish_health();
        next
    }

    /// Makes everything written durable, however long it takes.
    ///
    /// A sync that is under way elsewhere proves nothing here: its file is left behind.
    ///
    /// # Errors
    /// When the disk refuses, in the active file and in a new one.
    pub fn sync(&mut self, now: Now) -> Result<(), DiskTrouble> {
        if let Some(underway) = self.underway.take() {
            self.active.suspect = true;
            if let Step::Successor(_) = underway.step {
                remove_unfinished(&self.disk, underway.covers.number);
            }
        }
        while let Some(ticket) = self.begin_sync(now) {
            self.run(ticket, now)?;
        }
        self.publish_health();
        self.durable_refused().map_or(Ok(()), Err)
    }

    /// Closes the active segment and begins the next, however long it takes.
    pub(super) fn rotate(&mut self, now: Now) -> Result<(), DiskTrouble> {
        let (left, refused) = (self.active.number, self.trouble.unwrap_or(DiskTrouble::Io));
        if self.underway.is_some() {
            return Err(refused);
        }
        let ticket = self.begin_successor();
        self.run(ticket.map_err(|error| DiskTrouble::from(&error))?, now)?;
        if self.active.number == left {
            return Err(self.trouble.unwrap_or(refused));
        }
        Ok(())
    }

    /// Runs a ticket, and those that follow from it, here.
    pub(super) fn run(&mut self, ticket: Ticket<D>, now: Now) -> Result<(), DiskTrouble> {
        let mut next = Some(ticket);
        while let Some(ticket) = next {
            let ended = ticket.run();
            next = self.end_sync(ticket, ended, now);
        }
        self.durable_refused().map_or(Ok(()), Err)
    }

    /// The active file's sync.
    pub(super) fn sync_active(&mut self) -> Ticket<D> {
        let file = Arc::clone(&self.active.file);
        let covers = self.covered(self.active.number, self.active.len);
        self.ticket(Step::Active, Some(file), covers)
    }

    /// Writes the segment that takes the active one's place.
    pub(super) fn begin_successor(&mut self) -> io::Result<Ticket<D>> {
        loop {
            // A number is used once: a failed attempt may have left its file behind.
            let number = self.number_next;
            self.number_next += 1;
            let header = Header {
                node: self.node,
                number,
                follows: self.durable,
                before: self.durable_position,
            };
            match write_unfinished(&self.disk, &header, &self.unsynced) {
                Ok(file) => {
                    let file = Arc::new(file);
                    let len = (HEADER_BYTES + self.unsynced.len()) as u64;
                    let covers = self.covered(number, len);
                    let step = Step::Successor(Arc::clone(&file));
                    return Ok(self.ticket(step, Some(file), covers));
                }
                Err(error) if self.make_room(DiskTrouble::from(&error)) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn covered(&self, number: u64, len: u64) -> Covered {
        Covered {
            number,
            len,
            written: self.written,
            written_keys: self.written_keys,
            bytes: self.unsynced.len(),
        }
    }

    fn ticket(
        &mut self,
        step: Step<D::File>,
        file: Option<Arc<D::File>>,
        covers: Covered,
    ) -> Ticket<D> {
        let id = self.ticket_next;
        self.ticket_next += 1;
        self.underway = Some(Underway { id, step, covers });
        Ticket {
            id,
            disk: self.disk.clone(),
            file,
        }
    }

    /// Adds what was written while the successor was synced, and gives it its name.
    fn succeed(&mut self, file: Arc<D::File>, covers: &Covered) -> io::Result<Ticket<D>> {
        let since = &self.unsynced[covers.bytes..];
        if !since.is_empty() {
            self.disk.write_at(&file, covers.len, since)?;
        }
        let len = covers.len + since.len() as u64;
        finish(&self.disk, covers.number)?;
        let left = self.active.number;
        self.active = Active {
            file,
            number: covers.number,
            len,
            tail_dirty: false,
            // Until the name is certain.
            suspect: true,
        };
        Ok(self.ticket(Step::Name { left }, None, *covers))
    }

    /// The successor's name is certain.
    fn follow(&mut self, left: u64, covers: &Covered, now: Now) {
        self.active.suspect = false;
        self.index
            .begin(Segment::new(covers.number, self.durable_position));
        self.confirm(covers);
        if left != self.index.newest_before(covers.number) {
            // Nothing in it is valid; recovery would find it void as well.
            let _ = self.disk.remove(&segment_name(left));
        }
        self.retain(now);
    }

    fn give_up(&mut self, covers: &Covered, now: Now, error: &io::Error) -> Option<Ticket<D>> {
        remove_unfinished(&self.disk, covers.number);
        self.cannot_follow(now, error)
    }

    /// No successor could be made. A sound active file goes on meanwhile; without one, nothing can
    /// become durable.
    fn cannot_follow(&mut self, now: Now, error: &io::Error) -> Option<Ticket<D>> {
        let trouble = DiskTrouble::from(error);
        if self.make_room(trouble) {
            return self.begin_sync(now);
        }
        self.counters.sync_failures.add(1);
        self.trouble = Some(trouble);
        let later = now.monotonic_ms + self.config.flush_interval_ms;
        if self.active.suspect {
            self.sync_trouble = true;
            self.sync_due = Some(later);
            return None;
        }
        self.rotate_after = later;
        self.begin_sync(now)
    }

    fn confirm(&mut self, covers: &Covered) {
        // An empty segment is followed by its replacement as if it had never been: what it says of
        // its predecessor's end would go with it otherwise.
        if covers.len > HEADER_BYTES as u64 {
            self.durable = Place {
                segment: covers.number,
                offset: covers.len,
            };
        }
        let records = covers.written.seq - self.durable_position.seq;
        self.durable_position = covers.written;
        self.durable_keys = covers.written_keys;
        self.unsynced.drain(..covers.bytes);
        if self.unsynced.is_empty() {
            // A burst's memory is given back, the everyday buffer kept.
            self.unsynced.shrink_to(WRITE_BYTES_MAX);
        }
        self.index
            .extend(covers.number, covers.written, covers.len, records);
        self.counters.syncs.add(1);
        if self.sync_trouble {
            self.trouble = None;
            self.sync_trouble = false;
        }
    }
}
