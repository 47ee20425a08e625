//! `offerd train`: from data to a model folder that can be pushed, and pushed it is where one asks.

mod display;
mod folder;
pub(super) mod source;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;

use super::registry;
use crate::control::registry::Stage;
use crate::learn::log::{Counts, Split};
use crate::learn::train::{Calibrator, Options, Report, Step, TrainError, train};
use crate::model::Format;
use source::{From, SourceError};

/// Trains a model and writes its folder.
///
/// From a log, every offer that was shown and seen is an example, and a conversion that was not taken
/// back is a success. Rows weigh the inverse of their logged propensity. The folder gets manifest.json,
/// artifact.json, report.json and calibration.svg.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Example: offerd train --from ./data --out models/propensity --push http://127.0.0.1:8081 --stage shadow\n         \
                  offerd train --from telco.csv --target Churn --without customerID --out models/churn\n         \
                  offerd train --from simulator --seed 7 --rows 60000 --out models/propensity-linear"
)]
pub struct Args {
    /// Where the examples come from: a server's data folder, redis://…, a file of `offerd export` (.ndjson,
    /// .jsonl), a table (.csv), or `simulator`, the project's own simulated operator.
    #[arg(long, value_name = "DIR|URL|FILE|simulator", default_value = "simulator", value_parser = From::parse)]
    pub from: From,
    /// What is predicted: `conversion`, or the column of a CSV that says 0 or 1, No or Yes.
    #[arg(long, default_value = "conversion")]
    pub target: String,
    /// The catalog of logs that are not in a data folder; and instead of those that are missing there.
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// The same seed gives the same examples and the same model.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many examples at most, 2000 to 5000000 [default: 60000 simulated ones, 1000000 of a log].
    #[arg(long, value_parser = clap::value_parser!(u32).range(2_000..=5_000_000))]
    pub rows: Option<u32>,
    /// What to train: `linear` (logistic regression) or `smartcore` (random forest).
    #[arg(long, default_value = "linear", value_parser = str::parse::<Format>)]
    pub format: Format,
    /// What makes probabilities of scores: `platt`, or `isotonic` where there are thousands of conversions.
    #[arg(long, default_value = "platt", value_parser = calibrator)]
    pub calibration: Calibrator,
    /// How a log is split: by `time`, the newest fifth measures; by `hash`, all parts are of the same days.
    #[arg(long, default_value = "time", value_parser = split)]
    pub split: Split,
    /// The largest weight of an example of a log, 1 to 1000; 1 switches weighting off.
    #[arg(long, default_value_t = 20.0, value_parser = weight_max)]
    pub weight_max: f64,
    /// Train on this feature too (repeat for several); docs/training.md says which are chosen.
    #[arg(long = "feature", value_name = "NAME")]
    pub more: Vec<String>,
    /// Do not train on this feature or column (repeat for several).
    #[arg(long, value_name = "NAME")]
    pub without: Vec<String>,
    /// The folder to write into; made if absent.
    #[arg(long, required_unless_present = "rows_out")]
    pub out: Option<PathBuf>,
    /// Writes the examples as CSV, for trainers elsewhere: a column for each feature, categories as
    /// words, missing values empty, and `converted`, 0 or 1.
    #[arg(long)]
    pub rows_out: Option<PathBuf>,
    /// The model's name.
    #[arg(long, default_value = "propensity")]
    pub name: String,
    /// The model's version; the day of training and the format if not given.
    #[arg(long = "model-version")]
    pub version: Option<String>,
    /// When it was trained, RFC 3339; now if not given. Give it to get the same files again.
    #[arg(long)]
    pub trained_at: Option<jiff::Timestamp>,
    /// Then pushes the model to the server at this admin address.
    #[arg(long, value_name = "URL", requires = "out")]
    pub push: Option<String>,
    /// The stage it enters there: `live`, `canary`, `shadow` or `stored`.
    #[arg(long, default_value = "shadow", requires = "push", value_parser = str::parse::<Stage>)]
    pub stage: Stage,
    /// An admin key, where the server asks for one.
    #[arg(
        long,
        value_name = "KEY",
        env = "OFFERD_ADMIN_KEY",
        hide_env_values = true
    )]
    pub key: Option<String>,
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

