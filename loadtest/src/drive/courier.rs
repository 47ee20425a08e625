//! Sends for one worker until there is an answer, and keeps the books.
//!
//! A request for a decision that got no answer is asked again as a new one: the first may be on record
//! with nobody the wiser, which is why it is counted apart. A batch of events is sent again with the
//! same ids until each event is acknowledged, which makes "at least once" into "exactly once".

use std::time::{Duration, Instant};

use super::acks::{Ack, Acks};
use super::client::{Client, Failure, Fate};
use super::tally::Tally;
use crate::visit::dice::Dice;
use crate::visit::message::{Answer, Ask, BATCH_EVENTS_MAX, Event, Receipt, Rejection};
use crate::visit::walk::Line;

/// The first pause at most; each further one may be twice as long. A restart takes about this long.
const PAUSE_MS: u64 = 50;
/// The longest pause: a server that is back should not idle.
const PAUSE_MS_MAX: u64 = 2_000;

/// A worker's line to the server.
pub struct Courier<'a> {
    pub client: Client,
    pub acks: &'a Acks,
    pub tally: Tally,
    /// For how long one request is tried.
    pub retry_for: Duration,
    pub dice: Dice,
}

/// Why a visit cannot go on.
#[derive(Debug)]
pub enum Stopped {
    /// The server was away for longer than the drive's patience.
    Away(Failure),
    /// What is acknowledged cannot be written down.
    Broken(anyhow::Error),
}

/// What to do about a failure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    After(Duration),
    GiveUp,
}

/// The attempts at one request.
struct Attempts {
    since: Instant,
    failed: u32,
}

impl Line for Courier<'_> {
    type Stopped = Stopped;

    /// A decision; `None` where the server will not make it.
    async fn decide(
        &mut self,
        visit: usize,
        phase: &'static str,
        ask: &Ask<'_>,
    ) -> Result<Option<Answer>, Stopped> {
        let mut attempts = Attempts::new();
        loop {
            let sent = Instant::now();
            let failure = match self.client.decide(ask).await {
                Ok(answer) => {
                    self.tally.decided(phase, &answer, sent.elapsed());
                    let ack = Ack {
                        unlogged: answer.unlogged(),
                        ..Ack::new("decision", &answer.decision_id, visit)
                    };
                    self.acks.write([ack]).map_err(Stopped::Broken)?;
                    return Ok(Some(answer));
                }
                Err(failure) => failure,
            };
            self.tally.decisions_unanswered += u64::from(failure.fate == Fate::Unknown);
            if !self.pause("decision", &mut attempts, failure).await? {
                return Ok(None);
            }
        }
    }

    /// Sends events, in batches as the SDK makes them, until each is acknowledged or rejected.
    async fn record(&mut self, visit: usize, events: Vec<Event>) -> Result<(), Stopped> {
        let mut events = events.into_iter();
        loop {
            let batch: Vec<Event> = events.by_ref().take(BATCH_EVENTS_MAX).collect();
            if batch.is_empty() {
                return Ok(());
            }
            self.record_batch(visit, batch).await?;
        }
    }
}

