//! One generator: keeps the plan, hands requests to connections, books what comes of them.
//!
//! It lives on one thread, so nothing here is locked. A request whose moment has come is written at
//! once if a connection is free; else it waits in line, and the wait counts as latency, because a
//! caller would have waited as well.

mod connect;
mod settle;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;

use super::check::Models;
use super::clock::{Alarm, now_ns};
use super::plan::{Arrival, Pace, Plan};
use super::source::{Cast, Draft, Source};
use super::tally::{Counts, Tally};
use super::wire::{Door, Job, Outcome, Writer};
use super::{h1, h2c};

/// After so many requests in a row, whatever has been answered is looked at.
const BURST: usize = 16;
/// Above so many requests per second, sleeping from one to the next would cost more than sending them: then those of
/// [`GRAIN_NS`] are sent at the end of it, as late as they are, and written together where they share a connection.
const FINE_MAX: f64 = 30_000.0;
const GRAIN_NS: u64 = 100_000;
/// How often what waits too long is given up.
const REAP: Duration = Duration::from_millis(50);
/// How often a saturating phase looks for room that nobody told it of.
const FILL_NS: u64 = 500_000;
/// How often a generator looks whether all its connections are made.
const READY_LOOK: Duration = Duration::from_millis(2);

/// How the server is reached, and the limits of doing so.
#[derive(Clone, Debug)]
pub struct Line {
    pub address: SocketAddr,
    pub writer: Writer,
    /// Connections of one generator.
    pub connections: usize,
    /// Requests in flight on one of them.
    pub streams: usize,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Requests that wait for a connection; further ones fail.
    pub backlog_max: usize,
    /// A request whose moment was longer ago when its turn comes is not sent: else a generator that cannot keep up would
    /// stretch the phases over each other.
    pub late_max: Option<Duration>,
    /// The share of answers that are looked into, 0 to 1.
    pub check_share: f64,
}

/// What everybody may watch while a run goes on.
#[derive(Debug, Default)]
pub struct Progress {
    pub answered: AtomicU64,
    pub refused: AtomicU64,
    /// Failed, or wrong.
    pub failed: AtomicU64,
    pub in_flight: AtomicU64,
    /// The latest decision's latency.
    pub last_ns: AtomicU64,
}

/// Room for one request on a connection, as long as that connection lasts.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    lane: usize,
    generation: u32,
}

struct Lane {
    generation: Cell<u32>,
    up: Cell<bool>,
    /// Whether it is known if there is anybody to connect to.
    tried: Cell<bool>,
    kind: LaneKind,
}

enum LaneKind {
    H1(h1::Lane),
    H2(h2c::Lane),
}

/// The generator.
pub struct Engine {
    line: Line,
    plan: Rc<Plan>,
    /// Of the monotonic clock; known once every generator is ready.
    began_ns: Cell<u64>,
    source: Source,
    models: Models,
    progress: Arc<Progress>,
    lanes: Vec<Lane>,
    vacant: RefCell<VecDeque<Slot>>,
    backlog: RefCell<VecDeque<Job>>,
    outstanding: Cell<u64>,
    tally: RefCell<Tally>,
    /// Adds up the share that is looked into; a whole one is due.
    check_due: Cell<f64>,
    /// Answers' heads that are known.
    heads: h1::Heads,
    /// Connections with requests that are not written yet.
    unsent: RefCell<Vec<usize>>,
}

/// What one generator needs to know.
pub struct Orders {
    pub line: Line,
    pub plan: Plan,
    pub cast: Cast,
    pub models: Models,
    pub progress: Arc<Progress>,
    /// To be told that this generator is connected and has its requests.
    pub ready: oneshot::Sender<()>,
    /// When to begin, by the monotonic clock.
    pub begin: oneshot::Receiver<u64>,
    pub generator: usize,
    pub of: usize,
}

