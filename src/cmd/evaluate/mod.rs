//! `offerd evaluate`: what another policy would have earned, from somebody's table or from offerd's own records.

mod display;
mod file;
mod records;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::cmd::train::source::{From, SourceError};
use crate::learn::ope::gate::Verdict;
use crate::learn::ope::{
    Counts, Distribution, Estimate, Estimator, Guards, Row, Short, SlateEstimate, SlateEstimator,
    Slates, Table, TableError, Weights,
};

/// Estimate what another policy would have earned, from the log of the one that served.
///
/// A log of others is a CSV with the columns action, position, reward, pscore (the logged probability) and pi_e (that of
/// the policy in question). With --action-dist (a row per action, a column per position) pi_e may be absent, and
/// with --qhat (a row per row of the log, a column per action: a model's estimate of the reward) the model-based
/// estimators join in. Files may be gzipped. With --from, offerd's own records are asked again: what the policy of --model
/// and --catalog would have earned in minor units, with the verdict that the gate before `live` would give,
/// without what is learnt online.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: offerd evaluate --log log.csv --action-dist policy.csv --qhat qhat.csv.gz --json\n         \
                  offerd evaluate --from ./data --model models/next --champion models/propensity-linear"
)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["log", "slates", "from"])))]
pub struct Args {
    /// A log of single choices, CSV.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// The reward model's answers for each row and action, CSV without a header.
    #[arg(long, value_name = "FILE", requires = "action_dist")]
    qhat: Option<PathBuf>,
    /// The odds of the policy in question for each action and position, CSV.
    #[arg(long, value_name = "FILE", requires = "log")]
    action_dist: Option<PathBuf>,
    /// A log of slates, CSV: slate_id, position, reward, pscore, pscore_cascade, pscore_item_position and their
    /// evaluation_policy_ twins.
    #[arg(long, value_name = "FILE")]
    slates: Option<PathBuf>,
    /// offerd's own records: a server's data folder, redis://… or a file of `offerd export`.
    #[arg(long, value_name = "DIR|URL|FILE", value_parser = From::parse)]
    from: Option<From>,
    /// The model whose policy is in question: a folder with manifest.json and an artifact; the offers' priors if
    /// not given.
    #[arg(long, value_name = "DIR", requires = "from")]
    model: Option<PathBuf>,
    /// The model to compare with; the policies that made the log if not given.
    #[arg(long, value_name = "DIR", requires = "from")]
    champion: Option<PathBuf>,
    /// The catalog; a data folder's newest if not given.
    #[arg(long, value_name = "FILE", requires = "from")]
    catalog: Option<PathBuf>,
    /// Minutes after which nothing more is expected of a showing; the catalog's windows if not given.
    #[arg(long, value_name = "MINUTES", requires = "from")]
    window_minutes: Option<u32>,
    /// Only this estimator (repeat for several), such as `snipw` or `switch-dr=5`; all if not given.
    #[arg(long = "estimator", value_name = "NAME[=PARAMETER]", value_parser = str::parse::<Estimator>)]
    estimators: Vec<Estimator>,
    /// How many samples the bootstrap draws, 0 to 100000.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    bootstrap: u32,
    /// The bootstrap's and the bounds' seed: the same gives the same figures.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("failed to read {path}: {problem}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// What is in it.
    #[error("{path}: {problem}")]
    Table {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: TableError,
    },
    /// An estimator that cannot be had.
    #[error("--estimator {0} needs a reward model: give --qhat and --action-dist")]
    NoModel(Estimator),
    /// offerd's records.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing can be judged.
    #[error("nothing in the log can be judged: {0:?}")]
    NoRows(Box<Counts>),
    /// What offers are is not known.
    #[error("the catalog is not known: give one with --catalog")]
    NoCatalog,
    /// The output.
    #[error("failed to write: {0}")]
    Output(#[from] std::io::Error),
}

/// What a log says.
#[derive(Debug, Serialize)]
struct Figures {
    /// Choices in it.
    rows: usize,
    /// What the policy that made it earned, per choice.
    logged: f64,
    /// Choices that earned anything.
    conversions: u64,
    weights: Weights,
    /// What speaks against believing any of it.
    short: Vec<Short>,
    estimates: Vec<Estimate>,
    /// What the gate would say.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<Verdict>,
}

/// What a log of slates says.
#[derive(Debug, Serialize)]
struct SlateFigures {
    slates: usize,
    /// What the policy that made it earned, per slate.
    logged: f64,
    estimates: Vec<SlateEstimate>,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or does not say what it should.
pub fn run(args: &Args) -> Result<(), Error> {
    if let Some(path) = &args.log {
        let figures = args.figures(&args.table(path)?)?;
        return args.print(&figures, &display::Figures(&figures));
    }
    if let Some(from) = &args.from {
        let figures = records::figures(args, from)?;
        return args.print(&figures, &display::Figures(&figures));
    }
    let Some(path) = &args.slates else {
        // The parser wants one of them.
        return Ok(());
    };
    let slates = Table::slates(&file::text(path)?).map_err(of(path))?;
    let figures = args.slate_figures(&slates);
    args.print(&figures, &display::SlateFigures(&figures))
}

impl Args {
    fn table(&self, log: &PathBuf) -> Result<Table, Error> {
        let distribution = match &self.action_dist {
            Some(path) => Some(Distribution::parse(&file::text(path)?).map_err(of(path))?),
            None => None,
        };
        let answers = self.qhat.as_ref().map(file::text).transpose()?;
        let table = Table::parse(&file::text(log)?, distribution.as_ref(), answers.as_deref());
        // A mistake in the answers is theirs.
        let at_fault = |problem: &TableError| match (&self.qhat, problem) {
            (Some(qhat), TableError::Length { .. }) => qhat.clone(),
            (Some(qhat), TableError::Cell { column, .. }) if column == "answer" => qhat.clone(),
            _ => log.clone(),
        };
        table.map_err(|problem| Error::Table {
            path: at_fault(&problem),
            problem,
        })
    }

