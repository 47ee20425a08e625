//! `offerd bandit`: what explorer and learner earn on a stream whose every reward is known.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::decide::explore::{Explorer, Policy};
use crate::learn::bandit::{Played, Stream, StreamError, play};
use crate::learn::simulation::Interval;

/// Play a stream, showing the learner only the reward of the action it drew.
///
/// A stream has one JSON object a line, `{"t": 0, "x": [context], "r": [reward of each action]}`, and a file
/// NAME.meta.json beside it that names the `actions` and, where they differ, the `values` of a success. Seed 0 and
/// files named `..._chrono.jsonl` are played in order, other seeds shuffle.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: offerd bandit letter.jsonl --seeds 10 --max-rows 8000 --explorer 'pairwise_odds(0.2,0.005)'"
)]
pub struct Args {
    /// The stream, JSON lines.
    #[arg(value_name = "FILE.jsonl")]
    pub file: PathBuf,
    /// Who draws, as records name policies [default: the catalog's default].
    #[arg(long, value_name = "POLICY")]
    pub explorer: Option<Policy>,
    /// How many seeds, 1 to 1000.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub seeds: u64,
    /// Lines played of each order; all if not given.
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_rows: Option<u64>,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was played.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("failed to read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// What is in it.
    #[error("{path}: {source}")]
    Stream {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        source: StreamError,
    },
    /// The output.
    #[error("failed to write: {0}")]
    Output(#[from] std::io::Error),
}

/// What it came to.
#[derive(Debug, Serialize)]
struct Figures {
    stream: String,
    explorer: String,
    rows: usize,
    actions: usize,
    /// Mean reward of each seed, the first being seed 0.
    rewards: Vec<f64>,
    /// Over seeds, with its 95 % interval; one seed has no width.
    reward: Interval,
    propensity_min: f64,
    decide_us: f64,
    learn_us: f64,
}

/// Runs the command.
///
/// # Errors
/// When the stream cannot be read or is none, or nothing can be printed.
pub fn run(args: &Args) -> Result<(), Error> {
    let stream = read(&args.file)?;
    let policy = args.explorer.unwrap_or(Explorer::DEFAULT.into());
    let rows = args.max_rows.map_or(usize::MAX, |rows| rows as usize);
    let steps = args.seeds * rows.min(stream.lines.len()) as u64;
    let bar = ProgressBar::new(steps).with_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} lines played, {elapsed}, {eta} left")
            .expect("the template is a constant"),
    );
    let played: Vec<Played> = (0..args.seeds)
        .map(|seed| {
            let played = play(&stream, &policy, (seed, rows), &|| {});
            bar.inc(played.rows as u64);
            played
        })
        .collect();
    bar.finish_and_clear();
    let figures = Figures::new(&stream, &policy, &played);
    let mut out = std::io::stdout().lock();
    if args.json {
        let json = serde_json::to_string(&figures).expect("figures are plain numbers");
        writeln!(out, "{json}")?;
    } else {
        writeln!(out, "{figures}")?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<Stream, Error> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| Error::Read {
            path: path.to_owned(),
            source,
        })
    };
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let meta = text(&path.with_extension("meta.json"))?;
    Stream::parse(&name, &text(path)?, &meta).map_err(|source| Error::Stream {
        path: path.to_owned(),
        source,
    })
}

impl Figures {
    fn new(stream: &Stream, policy: &Policy, played: &[Played]) -> Figures {
        let rewards: Vec<f64> = played.iter().map(|p| p.reward).collect();
        let rows: usize = played.iter().map(|p| p.rows).sum();
        let each = |total: Duration| total.as_secs_f64() * 1e6 / rows.max(1) as f64;
        Figures {
            stream: stream.name.clone(),
            explorer: policy.to_string(),
            rows: played.first().map_or(0, |p| p.rows),
            actions: stream.values.len(),
            reward: Interval::over(&rewards),
            propensity_min: played.iter().map(|p| p.propensity_min).fold(1.0, f64::min),
            decide_us: each(played.iter().map(|p| p.deciding).sum()),
            learn_us: each(played.iter().map(|p| p.learning).sum()),
            rewards,
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures {
            stream,
            explorer,
            rows,
            actions,
            ..
        } = self;
        writeln!(f, "{stream}: {rows} lines, {actions} actions, {explorer}")?;
        for (seed, reward) in self.rewards.iter().enumerate() {
            writeln!(f, "  seed {seed:<3} {reward:.4}")?;
        }
        let Interval { mean, low, high } = self.reward;
        write!(f, "  mean     {mean:.4}   95 % from {low:.4} to {high:.4}")?;
        let (decide, learn) = (self.decide_us, self.learn_us);
        write!(
            f,
            "\n  {decide:.2} us to decide, {learn:.2} us to learn, a line"
        )
    }
}