impl Orders {
    /// Keeps the plan to its end. To be called within a `LocalSet`.
    pub async fn carry_out(self) -> anyhow::Result<Tally> {
        let alarm = Alarm::new().context("failed to make a timer")?;
        let door = self.line.writer.door;
        let lane = |_| Lane {
            generation: Cell::new(0),
            up: Cell::new(false),
            tried: Cell::new(false),
            kind: match door {
                Door::Http => LaneKind::H1(h1::Lane::default()),
                Door::H2c | Door::Grpc => LaneKind::H2(h2c::Lane::default()),
            },
        };
        let engine = Rc::new(Engine {
            source: Source::new(&self.cast, &self.line.writer, self.generator, self.of),
            lanes: (0..self.line.connections).map(lane).collect(),
            tally: RefCell::new(Tally::new(&self.plan)),
            line: self.line,
            plan: Rc::new(self.plan),
            began_ns: Cell::new(0),
            models: self.models,
            progress: self.progress,
            vacant: RefCell::default(),
            backlog: RefCell::default(),
            outstanding: Cell::new(0),
            check_due: Cell::new(0.0),
            heads: h1::Heads::default(),
            unsent: RefCell::default(),
        });
        for at in 0..engine.lanes.len() {
            tokio::task::spawn_local(engine.clone().keep_connected(at));
        }
        tokio::task::spawn_local(engine.clone().reap());
        while !engine.lanes.iter().all(|lane| lane.tried.get()) {
            tokio::time::sleep(READY_LOOK).await;
        }
        // If nobody waits for it, nobody says when to begin either.
        let _ = self.ready.send(());
        let began_ns = self.begin.await.context("the run was given up")?;
        engine.began_ns.set(began_ns);
        engine.keep_plan(&alarm, self.generator, self.of).await?;
        engine.drain().await;
        let tally = engine.tally.borrow().clone();
        Ok(tally)
    }
}

impl Engine {
    pub fn writer(&self) -> &Writer {
        &self.line.writer
    }

    pub fn heads(&self) -> &h1::Heads {
        &self.heads
    }

    pub fn timeout_ns(&self) -> u64 {
        self.line.timeout.as_nanos() as u64
    }

    async fn keep_plan(
        self: &Rc<Engine>,
        alarm: &Alarm,
        generator: usize,
        of: usize,
    ) -> anyhow::Result<()> {
        let plan = self.plan.clone();
        let mut arrivals = plan.arrivals(generator, of).peekable();
        let begins = plan.begins_ns();
        for (at, phase) in plan.phases.iter().enumerate() {
            let end_ns = self.began_ns.get() + begins[at] + phase.lasts.as_nanos() as u64;
            if phase.pace == Pace::Saturate {
                self.saturate(alarm, end_ns).await?;
                continue;
            }
            let grain_ns = if self.is_coarse(at) { GRAIN_NS } else { 0 };
            let mut burst = 0;
            while let Some(arrival) = arrivals.next_if(|a| a.phase == at) {
                let moment_ns = self.began_ns.get() + arrival.at_ns;
                if moment_ns > now_ns() {
                    self.write_out();
                    alarm.until(moment_ns + grain_ns).await?;
                }
                burst += 1;
                if burst % BURST == 0 {
                    self.write_out();
                    tokio::task::yield_now().await;
                }
                self.send(arrival).await;
            }
            self.write_out();
            alarm.until(end_ns).await?;
        }
        Ok(())
    }

    /// Sends the request of this moment.
    async fn send(self: &Rc<Engine>, arrival: Arrival) {
        let draft = loop {
            if let Some(draft) = self.source.take() {
                break draft;
            }
            tokio::task::yield_now().await;
        };
        let intended_ns = self.began_ns.get() + arrival.at_ns;
        let late = now_ns().saturating_sub(intended_ns);
        self.counts(arrival.phase, |counts| counts.lateness.record(late));
        let job = self.job(draft, arrival.phase, intended_ns);
        if self
            .line
            .late_max
            .is_some_and(|most| u128::from(late) > most.as_nanos())
        {
            return self.settle(job, Outcome::Failed("generator late".into(), String::new()));
        }
        self.dispatch(job);
    }

    /// Whether the phase's moments are too many to sleep between.
    fn is_coarse(&self, phase: usize) -> bool {
        matches!(self.plan.phases[phase].pace, Pace::PerSecond(rate) if rate > FINE_MAX)
    }

    /// Writes what was put together for each connection.
    fn write_out(&self) {
        for at in self.unsent.borrow_mut().drain(..) {
            if let LaneKind::H1(lane) = &self.lanes[at].kind {
                lane.send();
            }
        }
    }

    async fn saturate(self: &Rc<Engine>, alarm: &Alarm, end_ns: u64) -> anyhow::Result<()> {
        alarm.until(self.began_ns.get()).await?;
        loop {
            let now = now_ns();
            if now >= end_ns {
                return Ok(());
            }
            self.fill();
            alarm.until((now + FILL_NS).min(end_ns)).await?;
        }
    }

