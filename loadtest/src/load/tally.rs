//! What came of the requests, by phase and over time.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::latency::Latency;
use super::plan::Plan;

/// How many points a plot over time has at most.
const POINTS_MAX: u32 = 240;
/// Two points are at least so far apart, or there would be too few requests between them.
const POINT_MS_MIN: u64 = 100;
/// Of what went wrong, the first few say enough.
const DETAILS_MAX: usize = 5;

/// Counts by kind.
pub type Kinds = BTreeMap<String, u64>;

/// One phase's figures.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Requests that the plan had; those of a saturating phase are counted when they are sent.
    pub planned: u64,
    /// Those that went out.
    pub sent: u64,
    /// Those with a proper answer.
    pub answered: u64,
    /// Turned away by the server in an orderly way, by its status.
    pub refused: Kinds,
    /// Without an answer, or with an error.
    pub failed: Kinds,
    /// Answered, and the answer does not hold.
    pub wrong: Kinds,
    /// Answers that were looked into.
    pub checked: u64,
    /// What answers left out.
    pub degraded: Kinds,
    pub offers: u64,
    /// Empty placements by reason.
    pub empty: Kinds,
    pub events_accepted: u64,
    pub events_duplicate: u64,
    /// Events that were not taken, by code.
    pub events_rejected: Kinds,
    /// Answers by the model that scored.
    pub models: Kinds,
    /// From the intended moment to the last byte of a decision.
    pub decisions: Latency,
    /// The same for batches of events.
    pub events: Latency,
    /// Decisions from the moment of sending: what a closed loop would have said.
    pub service: Latency,
    /// From the intended moment to a refusal.
    pub refusals: Latency,
    /// How late the generator itself was.
    pub lateness: Latency,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.planned += other.planned;
        self.sent += other.sent;
        self.answered += other.answered;
        self.checked += other.checked;
        self.offers += other.offers;
        self.events_accepted += other.events_accepted;
        self.events_duplicate += other.events_duplicate;
        for (to, from) in [
            (&mut self.refused, &other.refused),
            (&mut self.failed, &other.failed),
            (&mut self.wrong, &other.wrong),
            (&mut self.degraded, &other.degraded),
            (&mut self.empty, &other.empty),
            (&mut self.events_rejected, &other.events_rejected),
            (&mut self.models, &other.models),
        ] {
            for (kind, n) in from {
                *to.entry(kind.clone()).or_default() += n;
            }
        }
        for (to, from) in [
            (&mut self.decisions, &other.decisions),
            (&mut self.events, &other.events),
            (&mut self.service, &other.service),
            (&mut self.refusals, &other.refusals),
            (&mut self.lateness, &other.lateness),
        ] {
            to.add(from);
        }
    }
}

/// The sum over all kinds.
pub fn total(kinds: &Kinds) -> u64 {
    kinds.values().sum()
}

/// Counts one more of a kind.
pub fn count(kinds: &mut Kinds, kind: &str) {
    match kinds.get_mut(kind) {
        Some(n) => *n += 1,
        None => _ = kinds.insert(kind.to_owned(), 1),
    }
}

/// A stretch of the run, by the intended moments of its requests.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub answered: u64,
    pub refused: u64,
    /// Failed, or wrong.
    pub failed: u64,
    /// Two digits are enough for a plot, and keep hundreds of them small.
    pub latency_us: Histogram<u32>,
}

impl Default for Stretch {
    fn default() -> Stretch {
        let bounds = Histogram::new_with_bounds(1, 600_000_000, 2);
        Stretch {
            answered: 0,
            refused: 0,
            failed: 0,
            latency_us: bounds.expect("these bounds are allowed"),
        }
    }
}

/// One generator's books.
#[derive(Clone, Debug)]
pub struct Tally {
    pub phases: Vec<Counts>,
    /// Over time, in steps of `step_ns`.
    pub stretches: Vec<Stretch>,
    pub step_ns: u64,
    /// The first few words about what went wrong.
    pub details: Vec<String>,
    /// Connections that had to be made again.
    pub reconnects: u64,
}

impl Tally {
    pub fn new(plan: &Plan) -> Tally {
        let step = (plan.lasts() / POINTS_MAX).max(Duration::from_millis(POINT_MS_MIN));
        let step_ns = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        let steps = (plan.lasts().as_nanos() as u64).div_ceil(step_ns).max(1);
        Tally {
            phases: vec![Counts::default(); plan.phases.len()],
            stretches: vec![Stretch::default(); steps as usize],
            step_ns,
            details: Vec::new(),
            reconnects: 0,
        }
    }

    pub fn stretch(&mut self, at_ns: u64) -> &mut Stretch {
        let last = self.stretches.len() - 1;
        &mut self.stretches[((at_ns / self.step_ns) as usize).min(last)]
    }

    pub fn note(&mut self, detail: impl FnOnce() -> String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail());
        }
    }

    /// Adds another generator's books of the same plan.
    pub fn add(&mut self, other: Tally) {
        for (to, from) in self.phases.iter_mut().zip(&other.phases) {
            to.add(from);
        }
        for (to, from) in self.stretches.iter_mut().zip(&other.stretches) {
            to.answered += from.answered;
            to.refused += from.refused;
            to.failed += from.failed;
            to.latency_us
                .add(&from.latency_us)
                .expect("all have the same bounds");
        }
        other.details.into_iter().for_each(|d| self.note(|| d));
        self.reconnects += other.reconnects;
    }
}
