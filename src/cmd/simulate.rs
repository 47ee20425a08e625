//! `offerd simulate`: what policies earn where the truth is known.

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::csv::{CsvError, Records};
use crate::learn::simulation::{
    Comparison, Customers, Interval, Labels, Plan, Policy, Setup, Study, TableError, picture, study,
};

/// Plays policies in simulated worlds whose truth is known.
///
/// Appointments walk from scheduled to feedback, customers look at the page and leave, offers have seasons, start
/// and end, conversions come minutes to days late. Printed is what each policy earned over what the best
/// decisions would have earned, with 95 % intervals over worlds. Explorers and online layers are the
/// server's own. docs/simulation.md says what is simulated.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: offerd simulate --customers Telco-Customer-Churn.csv --svg simulation.svg\n         \
                  offerd simulate --offers 20 --base model --policies pairwise-odds,model-epsilon,model-greedy --json"
)]
pub struct Args {
    /// How many offers a world has, 4 to 1000; several numbers are several studies.
    #[arg(long, value_delimiter = ',', default_value = "20,100", value_parser = clap::value_parser!(u16).range(4..=1_000))]
    pub offers: Vec<u16>,
    /// How many worlds, 1 to 100; policies are compared within each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub worlds: u32,
    /// How many decisions a world has, about, 1000 to 5000000; 10000 make a day.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    pub decisions: u32,
    /// The seed of the first world; the same seed gives the same bytes.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Customers from a CSV with the columns of the IBM Telco customer churn table; made-up ones if not given.
    #[arg(long, value_name = "FILE")]
    pub customers: Option<PathBuf>,
    /// Who plays; the others are compared with the first [default: all].
    #[arg(long, value_delimiter = ',', value_parser = str::parse::<Policy>)]
    pub policies: Vec<Policy>,
    /// When learners are told: `flip` (failures when seen, taken back by conversions, as the server does),
    /// `at-once` (as nobody can know), `naive` (conversions as they come, failures when the window closes).
    #[arg(long, default_value = "flip", value_parser = str::parse::<Labels>)]
    pub labels: Labels,
    /// What learners start from: `prior` (one probability for everything) or `model` (one trained on a log
    /// from before the world begins).
    #[arg(long, default_value = "prior", value_parser = ["prior", "model"])]
    pub base: String,
    /// No season, and no offers that start or end.
    #[arg(long)]
    pub still: bool,
    /// How many worlds are played at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub threads: u8,
    /// Prints every figure as JSON.
    #[arg(long)]
    pub json: bool,
    /// Draws regret over time and value over the oracle's into this file.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Why nothing was simulated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The customers cannot be read.
    #[error("failed to read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// They are no CSV.
    #[error("{path}: {source}")]
    Csv {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: CsvError,
    },
    /// A record has another number of cells than the header.
    #[error("{path}: record {record} has {found} cells, the header {expected}")]
    Ragged {
        /// Which file.
        path: PathBuf,
        /// Which record, the header being 1.
        record: usize,
        /// How many it has.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// They are another table.
    #[error("{path}: {source}")]
    Table {
        /// Which file.
        path: PathBuf,
        /// What is missing.
        source: TableError,
    },
    /// The picture cannot be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// How many customers are made up where no table is given: as many as the Telco table has.
const MADE_UP: usize = 7_043;
/// Their seed, whatever the worlds' seeds are: all worlds have the same customers.
const MADE_UP_SEED: u64 = 7;

/// Runs the command. Prints the figures to standard output, progress to standard error.
///
/// # Errors
/// If customers cannot be read or the picture cannot be written.
pub fn run(args: &Args) -> Result<(), Error> {
    let customers = match &args.customers {
        Some(path) => read_customers(path)?,
        None => Customers::made_up(MADE_UP_SEED, MADE_UP),
    };
    let plans: Vec<Plan> = args
        .offers
        .iter()
        .map(|&offers| plan(args, offers))
        .collect();
    let plays = plans
        .iter()
        .map(|p| u64::from(p.worlds) * p.policies.len() as u64);
    let bar = ProgressBar::new(plays.sum()).with_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} worlds played, {elapsed}, {eta} left")
            .expect("the template is a constant"),
    );
    let studies: Vec<Study> = (plans.iter())
        .map(|plan| study(plan, &customers, &|| bar.inc(1)))
        .collect();
    bar.finish_and_clear();
    if let Some(path) = &args.svg {
        fs::write(path, picture(&studies)).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
    }
    if args.json {
        let json = serde_json::to_string_pretty(&studies);
        println!("{}", json.expect("plain numbers serialize"));
    } else {
        studies.iter().for_each(print);
    }
    Ok(())
}

fn plan(args: &Args, offers: u16) -> Plan {
    let policies = match args.policies.is_empty() {
        true => Policy::all().collect(),
        false => args.policies.clone(),
    };
    Plan {
        setup: Setup {
            offers: usize::from(offers),
            decisions: args.decisions,
            changes: !args.still,
            ..Setup::default()
        },
        worlds: args.worlds,
        seed: args.seed,
        policies,
        labels: args.labels,
        pushed: args.base == "model",
        threads: usize::from(args.threads),
    }
}

fn read_customers(path: &Path) -> Result<Customers, Error> {
    let path = path.to_owned();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(source) => return Err(Error::Read { path, source }),
    };
    let mut records = Records::of(&text);
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut cells = Vec::new();
    loop {
        match records.next_into(&mut cells) {
            Ok(true) => rows.push(cells.clone()),
            Ok(false) => break,
            Err(source) => return Err(Error::Csv { path, source }),
        }
        let expected = rows[0].len();
        if cells.len() != expected {
            return Err(Error::Ragged {
                path,
                record: records.number(),
                found: cells.len(),
                expected,
            });
        }
    }
    let header = if rows.is_empty() {
        Vec::new()
    } else {
        rows.remove(0)
    };
    Customers::of_telco(&header, &rows).map_err(|source| Error::Table { path, source })
}

/// The figures for people.
fn print(study: &Study) {
    println!(
        "{} offers, {:.0} decisions in {:.0} days, labels {}, starting from a {}",
        study.offers, study.decisions, study.days, study.labels, study.base
    );
    println!(
        "{:<16} {:>20} {:>22} {:>6}  {:>17}  {:>12} {:>12}  {:>5}",
        "policy",
        "value / oracle",
        "minus the first's",
        "worst",
        "by thirds",
        "season +2k",
        "start +2k",
        "ESS"
    );
    for policy in &study.policies {
        println!("{}", line(policy));
    }
    println!();
}

fn line(policy: &Comparison) -> String {
    let interval = |i: &Interval| format!("{:.3} [{:.3}, {:.3}]", i.mean, i.low, i.high);
    let over = policy
        .over_first
        .as_ref()
        .map(|i| format!("{:+.3} [{:+.3}, {:+.3}]", i.mean, i.low, i.high));
    let worst = policy.worlds.iter().copied().fold(1.0, f64::min);
    let thirds = policy.thirds.map(|t| format!("{t:.3}")).join(" ");
    format!(
        "{:<16} {:>20} {:>22} {worst:>6.3}  {thirds:>17}  {:>12.3} {:>12.3}  {:>5.3}",
        policy.policy,
        interval(&policy.share),
        over.unwrap_or_default(),
        policy.season[0].share.mean,
        policy.start[0].share.mean,
        policy.effective_share,
    )
}
