//! What a drive came to, for people and for programs.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::tally::Tally;
use crate::visit::message::PHASES;

const CLASSES: [&str; 5] = ["care", "service", "upsell", "partner", "content"];
const EVENTS: [&str; 10] = [
    "impression",
    "viewable",
    "click",
    "dismiss",
    "order",
    "conversion",
    "reversal",
    "phase_view",
    "element",
    "feedback",
];
const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// The sums of a drive.
#[derive(Debug)]
pub struct Summary {
    pub tally: Tally,
    pub took: Duration,
    pub concurrency: usize,
    /// Why it ended before all customers were through, if it did.
    pub stopped: Option<String>,
}

impl Summary {
    /// Whether everything sent was taken: then the drive has done its work.
    pub fn clean(&self) -> bool {
        self.stopped.is_none() && self.tally.refused == 0 && self.tally.rejected.is_empty()
    }

    fn per_second(&self, n: u64) -> f64 {
        n as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// The same figures for programs; latencies in microseconds.
    pub fn to_json(&self) -> Value {
        let t = &self.tally;
        let offers: serde_json::Map<String, Value> = CLASSES
            .iter()
            .map(|class| {
                let of = |phase: &&'static str| t.offers.get(&((*class).to_owned(), *phase));
                let by_phase = PHASES
                    .iter()
                    .map(|p| ((*p).to_owned(), json!(of(p).unwrap_or(&0))));
                ((*class).to_owned(), Value::Object(by_phase.collect()))
            })
            .collect();
        let rejected: Vec<Value> = t
            .rejected
            .iter()
            .map(|((kind, code), n)| json!({ "type": kind, "code": code, "count": n }))
            .collect();
        json!({
            "seconds": self.took.as_secs_f64(),
            "loop": "closed",
            "concurrency": self.concurrency,
            "stopped": self.stopped,
            "visits": t.visits,
            "visits_cut": t.visits_cut,
            "decisions": {
                "acknowledged": t.decisions,
                "unanswered": t.decisions_unanswered,
                "latency_us": latency_json(&t.decision_us),
                "degraded": t.degraded,
                "no_offer": t.no_offer,
            },
            "offers": offers,
            "events": {
                "acknowledged": t.events,
                "accepted": t.accepted,
                "duplicates": t.duplicates,
                "rejected": rejected,
                "batches_unanswered": t.batches_unanswered,
                "latency_us": latency_json(&t.batch_us),
            },
            "value_minor": t.value_minor,
            "retries": t.retries,
            "failures": t.failures,
            "refused": t.refused,
            "details": t.details,
        })
    }

    fn offers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<10}", "offers")?;
        for phase in PHASES {
            write!(f, "{phase:>10}")?;
        }
        writeln!(f, "{:>10}", "all")?;
        for class in CLASSES {
            let of = |phase| self.tally.offers.get(&(class.to_owned(), phase)).copied();
            let counts: Vec<u64> = PHASES.iter().map(|p| of(p).unwrap_or(0)).collect();
            write!(f, "  {class:<8}")?;
            for count in &counts {
                write!(f, "{count:>10}")?;
            }
            writeln!(f, "{:>10}", counts.iter().sum::<u64>())?;
        }
        Ok(())
    }

    fn events(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.tally;
        let all: u64 = t.events.values().sum();
        writeln!(
            f,
            "\nevents    {all} acknowledged: {} new, {} had been counted before a retry",
            t.accepted, t.duplicates
        )?;
        for kind in EVENTS {
            writeln!(f, "  {kind:<12}{:>8}", t.events.get(kind).unwrap_or(&0))?;
        }
        for ((kind, code), n) in &t.rejected {
            writeln!(f, "  {kind:<12}{n:>8} rejected: {code}")?;
        }
        for (currency, minor) in &t.value_minor {
            let value = *minor as f64 / 100.0;
            writeln!(
                f,
                "  value       {value:>11.2} {currency}, conversions less reversals"
            )?;
        }
        Ok(())
    }

    fn trouble(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.tally;
        let failed: u64 = t.failures.values().sum();
        writeln!(
            f,
            "\nfailures  {failed}, retries {}; unanswered: {} decisions, {} batches of events",
            t.retries, t.decisions_unanswered, t.batches_unanswered
        )?;
        for (cause, n) in &t.failures {
            writeln!(f, "  {n:>8}  {cause}")?;
        }
        for detail in &t.details {
            writeln!(f, "  refused: {detail}")?;
        }
        match &self.stopped {
            Some(why) => writeln!(f, "\nSTOPPED: {why}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = &self.tally;
        writeln!(
            f,
            "visits    {} of seven phases in {:.1} s, {} cut short",
            t.visits,
            self.took.as_secs_f64(),
            t.visits_cut
        )?;
        writeln!(
            f,
            "decisions {} ({:.0} a second)",
            t.decisions,
            self.per_second(t.decisions)
        )?;
        writeln!(f, "  {}", latency(&t.decision_us))?;
        writeln!(
            f,
            "  measured in a closed loop of {}: a stalled server is asked less, which hides its stalls",
            self.concurrency
        )?;
        for (word, n) in &t.degraded {
            writeln!(f, "  {n:>8}  answered without: {word}")?;
        }
        self.offers(f)?;
        writeln!(f, "\nempty placements")?;
        for (reason, n) in &t.no_offer {
            writeln!(f, "  {n:>8}  {reason}")?;
        }
        self.events(f)?;
        writeln!(f, "  batches: {}", latency(&t.batch_us))?;
        self.trouble(f)
    }
}

fn latency(us: &Histogram<u64>) -> String {
    let ms = |us: u64| us as f64 / 1_000.0;
    let mut words: Vec<String> = QUANTILES
        .iter()
        .map(|(name, q)| format!("{name} {:.2} ms", ms(us.value_at_quantile(*q))))
        .collect();
    words.push(format!("max {:.2} ms", ms(us.max())));
    words.join(", ")
}

fn latency_json(us: &Histogram<u64>) -> Value {
    let at = |q: &(&str, f64)| (q.0.to_owned(), json!(us.value_at_quantile(q.1)));
    let mut figures: serde_json::Map<String, Value> = QUANTILES.iter().map(at).collect();
    figures.insert("max".into(), json!(us.max()));
    Value::Object(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let mut tally = Tally::default();
        tally.offers.insert(("care".into(), "on_site"), 3);
        tally.value_minor.insert("USD".into(), 12_345);
        tally.decision_us.record_n(250, 999).unwrap();
        tally.decision_us.record(9_000).unwrap();
        Summary {
            tally,
            took: Duration::from_secs(2),
            concurrency: 32,
            stopped: None,
        }
    }

    #[test]
    fn the_figures_are_the_tallys() {
        let json = summary().to_json();
        assert_eq!(json["offers"]["care"]["on_site"], 3);
        assert_eq!(json["offers"]["upsell"]["feedback"], 0);
        assert_eq!(json["decisions"]["latency_us"]["p50"], 250);
        let max = json["decisions"]["latency_us"]["max"].as_u64().unwrap();
        assert!(max.abs_diff(9_000) < 10, "{max}");
        let text = summary().to_string();
        for told in ["closed loop of 32", "p99.9", "123.45 USD"] {
            assert!(text.contains(told), "{told} is missing from {text}");
        }
    }

    #[test]
    fn a_drive_is_clean_if_all_was_taken() {
        assert!(summary().clean());
        let mut refused = summary();
        refused.tally.refused = 1;
        let mut rejected = summary();
        let key = ("click", "token_forged".to_owned());
        rejected.tally.rejected.insert(key, 1);
        let stopped = Summary {
            stopped: Some("away".into()),
            ..summary()
        };
        for summary in [refused, rejected, stopped] {
            assert!(!summary.clean(), "{summary}");
        }
    }
}
