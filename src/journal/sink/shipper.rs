//! The shipper's decisions, without any I/O: what to read, what to send, what to believe.
//!
//! One journal feeds many streams. For each stream the shipper knows the **top**: the last id that
//! is certainly in Redis (`acked`) and the last it has handed to the connection (`sent`). A batch
//! says which top it expects, and Redis takes it only onto that top and as a whole (see `wire`); so
//! it comes after everything before it, once, and however often it is sent.
//!
//! Anything else than "applied" is **doubt**, and doubt has one cure: ask the stream's top and go on
//! from there.
//!
//! | the top is … | then |
//! | --- | --- |
//! | what was acknowledged | go on |
//! | lower | Redis lost a suffix: read the journal again from the top and send what is missing |
//! | higher, and an entry of ours | a reply was lost, or our checkpoint lagged: go on after it |
//! | higher, not ours, and nothing of ours below it is missing in Redis | warn, go on after it |
//! | higher, not ours, and an entry of ours below it is not in Redis | refuse: it could never be written |
//! | beyond the journal's end | refuse until the journal has passed it: nothing could be written |
//!
//! A stream in doubt holds up no other stream. Entries passed over meanwhile are remembered by the
//! position of the first, and read again when the stream is ready. Whatever is asked, answered or
//! lost in whatever order, a stream's content stays a prefix of its entries in the journal.
//!
//! Time and dice come in from outside; memory is a few numbers per stream and per batch in flight.

use std::collections::VecDeque;

use super::error::ErrorCode;
use super::steps::{Answer, Backoff, Batch, Blocked, Fate, Question};
use crate::journal::Position;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its top must be asked for.
    Unknown,
    /// It has been asked for.
    Asked,
    /// Redis ends at `top`, further than we know: the journal is being read again to see whether
    /// that is an entry of ours. `seen` is the last of ours on the way there.
    Checking {
        top: Position,
        seen: Option<Position>,
    },
    /// `top` is not ours; Redis must be asked whether `seen`, our last entry below it, is there.
    Proving { top: Position, seen: Position },
    /// The same, asked.
    ProvingAsked { top: Position, seen: Position },
    /// May be sent to.
    Ready,
    /// Blocked until then.
    Waiting { until_ms: u64, why: Blocked },
}

#[derive(Clone, Debug)]
struct Stream {
    state: State,
    acked: Position,
    sent: Position,
    /// Counts doubts; replies from before a doubt are void.
    epoch: u32,
    /// First and last entry of the batches on their way, oldest first.
    in_flight: VecDeque<(Position, Position)>,
    /// The first entry that was passed over or whose batch came into doubt.
    passed: Option<Position>,
    failures: u32,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Shipper {
    streams: Vec<Stream>,
    /// Every entry at or below has been looked at.
    cursor: Position,
    rewound: bool,
    round: Vec<Batch>,
    /// The open batch of each stream in the round.
    open: Vec<Option<usize>>,
    batch_entries_max: usize,
    backoff: Backoff,
    random: u64,
    adopted: u64,
    suffixes_lost: u64,
}

fn before(position: Position) -> Position {
    Position {
        ms: position.ms,
        seq: position.seq.saturating_sub(1),
    }
}

/// Whether another entry may join. A stream that is not there yet is made with a single one: what is
/// not there cannot be watched, and of a single entry no part can be refused (see `wire`).
fn has_room(batch: &Batch, entries_max: usize) -> bool {
    batch.expected != Position::START && batch.entries < entries_max
}

impl Shipper {
    /// A shipper that believes what a checkpoint says: everything up to `shipped` is in Redis, and
    /// `tops[i]` is the last entry known to be in stream `i`. `seed` feeds the jitter.
    #[must_use]
    pub fn new(
        shipped: Position,
        tops: &[Position],
        batch_entries_max: usize,
        backoff: Backoff,
        seed: u64,
    ) -> Shipper {
        let stream = |top: &Position| Stream {
            state: State::Unknown,
            acked: *top,
            sent: *top,
            epoch: 0,
            in_flight: VecDeque::new(),
            passed: None,
            failures: 0,
        };
        Shipper {
            streams: tops.iter().map(stream).collect(),
            cursor: shipped,
            rewound: true,
            round: Vec::new(),
            open: vec![None; tops.len()],
            batch_entries_max,
            backoff,
            random: seed,
            adopted: 0,
            suffixes_lost: 0,
        }
    }

    /// The connection is gone, or the journal could not be read: nothing that was on its way is
    /// certain, and a reader may have gone further than what it gave.
    pub fn reset(&mut self) {
        for stream in &mut self.streams {
            stream.doubt();
            stream.state = State::Unknown;
        }
        self.round.clear();
        self.open.fill(None);
        self.rewound = true;
    }

