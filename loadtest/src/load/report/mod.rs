//! What a command has to tell: for people on the terminal, for programs as JSON, for both as a page.

mod hgrm;
mod html;
mod table;

pub use table::{UNDISTURBED, median};

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use super::generator::{Load, Outcome};
use super::latency::Latency;
use super::machine::Machine;
use super::plan::Pace;
use super::tally::{Counts, Stretch, Tally, total};
use super::wire::Door;

/// The form of the file; another number is another form.
const FORMAT: u32 = 1;

/// Everything that one command found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub format: u32,
    /// Such as `run`.
    pub command: String,
    /// The whole command line.
    pub arguments: Vec<String>,
    /// RFC 3339.
    pub began: String,
    pub machine: Machine,
    pub runs: Vec<Run>,
    /// What only this command finds out, such as `capacity`.
    pub figures: BTreeMap<String, f64>,
    /// Sentences for the reader.
    pub notes: Vec<String>,
}

/// One run of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// What was asked: `offerd`, `bare hyper`, or which of a pair.
    pub name: String,
    /// From 1.
    pub round: u32,
    pub door: Door,
    pub connections: usize,
    pub streams: usize,
    pub generators: usize,
    pub phases: Vec<Phase>,
    /// Milliseconds between two points of the timeline.
    pub step_ms: f64,
    pub timeline: Vec<Point>,
    /// The first few words about what went wrong.
    pub details: Vec<String>,
    pub reconnects: u64,
}

/// A part of a run at one pace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    /// False for the warm-up.
    pub measured: bool,
    pub seconds: f64,
    /// Requests per second; absent where the server's own speed was the rate.
    pub rate: Option<f64>,
    #[serde(flatten)]
    pub counts: Counts,
    /// Microseconds of processor time of the server's process for each request it answered in any way.
    pub cpu_us: Option<f64>,
    /// Of one processor, how much the server's process used.
    pub cpu_share: Option<f64>,
    /// Time that its threads were ready and had to wait for a processor, against the time they had one.
    pub waited_share: Option<f64>,
    /// The most memory that was present, in MiB.
    pub resident_mib: Option<f64>,
}

/// A stretch of the run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub answered: u64,
    pub refused: u64,
    pub failed: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

impl Report {
    pub fn new(command: &str) -> Report {
        Report {
            format: FORMAT,
            command: command.to_owned(),
            arguments: std::env::args().skip(1).collect(),
            began: crate::visit::message::Instant::now().to_string(),
            machine: Machine::read(),
            runs: Vec::new(),
            figures: BTreeMap::new(),
            notes: Vec::new(),
        }
    }

    pub fn read(path: &Path) -> anyhow::Result<Report> {
        let text = std::fs::read(path)
            .map_err(|e| crate::WrongUse(format!("failed to read {}: {e}", path.display())))?;
        let report: Report = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no report of loadtest", path.display()))?;
        if report.format != FORMAT {
            bail!(
                "{}: form {}, expected {FORMAT}",
                path.display(),
                report.format
            );
        }
        Ok(report)
    }

    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        write(path, &(serde_json::to_string(self)? + "\n"))
    }

    pub fn write_html(&self, path: &Path) -> anyhow::Result<()> {
        write(path, &html::page(self))
    }

    /// HdrHistogram's own text form, of the first measured phase of the first run.
    pub fn write_hgrm(&self, path: &Path) -> anyhow::Result<()> {
        let phase = self.main_phase().context("there is nothing to write")?;
        write(path, &hgrm::text(phase.latency()))
    }

    /// What the command is about: the first measured phase of the first run.
    pub fn main_phase(&self) -> Option<&Phase> {
        self.runs
            .first()?
            .phases
            .iter()
            .find(|phase| phase.measured)
    }

    /// Whether every answer held and no request went without one.
    pub fn clean(&self) -> bool {
        let phases = self.runs.iter().flat_map(|run| &run.phases);
        phases
            .map(|p| total(&p.counts.failed) + total(&p.counts.wrong))
            .sum::<u64>()
            == 0
    }

    /// Adds another generator's report of the same command.
    pub fn add(&mut self, other: &Report) -> anyhow::Result<()> {
        if self.runs.len() != other.runs.len() {
            bail!(
                "{} runs and {} do not fit together",
                self.runs.len(),
                other.runs.len()
            );
        }
        for (to, from) in self.runs.iter_mut().zip(&other.runs) {
            to.add(from)?;
        }
        Ok(())
    }
}

impl Run {
    pub fn new(name: &str, round: u32, load: &Load, outcome: &Outcome) -> Run {
        let tally = &outcome.tally;
        let phase = |at: usize| Phase::new(load, outcome, at);
        Run {
            name: name.to_owned(),
            round,
            door: load.line.writer.door,
            connections: load.line.connections * load.threads,
            streams: load.line.streams,
            generators: load.threads,
            phases: (0..load.plan.phases.len()).map(phase).collect(),
            step_ms: tally.step_ns as f64 / 1e6,
            timeline: timeline(tally),
            details: tally.details.clone(),
            reconnects: tally.reconnects,
        }
    }

    pub fn phase(&self, name: &str) -> Option<&Phase> {
        self.phases.iter().find(|phase| phase.name == name)
    }

