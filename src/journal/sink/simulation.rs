//! The shipper and the dialogue against a Redis that does everything Redis may do, from one seed each.
//!
//! *Goal:* whatever is lost, refused, delayed or forgotten, each stream holds a prefix of its entries
//! in the journal at every moment (no hole, no duplicate, no disorder), and all of them once the
//! faults end.
//! *Method:* shipper and dialogue are the real ones. Redis executes command by command and remembers
//! of each connection what it watches and has queued. Between any two commands it may refuse one,
//! lose a suffix or everything, be restored to an older state, find a stream's data back unseen, and
//! have a stream's last id set by somebody else. A connection breaks between any two commands; what
//! was sent on it before may arrive at any time later. One generator drives it all, so a seed is a
//! run. Three lesser protocols leave holes in the same world.

use std::collections::VecDeque;

use super::dialogue::{self, Dialogue, Turn};
use super::error::ErrorCode;
use super::resp::Reply;
use super::shipper::Shipper;
use super::steps::{Answer, Backoff, Batch, Fate, Question};
use super::wire::{self, Failure};
use crate::journal::Position;

const STREAMS: usize = 4;
const CONNECTIONS: usize = 2;
const BACKOFF: Backoff = Backoff {
    min_ms: 2,
    max_ms: 20,
};

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

/// What is said on the way to an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// As `wire` has it.
    Real,
    /// Guard and load in one write.
    Unconfirmed,
    /// Confirmed, but nobody looks after the last id.
    WithoutSetId,
    /// Confirmed, but whatever is there is appended to.
    Unwatched,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Watch,
    Top,
    Holds(Position),
    Multi,
    SetId(Position),
    Add(Position),
    Exec,
    Discard,
    Unwatch,
}

#[derive(Clone, Copy, Debug)]
struct Command {
    stream: usize,
    verb: Verb,
}

/// A batch on its way.
struct Sent {
    batch: Batch,
    entries: Vec<Position>,
    set_id: bool,
}

impl dialogue::Batch for Sent {
    fn expected(&self) -> Position {
        self.batch.expected
    }

    fn commands(&self) -> usize {
        self.entries.len() + usize::from(self.set_id)
    }

    fn registers(&self) -> bool {
        false
    }
}

enum Job {
    Ask(Vec<Question>),
    Append(Sent),
}

/// A connection, both its ends and what is between them.
struct Wire {
    jobs: VecDeque<Job>,
    asked: Option<Vec<Question>>,
    heard: Vec<Reply>,
    dialogue: Dialogue<Sent>,
    /// The unconfirmed protocol's batch, and how many replies are still to come.
    eager: Option<(Batch, usize)>,
    requests: VecDeque<Command>,
    replies: VecDeque<Reply>,
    // What Redis remembers of it.
    queued: Option<Vec<Command>>,
    watched: Vec<usize>,
    touched: bool,
    aborted: bool,
}

impl Wire {
    fn new() -> Wire {
        Wire {
            jobs: VecDeque::new(),
            asked: None,
            heard: Vec::new(),
            dialogue: Dialogue::new(),
            eager: None,
            requests: VecDeque::new(),
            replies: VecDeque::new(),
            queued: None,
            watched: Vec::new(),
            touched: false,
            aborted: false,
        }
    }

    fn send(&mut self, stream: usize, verbs: impl IntoIterator<Item = Verb>) {
        let commands = verbs.into_iter().map(|verb| Command { stream, verb });
        self.requests.extend(commands);
    }

    fn send_guard(&mut self, stream: usize, protocol: Protocol) {
        let first = match protocol {
            // Answers OK as well.
            Protocol::Unwatched => Verb::Unwatch,
            _ => Verb::Watch,
        };
        self.send(stream, [first, Verb::Top, Verb::Multi]);
    }

    fn end_transaction(&mut self) -> Vec<Command> {
        self.watched.clear();
        self.touched = false;
        self.aborted = false;
        self.queued.take().unwrap_or_default()
    }
}

fn load(sent: &Sent) -> Vec<Verb> {
    let mut verbs = Vec::new();
    if sent.set_id {
        verbs.push(Verb::SetId(sent.batch.expected));
    }
    verbs.extend(sent.entries.iter().copied().map(Verb::Add));
    verbs.push(Verb::Exec);
    verbs
}

/// A stream in Redis. There is none where `last` is the start.
#[derive(Clone, Default)]
struct Key {
    entries: Vec<Position>,
    last: Position,
}

