//! `offerd train`: from data to a model folder that can be pushed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;

use super::csv;
use crate::learn::dataset::Dataset;
use crate::learn::train::{Options, Report, Step, TrainError, Trained, train};
use crate::learn::{metrics::Quality, simulate};
use crate::model::{Format, Kind};

/// Trains a model and writes its folder.
///
/// Example: offerd train --from simulator --seed 7 --rows 60000 --format linear --out models/propensity-linear
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where the examples come from.
    #[arg(long, value_enum, default_value_t = From::Simulator)]
    pub from: From,
    /// The same seed gives the same examples and the same model.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// How many examples, 2000 to 5000000; a fifth each is kept for calibrating and measuring.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(2_000..=5_000_000))]
    pub rows: u32,
    /// What to train: `linear` (logistic regression) or `smartcore` (random forest).
    #[arg(long, default_value = "linear", value_parser = str::parse::<Format>)]
    pub format: Format,
    /// The folder to write manifest.json and artifact.json into; made if absent.
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
    /// Prints the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Where examples come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum From {
    /// The project's own simulated operator.
    Simulator,
}

/// Why there is no model folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing was trained.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Nothing could be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// Runs the command. Prints the figures to standard output, progress to standard error.
///
/// # Errors
/// If the examples teach nothing, or the folder cannot be written.
pub fn run(args: &Args) -> Result<(), Error> {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar.set_message("simulating");
    let (data, _) = simulate::dataset(args.seed, args.rows as usize);
    if let Some(path) = &args.rows_out {
        fs::write(path, csv(&data)).map_err(|source| Error::Write {
            path: path.clone(),
            source,
        })?;
    }
    let Some(out) = &args.out else {
        bar.finish_and_clear();
        return Ok(());
    };
    let trained = train(&data, options(args), |step| {
        bar.set_message(match step {
            Step::Fit => "training",
            Step::Calibrate => "calibrating",
            Step::Prove => "measuring",
        });
    })?;
    bar.finish_and_clear();
    write(out, &trained)?;
    if args.json {
        let report = serde_json::to_string_pretty(&trained.report);
        println!("{}", report.expect("plain numbers serialize"));
    } else {
        println!("{} in {}", trained.model.manifest.label(), out.display());
        println!("{}", Table(&trained.report));
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
        seed: args.seed,
        trained_at: Some(trained_at.to_string()),
        note: Some(format!(
            "offerd train --from simulator --seed {} --rows {} --format {}",
            args.seed, args.rows, args.format
        )),
    }
}

fn write(folder: &Path, trained: &Trained) -> Result<(), Error> {
    let attempt = |path: PathBuf, result: std::io::Result<()>| {
        result.map_err(|source| Error::Write { path, source })
    };
    attempt(folder.into(), fs::create_dir_all(folder))?;
    // The manifest last: a folder with a manifest is complete.
    let artifact = folder.join("artifact.json");
    attempt(artifact.clone(), fs::write(&artifact, &trained.artifact))?;
    let manifest = folder.join("manifest.json");
    attempt(
        manifest.clone(),
        fs::write(&manifest, trained.model.manifest.to_json()),
    )
}

/// The examples as a table.
fn csv(data: &Dataset) -> String {
    let names = data.features.iter().map(|f| csv::quoted(&f.name));
    let mut text: String = names
        .chain(["converted".into()])
        .collect::<Vec<_>>()
        .join(",");
    for (row, label) in data.labels.iter().enumerate() {
        text.push('\n');
        for (feature, &value) in data.features.iter().zip(data.row(row)) {
            match &feature.kind {
                _ if value.is_nan() => {}
                // In a data set a category is a place in its list.
                Kind::Category(categories) => text += &csv::quoted(&categories[value as usize]),
                Kind::Number => text += &value.to_string(),
            }
            text.push(',');
        }
        text.push(if *label { '1' } else { '0' });
    }
    text.push('\n');
    text
}

/// The figures for people.
struct Table<'a>(&'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            rows_train,
            rows_calibrate,
            rows_held_out,
            positives_held_out,
            held_out,
            baseline,
        } = self.0;
        writeln!(
            f,
            "trained on {rows_train} rows, calibrated on {rows_calibrate}, measured on {rows_held_out} \
             with {positives_held_out} conversions"
        )?;
        writeln!(f, "{:<10} {:>9} {:>7} {:>8}", "", "log-loss", "AUC", "ECE")?;
        let line = |name: &str, q: &Quality| {
            format!(
                "{name:<10} {:>9.5} {:>7.4} {:>8.5}",
                q.log_loss, q.auc, q.ece
            )
        };
        writeln!(f, "{}", line("model", held_out))?;
        write!(f, "{}", line("base rate", baseline))
    }
}