    fn add(&mut self, other: &Run) -> anyhow::Result<()> {
        let shape = |run: &Run| -> Vec<String> {
            run.phases
                .iter()
                .map(|p| format!("{} {}", p.name, p.seconds))
                .collect()
        };
        if shape(self) != shape(other) {
            bail!(
                "the phases {:?} and {:?} do not fit together",
                shape(self),
                shape(other)
            );
        }
        self.connections += other.connections;
        self.generators += other.generators;
        self.reconnects += other.reconnects;
        for (to, from) in self.phases.iter_mut().zip(&other.phases) {
            to.counts.add(&from.counts);
            to.rate = to.rate.zip(from.rate).map(|(a, b)| a + b);
        }
        // Quantiles cannot be added: the plot over time shows the worse of both.
        for (to, from) in self.timeline.iter_mut().zip(&other.timeline) {
            to.answered += from.answered;
            to.refused += from.refused;
            to.failed += from.failed;
            to.p50_us = to.p50_us.max(from.p50_us);
            to.p99_us = to.p99_us.max(from.p99_us);
            to.max_us = to.max_us.max(from.max_us);
        }
        Ok(())
    }
}

impl Phase {
    fn new(load: &Load, outcome: &Outcome, at: usize) -> Phase {
        let plan = &load.plan.phases[at];
        let counts = outcome.tally.phases[at].clone();
        let used = outcome.usage[at + 1].since(&outcome.usage[at]);
        let has_pid = load.pid.is_some() && used.cpu_ns > 0;
        let handled = counts.answered + total(&counts.refused) + total(&counts.wrong);
        let figure = |value: f64| has_pid.then_some(value);
        Phase {
            name: plan.name.clone(),
            measured: plan.measured,
            seconds: plan.lasts.as_secs_f64(),
            rate: match plan.pace {
                Pace::PerSecond(rate) => Some(rate),
                Pace::Saturate => None,
            },
            cpu_us: figure(used.cpu_ns as f64 / 1e3 / handled.max(1) as f64),
            cpu_share: figure(used.cpu_ns as f64 / plan.lasts.as_nanos() as f64),
            waited_share: figure(used.waited_ns as f64 / used.cpu_ns.max(1) as f64),
            resident_mib: figure(outcome.resident_peak[at] as f64 / (1 << 20) as f64),
            counts,
        }
    }

    /// The latency that the phase is judged by: decisions, or events where there was nothing else.
    pub fn latency(&self) -> &Latency {
        match self.counts.decisions.count() {
            0 => &self.counts.events,
            _ => &self.counts.decisions,
        }
    }

    /// Proper answers per second.
    pub fn goodput(&self) -> f64 {
        self.counts.answered as f64 / self.seconds
    }

    /// Its share of what was planned.
    pub fn share(&self, n: u64) -> f64 {
        n as f64 / self.counts.planned.max(1) as f64
    }
}

fn timeline(tally: &Tally) -> Vec<Point> {
    let point = |stretch: &Stretch| {
        let at = |quantile| stretch.latency_us.value_at_quantile(quantile);
        Point {
            answered: stretch.answered,
            refused: stretch.refused,
            failed: stretch.failed,
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: stretch.latency_us.max(),
        }
    };
    tally.stretches.iter().map(point).collect()
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A report with one run whose decisions took these microseconds.
    pub fn report(us: &[u64], failed: u64) -> Report {
        let mut counts = Counts {
            planned: us.len() as u64 + failed,
            answered: us.len() as u64,
            ..Counts::default()
        };
        us.iter().for_each(|us| counts.decisions.record(us * 1_000));
        if failed > 0 {
            counts.failed.insert("timeout".into(), failed);
        }
        let phase = Phase {
            name: "load".into(),
            measured: true,
            seconds: 2.0,
            rate: Some(500.0),
            counts,
            cpu_us: Some(20.0),
            cpu_share: None,
            waited_share: None,
            resident_mib: None,
        };
        let point = Point {
            answered: 5,
            refused: 0,
            failed,
            p50_us: 10,
            p99_us: 90,
            max_us: 91,
        };
        Report {
            runs: vec![Run {
                name: "offerd".into(),
                round: 1,
                door: Door::Http,
                connections: 4,
                streams: 1,
                generators: 1,
                phases: vec![phase],
                step_ms: 100.0,
                timeline: vec![point; 20],
                details: Vec::new(),
                reconnects: 0,
            }],
            ..Report::new("run")
        }
    }

    #[test]
    fn generators_add_up_without_loss() {
        let (mut one, two) = (report(&[100, 200, 300], 1), report(&[400, 500], 0));
        one.add(&two).unwrap();
        let phase = one.main_phase().unwrap();
        assert_eq!(
            phase.counts.decisions,
            report(&[100, 200, 300, 400, 500], 0)
                .main_phase()
                .unwrap()
                .counts
                .decisions
        );
        assert_eq!(
            (phase.rate, phase.counts.planned, one.runs[0].connections),
            (Some(1_000.0), 6, 8)
        );
        assert!(!one.clean());
        let mut other = report(&[1], 0);
        other.runs[0].phases[0].name = "base".into();
        assert!(one.add(&other).is_err());
    }

    #[test]
    fn a_written_report_is_the_same_one() {
        let report = report(&[100, 200, 70_000], 3);
        let path = std::env::temp_dir().join(format!("loadtest-report-{}", std::process::id()));
        report.write_json(&path).unwrap();
        let read = Report::read(&path);
        std::fs::remove_file(&path).unwrap();
        let read = read.unwrap();
        assert_eq!(
            serde_json::to_string(&read).unwrap(),
            serde_json::to_string(&report).unwrap()
        );
    }
}