impl Key {
    fn is_there(&self) -> bool {
        self.last > Position::START
    }

    fn of(entries: Vec<Position>) -> Key {
        let last = entries.last().copied().unwrap_or(Position::START);
        Key { entries, last }
    }
}

struct World {
    dice: Dice,
    now_ms: u64,
    journal: Vec<(Position, Option<usize>)>,
    redis: Vec<Key>,
    shipper: Shipper,
    reading: usize,
    /// Empty while there is no connection.
    wires: Vec<Wire>,
    /// Connections that were given up and may still deliver.
    ghosts: Vec<Wire>,
    faults: bool,
    protocol: Protocol,
    checkpoint: (Position, Vec<Position>),
}

fn error(text: &str) -> Reply {
    Reply::Error(text.to_owned())
}

fn bulk(text: &str) -> Reply {
    Reply::Bulk(text.as_bytes().to_vec())
}

impl World {
    fn new(seed: u64, protocol: Protocol) -> World {
        let checkpoint = (Position::START, vec![Position::START; STREAMS]);
        World {
            dice: Dice(seed),
            now_ms: 0,
            journal: Vec::new(),
            redis: vec![Key::default(); STREAMS],
            shipper: Shipper::new(checkpoint.0, &checkpoint.1, 3, BACKOFF, seed),
            reading: 0,
            wires: Vec::new(),
            ghosts: Vec::new(),
            faults: true,
            protocol,
            checkpoint,
        }
    }

    fn end(&self) -> Position {
        self.journal
            .last()
            .map_or(Position::START, |(position, _)| *position)
    }

    fn append(&mut self) {
        for _ in 0..=self.dice.roll(5) {
            let last = self.end();
            let position = Position {
                ms: last.ms + self.dice.roll(3) as i64,
                seq: last.seq + 1,
            };
            let stream = self.dice.roll(STREAMS as u64 + 1) as usize;
            self.journal
                .push((position, (stream < STREAMS).then_some(stream)));
        }
    }

    /// What was sent may still arrive, up to any command; what comes back finds nobody.
    fn disconnect(&mut self) {
        for mut wire in std::mem::take(&mut self.wires) {
            let arriving = self.dice.roll(wire.requests.len() as u64 + 2) as usize;
            wire.requests.truncate(arriving);
            self.ghosts.push(wire);
        }
        self.shipper.reset();
    }

    fn restart_shipper(&mut self) {
        self.disconnect();
        if self.dice.one_in(4) {
            self.checkpoint = (Position::START, vec![Position::START; STREAMS]);
        }
        let (shipped, tops) = &self.checkpoint;
        let seed = self.dice.roll(u64::MAX);
        self.shipper = Shipper::new(*shipped, tops, 3, BACKOFF, seed);
    }

    /// Redis loses or regains what no protocol protects.
    fn damage(&mut self) {
        let stream = self.dice.roll(STREAMS as u64) as usize;
        match self.dice.roll(4) {
            0 => (0..STREAMS).for_each(|stream| self.replace(stream, Vec::new())),
            1 => self.replace(stream, Vec::new()),
            2 if !self.redis[stream].is_there() => {
                // With a new primary's data, which touches nothing that was not there.
                let whole: Vec<Position> = self.of(stream).collect();
                let back = self.dice.roll(whole.len() as u64 + 1) as usize;
                self.redis[stream] = Key::of(whole[..back].to_vec());
            }
            _ => {
                for stream in 0..STREAMS {
                    let mut older = self.redis[stream].entries.clone();
                    older.truncate(self.dice.roll(older.len() as u64 + 1) as usize);
                    self.replace(stream, older);
                }
            }
        }
        if self.dice.one_in(2) {
            self.disconnect();
        }
    }

    fn replace(&mut self, stream: usize, entries: Vec<Position>) {
        if self.redis[stream].is_there() {
            self.touch(stream);
        }
        self.redis[stream] = Key::of(entries);
    }

    fn touch(&mut self, stream: usize) {
        for wire in self.wires.iter_mut().chain(&mut self.ghosts) {
            wire.touched |= wire.watched.contains(&stream);
        }
    }