    fn figures(&self, table: &Table) -> Result<Figures, Error> {
        let modelled = table.modelled;
        if let Some(missing) = self
            .estimators
            .iter()
            .find(|e| e.needs_model() && !modelled)
        {
            return Err(Error::NoModel(*missing));
        }
        Ok(self.figures_of(&table.rows, modelled))
    }

    fn figures_of(&self, rows: &[Row], modelled: bool) -> Figures {
        let chosen = match &self.estimators[..] {
            [] => &Estimator::ALL[..],
            chosen => chosen,
        };
        let can = chosen.iter().filter(|e| modelled || !e.needs_model());
        let weights = Weights::of(rows.iter().map(Row::weight));
        let conversions = rows.iter().filter(|row| row.reward != 0.0).count() as u64;
        Figures {
            rows: rows.len(),
            logged: rows.iter().map(|row| row.reward).sum::<f64>() / rows.len() as f64,
            conversions,
            weights,
            short: Guards::default().judge(&weights, conversions),
            estimates: can
                .filter_map(|e| e.estimate(rows, self.bootstrap as usize, self.seed))
                .collect(),
            verdict: None,
        }
    }

    fn slate_figures(&self, slates: &Slates) -> SlateFigures {
        let earned = slates.iter().flatten().map(|rank| rank.reward).sum::<f64>();
        let all = SlateEstimator::ALL.iter();
        let estimates = all.filter_map(|e| e.estimate(slates, self.bootstrap as usize, self.seed));
        SlateFigures {
            slates: slates.len(),
            logged: earned / slates.len() as f64,
            estimates: estimates.flatten().collect(),
        }
    }

    fn print(&self, figures: &impl Serialize, told: &impl std::fmt::Display) -> Result<(), Error> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        if self.json {
            let json = serde_json::to_string_pretty(figures).expect("plain data");
            writeln!(out, "{json}")?;
        } else {
            writeln!(out, "{told}")?;
        }
        Ok(())
    }
}

fn of(path: &Path) -> impl Fn(TableError) -> Error {
    move |problem| Error::Table {
        path: path.to_owned(),
        problem,
    }
}
