//! What every command of the load can be told.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::WrongUse;
use crate::visit::customers::{self, Columns};

use super::check::Models;
use super::engine::Line;
use super::generator::{self, Load};
use super::machine::{self, Cores};
use super::plan::{Plan, Spread};
use super::report::Report;
use super::source::{self, Cast, Scenario};
use super::subject::Subject;
use super::wire::{Door, Writer};

/// The server under test.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The server")]
pub struct Target {
    /// The public address of a server that runs.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// The operators' address of a server that runs: to know its models.
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// Start this program for the purpose, and end it afterwards, in place of --url.
    #[arg(long = "offerd", value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Settings of the server that is started.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Catalog of the server that is started.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Push this folder's model first.
    #[arg(long, value_name = "DIR")]
    pub model: Option<PathBuf>,
    /// A key for the public port.
    #[arg(long, value_name = "KEY", env = "OFFERD_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// A key for the operators' port.
    #[arg(
        long,
        value_name = "KEY",
        env = "OFFERD_ADMIN_KEY",
        hide_env_values = true
    )]
    pub admin_key: Option<String>,
    /// The process of a server that runs on this machine: to tell its processor time.
    #[arg(long)]
    pub pid: Option<u32>,
    /// Keep the servers that are started on these processors, such as 0 or 0,2 or 1-3.
    #[arg(long, value_name = "CORES")]
    pub pin_server: Option<Cores>,
    /// Run servers and generators before all that is not real-time (SCHED_FIFO, with chrt), if permitted.
    #[arg(long)]
    pub fifo: bool,
}

/// What is sent.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The load")]
pub struct Shape {
    /// What to ask for.
    #[arg(long, value_enum, default_value_t = Scenario::Appointment)]
    pub scenario: Scenario,
    /// How to speak to the server.
    #[arg(long, value_enum, default_value_t = Door::Http)]
    pub door: Door,
    /// Connections of all generators together [default: 32; over HTTP/2 and gRPC 4].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub connections: Option<u32>,
    /// Requests in flight on one connection [default: 1; over HTTP/2 and gRPC 64].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub streams: Option<u32>,
    /// Threads that send, each with its share of rate and connections.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub generators: u16,
    /// How the moments are spread.
    #[arg(long, value_enum, default_value_t = Spread::Fixed)]
    pub spread: Spread,
    /// Customers with their features; without it they are made up.
    #[arg(long, value_name = "FILE.csv")]
    pub customers: Option<PathBuf>,
    /// The column with the customer's id.
    #[arg(long, value_name = "NAME", default_value = "customerID")]
    pub id_column: String,
    /// Columns that are not features (repeat for several).
    #[arg(long, value_name = "NAME", default_value = "Churn")]
    pub leave_out: Vec<String>,
    /// Makes the visitors and the spread.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Ask for these placements (repeat for several) in place of the demo catalog's.
    #[arg(long = "placement", value_name = "ID")]
    pub placements: Vec<String>,
    /// Offers asked for at each placement of a decision.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub offers: u32,
    /// The phase that decisions are in.
    #[arg(long, default_value = "en_route")]
    pub phase: String,
    /// Not reported, at the beginning.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub warm_up: Time,
    /// How long an answer may take.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Time,
    /// Requests that may wait for a free connection; further ones fail.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub backlog: u32,
    /// Requests that are later than this by the generator's own fault are not sent.
    #[arg(skip)]
    pub late_max: Option<Duration>,
    /// The share of decisions whose answers are looked into, 0 to 1; visits look into all.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0, value_parser = share)]
    pub check: f64,
    /// Keep this program on these processors.
    #[arg(long, value_name = "CORES")]
    pub pin: Option<Cores>,
}

/// Where figures go besides the terminal.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "The report")]
pub struct Output {
    /// Write the report there as JSON, for compare and merge.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the latencies there in HdrHistogram's text form.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Write the report there as a page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Add the JSON report of another generator that did the same (repeat for several).
    #[arg(long, value_name = "FILE")]
    pub merge: Vec<PathBuf>,
}

impl Output {
    /// Adds what others found, prints, writes.
    pub fn give(&self, mut report: Report) -> anyhow::Result<Report> {
        for path in &self.merge {
            report.add(&Report::read(path)?)?;
        }
        print!("{report}");
        if let Some(path) = &self.json {
            report.write_json(path)?;
        }
        if let Some(path) = &self.hgrm {
            report.write_hgrm(path)?;
        }
        if let Some(path) = &self.html {
            report.write_html(path)?;
        }
        Ok(report)
    }
}