    fn work(&mut self) {
        if self.wires.is_empty() {
            self.wires = (0..CONNECTIONS).map(|_| Wire::new()).collect();
            return;
        }
        let questions = self.shipper.questions(self.now_ms);
        if !questions.is_empty() {
            self.wires[0].jobs.push_back(Job::Ask(questions));
            return;
        }
        if let Some(position) = self.shipper.take_rewind() {
            self.reading = self.journal.partition_point(|(p, _)| *p <= position);
        }
        let end = self.end();
        let until = (self.reading + 1 + self.dice.roll(9) as usize).min(self.journal.len());
        let mut entries: Vec<Vec<Position>> = Vec::new();
        for (position, stream) in &self.journal[self.reading..until] {
            if let Fate::Join(batch) = self.shipper.offer(*position, *stream) {
                if batch == entries.len() {
                    entries.push(Vec::new());
                }
                entries[batch].push(*position);
            }
        }
        let empty = self.reading == until;
        self.reading = until;
        self.shipper.settle(empty.then_some(end), self.now_ms);
        for (batch, entries) in self.shipper.take_round().into_iter().zip(entries) {
            assert_eq!(entries.len(), batch.entries);
            let there = batch.expected > Position::START;
            let sent = Sent {
                set_id: there && self.protocol != Protocol::WithoutSetId,
                batch,
                entries,
            };
            let wire = &mut self.wires[batch.stream % CONNECTIONS];
            wire.jobs.push_back(Job::Append(sent));
        }
    }

    /// The client's end of a connection takes up what it has to do, as `lane` does.
    fn pump(&mut self, index: usize) {
        let protocol = self.protocol;
        let wire = &mut self.wires[index];
        let quiet = wire.asked.is_none() && wire.eager.is_none();
        match wire.jobs.front() {
            Some(Job::Ask(_)) if quiet && wire.dialogue.is_idle() => {}
            Some(Job::Append(_)) if quiet && wire.dialogue.may_guard() => {}
            _ => return,
        }
        match wire.jobs.pop_front() {
            Some(Job::Ask(questions)) => {
                for question in &questions {
                    wire.send(question.stream, [Verb::Top]);
                    wire.send(question.stream, question.proof.map(Verb::Holds));
                }
                wire.asked = Some(questions);
            }
            Some(Job::Append(sent)) => {
                wire.send_guard(sent.batch.stream, protocol);
                if protocol == Protocol::Unconfirmed {
                    let load = load(&sent);
                    wire.eager = Some((sent.batch, 3 + load.len()));
                    wire.send(sent.batch.stream, load);
                } else {
                    wire.dialogue.guard(sent);
                }
            }
            None => {}
        }
    }

    /// Redis handles the oldest command of a connection.
    fn serve(&mut self, ghost: bool, index: usize) {
        let wires = if ghost {
            &mut self.ghosts
        } else {
            &mut self.wires
        };
        // The connection is out of the world meanwhile: its own commands do not touch it.
        let mut wire = std::mem::replace(&mut wires[index], Wire::new());
        if let Some(command) = wire.requests.pop_front() {
            let reply = self.execute(&mut wire, command);
            wire.replies.push_back(reply);
            // Nothing else puts something into a stream.
            if matches!(command.verb, Verb::Exec | Verb::Add(_)) {
                self.check(command.stream);
            }
        }
        let wires = if ghost {
            &mut self.ghosts
        } else {
            &mut self.wires
        };
        wires[index] = wire;
    }

    fn execute(&mut self, wire: &mut Wire, command: Command) -> Reply {
        let refused = self.faults && self.dice.one_in(40);
        match command.verb {
            Verb::Exec => return self.exec(wire, refused),
            _ if refused => {
                wire.aborted |= wire.queued.is_some();
                return error("NOPERM it is not allowed");
            }
            Verb::Discard if wire.queued.is_some() => {
                wire.end_transaction();
                return Reply::Ok;
            }
            Verb::Watch | Verb::Multi if wire.queued.is_some() => {
                wire.aborted = true;
                return error("ERR not inside of a transaction");
            }
            Verb::Discard => return error("ERR DISCARD without MULTI"),
            Verb::Watch => wire.watched.push(command.stream),
            Verb::Multi => wire.queued = Some(Vec::new()),
            _ => match &mut wire.queued {
                Some(queued) => {
                    queued.push(command);
                    return Reply::Queued;
                }
                None => return self.apply(wire, command),
            },
        }
        Reply::Ok
    }

