//! What models do, as Prometheus reads it.
//!
//! Written from the tallies whenever the page is asked for, and not kept in the recorder: a version that left
//! its stage takes its series along. At any time there are those of at most three versions (live, canary,
//! shadow), and per version up to three for each of its at most 512 inputs, of which only those are shown that
//! were ever odd, and one for each of at most 20 that drift. Names of inputs come from manifests, which operators push, never from requests.

use std::fmt::Write;

use super::tally::{Counts, Tallies};
use super::{
    MODEL_DECISIONS, MODEL_DRIFT, MODEL_DRIFT_LARGEST, MODEL_DRIFT_ROWS, MODEL_DURATION,
    MODEL_FAILURES, MODEL_INPUTS_ODD,
};
use crate::domain::Oddity;

/// The lines of the versions in these stages: `(stage, name@version)`. A version that is not listed has none.
#[must_use]
pub fn page(tallies: &Tallies, staged: &[(&'static str, &str)]) -> String {
    let read: Vec<(String, &str, Counts)> = (staged.iter())
        .filter_map(|(stage, label)| {
            let labels = format!("stage=\"{stage}\",model=\"{}\"", escaped(label));
            Some((labels, *label, tallies.read(label)?))
        })
        .collect();
    let mut out = String::new();
    head(
        &mut out,
        MODEL_DECISIONS,
        "counter",
        "decisions that a version made or, as shadow, scored alongside, since it entered the stage",
    );
    for (labels, _, counts) in &read {
        line(&mut out, MODEL_DECISIONS, labels, counts.decisions);
    }
    head(
        &mut out,
        MODEL_FAILURES,
        "counter",
        "those in which it gave no probability and the priors answered",
    );
    for (labels, _, counts) in &read {
        line(&mut out, MODEL_FAILURES, labels, counts.failures);
    }
    let name = MODEL_DURATION;
    let help = "how long deciding took with a version; as shadow, how long its scoring alone";
    head(&mut out, name, "histogram", help);
    for (labels, _, counts) in &read {
        for (bound, n) in counts.at_most() {
            let labels = format!("{labels},le=\"{}\"", bound.as_secs_f64());
            line(&mut out, &format!("{name}_bucket"), &labels, n);
        }
        let all = format!("{labels},le=\"+Inf\"");
        line(&mut out, &format!("{name}_bucket"), &all, counts.decisions);
        line(
            &mut out,
            &format!("{name}_sum"),
            labels,
            counts.took.as_secs_f64(),
        );
        line(&mut out, &format!("{name}_count"), labels, counts.decisions);
    }
    let name = MODEL_INPUTS_ODD;
    let help = "decisions in which an input was missing, of the wrong type, or an unknown category";
    head(&mut out, name, "counter", help);
    for (labels, label, _) in &read {
        for odd in tallies.odd(label) {
            for what in Oddity::ALL.iter().filter(|what| odd.of(**what) > 0) {
                let feature = escaped(&odd.feature);
                let labels = format!("{labels},feature=\"{feature}\",what=\"{what}\"");
                line(&mut out, name, &labels, odd.of(*what));
            }
        }
    }
    out
}

/// What drift there is in what a version is asked.
#[derive(Clone, Debug)]
pub struct Drift {
    /// Such as `live`.
    pub stage: &'static str,
    /// `name@version`.
    pub model: String,
    /// Customers looked at.
    pub rows: u64,
    /// The largest population stability index of any input.
    pub largest: f64,
    /// The inputs that somebody should look at, and theirs: a few at most.
    pub features: Vec<(String, f64)>,
}

/// The lines of drift.
#[must_use]
pub fn drifts(drifts: &[Drift]) -> String {
    let labels = |d: &Drift| format!("stage=\"{}\",model=\"{}\"", d.stage, escaped(&d.model));
    let mut out = String::new();
    let help = "customers of whose requests drift is judged";
    head(&mut out, MODEL_DRIFT_ROWS, "gauge", help);
    for drift in drifts {
        line(&mut out, MODEL_DRIFT_ROWS, &labels(drift), drift.rows);
    }
    let help = "the largest population stability index of any input, against the nearest reference";
    head(&mut out, MODEL_DRIFT_LARGEST, "gauge", help);
    for drift in drifts {
        line(&mut out, MODEL_DRIFT_LARGEST, &labels(drift), drift.largest);
    }
    let help = "the population stability index of the inputs that somebody should look at";
    head(&mut out, MODEL_DRIFT, "gauge", help);
    for drift in drifts {
        for (feature, psi) in &drift.features {
            let labels = format!("{},feature=\"{}\"", labels(drift), escaped(feature));
            line(&mut out, MODEL_DRIFT, &labels, psi);
        }
    }
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}").expect("text grows");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl std::fmt::Display) {
    writeln!(out, "{name}{{{labels}}} {value}").expect("text grows");
}

/// A label's value, as the exposition format has it.
fn escaped(text: &str) -> String {
    (text.replace('\\', "\\\\").replace('"', "\\\"")).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{NameHash, OddInput};
    use crate::telemetry::tally::Made;
    use std::time::Duration;

    #[test]
    fn the_page_says_what_was_counted() {
        let tallies = Tallies::default();
        tallies.list("m@1", ["tenure", "a \"b\""]);
        tallies.list("m@2", []);
        tallies.count(NameHash::of("m@1").low(), |tally| {
            for us in [3, 30, 3_000] {
                let took = Duration::from_micros(us);
                tally.decision(
                    Made {
                        failed: us == 30,
                        took,
                    },
                    [].into_iter(),
                );
            }
            let odd = |input, oddity| OddInput { input, oddity };
            tally.odd_inputs(&[odd(0, Oddity::Missing), odd(1, Oddity::Unknown)]);
        });
        let page = page(
            &tallies,
            &[("live", "m@1"), ("shadow", "m@2"), ("canary", "m@3")],
        );
        for expected in [
            "# TYPE offerd_model_decisions_total counter",
            "offerd_model_decisions_total{stage=\"live\",model=\"m@1\"} 3",
            "offerd_model_decisions_total{stage=\"shadow\",model=\"m@2\"} 0",
            "offerd_model_failures_total{stage=\"live\",model=\"m@1\"} 1",
            "offerd_model_duration_seconds_bucket{stage=\"live\",model=\"m@1\",le=\"0.000004\"} 1",
            "offerd_model_duration_seconds_bucket{stage=\"live\",model=\"m@1\",le=\"0.000032\"} 2",
            "offerd_model_duration_seconds_bucket{stage=\"live\",model=\"m@1\",le=\"+Inf\"} 3",
            "offerd_model_duration_seconds_sum{stage=\"live\",model=\"m@1\"} 0.003033",
            "offerd_model_inputs_odd_total{stage=\"live\",model=\"m@1\",feature=\"tenure\",what=\"missing\"} 1",
            "offerd_model_inputs_odd_total{stage=\"live\",model=\"m@1\",feature=\"a \\\"b\\\"\",what=\"unknown\"} 1",
        ] {
            assert!(
                page.lines().any(|line| line == expected),
                "{expected}\n{page}"
            );
        }
        assert!(!page.contains("m@3"), "{page}");
    }

    #[test]
    fn drift_is_told_of_few_inputs() {
        let drift = |model: &str, features: &[(&str, f64)]| Drift {
            stage: "live",
            model: model.to_owned(),
            rows: 1_200,
            largest: 0.3,
            features: features
                .iter()
                .map(|(f, psi)| ((*f).to_owned(), *psi))
                .collect(),
        };
        let page = drifts(&[drift("m@1", &[("a \"b\"", 0.3)])]);
        for expected in [
            "# TYPE offerd_model_drift_psi gauge",
            "offerd_model_drift_rows{stage=\"live\",model=\"m@1\"} 1200",
            "offerd_model_drift_largest_psi{stage=\"live\",model=\"m@1\"} 0.3",
            "offerd_model_drift_psi{stage=\"live\",model=\"m@1\",feature=\"a \\\"b\\\"\"} 0.3",
        ] {
            assert!(
                page.lines().any(|line| line == expected),
                "{expected}\n{page}"
            );
        }
        let steady = drifts(&[drift("m@1", &[])]);
        assert!(!steady.contains("feature="), "{steady}");
    }
}
