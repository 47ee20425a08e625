//! The sink at work: a thread that reads the journal and keeps rounds on their way to Redis.
//!
//! The thread may block on the disk; its runtime's one worker meanwhile drives the connections (`lane`),
//! so that reading the next round and sending the last overlap. What is lost on one of them ends the
//! session: all are made anew, and every stream is asked for its top.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::config::RedisConfig;
use super::connection::Connection;
use super::error::ErrorCode;
use super::handle::Shared;
use super::lane::Lane;
use super::resp::{Commands, Reply};
use super::saved::Saved;
use super::server::Server;
use super::shipper::Shipper;
use super::steps::{Answer, Backoff, Batch, Blocked, Fate, Question};
use super::window::Window;
use super::wire::{self, Encoder, Failure, Load, Streams};
use crate::journal::{Checkpoint, Journal, Position, Reader};

/// A round shrunk by timeouts is never smaller than this.
const ROUND_ENTRIES_MIN: usize = 16;

/// How often a closed journal is looked into: it no longer tells when its last entries are readable.
const CLOSED_JOURNAL_POLL: Duration = Duration::from_millis(20);

/// A round on its way.
struct Flight {
    batches: Vec<Batch>,
    /// What becomes of each batch.
    outcomes: Vec<oneshot::Receiver<Result<(), Failure>>>,
}

pub(super) struct Worker {
    pub(super) config: RedisConfig,
    pub(super) streams: Streams,
    pub(super) checkpoint: Checkpoint,
    pub(super) journal: Journal,
    reader: Reader,
    pub(super) end: watch::Receiver<Position>,
    pub(super) shipper: Shipper,
    encoder: Encoder,
    pub(super) shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    started: Instant,
    backoff: Backoff,
    failures: u32,
    /// The last round was taken whole.
    pub(super) works: bool,
    round_entries: usize,
    /// Streams whose keys are in the set, as far as this connection knows.
    registered: Vec<bool>,
    pub(super) saved: Saved,
    pub(super) saved_at: Option<Instant>,
    pub(super) window: Window,
    /// What was last said about each stream, so that it is said once.
    pub(super) reported: BTreeMap<usize, Blocked>,
}