/// A length of time, such as `30s`, `500ms` or `2m`; at most a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time(pub Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Time, String> {
        let units = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
        let seconds = units.iter().find_map(|(unit, factor)| {
            let number: f64 = text.strip_suffix(unit)?.trim().parse().ok()?;
            Some(number * factor)
        });
        match seconds.filter(|s| (0.0..=86_400.0).contains(s)) {
            Some(seconds) => Ok(Time(Duration::from_secs_f64(seconds))),
            None => Err(format!(
                "expected a time such as 30s, 500ms or 2m, found {text:?}"
            )),
        }
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text
        .parse()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| format!("expected a share from 0 to 1, found {text:?}"))
}

impl Shape {
    /// The customers and what is asked for them.
    pub fn cast(&self) -> anyhow::Result<Cast> {
        let columns = Columns {
            id: &self.id_column,
            left_out: &self.leave_out,
        };
        let customers = match &self.customers {
            Some(path) => customers::read_file(path, &columns, None)?,
            None => customers::made_up(self.seed),
        };
        let Some(phase) = source::phase(&self.phase) else {
            bail!(WrongUse(format!(
                "--phase {}: there is no such phase",
                self.phase
            )));
        };
        let mut placements = self.placements.clone();
        if placements.is_empty() && self.scenario == Scenario::Decisions {
            placements = vec!["tracker_hero".into(), "map_card".into()];
        }
        Ok(Cast {
            scenario: self.scenario,
            customers: Arc::new(customers),
            seed: self.seed,
            placements,
            offers: self.offers,
            phase,
        })
    }

    /// Prepares this process for the load.
    pub fn settle_in(&self) -> anyhow::Result<Vec<String>> {
        machine::raise_file_limit();
        let Some(cores) = &self.pin else {
            return Ok(Vec::new());
        };
        machine::pin_this_thread(cores)?;
        Ok(vec![format!("loadtest: on processors {cores}")])
    }

    /// The line to a host through a door.
    fn line(&self, host: &str, door: Door, key: Option<&str>) -> anyhow::Result<Line> {
        let generators = usize::from(self.generators);
        let (connections, streams) = match door {
            Door::Http => (32, 1),
            Door::H2c | Door::Grpc => (4, 64),
        };
        let connections = self.connections.map_or(connections, |n| n as usize);
        Ok(Line {
            address: generator::address(host).context("--url")?,
            writer: Writer {
                door,
                host: host.to_owned(),
                authorization: key.map(|key| format!("Bearer {key}")),
            },
            connections: connections.div_ceil(generators),
            streams: self.streams.map_or(streams, |n| n as usize),
            timeout: self.timeout.0,
            backlog_max: (self.backlog as usize).div_ceil(generators),
            late_max: self.late_max,
            check_share: self.check,
        })
    }

    /// A run of a plan against the server under test.
    pub fn load(
        &self,
        target: &Target,
        subject: &Subject,
        cast: &Cast,
        plan: Plan,
        name: &str,
    ) -> anyhow::Result<Load> {
        Ok(Load {
            line: self.line(&subject.host, self.door, target.key.as_deref())?,
            plan,
            cast: cast.clone(),
            models: subject.models.clone(),
            threads: usize::from(self.generators),
            fifo: target.fifo,
            pid: subject.pid,
            name: name.to_owned(),
        })
    }

    /// The same against a floor: decisions only, and its answers are all the same.
    pub fn floor_load(
        &self,
        load: &Load,
        host: &str,
        door: Door,
        pid: u32,
    ) -> anyhow::Result<Load> {
        let mut cast = load.cast.clone();
        cast.scenario = Scenario::Decisions;
        if cast.placements.is_empty() {
            cast.placements = vec!["tracker_hero".into(), "map_card".into()];
        }
        let mut line = self.line(host, door, None)?;
        line.check_share = 0.0;
        Ok(Load {
            line,
            cast,
            models: Models::default(),
            pid: Some(pid),
            ..load.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, ms) in [
            ("30s", 30_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("0.5s", 500),
        ] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_millis(ms))));
        }
        for text in ["", "30", "s", "-1s", "25h", "1 day"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
    }
}
