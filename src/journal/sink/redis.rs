//! The sink at work: a thread that reads the journal and keeps rounds on their way to Redis.
//!
//! The thread may block on the disk; its runtime's one worker meanwhile drives the connection, so
//! that reading the next round and answering the last overlap. The connection is made here, anew
//! after every doubt, and never retries by itself: a retry that nobody knows of is a doubt that
//! nobody asks about.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::TcpSettings;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Pipeline, RedisResult, Value,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use super::config::RedisConfig;
use super::error::ErrorCode;
use super::saved::{self, Saved, StartError};
use super::server::Server;
use super::shipper::{Answer, Backoff, Batch, Blocked, Fate, Question, Shipper};
use super::status::{BlockedStream, Status};
use super::window::Window;
use super::wire::{self, Encoder, Failure, Streams};
use crate::journal::{Checkpoint, Journal, Position, Reader};

/// Bytes gathered before they are written to the socket: a round goes out in a few large writes.
const WRITE_BUFFER_BYTES: usize = 256 << 10;
/// A round shrunk by timeouts is never smaller than this.
const ROUND_ENTRIES_MIN: usize = 16;

/// Starts the sink.
pub struct Sink;

/// A sink at work. Dropping it stops the work without waiting for it.
#[derive(Debug)]
pub struct SinkHandle {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    done: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Shared {
    status: Mutex<Status>,
    shipped: watch::Sender<Position>,
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        // Plain figures: a panic while writing them leaves nothing half-done.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink {
    /// Ships `journal` to the streams of `node`, keeping the checkpoint in `dir`, best the journal's
    /// own. Redis need not be there. `journal` may let go of entries only once they are shipped, so
    /// at most one sink may follow it.
    ///
    /// # Errors
    /// A setting outside its range, a checkpoint that is damaged or belongs to other settings.
    pub fn start(
        config: RedisConfig,
        node: &str,
        dir: &Path,
        journal: Journal,
    ) -> Result<SinkHandle, StartError> {
        config.check()?;
        let checkpoint = Checkpoint::new(dir, saved::NAME).map_err(StartError::Checkpoint)?;
        let saved = Saved::load(&checkpoint, config.partitions)?;
        let shared = Arc::new(Shared {
            status: Mutex::default(),
            shipped: watch::Sender::new(saved.shipped),
        });
        let (stop, stopped) = watch::channel(false);
        let (finished, done) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("offerd-redis")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let mut worker = Worker::new(
            config,
            node,
            checkpoint,
            journal,
            saved,
            shared.clone(),
            stopped,
        );
        std::thread::Builder::new()
            .name("offerd-sink".to_owned())
            .spawn(move || {
                runtime.block_on(worker.run());
                finished.send_replace(true);
            })
            .map_err(StartError::Thread)?;
        Ok(SinkHandle { shared, stop, done })
    }
}

impl SinkHandle {
    /// What the sink says about itself now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status().clone()
    }

    /// Waits until everything up to `position` is in Redis. Wrap it in a timeout: without Redis it
    /// waits for ever. `false` where the sink stopped first.
    pub async fn drained(&self, position: Position) -> bool {
        let mut shipped = self.shared.shipped.subscribe();
        let mut done = self.done.clone();
        tokio::select! {
            reached = shipped.wait_for(|shipped| *shipped >= position) => reached.is_ok(),
            _ = done.wait_for(|done| *done) => *self.shared.shipped.borrow() >= position,
        }
    }

    /// Stops after the rounds on their way are answered, and writes the checkpoint.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // An error says that the thread is gone, which is what is waited for.
        let _ = self.done.wait_for(|done| *done).await;
    }
}

type Reply = RedisResult<Vec<Value>>;

/// A round on its way.
struct Flight {
    batches: Vec<Batch>,
    /// Streams whose keys are entered into the set, one reply each, before the batches'.
    registered: Vec<usize>,
    /// On the runtime's worker, which packs, sends and parses. It takes them in the order they were
    /// made; were it otherwise, the guard would refuse the later batch.
    reply: JoinHandle<Reply>,
}