fn calibrator(word: &str) -> Result<Calibrator, String> {
    match word {
        "platt" => Ok(Calibrator::Platt),
        "isotonic" => Ok(Calibrator::Isotonic),
        _ => Err("expected one of platt, isotonic".into()),
    }
}

fn split(word: &str) -> Result<Split, String> {
    match word {
        "time" => Ok(Split::Time),
        "hash" => Ok(Split::Hash),
        _ => Err("expected one of time, hash".into()),
    }
}

fn weight_max(word: &str) -> Result<f64, String> {
    let number = word.parse().ok().filter(|w| (1.0..=1_000.0).contains(w));
    number.ok_or_else(|| "expected a number from 1 to 1000".into())
}

/// Why there is no model folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no examples.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing was trained.
    #[error("{error}{}", counts.as_deref().map(display::summary).unwrap_or_default())]
    Train {
        /// Why.
        error: TrainError,
        /// What the log held.
        counts: Option<Box<Counts>>,
    },
    /// It was trained, and not taken.
    #[error("the model is trained but was not pushed: {0}")]
    Push(registry::Error),
    /// Nothing could be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Every figure of a training.
#[derive(Serialize)]
struct Figures<'a> {
    model: String,
    features: Vec<&'a str>,
    #[serde(flatten)]
    report: &'a Report,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a Counts>,
}

/// Runs the command. Prints the figures to standard output, progress to standard error.
///
/// # Errors
/// If the examples teach nothing, or the folder cannot be written.
pub fn run(args: &Args) -> Result<(), Error> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    let examples = source::examples(args, &bar)?;
    if let Some(path) = &args.rows_out {
        folder::write_file(path, folder::csv(&examples.data).as_bytes())?;
    }
    let Some(out) = &args.out else {
        bar.finish_and_clear();
        return Ok(());
    };
    let trained = train(&examples.data, options(args), |step| {
        bar.set_message(match step {
            Step::Fit => "training",
            Step::Calibrate => "calibrating",
            Step::Prove => "measuring",
        });
    });
    bar.finish_and_clear();
    let trained = trained.map_err(|error| Error::Train {
        error,
        counts: examples.counts.clone().map(Box::new),
    })?;
    let figures = Figures {
        model: trained.model.manifest.label(),
        features: (examples.data.features.iter().map(|f| f.name.as_str())).collect(),
        report: &trained.report,
        log: examples.counts.as_ref(),
    };
    let json = serde_json::to_string_pretty(&figures).expect("plain numbers serialize");
    folder::write(out, &trained, &json)?;
    if args.json {
        println!("{json}");
    } else {
        println!("{} in {}", figures.model, out.display());
        if let Some(counts) = &examples.counts {
            println!("{}", display::Log(counts));
        }
        println!("{}", display::Table(&trained.report));
    }
    if let Some(url) = &args.push {
        let server = registry::Server {
            admin: url.clone(),
            key: args.key.clone(),
            json: false,
        };
        let told = registry::push_folder(out, Some(args.stage), &server);
        // On standard error, so that --json prints nothing but JSON.
        eprint!("{}", told.map_err(Error::Push)?);
    }
    Ok(())
}

fn options(args: &Args) -> Options {
    let trained_at = args.trained_at.unwrap_or_else(jiff::Timestamp::now);
    // To the second: the rest is noise in a file that people read.
    let trained_at = jiff::Timestamp::from_second(trained_at.as_second())
        .expect("the second of an instant is an instant");
    let day = trained_at.strftime("%Y-%m-%d");
    Options {
        name: args.name.clone(),
        version: (args.version.clone()).unwrap_or_else(|| format!("{day}.{}", args.format)),
        format: args.format,
        calibrator: args.calibration,
        seed: args.seed,
        trained_at: Some(trained_at.to_string()),
        note: Some(note(args)),
    }
}

/// How it was made, in so many words that it can be made again.
fn note(args: &Args) -> String {
    match args.from {
        From::Simulator => format!(
            "offerd train --from simulator --seed {} --rows {} --format {}",
            args.seed,
            source::rows(args),
            args.format
        ),
        _ => format!(
            "offerd train --from {} --target {} --seed {} --format {}",
            args.from.kind(),
            args.target,
            args.seed,
            args.format
        ),
    }
}