    fn exec(&mut self, wire: &mut Wire, refused: bool) -> Reply {
        if wire.queued.is_none() {
            return error("ERR EXEC without MULTI");
        }
        let (touched, aborted) = (wire.touched, wire.aborted);
        let commands = wire.end_transaction();
        if refused {
            return error("EXECABORT Transaction discarded because of: OOM no");
        }
        if aborted {
            return error("EXECABORT Transaction discarded because of previous errors.");
        }
        if touched {
            return Reply::Nil;
        }
        // Who else sets the last id just before is seen by no WATCH. Only here: a last id that stays
        // is a hole that no protocol can fill.
        let mut ids = commands.iter().filter_map(|command| match command.verb {
            Verb::Add(id) => Some((command.stream, id)),
            _ => None,
        });
        let resets = matches!(
            commands.first().map(|first| first.verb),
            Some(Verb::SetId(_))
        );
        if let Some((stream, id)) = ids.next_back()
            && (resets || self.protocol == Protocol::WithoutSetId)
            && self.redis[stream].is_there()
            && self.redis[stream].last < id
            && self.faults
            && self.dice.one_in(8)
        {
            let back = self.dice.roll(2);
            let seq = id.seq - back;
            self.redis[stream].last = self.redis[stream].last.max(Position { seq, ..id });
            if self.protocol == Protocol::Real && back == 0 {
                // Even beyond what comes.
                self.redis[stream].last.ms += 1_000;
            }
        }
        // A right that is taken away after queueing is missing for every entry.
        let right = !(self.faults && self.dice.one_in(30));
        let apply = |command: Command| match command.verb {
            Verb::Add(_) if !right => error("NOPERM ACLs rules changed"),
            _ => self.apply(wire, command),
        };
        Reply::Array(commands.into_iter().map(apply).collect())
    }

    fn apply(&mut self, wire: &mut Wire, command: Command) -> Reply {
        let key = &mut self.redis[command.stream];
        match command.verb {
            Verb::Top if key.is_there() => {
                Reply::Array(vec![bulk("last-generated-id"), bulk(&key.last.to_string())])
            }
            Verb::Top | Verb::SetId(_) if !key.is_there() => error("ERR no such key"),
            Verb::SetId(id) if key.entries.last().is_some_and(|last| id < *last) => {
                error("ERR The ID specified in XSETID is smaller than the target stream top item")
            }
            Verb::SetId(id) => {
                key.last = id;
                Reply::Ok
            }
            Verb::Holds(id) => {
                let found = key.entries.contains(&id);
                Reply::Array(found.then_some(Reply::Nil).into_iter().collect())
            }
            Verb::Add(id) if id <= key.last => error("ERR equal or smaller than the top item"),
            Verb::Add(id) => {
                key.entries.push(id);
                key.last = id;
                self.touch(command.stream);
                Reply::Bulk(id.to_string().into_bytes())
            }
            _ => {
                wire.watched.clear();
                wire.touched = false;
                Reply::Ok
            }
        }
    }

    /// The client hears the oldest reply of a connection.
    fn hear(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        let Some(mut reply) = wire.replies.pop_front() else {
            return;
        };
        if self.faults && self.dice.one_in(200) {
            reply = Reply::Status("something else".to_owned());
        }
        if wire.asked.is_some() {
            wire.heard.push(reply);
            return self.answer(index);
        }
        if let Some((batch, left)) = &mut wire.eager {
            *left -= 1;
            if *left == 0 {
                let outcome = match reply {
                    Reply::Array(_) => Ok(()),
                    _ => Err(ErrorCode::Moved),
                };
                let batch = *batch;
                wire.eager = None;
                self.shipper.replied(&batch, outcome, self.now_ms);
            }
            return;
        }
        match wire.dialogue.hear(reply) {
            Turn::Wait => {}
            Turn::Done(sent, outcome) => return self.done(&sent.batch, outcome),
            said => {
                let present = wire.dialogue.present().expect("somebody's turn it is");
                let (stream, load) = (present.batch.stream, load(present));
                match said {
                    Turn::Load => wire.send(stream, load),
                    Turn::Discard => wire.send(stream, [Verb::Discard]),
                    _ => wire.send(stream, [Verb::Unwatch]),
                }
            }
        }
        if self.dice.one_in(2) {
            self.pump(index);
        }
    }

