//! Counts of one worker; they are added up at the end, so that nobody waits for a counter.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::client::Failure;
use crate::visit::message::{Answer, Event, Receipt};

/// The longest that is told apart: an answer later than this counts as this.
const LATENCY_US_MAX: u64 = 60_000_000;
/// Of what was refused, the first few say enough.
const DETAILS_MAX: usize = 5;

/// What was sent and what came of it.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Visits that went through every phase.
    pub visits: u64,
    /// Visits that ended early: time was up, or the server was away for too long.
    pub visits_cut: u64,
    /// Answers to requests for decisions.
    pub decisions: u64,
    /// Offers by class and phase.
    pub offers: BTreeMap<(String, &'static str), u64>,
    /// Empty placements by reason.
    pub no_offer: BTreeMap<String, u64>,
    /// What answers left out.
    pub degraded: BTreeMap<String, u64>,
    /// Acknowledged events by type.
    pub events: BTreeMap<&'static str, u64>,
    /// Events that were new to the server.
    pub accepted: u64,
    /// Events that the server had already.
    pub duplicates: u64,
    /// Events that it did not take, by type and code.
    pub rejected: BTreeMap<(&'static str, String), u64>,
    /// Conversions less reversals in minor units, by currency.
    pub value_minor: BTreeMap<String, i64>,
    /// Requests without an answer, by cause.
    pub failures: BTreeMap<String, u64>,
    /// Requests sent again.
    pub retries: u64,
    /// Requests for decisions that were sent and not answered: they may be on record all the same.
    pub decisions_unanswered: u64,
    /// Batches of events likewise; they were sent again with the same ids.
    pub batches_unanswered: u64,
    /// Requests that the server will never take.
    pub refused: u64,
    /// The first few words about what was refused or rejected.
    pub details: Vec<String>,
    /// Microseconds from sending to the last byte of the answer.
    pub decision_us: Histogram<u64>,
    /// The same for batches of events.
    pub batch_us: Histogram<u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("these bounds are allowed");
        Tally {
            visits: 0,
            visits_cut: 0,
            decisions: 0,
            offers: BTreeMap::new(),
            no_offer: BTreeMap::new(),
            degraded: BTreeMap::new(),
            events: BTreeMap::new(),
            accepted: 0,
            duplicates: 0,
            rejected: BTreeMap::new(),
            value_minor: BTreeMap::new(),
            failures: BTreeMap::new(),
            retries: 0,
            decisions_unanswered: 0,
            batches_unanswered: 0,
            refused: 0,
            details: Vec::new(),
            decision_us: histogram(),
            batch_us: histogram(),
        }
    }
}

impl Tally {
    /// An answered request for a decision.
    pub fn decided(&mut self, phase: &'static str, answer: &Answer, took: Duration) {
        self.decisions += 1;
        self.decision_us.saturating_record(micros(took));
        for word in &answer.degraded {
            *self.degraded.entry(word.clone()).or_default() += 1;
        }
        for placement in &answer.placements {
            for offer in &placement.offers {
                let key = (offer.class.clone(), phase);
                *self.offers.entry(key).or_default() += 1;
            }
            if let Some(reason) = &placement.no_offer_reason {
                *self.no_offer.entry(reason.clone()).or_default() += 1;
            }
        }
    }

    /// An answered batch.
    pub fn received(&mut self, receipt: &Receipt, took: Duration) {
        self.batch_us.saturating_record(micros(took));
        self.accepted += receipt.accepted;
        self.duplicates += receipt.duplicates;
    }

    /// An event that the server holds now, whether it was new or not.
    pub fn acknowledged(&mut self, event: &Event) {
        *self.events.entry(event.kind).or_default() += 1;
        let sign = match event.kind {
            "conversion" => 1,
            "reversal" => -1,
            _ => return,
        };
        if let Some(value) = &event.value {
            let sum = self.value_minor.entry(value.currency.clone()).or_default();
            *sum += sign * value.amount_minor;
        }
    }

    /// An event that the server does not want.
    pub fn rejected(&mut self, event: &Event, code: &str, detail: &str) {
        *self
            .rejected
            .entry((event.kind, code.to_owned()))
            .or_default() += 1;
        self.note(format!("{} {}: {code}: {detail}", event.kind, event.id));
    }

    /// A request without an answer.
    pub fn failed(&mut self, failure: &Failure) {
        *self.failures.entry(failure.cause.clone()).or_default() += 1;
    }

    /// A request that is given up.
    pub fn refused(&mut self, what: &str, failure: &Failure) {
        self.refused += 1;
        self.note(format!("{what}: {}: {}", failure.cause, failure.detail));
    }

    fn note(&mut self, detail: String) {
        if self.details.len() < DETAILS_MAX {
            self.details.push(detail);
        }
    }

    /// Adds another worker's counts.
    pub fn add(&mut self, other: Tally) {
        self.visits += other.visits;
        self.visits_cut += other.visits_cut;
        self.decisions += other.decisions;
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.retries += other.retries;
        self.decisions_unanswered += other.decisions_unanswered;
        self.batches_unanswered += other.batches_unanswered;
        self.refused += other.refused;
        add_all(&mut self.offers, other.offers);
        add_all(&mut self.no_offer, other.no_offer);
        add_all(&mut self.degraded, other.degraded);
        add_all(&mut self.events, other.events);
        add_all(&mut self.rejected, other.rejected);
        add_all(&mut self.value_minor, other.value_minor);
        add_all(&mut self.failures, other.failures);
        other.details.into_iter().for_each(|d| self.note(d));
        let same = "both have the same bounds";
        self.decision_us.add(&other.decision_us).expect(same);
        self.batch_us.add(&other.batch_us).expect(same);
    }
}

fn add_all<K: Ord, N: std::ops::AddAssign + Default>(
    to: &mut BTreeMap<K, N>,
    from: BTreeMap<K, N>,
) {
    for (key, n) in from {
        *to.entry(key).or_default() += n;
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visit::message::{Money, Placement};

    fn event(kind: &'static str, amount_minor: i64) -> Event {
        Event {
            kind,
            value: Some(Money {
                amount_minor,
                currency: "USD".into(),
            }),
            ..Event::default()
        }
    }

    #[test]
    fn reversals_take_value_back() {
        let mut tally = Tally::default();
        for (kind, amount) in [
            ("order", 500),
            ("conversion", 500),
            ("conversion", 70),
            ("reversal", 70),
        ] {
            tally.acknowledged(&event(kind, amount));
        }
        assert_eq!(tally.value_minor["USD"], 500);
        assert_eq!(tally.events["conversion"], 2);
    }

    #[test]
    fn sums_are_of_everything() {
        let answer = Answer {
            decision_id: "d".into(),
            request_id: None,
            model: String::new(),
            placements: vec![Placement {
                id: "p".into(),
                offers: Vec::new(),
                no_offer_reason: Some("care_only".into()),
            }],
            degraded: vec!["prior_only".into()],
        };
        let mut one = Tally::default();
        one.decided("on_site", &answer, Duration::from_micros(250));
        one.rejected(&event("click", 1), "token_forged", "…");
        let mut sum = Tally::default();
        sum.add(one.clone());
        sum.add(one);
        assert_eq!((sum.decisions, sum.decision_us.len()), (2, 2));
        assert_eq!(sum.no_offer["care_only"], 2);
        assert_eq!(sum.degraded["prior_only"], 2);
        assert_eq!(sum.rejected[&("click", "token_forged".into())], 2);
        assert_eq!(sum.details.len(), 2);
    }
}