    /// What must be asked now. Every question must be answered, or the connection given up.
    pub fn questions(&mut self, now_ms: u64) -> Vec<Question> {
        let mut questions = Vec::new();
        for (i, stream) in self.streams.iter_mut().enumerate() {
            let proof = match stream.state {
                State::Unknown => None,
                State::Waiting { until_ms, .. } if until_ms <= now_ms => None,
                State::Proving { seen, .. } => Some(seen),
                _ => continue,
            };
            stream.state = match stream.state {
                State::Proving { top, seen } => State::ProvingAsked { top, seen },
                _ => State::Asked,
            };
            questions.push(Question {
                stream: i,
                proof,
                epoch: stream.epoch,
            });
        }
        questions
    }

    /// When the next question falls due; `None` while no stream is blocked.
    #[must_use]
    pub fn next_question_ms(&self) -> Option<u64> {
        self.streams
            .iter()
            .filter_map(|stream| match stream.state {
                State::Unknown | State::Proving { .. } => Some(0),
                State::Waiting { until_ms, .. } => Some(until_ms),
                _ => None,
            })
            .min()
    }

    /// The answer to a question.
    pub fn answered(&mut self, question: Question, answer: Result<Answer, ErrorCode>, now_ms: u64) {
        let stream = &mut self.streams[question.stream];
        if stream.epoch != question.epoch {
            return;
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(code) => return self.block(question.stream, Blocked::Failing(code), now_ms),
        };
        match stream.state {
            State::ProvingAsked { top, .. } if answer.proven && answer.top == top => {
                self.adopted += 1;
                self.ready(question.stream, top);
            }
            State::ProvingAsked { top, seen } if answer.top == top => {
                let why = Blocked::Overtaken { top, missing: seen };
                self.block(question.stream, why, now_ms);
            }
            // Somebody is writing while we ask: judge the new top from the start.
            State::ProvingAsked { .. } | State::Asked => self.judge(question.stream, answer.top),
            _ => {}
        }
    }

    fn judge(&mut self, index: usize, top: Position) {
        let stream = &mut self.streams[index];
        stream.distrust();
        if top > stream.acked {
            stream.state = State::Checking { top, seen: None };
            let from = stream.acked;
            self.rewind(from);
        } else if top == stream.acked {
            self.ready(index, top);
        } else {
            stream.passed = Some(top);
            self.suffixes_lost += 1;
            // Whatever happened to this stream may have happened to those that are silent.
            self.recheck();
            self.ready(index, top);
        }
    }

    /// Asks anew for the top of every stream that is ready and has nothing on its way. A silent
    /// stream would otherwise learn of a loss only with its next entry.
    pub fn recheck(&mut self) {
        for stream in &mut self.streams {
            if stream.state == State::Ready
                && stream.in_flight.is_empty()
                && stream.passed.is_none()
            {
                stream.doubt();
                stream.state = State::Unknown;
            }
        }
    }

    /// Everything of the stream's up to `top` is in Redis, and nothing after it.
    fn ready(&mut self, index: usize, top: Position) {
        let stream = &mut self.streams[index];
        stream.acked = top;
        stream.sent = top;
        stream.state = State::Ready;
        if let Some(passed) = stream.passed.take() {
            self.rewind(before(passed).max(top));
        }
    }

    fn rewind(&mut self, to: Position) {
        if to < self.cursor {
            self.cursor = to;
            self.rewound = true;
        }
    }

    /// Where to read on, if that is not where the last entry left off.
    pub fn take_rewind(&mut self) -> Option<Position> {
        std::mem::take(&mut self.rewound).then_some(self.cursor)
    }

    /// Whether [`Shipper::take_rewind`] has news.
    #[must_use]
    pub fn is_rewound(&self) -> bool {
        self.rewound
    }

    /// The top that a batch of the round under construction expects.
    #[must_use]
    pub fn expected(&self, batch: usize) -> Position {
        self.round[batch].expected
    }

    /// An entry was read; `stream` is `None` where it is not shipped. Entries come in order, each
    /// the next after the last or after the last rewind.
    pub fn offer(&mut self, position: Position, stream: Option<usize>) -> Fate {
        if position <= self.cursor {
            return Fate::Pass;
        }
        self.cursor = position;
        match stream {
            Some(index) => self.place(index, position),
            None => Fate::Pass,
        }
    }

    fn place(&mut self, index: usize, position: Position) -> Fate {
        let stream = &mut self.streams[index];
        match &mut stream.state {
            State::Ready if position <= stream.sent => return Fate::Pass,
            State::Ready => {}
            State::Checking { top, .. } if *top == position => {
                self.ready(index, position);
                return Fate::Pass;
            }
            State::Checking { top, seen } if position < *top => {
                *seen = (position > stream.acked).then_some(position).or(*seen);
                return Fate::Pass;
            }
            _ if position <= stream.acked => return Fate::Pass,
            _ => {
                stream.passed = Some(stream.passed.map_or(position, |p| p.min(position)));
                return Fate::Pass;
            }
        }
        let (round, max) = (&self.round, self.batch_entries_max);
        let open = self.open[index].filter(|&b| has_room(&round[b], max));
        let batch = match open {
            Some(batch) => batch,
            None => {
                self.round.push(Batch {
                    stream: index,
                    expected: stream.sent,
                    first: position,
                    last: position,
                    entries: 0,
                    epoch: stream.epoch,
                });
                stream.in_flight.push_back((position, position));
                self.round.len() - 1
            }
        };
        self.open[index] = Some(batch);
        self.round[batch].last = position;
        self.round[batch].entries += 1;
        stream.sent = position;
        stream
            .in_flight
            .back_mut()
            .expect("pushed when the batch was opened")
            .1 = position;
        Fate::Join(batch)
    }

