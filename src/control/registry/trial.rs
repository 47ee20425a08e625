//! A new model on yesterday's traffic: the last requests, decided by it and by the live one.
//!
//! The journal is the ring of recent requests: every record can be decided again, so nothing has to be
//! kept in memory for this and nothing is added to the path of a decision. Both models decide each
//! request in turns, so that what else the machine does weighs on both alike.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::ModelsConfig;
use crate::decide::record::DecisionRecord;
use crate::decide::snapshot::Snapshot;
use crate::decide::{Scratch, decide};
use crate::domain::record::read;
use crate::domain::{Effort, EntryKind, Millis, Record, Verdict};
use crate::journal::{Journal, Position};

/// Records read at most while looking for recent ones: a burst long ago must not cost seconds.
const READ_MAX: usize = 50_000;
const BATCH_ENTRIES: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

/// A trial's longest time: on a machine with no time to spare, the lowest priority gets next to none, and
/// somebody waits for the answer. What was measured by then counts.
const TIME_MAX: Duration = Duration::from_secs(2);

/// How far to look back, in turn, until there are enough, in milliseconds: up to a week.
const WINDOWS_MS: [i64; 7] = [
    1_000,
    10_000,
    60_000,
    600_000,
    7_200_000,
    86_400_000,
    604_800_000,
];

/// Fewer requests than this say nothing about a model.
const REQUESTS_MIN: usize = 100;

/// What a trial measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Trial {
    /// Requests decided.
    pub requests: usize,
    /// Probabilities that the new model gave.
    pub scored: usize,
    /// Decisions in which it failed.
    pub failures: usize,
    /// The lowest probability it gave.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    /// How long a decision takes with the new model, in microseconds: the lower quartile, since this
    /// runs at the lowest priority and is often interrupted in the middle of one.
    pub new_us: f64,
    /// The same with the live one.
    pub live_us: f64,
}

/// What a trial says against staging a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Objection {
    /// It never gave a probability: it is refused.
    Useless,
    /// It is much slower than the live one: it is held.
    Slow(Trial),
    /// It says the same of everybody: it is held.
    Constant(Trial),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Useless => write!(f, "it gave no probability for any recent request"),
            Objection::Slow(t) => write!(
                f,
                "a decision takes {:.1} us over the last {} requests, with the live model {:.1} us",
                t.new_us, t.requests, t.live_us
            ),
            Objection::Constant(t) => write!(
                f,
                "it gave {} for every candidate of the last {} requests",
                t.lowest, t.requests
            ),
        }
    }
}

/// The records of the last decisions, newest last, at most `count`.
pub(super) fn recent(journal: &Journal, now: Millis, count: usize) -> std::io::Result<Vec<Record>> {
    let mut found = VecDeque::new();
    if count == 0 {
        return Ok(Vec::new());
    }
    for window in WINDOWS_MS {
        found.clear();
        let mut reader = journal.reader(Position {
            ms: now.0.saturating_sub(window),
            seq: 0,
        });
        let mut read = 0;
        while read < READ_MAX {
            let batch = reader.next_batch(BATCH_ENTRIES, BATCH_BYTES)?;
            if batch.is_empty() {
                break;
            }
            read += batch.len();
            let decisions = batch
                .into_iter()
                .filter(|(_, e)| e.kind() == Some(EntryKind::Decision) && !e.test);
            found.extend(decisions.map(|(_, entry)| entry.record));
            found.drain(..found.len().saturating_sub(count));
        }
        if found.len() >= count || read >= READ_MAX {
            break;
        }
    }
    Ok(found.into())
}

/// Decides the recorded requests with both snapshots.
pub(super) fn run(live: &Snapshot, new: &Snapshot, records: &[Record]) -> Trial {
    let mut trial = Trial {
        lowest: f64::INFINITY,
        highest: f64::NEG_INFINITY,
        ..Trial::default()
    };
    let (mut live_took, mut new_took) = (Vec::new(), Vec::new());
    let (mut live_scratch, mut new_scratch) = (Scratch::default(), Scratch::default());
    let begun = Instant::now();
    for record in records {
        if begun.elapsed() > TIME_MAX {
            break;
        }
        let Ok(record) = read::<DecisionRecord<'_>>(record) else {
            continue;
        };
        // Those that withhold measurement are not on record with their inputs.
        let (Ok(mut request), Ok(facts)) = (record.request(), record.facts()) else {
            continue;
        };
        request.effort = Effort::Full;
        let began = Instant::now();
        decide(live, &request, &facts, &mut live_scratch);
        let between = Instant::now();
        let decision = decide(new, &request, &facts, &mut new_scratch);
        new_took.push(between.elapsed());
        live_took.push(between - began);
        trial.requests += 1;
        trial.failures += usize::from(decision.degraded.model_failed);
        if decision.degraded.model_failed {
            continue;
        }
        for candidate in &decision.candidates {
            if let Verdict::Eligible { probability, .. } = candidate.verdict {
                trial.scored += 1;
                trial.lowest = trial.lowest.min(probability);
                trial.highest = trial.highest.max(probability);
            }
        }
    }
    (trial.new_us, trial.live_us) = (quartile_us(new_took), quartile_us(live_took));
    trial
}

fn quartile_us(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took.get(took.len() / 4)
        .map_or(0.0, |d| d.as_secs_f64() * 1e6)
}

impl Trial {
    /// What it says against staging the model.
    pub(super) fn objection(self, config: &ModelsConfig) -> Option<Objection> {
        if self.requests > 0 && self.failures == self.requests {
            return Some(Objection::Useless);
        }
        if self.requests < REQUESTS_MIN {
            return None;
        }
        let slower = self.new_us > self.live_us * config.trial_slower_max;
        if slower && self.new_us > config.trial_fast_us {
            return Some(Objection::Slow(self));
        }
        let constant = self.scored > REQUESTS_MIN && self.highest - self.lowest < 1e-12;
        constant.then_some(Objection::Constant(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Trial), expected: &str) {
        let mut trial = Trial {
            requests: 1_000,
            scored: 4_000,
            lowest: 0.01,
            highest: 0.2,
            new_us: 150.0,
            live_us: 100.0,
            ..Trial::default()
        };
        change(&mut trial);
        let found = match trial.objection(&ModelsConfig::default()) {
            None => "fine",
            Some(Objection::Useless) => "useless",
            Some(Objection::Slow(_)) => "slow",
            Some(Objection::Constant(_)) => "constant",
        };
        assert_eq!(found, expected, "{trial:?}");
    }

    #[test]
    fn objections() {
        check(|_| {}, "fine");
        check(|t| t.new_us = 501.0, "slow");
        check(|t| (t.new_us, t.live_us) = (90.0, 10.0), "fine");
        check(|t| t.highest = 0.01, "constant");
        check(|t| (t.highest, t.requests) = (0.01, 99), "fine");
        check(|t| (t.highest, t.scored) = (0.01, 3), "fine");
        check(|t| t.failures = 1_000, "useless");
        check(|t| t.failures = 999, "fine");
        check(|t| (t.requests, t.failures) = (0, 0), "fine");
    }
}
