//! The sink at work: a thread that reads the journal and keeps rounds on their way to Redis.
//!
//! The thread may block on the disk; its runtime's one worker meanwhile drives the connection, so
//! that reading the next round and answering the last overlap. The connection is made here, anew
//! after every doubt, and never retries by itself: a retry that nobody knows of is a doubt that
//! nobody asks about.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, RedisResult, Value,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::config::RedisConfig;
use super::error::ErrorCode;
use super::handle::Shared;
use super::saved::Saved;
use super::server::Server;
use super::shipper::Shipper;
use super::steps::{Answer, Backoff, Batch, Blocked, Fate, Question};
use super::window::Window;
use super::wire::{self, Encoder, Failure, Streams};
use crate::journal::{Checkpoint, Journal, Position, Reader};

/// Bytes gathered before they are written to the socket: a round goes out in a few large writes.
const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// A round shrunk by timeouts is never smaller than this.
const ROUND_ENTRIES_MIN: usize = 16;

/// How often a closed journal is looked into: it no longer tells when its last entries are readable.
const CLOSED_JOURNAL_POLL: Duration = Duration::from_millis(20);

type Reply = RedisResult<Vec<Value>>;

/// A round on its way.
struct Flight {
    batches: Vec<Batch>,
    /// Streams whose keys are entered into the set, one reply each, before the batches'.
    registered: Vec<usize>,
    /// On the runtime's worker, which packs, sends and parses. It takes them in the order they were
    /// made; were it otherwise, the later batch would find another top than it expects.
    reply: JoinHandle<Reply>,
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
                Ok(connection) => self.session(connection).await,
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