    /// A stretch of the journal has been read. `end` is the journal's end where the reader stands
    /// at it: then no entry below it is still to come.
    pub fn settle(&mut self, end: Option<Position>, now_ms: u64) {
        if self.rewound {
            return;
        }
        if let Some(end) = end {
            self.cursor = self.cursor.max(end);
        }
        let reached = self.cursor;
        for i in 0..self.streams.len() {
            let State::Checking { top, seen } = self.streams[i].state else {
                continue;
            };
            if reached < top {
                if end.is_some() {
                    self.block(i, Blocked::Ahead { top }, now_ms);
                }
                continue;
            }
            match seen {
                Some(seen) => self.streams[i].state = State::Proving { top, seen },
                None => {
                    self.adopted += 1;
                    self.ready(i, top);
                }
            }
        }
    }

    /// The batches made of what was offered since the last call, in the order of their opening.
    pub fn take_round(&mut self) -> Vec<Batch> {
        self.open.fill(None);
        std::mem::take(&mut self.round)
    }

    /// What became of a batch.
    pub fn replied(&mut self, batch: &Batch, outcome: Result<(), ErrorCode>, now_ms: u64) {
        let stream = &mut self.streams[batch.stream];
        if stream.epoch != batch.epoch {
            return;
        }
        match outcome {
            Ok(()) => {
                stream.acked = batch.last;
                stream.failures = 0;
                stream.in_flight.pop_front();
            }
            Err(code) => self.block(batch.stream, Blocked::Failing(code), now_ms),
        }
    }

    fn block(&mut self, index: usize, why: Blocked, now_ms: u64) {
        // SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let stream = &mut self.streams[index];
        stream.doubt();
        stream.failures = stream.failures.saturating_add(1);
        stream.state = State::Waiting {
            until_ms: now_ms + self.backoff.wait_ms(stream.failures, z ^ (z >> 31)),
            why,
        };
    }

    /// Everything at or below is in Redis, as far as is known. It goes back when Redis has lost
    /// something.
    #[must_use]
    pub fn shipped(&self) -> Position {
        self.streams.iter().fold(self.cursor, |shipped, stream| {
            let checking = stream.is_checking();
            let bounds = [
                stream.in_flight.front().map(|&(first, _)| before(first)),
                stream.passed.map(before),
                checking.then_some(stream.acked),
            ];
            bounds.into_iter().flatten().fold(shipped, Position::min)
        })
    }

    /// The last entry of each stream that is certainly in Redis.
    pub fn tops(&self) -> impl Iterator<Item = Position> {
        self.streams.iter().map(|stream| stream.acked)
    }

    /// The streams to which nothing can be shipped now, and why.
    pub fn blocked(&self) -> impl Iterator<Item = (usize, Blocked)> {
        self.streams
            .iter()
            .enumerate()
            .filter_map(|(i, stream)| match stream.state {
                State::Waiting { why, .. } => Some((i, why)),
                _ => None,
            })
    }

    /// How many times a stream ended in an entry that is not ours and could still be continued.
    #[must_use]
    pub fn adopted(&self) -> u64 {
        self.adopted
    }

    /// How many times a stream had lost what Redis had acknowledged.
    #[must_use]
    pub fn suffixes_lost(&self) -> u64 {
        self.suffixes_lost
    }
}

impl Stream {
    fn is_checking(&self) -> bool {
        matches!(
            self.state,
            State::Checking { .. } | State::Proving { .. } | State::ProvingAsked { .. }
        )
    }

    /// What was looked at on the way to an unknown top may be missing in Redis after all.
    fn distrust(&mut self) {
        if self.is_checking() {
            let from = Position {
                ms: self.acked.ms,
                seq: self.acked.seq + 1,
            };
            self.passed = Some(self.passed.map_or(from, |p| p.min(from)));
        }
    }

    /// Forgets what is on its way and remembers where it began.
    fn doubt(&mut self) {
        self.distrust();
        self.epoch = self.epoch.wrapping_add(1);
        if let Some((first, _)) = self.in_flight.front().copied() {
            self.passed = Some(self.passed.map_or(first, |p| p.min(first)));
        }
        self.in_flight.clear();
        self.sent = self.acked;
    }
}

#[cfg(test)]
mod tests;