impl Courier<'_> {
    async fn record_batch(&mut self, visit: usize, mut batch: Vec<Event>) -> Result<(), Stopped> {
        let mut attempts = Attempts::new();
        while !batch.is_empty() {
            let sent = Instant::now();
            let failure = match self.client.record(&batch).await {
                Ok(receipt) => {
                    self.tally.received(&receipt, sent.elapsed());
                    batch = self.sort_out(visit, batch, receipt)?;
                    if batch.is_empty() {
                        return Ok(());
                    }
                    Failure::unavailable()
                }
                Err(failure) => failure,
            };
            self.tally.batches_unanswered += u64::from(failure.fate == Fate::Unknown);
            if !self.pause("events", &mut attempts, failure).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Books each event of an answered batch; returns those that the journal could not take just now.
    fn sort_out(
        &mut self,
        visit: usize,
        batch: Vec<Event>,
        receipt: Receipt,
    ) -> Result<Vec<Event>, Stopped> {
        let mut rejections: Vec<Option<Rejection>> = vec![None; batch.len()];
        for rejection in receipt.rejected {
            if let Some(place) = rejections.get_mut(rejection.index) {
                *place = Some(rejection);
            }
        }
        let mut held = Vec::with_capacity(batch.len());
        let mut again = Vec::new();
        for (event, rejection) in batch.into_iter().zip(rejections) {
            match rejection {
                None => {
                    self.tally.acknowledged(&event);
                    held.push(event);
                }
                Some(r) if r.code == "unavailable" => again.push(event),
                Some(r) => self.tally.rejected(&event, &r.code, &r.detail),
            }
        }
        let acks = held.iter().map(|event| Ack {
            decision: event.decision.as_deref(),
            ..Ack::new(event.kind, &event.id, visit)
        });
        self.acks.write(acks).map_err(Stopped::Broken)?;
        Ok(again)
    }

    /// Waits before the next attempt; false if there should be none.
    async fn pause(
        &mut self,
        what: &str,
        attempts: &mut Attempts,
        failure: Failure,
    ) -> Result<bool, Stopped> {
        self.tally.failed(&failure);
        if failure.fate == Fate::Refused {
            self.tally.refused(what, &failure);
            return Ok(false);
        }
        let elapsed = attempts.since.elapsed();
        match attempts.next(&failure, elapsed, self.retry_for, &mut self.dice) {
            Next::GiveUp => Err(Stopped::Away(failure)),
            Next::After(pause) => {
                self.tally.retries += 1;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                Ok(true)
            }
        }
    }
}

impl Attempts {
    fn new() -> Attempts {
        Attempts {
            since: Instant::now(),
            failed: 0,
        }
    }

    /// Exponential back-off with full jitter: callers that lost the server together must not come back
    /// together. A connection that merely closed is replaced at once, the first time.
    fn next(
        &mut self,
        failure: &Failure,
        elapsed: Duration,
        retry_for: Duration,
        dice: &mut Dice,
    ) -> Next {
        if elapsed >= retry_for {
            return Next::GiveUp;
        }
        self.failed += 1;
        if failure.fate == Fate::Unknown && self.failed == 1 {
            return Next::After(Duration::ZERO);
        }
        let most = PAUSE_MS
            .saturating_mul(1 << (self.failed - 1).min(16))
            .min(PAUSE_MS_MAX);
        let pause = Duration::from_secs_f64(dice.between(0.0, most as f64) / 1_000.0);
        // The last attempt is made when patience ends, not after it.
        Next::After(
            pause
                .max(failure.wait.unwrap_or_default())
                .min(retry_for - elapsed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(fate: Fate, wait_ms: Option<u64>) -> Failure {
        Failure {
            fate,
            cause: String::new(),
            detail: String::new(),
            wait: wait_ms.map(Duration::from_millis),
        }
    }

    /// The pauses after that many failures in a row, in milliseconds, were time to stand still.
    fn pauses(fate: Fate, n: usize) -> Vec<u64> {
        let mut attempts = Attempts::new();
        let mut dice = Dice::new(1, &["pauses"]);
        let mut next = || {
            let patience = Duration::from_secs(30);
            match attempts.next(&failure(fate, None), Duration::ZERO, patience, &mut dice) {
                Next::After(pause) => pause.as_millis() as u64,
                Next::GiveUp => panic!("there is time left"),
            }
        };
        (0..n).map(|_| next()).collect()
    }

    #[test]
    fn a_closed_connection_is_replaced_at_once() {
        assert_eq!(pauses(Fate::Unknown, 2)[0], 0);
        assert_ne!(pauses(Fate::Unknown, 4), [0; 4]);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        for (n, &pause) in pauses(Fate::NotSent, 40).iter().enumerate() {
            let most = (PAUSE_MS << n.min(10)).min(PAUSE_MS_MAX);
            assert!(pause <= most, "{pause} after {n}");
        }
        let longest = pauses(Fate::NotSent, 40).into_iter().max();
        assert!(longest > Some(PAUSE_MS_MAX / 2), "{longest:?}");
    }

    #[test]
    fn patience_ends() {
        let patience = Duration::from_secs(30);
        let mut dice = Dice::new(1, &["patience"]);
        let mut check = |elapsed_ms, wait_ms, expected| {
            let failure = failure(Fate::Later, wait_ms);
            let elapsed = Duration::from_millis(elapsed_ms);
            let next = Attempts::new().next(&failure, elapsed, patience, &mut dice);
            assert_eq!(next, expected);
        };
        check(30_000, None, Next::GiveUp);
        check(0, Some(3_000), Next::After(Duration::from_secs(3)));
        check(29_990, Some(3_000), Next::After(Duration::from_millis(10)));
    }
}