    async fn connect(&mut self) -> Result<MultiplexedConnection, Failure> {
        let millis = Duration::from_millis;
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(socket2::TcpKeepalive::new().with_time(Duration::from_secs(30)));
        let info = self.config.url.as_str().into_connection_info();
        let client = info
            .and_then(|info| Client::open(info.set_tcp_settings(tcp)))
            .map_err(|error| failure(&error))?;
        let settings = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(millis(self.config.connect_timeout_ms)))
            .set_response_timeout(Some(millis(self.config.response_timeout_ms)))
            .set_write_backpressure_boundary(WRITE_BUFFER_BYTES);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&settings)
            .await
            .map_err(|error| failure(&error))?;
        let server = match connection.send_packed_command(&::redis::cmd("INFO")).await {
            Ok(Value::BulkString(text)) => Server::parse(&String::from_utf8_lossy(&text)),
            Ok(Value::VerbatimString { text, .. }) => Server::parse(&text),
            // The user may not run INFO: then nothing is known, and nothing depends on it.
            Ok(_) => Server::default(),
            Err(error) => {
                let failure = failure(&error);
                if failure.code.ends_connection() {
                    return Err(failure);
                }
                Server::default()
            }
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
                warn!(url = %redacted(&self.config.url), warning, "redis may lose entries");
            }
        }
        status.server = Some(server);
        status.connected = true;
        status.connections += 1;
        drop(status);
        self.registered.fill(false);
        Ok(connection)
    }

    /// Works on one connection until it must be given up or the sink is told to stop.
    async fn session(&mut self, connection: MultiplexedConnection) -> Result<(), Failure> {
        let mut flights: VecDeque<Flight> = VecDeque::new();
        let mut idle_since = Instant::now();
        loop {
            let stopping = *self.stopped.borrow();
            let questions = self.shipper.questions(self.now_ms());
            if !questions.is_empty() && !stopping {
                self.ask(&connection, questions).await?;
            }
            let mut at_end = stopping;
            while !at_end && flights.len() < self.config.rounds_in_flight_max {
                match self.launch(&connection)? {
                    Some(flight) => flights.push_back(flight),
                    None => at_end = true,
                }
            }
            self.report();
            if let Some(flight) = flights.pop_front() {
                self.land(flight).await?;
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
    async fn ask(
        &mut self,
        connection: &MultiplexedConnection,
        questions: Vec<Question>,
    ) -> Result<(), Failure> {
        let mut pipeline = Pipeline::new();
        for question in &questions {
            let key = &self.streams.keys()[question.stream];
            pipeline.add_command(wire::ask_top(key));
            if let Some(proof) = question.proof {
                pipeline.add_command(wire::ask_entry(key, proof));
            }
        }
        let replies = connection
            .clone()
            .send_packed_commands(&pipeline, 0, pipeline.len())
            .await
            .map_err(|error| failure(&error))?;
        if replies.len() != pipeline.len() {
            return Err(Failure::new(ErrorCode::Protocol, "a reply is missing"));
        }
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
    fn launch(&mut self, connection: &MultiplexedConnection) -> Result<Option<Flight>, Failure> {
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
            let mut commands: Vec<Cmd> = Vec::new();
            for (position, entry) in &entries {
                let stream = self.streams.of(entry);
                let Fate::Join(batch) = self.shipper.offer(*position, stream) else {
                    continue;
                };
                let index = stream.expect("only entries of a stream join a batch");
                if batch == commands.len() {
                    let key = &self.streams.keys()[index];
                    commands.push(self.encoder.open(
                        key,
                        self.streams.node(),
                        self.config.stream_entries_max,
                        self.shipper.expected(batch),
                    ));
                }
                self.encoder.append(&mut commands[batch], *position, entry);
            }
            self.shipper
                .settle(entries.is_empty().then_some(end), self.now_ms());
            let batches = self.shipper.take_round();
            if !batches.is_empty() {
                return Ok(Some(self.send(connection, batches, commands)));
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

    fn send(
        &mut self,
        connection: &MultiplexedConnection,
        batches: Vec<Batch>,
        commands: Vec<Cmd>,
    ) -> Flight {
        let mut pipeline = Pipeline::with_capacity(2 * batches.len());
        let mut registered = Vec::new();
        for batch in &batches {
            if !self.registered[batch.stream] && !registered.contains(&batch.stream) {
                registered.push(batch.stream);
                pipeline.add_command(wire::register(&self.streams.keys()[batch.stream]));
            }
        }
        for command in commands {
            pipeline.add_command(command);
        }
        let mut connection = connection.clone();
        let reply = tokio::spawn(async move {
            connection
                .send_packed_commands(&pipeline, 0, pipeline.len())
                .await
        });
        Flight {
            batches,
            registered,
            reply,
        }
    }

    /// Waits for a round's replies and tells the shipper.
    async fn land(&mut self, flight: Flight) -> Result<(), Failure> {
        let replies = match flight.reply.await {
            Ok(Ok(replies)) => replies,
            Ok(Err(error)) => {
                let failure = failure(&error);
                if failure.code == ErrorCode::Timeout {
                    self.round_entries = (self.round_entries / 2).max(ROUND_ENTRIES_MIN);
                }
                return Err(failure);
            }
            Err(error) => return Err(Failure::new(ErrorCode::Other, &error.to_string())),
        };
        if replies.len() != flight.registered.len() + flight.batches.len() {
            return Err(Failure::new(ErrorCode::Protocol, "a reply is missing"));
        }
        let grown = self.round_entries + self.round_entries / 8 + 1;
        self.round_entries = grown.min(self.config.round_entries_max);
        let (sets, replies) = replies.split_at(flight.registered.len());
        for (&stream, reply) in flight.registered.iter().zip(sets) {
            match wire::entered(reply) {
                Ok(()) => self.registered[stream] = true,
                Err(failure) => self.count(&failure),
            }
        }
        let mut ends = None;
        let mut applied = 0;
        self.works = true;
        for (batch, reply) in flight.batches.iter().zip(replies) {
            let outcome = wire::applied(reply, batch.entries);
            match &outcome {
                Ok(()) => applied += batch.entries as u64,
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

fn failure(error: &::redis::RedisError) -> Failure {
    Failure::new(ErrorCode::of_error(error), &error.to_string())
}

/// The URL without its password.
fn redacted(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &url[..scheme + 3], &url[at..]),
        _ => url.to_owned(),
    }
}