impl Worker {
    pub(super) fn new(
        config: RedisConfig,
        node: &str,
        checkpoint: Checkpoint,
        journal: Journal,
        saved: Saved,
        shared: Arc<Shared>,
        stopped: watch::Receiver<bool>,
    ) -> Worker {
        let streams = Streams::new(node, config.partitions);
        let backoff = Backoff {
            min_ms: config.retry_ms_min,
            max_ms: config.retry_ms_max,
        };
        // Jitter only has to differ between processes.
        let seed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.subsec_nanos().into())
            ^ u64::from(std::process::id()) << 32;
        let tops = saved.tops(&streams);
        let batch = config.batch_entries_max;
        Worker {
            shipper: Shipper::new(saved.shipped, &tops, batch, backoff, seed),
            end: journal.watch(),
            reader: journal.reader(saved.shipped),
            round_entries: config.round_entries_max,
            registered: vec![false; streams.keys().len()],
            started: Instant::now(),
            encoder: Encoder::default(),
            failures: 0,
            works: false,
            saved_at: None,
            window: Window::new(config.rewind_ms),
            reported: BTreeMap::new(),
            config,
            streams,
            checkpoint,
            journal,
            shared,
            stopped,
            backoff,
            saved,
        }
    }

    pub(super) async fn run(&mut self) {
        while !*self.stopped.borrow() {
            let failure = match self.connect().await {
                Ok(lanes) => self.session(&lanes).await,
                Err(failure) => Err(failure),
            };
            self.shipper.reset();
            self.shared.status().connected = false;
            if let Err(failure) = failure {
                self.failures = self.failures.saturating_add(1);
                self.count(&failure);
                self.report();
                let random = self.started.elapsed().as_nanos() as u64;
                let wait = self
                    .backoff
                    .wait_ms(self.failures, random.wrapping_mul(0x9E37_79B9));
                // The first time, and then ever more rarely.
                if self.failures.is_power_of_two() {
                    let detail = &failure.detail;
                    warn!(code = %failure.code, detail, wait_ms = wait, "redis is away");
                }
                self.pause(Duration::from_millis(wait)).await;
            }
        }
        self.save();
        self.report();
    }

    /// Sleeps, or returns early when told to stop.
    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
    }

    async fn connect(&mut self) -> Result<Vec<Lane>, Failure> {
        let millis = Duration::from_millis;
        let mut connections = Vec::new();
        for _ in 0..self.config.connections {
            let patience = millis(self.config.connect_timeout_ms);
            connections.push(Connection::open(&self.config.url, patience).await?);
        }
        let patience = millis(self.config.response_timeout_ms);
        let start = |connection| Lane::start(connection, patience);
        let lanes: Vec<Lane> = connections.into_iter().map(start).collect();
        let told = answers(&lanes[0], wire::single("INFO")).await?;
        let server = match &told[..] {
            [Reply::Bulk(text)] => Server::parse(&String::from_utf8_lossy(text)),
            [Reply::Error(text)] if Failure::said(text).code.ends_connection() => {
                return Err(Failure::said(text));
            }
            // The user may not run INFO: then nothing is known, and nothing depends on it.
            _ => Server::default(),
        };
        info!(
            version = server.version,
            role = server.role,
            run_id = server.run_id,
            "redis is there"
        );
        let mut status = self.shared.status();
        if status.server.as_ref() != Some(&server) {
            for warning in server.warnings() {
                warn!(url = %self.config.without_password(), warning, "redis may lose entries");
            }
        }
        status.server = Some(server);
        status.connected = true;
        status.connections += 1;
        drop(status);
        self.registered.fill(false);
        Ok(lanes)
    }

    /// Works until a connection must be given up or the sink is told to stop.
    async fn session(&mut self, lanes: &[Lane]) -> Result<(), Failure> {
        let mut flights: VecDeque<Flight> = VecDeque::new();
        let mut idle_since = Instant::now();
        loop {
            let stopping = *self.stopped.borrow();
            let questions = self.shipper.questions(self.now_ms());
            if !questions.is_empty() && !stopping {
                self.ask(&lanes[0], questions).await?;
            }
            let mut at_end = stopping;
            while !at_end && flights.len() < self.config.rounds_in_flight_max {
                match self.launch(lanes)? {
                    Some(flight) => flights.push_back(flight),
                    None => at_end = true,
                }
            }
            self.report();
            if let Some(flight) = flights.pop_front() {
                self.land(lanes, flight).await?;
                idle_since = Instant::now();
            } else if stopping {
                return Ok(());
            } else {
                self.wait(idle_since).await;
                if idle_since.elapsed() >= Duration::from_millis(self.config.idle_check_ms) {
                    self.shipper.recheck();
                    idle_since = Instant::now();
                }
            }
        }
    }

    /// Asks all questions in one round trip.
    async fn ask(&mut self, lane: &Lane, questions: Vec<Question>) -> Result<(), Failure> {
        let mut commands = Commands::default();
        for question in &questions {
            let key = &self.streams.keys()[question.stream];
            wire::ask_top(&mut commands, key);
            if let Some(proof) = question.proof {
                wire::ask_entry(&mut commands, key, proof);
            }
        }
        let replies = answers(lane, commands).await?;
        let mut replies = replies.iter();
        let mut ends = None;
        for question in questions {
            let mut next = || replies.next().expect("as many replies as commands");
            let mut answer = wire::top(next()).map(|top| Answer { top, proven: false });
            if question.proof.is_some() {
                let held = wire::holds(next());
                answer = answer.and_then(|answer| {
                    Ok(Answer {
                        proven: held?,
                        ..answer
                    })
                });
            }
            if let Err(failure) = &answer {
                self.count(failure);
                ends = failure
                    .code
                    .ends_connection()
                    .then(|| failure.clone())
                    .or(ends);
            } else {
                self.registered[question.stream] = false;
            }
            let answer = answer.map_err(|failure| failure.code);
            self.shipper.answered(question, answer, self.now_ms());
        }
        ends.map_or(Ok(()), Err)
    }

    /// Reads the journal until there is a round to send, and sends it. `None` at the journal's end.
    fn launch(&mut self, lanes: &[Lane]) -> Result<Option<Flight>, Failure> {
        loop {
            // After a loss this may be a long way through the journal.
            if *self.stopped.borrow() {
                return Ok(None);
            }
            if let Some(position) = self.shipper.take_rewind() {
                self.reader = self.journal.reader(position);
            }
            let end = *self.end.borrow_and_update();
            let entries = self
                .reader
                .next_batch(self.round_entries, self.round_bytes())
                .map_err(|error| {
                    Failure::new(ErrorCode::Journal, &format!("read the journal: {error}"))
                })?;
            let mut loads: Vec<Load> = Vec::new();
            for (position, entry) in &entries {
                let stream = self.streams.of(entry);
                let Fate::Join(batch) = self.shipper.offer(*position, stream) else {
                    continue;
                };
                let index = stream.expect("only entries of a stream join a batch");
                if batch == loads.len() {
                    let key = &self.streams.keys()[index];
                    loads.push(self.encoder.open(
                        key,
                        self.streams.node(),
                        self.config.stream_entries_max,
                        self.shipper.expected(batch),
                        !self.registered[index],
                    ));
                }
                self.encoder.append(&mut loads[batch], *position, entry);
            }
            self.shipper
                .settle(entries.is_empty().then_some(end), self.now_ms());
            let batches = self.shipper.take_round();
            if !batches.is_empty() {
                return Ok(Some(send(lanes, batches, loads)));
            }
            if entries.is_empty() && !self.shipper.is_rewound() {
                return Ok(None);
            }
        }
    }

    /// Bytes of a round, shrunk like its entries.
    fn round_bytes(&self) -> usize {
        self.config.round_bytes_max * self.round_entries / self.config.round_entries_max
    }

    /// Waits for what becomes of a round and tells the shipper.
    async fn land(&mut self, lanes: &[Lane], flight: Flight) -> Result<(), Failure> {
        let grown = self.round_entries + self.round_entries / 8 + 1;
        self.round_entries = grown.min(self.config.round_entries_max);
        let mut ends = None;
        let mut applied = 0;
        self.works = true;
        let mut late = false;
        for (batch, outcome) in flight.batches.iter().zip(flight.outcomes) {
            let Ok(outcome) = outcome.await else {
                let lost = lanes[lane_of(batch, lanes)].lost();
                late |= lost.code == ErrorCode::Timeout;
                // It is counted once, by who hears of it.
                self.works = false;
                ends = Some(lost);
                continue;
            };
            match &outcome {
                Ok(()) => {
                    applied += batch.entries as u64;
                    self.registered[batch.stream] = true;
                }
                Err(failure) => {
                    self.count(failure);
                    ends = failure
                        .code
                        .ends_connection()
                        .then(|| failure.clone())
                        .or(ends);
                }
            }
            let outcome = outcome.map_err(|failure| failure.code);
            self.shipper.replied(batch, outcome, self.now_ms());
        }
        if late {
            self.round_entries = (self.round_entries / 2).max(ROUND_ENTRIES_MIN);
        }
        if applied > 0 {
            self.failures = 0;
            self.shared.status().entries_applied += applied;
        }
        ends.map_or(Ok(()), Err)
    }

    /// Waits for entries, for a question to fall due, or for the time to look whether Redis is well.
    async fn wait(&mut self, idle_since: Instant) {
        let check =
            Duration::from_millis(self.config.idle_check_ms).saturating_sub(idle_since.elapsed());
        let question = self.shipper.next_question_ms().map_or(check, |at| {
            Duration::from_millis(at.saturating_sub(self.now_ms()))
        });
        let linger = Duration::from_millis(self.config.batch_age_ms_max);
        // A closed journal brings no more news, but what it held may still be waiting for Redis.
        let open = self.end.has_changed().is_ok();
        let longest = if open { check } else { CLOSED_JOURNAL_POLL };
        tokio::select! {
            _ = self.end.changed(), if open => {}
            () = tokio::time::sleep(longest.min(question)) => return,
            _ = self.stopped.wait_for(|stopped| *stopped) => return,
        }
        self.pause(linger).await;
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("half a billion years")
    }
}

/// Gives a round to the connections.
fn send(lanes: &[Lane], batches: Vec<Batch>, loads: Vec<Load>) -> Flight {
    let mut outcomes = Vec::new();
    for (batch, mut load) in batches.iter().zip(loads) {
        load.close();
        outcomes.push(lanes[lane_of(batch, lanes)].append(load));
    }
    Flight { batches, outcomes }
}

/// The connection of a batch: always the same for a stream, for the order of its batches.
fn lane_of(batch: &Batch, lanes: &[Lane]) -> usize {
    // A partition's streams are neighbours, and the second one has little to do.
    batch.stream / 2 % lanes.len()
}

/// The replies to commands outside of any transaction.
async fn answers(lane: &Lane, commands: Commands) -> Result<Vec<Reply>, Failure> {
    lane.ask(commands).await.map_err(|_| lane.lost())
}