struct Worker {
    config: RedisConfig,
    streams: Streams,
    checkpoint: Checkpoint,
    journal: Journal,
    reader: Reader,
    end: watch::Receiver<Position>,
    shipper: Shipper,
    encoder: Encoder,
    shared: Arc<Shared>,
    stopped: watch::Receiver<bool>,
    started: Instant,
    backoff: Backoff,
    failures: u32,
    round_entries: usize,
    /// Streams whose keys are in the set, as far as this connection knows.
    registered: Vec<bool>,
    saved: Saved,
    saved_at: Option<Instant>,
    window: Window,
    /// What was last said about each stream, so that it is said once.
    reported: BTreeMap<usize, Blocked>,
}

impl Worker {
    fn new(
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

    async fn run(&mut self) {
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
            if let Some(position) = self.shipper.take_rewind() {
                self.reader = self.journal.reader(position);
            }
            let end = *self.end.borrow_and_update();
            let entries = self
                .reader
                .next_batch(self.round_entries, self.config.round_bytes_max)
                .map_err(|error| {
                    Failure::new(ErrorCode::Other, &format!("read the journal: {error}"))
                })?;
            let mut commands: Vec<Vec<Cmd>> = Vec::new();
            for (position, entry) in &entries {
                let stream = self.streams.of(entry);
                let Fate::Join(batch) = self.shipper.offer(*position, stream) else {
                    continue;
                };
                let index = stream.expect("only entries of a stream join a batch");
                if batch == commands.len() {
                    commands.push(Vec::new());
                }
                let create = commands[batch].is_empty() && self.shipper.starts_stream(batch);
                commands[batch].push(self.encoder.append(
                    &self.streams,
                    &self.streams.keys()[index],
                    create,
                    self.config.stream_entries_max,
                    *position,
                    entry,
                ));
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

    fn send(
        &mut self,
        connection: &MultiplexedConnection,
        batches: Vec<Batch>,
        commands: Vec<Vec<Cmd>>,
    ) -> Flight {
        let entries: usize = batches.iter().map(|batch| batch.entries).sum();
        let mut pipeline = Pipeline::with_capacity(entries + 5 * batches.len());
        let mut registered = Vec::new();
        for batch in &batches {
            if !self.registered[batch.stream] && !registered.contains(&batch.stream) {
                registered.push(batch.stream);
                pipeline.add_command(wire::register(&self.streams.keys()[batch.stream]));
            }
        }
        for (batch, commands) in batches.iter().zip(commands) {
            let key = &self.streams.keys()[batch.stream];
            for command in wire::open(key, batch.expected) {
                pipeline.add_command(command);
            }
            for command in commands {
                pipeline.add_command(command);
            }
            pipeline.add_command(wire::close());
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
        let expected = flight
            .batches
            .iter()
            .map(|batch| wire::replies(batch.entries));
        if replies.len() != flight.registered.len() + expected.sum::<usize>() {
            return Err(Failure::new(ErrorCode::Protocol, "a reply is missing"));
        }
        let grown = self.round_entries + self.round_entries / 8 + 1;
        self.round_entries = grown.min(self.config.round_entries_max);
        let (sets, mut replies) = replies.split_at(flight.registered.len());
        for (&stream, reply) in flight.registered.iter().zip(sets) {
            match wire::entered(reply) {
                Ok(()) => self.registered[stream] = true,
                Err(failure) => self.count(&failure),
            }
        }
        let mut ends = None;
        let mut applied = 0;
        for batch in &flight.batches {
            let (own, rest) = replies.split_at(wire::replies(batch.entries));
            replies = rest;
            let outcome = wire::applied(own, batch.entries);
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
        let changed = tokio::select! {
            changed = self.end.changed() => changed.is_ok(),
            () = tokio::time::sleep(check.min(question)) => return,
            _ = self.stopped.wait_for(|stopped| *stopped) => return,
        };
        if changed {
            tokio::time::sleep(linger).await;
        } else {
            // The journal is gone, so nothing will come: only being told to stop is left.
            let _ = self.stopped.wait_for(|stopped| *stopped).await;
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).expect("half a billion years")
    }

    fn count(&self, failure: &Failure) {
        let mut status = self.shared.status();
        *status.errors.entry(failure.code.as_str()).or_default() += 1;
        status.last_error = Some(failure.detail.clone());
    }

    /// Brings the status up to date, and the checkpoint when its time has come.
    fn report(&mut self) {
        let (shipped, end) = (self.shipper.shipped(), *self.end.borrow());
        let blocked: BTreeMap<usize, Blocked> = self.shipper.blocked().collect();
        if blocked != self.reported {
            self.log_blocked(&blocked);
        }
        {
            let mut status = self.shared.status();
            status.shipped = shipped;
            status.lag_entries = end.seq.saturating_sub(shipped.seq);
            let lag_ms = end.ms.saturating_sub(shipped.ms).try_into().unwrap_or(0);
            status.lag_ms = if shipped < end { lag_ms } else { 0 };
            status.suffixes_lost = self.shipper.suffixes_lost();
            status.adopted = self.shipper.adopted();
            if blocked != self.reported {
                status.blocked = blocked
                    .iter()
                    .map(|(&i, &why)| self.describe(i, why))
                    .collect();
            }
        }
        self.reported = blocked;
        self.shared
            .shipped
            .send_if_modified(|known| std::mem::replace(known, shipped) != shipped);
        let due = self
            .saved_at
            .is_none_or(|at| at.elapsed() >= Duration::from_millis(self.config.checkpoint_ms));
        if due {
            self.save();
        }
    }

    fn describe(&self, stream: usize, why: Blocked) -> BlockedStream {
        let (reason, refused) = match why {
            Blocked::Failing(code) => (format!("redis answers {code}"), false),
            Blocked::Ahead { top } => (
                format!(
                    "the stream ends at {top}, beyond this journal's end: another journal wrote it \
                     under this node's name. Give this node a name of its own"
                ),
                true,
            ),
            Blocked::Overtaken { top, missing } => (
                format!(
                    "the stream ends at {top} and does not hold {missing}, which can no longer be \
                     written: another journal writes under this node's name. Give this node a name \
                     of its own"
                ),
                true,
            ),
        };
        BlockedStream {
            key: self.streams.keys()[stream].clone(),
            reason,
            refused,
        }
    }

    fn log_blocked(&self, blocked: &BTreeMap<usize, Blocked>) {
        for (&stream, &why) in blocked {
            if self.reported.get(&stream) == Some(&why) {
                continue;
            }
            let BlockedStream {
                key,
                reason,
                refused,
            } = self.describe(stream, why);
            if refused {
                error!(key, reason, "nothing can be shipped to a stream");
            } else {
                warn!(key, reason, "a stream is blocked for now");
            }
        }
    }

    /// Writes the checkpoint where it has changed, and only then lets the journal forget.
    fn save(&mut self) {
        self.saved_at = Some(Instant::now());
        let keys = self.streams.keys().iter().cloned();
        let saved = Saved {
            shipped: self.shipper.shipped(),
            partitions: self.config.partitions,
            tops: keys
                .zip(self.shipper.tops())
                .filter(|(_, top)| *top > Position::START)
                .collect(),
        };
        if saved == self.saved {
            return;
        }
        match self.checkpoint.save(&saved) {
            Ok(()) => {
                if let Some(floor) = self.window.floor(saved.shipped) {
                    self.journal.set_shipped(floor);
                }
                self.saved = saved;
            }
            Err(error) => {
                warn!(%error, "the sink's checkpoint cannot be written; it lags");
            }
        }
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