    /// Gives every free connection something to do.
    fn fill(self: &Rc<Engine>) {
        while let Some(slot) = self.take_slot() {
            if !self.next_of_saturation(slot) {
                self.vacant.borrow_mut().push_back(slot);
                return;
            }
        }
    }

    /// Sends one more, if this is a saturating phase and there is one; takes the slot then.
    fn next_of_saturation(self: &Rc<Engine>, slot: Slot) -> bool {
        let now = now_ns();
        let phase = self.plan.phase_at(now.saturating_sub(self.began_ns.get()));
        let Some(phase) = phase.filter(|&at| self.plan.phases[at].pace == Pace::Saturate) else {
            return false;
        };
        let Some(draft) = self.source.take() else {
            return false;
        };
        let job = self.job(draft, phase, now);
        self.submit(job, slot, false);
        true
    }

    fn job(&self, draft: Draft, phase: usize, intended_ns: u64) -> Job {
        self.counts(phase, |counts| counts.planned += 1);
        self.outstanding.set(self.outstanding.get() + 1);
        self.progress.in_flight.fetch_add(1, Ordering::Relaxed);
        Job {
            prepared: draft.prepared,
            reply: draft.reply,
            phase,
            intended_ns,
            sent_ns: intended_ns,
        }
    }

    fn dispatch(self: &Rc<Engine>, job: Job) {
        // Who waits already goes first; then there is no room anyway.
        if let Some(slot) = self.take_slot() {
            // Alone on its connection, it has nothing to wait for.
            let together = self.line.streams > 1 && self.is_coarse(job.phase);
            return self.submit(job, slot, together);
        }
        if !self.lanes.iter().any(|lane| lane.up.get()) {
            return self.settle(job, Outcome::Failed("not connected".into(), String::new()));
        }
        if self.backlog.borrow().len() >= self.line.backlog_max {
            return self.settle(job, Outcome::Failed("backlog full".into(), String::new()));
        }
        self.backlog.borrow_mut().push_back(job);
    }

    /// Sends a request, or has it written with others by [`Engine::write_out`].
    fn submit(self: &Rc<Engine>, job: Job, slot: Slot, together: bool) {
        self.counts(job.phase, |counts| counts.sent += 1);
        match &self.lanes[slot.lane].kind {
            LaneKind::H1(lane) => {
                lane.submit(job, slot, together);
                let mut unsent = self.unsent.borrow_mut();
                if together && unsent.last() != Some(&slot.lane) {
                    unsent.push(slot.lane);
                }
            }
            LaneKind::H2(lane) => lane.submit(self, job, slot),
        }
    }

    /// Room on a connection that is still the same one.
    fn take_slot(&self) -> Option<Slot> {
        let mut vacant = self.vacant.borrow_mut();
        loop {
            let slot = vacant.pop_front()?;
            if self.is_current(slot) {
                return Some(slot);
            }
        }
    }

    fn is_current(&self, slot: Slot) -> bool {
        let lane = &self.lanes[slot.lane];
        lane.up.get() && lane.generation.get() == slot.generation
    }

    /// There is room again: the next in line has it.
    pub fn vacant(self: &Rc<Engine>, slot: Slot) {
        if !self.is_current(slot) {
            return;
        }
        let next = self.backlog.borrow_mut().pop_front();
        match next {
            Some(job) => self.submit(job, slot, false),
            None if self.next_of_saturation(slot) => {}
            None => self.vacant.borrow_mut().push_back(slot),
        }
    }

    fn counts(&self, phase: usize, change: impl FnOnce(&mut Counts)) {
        change(&mut self.tally.borrow_mut().phases[phase]);
    }

    /// Waits for the last answers; what does not come in time is a timeout.
    async fn drain(&self) {
        let step = Duration::from_millis(2);
        // The reaper's own step on top: it settles what is overdue.
        let mut left = self.line.timeout + 4 * REAP;
        while self.outstanding.get() > 0 && !left.is_zero() {
            tokio::time::sleep(step).await;
            left = left.saturating_sub(step);
        }
        let rest = self.outstanding.get();
        if rest > 0 {
            let mut tally = self.tally.borrow_mut();
            let last = tally.phases.len() - 1;
            let failed = &mut tally.phases[last].failed;
            *failed.entry("never settled".to_owned()).or_default() += rest;
        }
    }
}