    fn done(&mut self, batch: &Batch, outcome: Result<(), Failure>) {
        let outcome = outcome.map_err(|failure| failure.code);
        self.shipper.replied(batch, outcome, self.now_ms);
        if outcome.is_err_and(ErrorCode::ends_connection) {
            self.disconnect();
        }
    }

    fn answer(&mut self, index: usize) {
        let wire = &mut self.wires[index];
        let questions = wire.asked.as_deref().unwrap_or_default();
        let proofs = questions.iter().filter(|question| question.proof.is_some());
        if wire.heard.len() < questions.len() + proofs.count() {
            return;
        }
        let questions = wire.asked.take().unwrap_or_default();
        let mut heard = std::mem::take(&mut wire.heard).into_iter();
        for question in questions {
            let mut next = || heard.next().expect("as many replies as commands");
            let top = wire::top(&next());
            let proven = question.proof.map_or(Ok(false), |_| wire::holds(&next()));
            let answer = top.and_then(|top| {
                Ok(Answer {
                    top,
                    proven: proven?,
                })
            });
            let answer = answer.map_err(|failure| failure.code);
            self.shipper.answered(question, answer, self.now_ms);
        }
    }

    fn step(&mut self) {
        self.now_ms += self.dice.roll(4);
        let index = self.dice.roll(CONNECTIONS as u64) as usize;
        let connected = !self.wires.is_empty();
        match self.dice.roll(if self.faults { 60 } else { 56 }) {
            0..=7 => self.work(),
            8..=13 if connected => self.pump(index),
            14..=32 if connected => {
                for _ in 0..=self.dice.roll(8) {
                    self.serve(false, index);
                }
            }
            33..=50 => {
                for _ in 0..=self.dice.roll(8) {
                    // A reply may end the connections.
                    if index < self.wires.len() {
                        self.hear(index);
                    }
                }
            }
            51..=52 if !self.ghosts.is_empty() => {
                let index = self.dice.roll(self.ghosts.len() as u64) as usize;
                self.serve(true, index);
                self.ghosts.retain(|ghost| !ghost.requests.is_empty());
            }
            53 => self.shipper.recheck(),
            54 => self.checkpoint = (self.shipper.shipped(), self.shipper.tops().collect()),
            55 => self.append(),
            56 if self.dice.one_in(2) => self.disconnect(),
            57 if self.dice.one_in(4) => self.restart_shipper(),
            58 if self.dice.one_in(2) => self.damage(),
            59 => self.append(),
            _ => {}
        }
    }

    fn of(&self, stream: usize) -> impl Iterator<Item = Position> {
        self.journal
            .iter()
            .filter(move |(_, s)| *s == Some(stream))
            .map(|(position, _)| *position)
    }

    fn check(&self, stream: usize) {
        let entries = &self.redis[stream].entries;
        assert!(
            entries
                .iter()
                .copied()
                .eq(self.of(stream).take(entries.len())),
            "stream {stream} is not a prefix of its entries: {entries:?}"
        );
    }

    fn complete(&self) -> bool {
        (0..STREAMS).all(|i| self.of(i).eq(self.redis[i].entries.iter().copied()))
    }
}

fn run(seed: u64, protocol: Protocol) {
    let mut world = World::new(seed, protocol);
    for _ in 0..600 {
        world.step();
    }
    world.faults = false;
    // A loss that nobody has told the shipper of is found by the next check.
    world.shipper.recheck();
    for _ in 0..20_000 {
        world.step();
        if world.complete() && world.shipper.shipped() >= world.end() {
            return;
        }
    }
    panic!(
        "not complete: shipped {} of {}, blocked {:?}",
        world.shipper.shipped(),
        world.end(),
        world.shipper.blocked().collect::<Vec<_>>()
    );
}

#[test]
fn no_hole_no_duplicate_and_complete_in_the_end() {
    for seed in 0..2_000 {
        let result = std::panic::catch_unwind(|| run(seed, Protocol::Real));
        assert!(result.is_ok(), "seed {seed}");
    }
}

/// The teeth of the test above, and the reasons for what is said.
#[test]
fn lesser_protocols_leave_holes() {
    let lesser = [
        Protocol::Unconfirmed,
        Protocol::WithoutSetId,
        Protocol::Unwatched,
    ];
    for protocol in lesser {
        let holes = (0..200)
            .filter(|&seed| std::panic::catch_unwind(|| run(seed, protocol)).is_err())
            .count();
        assert!(holes > 5, "{protocol:?}: {holes} of 200 seeds");
    }
}
