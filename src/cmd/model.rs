//! `offerd model …`: look into a model's files, and score rows with them, without any server.

mod cost;

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::csv::{CsvError, Records};
use crate::model::{
    ARTIFACT_BYTES_MAX, Batch, Ensemble, Feature, Function, Kind, LoadError, MANIFEST_BYTES_MAX,
    Model, ScorerScratch, load_unproven,
};

/// The largest file of rows.
const ROWS_BYTES_MAX: u64 = 1 << 30;

/// Work on model files.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Score the rows of a CSV file with a model that need not be proven yet.
    ///
    /// The header names the features; other columns are ignored. An empty cell is missing. Categories are
    /// words, or their places in the manifest's list. Prints {"probabilities": [...], "raw": [...]} in
    /// the rows' order, null where there is no answer.
    #[command(
        after_help = "Example: offerd model score --artifact model.txt --manifest manifest.json --rows rows.csv"
    )]
    Score {
        /// The model.
        #[command(flatten)]
        files: Files,
        /// The rows.
        #[arg(long)]
        rows: PathBuf,
        /// Accepted because other commands have it: the output is always JSON.
        #[arg(long)]
        json: bool,
        /// Where to write each row's leaf in each tree, named as the trainer does, as 32-bit
        /// little-endian numbers: for comparisons with the trainer.
        #[arg(long, hide = true)]
        leaves: Option<PathBuf>,
    },
    /// Show a model's features, their importance, its size, and what it costs a decision on this machine.
    #[command(
        after_help = "Example: offerd model inspect --artifact model.txt --manifest manifest.json"
    )]
    Inspect {
        /// The model.
        #[command(flatten)]
        files: Files,
        /// Print the figures as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A model's two files.
#[derive(Debug, clap::Args)]
pub struct Files {
    /// The trained numbers.
    #[arg(long)]
    artifact: PathBuf,
    /// What describes them.
    #[arg(long)]
    manifest: PathBuf,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there, too large, or no text.
    #[error("failed to read {path}: {problem}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The leaves could not be written.
    #[error("failed to write {path}: {source}")]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The model was refused.
    #[error("{path}: {source}")]
    Refused {
        /// The artifact.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// The rows are no table.
    #[error("{path}: {source}")]
    Csv {
        /// The rows.
        path: PathBuf,
        /// Where and why.
        source: CsvError,
    },
    /// The rows do not fit the manifest.
    #[error("{path}: {problem}")]
    Rows {
        /// The rows.
        path: PathBuf,
        /// Where and why.
        problem: String,
    },
}

impl Error {
    /// 2 for files that cannot be read, else 1.
    fn code(&self) -> ExitCode {
        match self {
            Error::Read { .. } => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Runs a command.
#[must_use]
pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::Score {
            files,
            rows,
            leaves,
            json: _,
        } => score(files, rows, leaves.as_deref()),
        Command::Inspect { files, json } => inspect(files, *json),
    };
    match result {
        Ok(output) => {
            // Whoever reads it may have seen enough (`| head -3`): that is no failure.
            let _ = writeln!(io::stdout(), "{}", output.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("offerd: {error}");
            error.code()
        }
    }
}

fn score(files: &Files, path: &Path, leaves: Option<&Path>) -> Result<String, Error> {
    let model = files.load()?;
    let rows = rows(path, &model.manifest.features)?;
    let width = model.manifest.features.len();
    let mut scratch = ScorerScratch::default();
    let (mut raws, mut probabilities) = (Vec::new(), Vec::new());
    for row in rows.chunks_exact(width) {
        let batch = Batch {
            shared: row,
            own_inputs: &[],
            own: &[],
        };
        let mut raw = [0.0];
        model.scorer.raw(&batch, &mut scratch, &mut raw);
        raws.push(raw[0]);
        probabilities.push(model.scorer.probability(raw[0]));
    }
    if let (Some(path), Function::Forest(forest)) = (leaves, &model.scorer.function) {
        let bytes: Vec<u8> = (rows.chunks_exact(width))
            .flat_map(|row| forest.trees().iter().map(|&tree| forest.leaf(tree, row).1))
            .flat_map(u32::to_le_bytes)
            .collect();
        fs::write(path, bytes).map_err(|source| Error::Write {
            path: path.into(),
            source,
        })?;
    }
    Ok(json!({ "probabilities": probabilities, "raw": raws }).to_string())
}

impl Files {
    fn load(&self) -> Result<Model, Error> {
        let manifest = text(&self.manifest, MANIFEST_BYTES_MAX as u64)?;
        let artifact = bytes(&self.artifact, ARTIFACT_BYTES_MAX as u64)?;
        load_unproven(&manifest, &artifact).map_err(|source| Error::Refused {
            path: self.artifact.clone(),
            source,
        })
    }
}

/// A file's bytes. Looks at its size first: a wrong path may lead to something enormous.
fn bytes(path: &Path, max: u64) -> Result<Vec<u8>, Error> {
    let told = |problem: String| Error::Read {
        path: path.into(),
        problem,
    };
    let found = fs::metadata(path).map_err(|e| told(e.to_string()))?.len();
    if found > max {
        return Err(told(format!("expected at most {max} bytes, found {found}")));
    }
    fs::read(path).map_err(|e| told(e.to_string()))
}

fn text(path: &Path, max: u64) -> Result<String, Error> {
    String::from_utf8(bytes(path, max)?).map_err(|e| Error::Read {
        path: path.into(),
        problem: e.to_string(),
    })
}

/// The rows' inputs, one number for each feature, row after row.
fn rows(path: &Path, features: &[Feature]) -> Result<Vec<f64>, Error> {
    let text = text(path, ROWS_BYTES_MAX)?;
    let wrong = |problem: String| Error::Rows {
        path: path.into(),
        problem,
    };
    let csv = |source| Error::Csv {
        path: path.into(),
        source,
    };
    let mut records = Records::of(&text);
    let mut cells = Vec::new();
    if !records.next_into(&mut cells).map_err(csv)? {
        return Err(wrong(
            "is empty, a header with the features' names is needed".into(),
        ));
    }
    let columns = columns(&cells, features).map_err(wrong)?;
    let width = cells.len();
    let mut inputs = Vec::new();
    while records.next_into(&mut cells).map_err(csv)? {
        let at = records.number();
        if cells.len() != width {
            let found = cells.len();
            return Err(wrong(format!(
                "record {at} has {found} cells, the header {width}"
            )));
        }
        for (feature, &column) in features.iter().zip(&columns) {
            let value = input(feature, &cells[column])
                .map_err(|problem| wrong(format!("record {at}, {}: {problem}", feature.name)))?;
            inputs.push(value);
        }
    }
    Ok(inputs)
}

/// Which column each feature is in.
fn columns(header: &[String], features: &[Feature]) -> Result<Vec<usize>, String> {
    let column = |feature: &Feature| {
        (header.iter().position(|name| name.trim() == feature.name))
            .ok_or_else(|| format!("has no column {}", feature.name))
    };
    features.iter().map(column).collect()
}

/// What the model gets for a cell.
fn input(feature: &Feature, cell: &str) -> Result<f64, String> {
    let number = || cell.trim().parse::<f64>().ok();
    let value = match &feature.kind {
        _ if cell.trim().is_empty() => None,
        Kind::Category(categories) => (categories.iter().position(|c| c == cell))
            .map(|place| place as f64)
            // A word that is no category is missing; a number is a code, be it one of the list or not.
            .or_else(number),
        Kind::Number => match cell.trim() {
            "true" | "True" => Some(1.0),
            "false" | "False" => Some(0.0),
            _ => Some(number().ok_or_else(|| format!("`{cell}` is no number"))?),
        },
    };
    Ok(feature.input(value.filter(|value| !value.is_nan())))
}

fn inspect(files: &Files, json: bool) -> Result<String, Error> {
    let model = files.load()?;
    Ok(if json {
        described(&model).to_string()
    } else {
        shown(&model)
    })
}

fn described(model: &Model) -> Value {
    let manifest = &model.manifest;
    let importance = importance(model);
    let features: Vec<Value> = (manifest.features.iter().zip(&importance))
        .map(|(feature, importance)| {
            let kind = match &feature.kind {
                Kind::Number => json!("number"),
                Kind::Category(categories) => json!({ "category": categories.len() }),
            };
            json!({ "name": feature.name, "source": feature.source, "kind": kind,
                    "splits": importance.splits, "gain": importance.gain, "weight": importance.weight })
        })
        .collect();
    let cost: Vec<Value> = (cost::measure(model).iter())
        .map(|cost| json!({ "candidates": cost.candidates, "us": cost.us }))
        .collect();
    json!({ "model": manifest.label(), "format": manifest.format, "size": size(model),
            "golden": manifest.golden.len(), "features": features,
            "cost_on_this_machine": { "per_call": cost, "rows": cost::source(model), "debug_build": cfg!(debug_assertions) } })
}

/// How much a feature matters, as far as the file tells.
#[derive(Clone, Copy, Debug, Default)]
struct Importance {
    splits: Option<usize>,
    gain: Option<f64>,
    /// Of a weighted sum: how far its weight, or the farthest of its categories, is from 0.
    weight: Option<f64>,
}

fn importance(model: &Model) -> Vec<Importance> {
    match &model.scorer.function {
        Function::Forest(forest) => (forest.splits().into_iter().enumerate())
            .map(|(i, splits)| Importance {
                splits: Some(splits),
                gain: forest.gains().map(|gains| gains[i]),
                weight: None,
            })
            .collect(),
        Function::Linear(linear) => (linear.coefficients.iter())
            .map(|coefficient| Importance {
                weight: Some(coefficient.reach()),
                ..Importance::default()
            })
            .collect(),
    }
}

fn size(model: &Model) -> Value {
    match &model.scorer.function {
        Function::Forest(forest) => {
            let Sizes {
                trees,
                nodes,
                leaves_max,
                depth_max,
                categorical,
            } = sizes(forest);
            json!({ "trees": trees, "nodes": nodes, "leaves_max": leaves_max,
                    "depth_max": depth_max, "categorical_splits": categorical })
        }
        Function::Linear(linear) => {
            json!({ "coefficients": linear.coefficients.len(), "crosses": linear.crosses.len() })
        }
    }
}

struct Sizes {
    trees: usize,
    nodes: usize,
    leaves_max: u32,
    depth_max: u16,
    categorical: usize,
}

fn sizes(forest: &Ensemble) -> Sizes {
    let trees = forest.trees();
    Sizes {
        trees: trees.len(),
        nodes: forest.nodes().len(),
        leaves_max: trees.iter().map(|t| t.leaves).max().unwrap_or_default(),
        depth_max: trees.iter().map(|t| t.depth).max().unwrap_or_default(),
        categorical: forest.categorical_splits(),
    }
}

fn shown(model: &Model) -> String {
    let mut out = format!("{} ({})\n", model.manifest.label(), model.manifest.format);
    let _ = match &model.scorer.function {
        Function::Forest(forest) => {
            let s = sizes(forest);
            writeln!(
                out,
                "{} trees, {} nodes ({} categorical splits), at most {} leaves and {} deep",
                s.trees, s.nodes, s.categorical, s.leaves_max, s.depth_max
            )
        }
        Function::Linear(linear) => {
            let (n, crosses) = (linear.coefficients.len(), linear.crosses.len());
            writeln!(out, "a weighted sum of {n} features and {crosses} crosses")
        }
    };
    let costs = cost::measure(model);
    let costs = costs
        .iter()
        .map(|c| format!("{} in {:.1} us", c.candidates, c.us));
    let _ = writeln!(
        out,
        "scores candidates on this machine: {} (median, over {}{})",
        costs.collect::<Vec<_>>().join(", "),
        cost::source(model),
        if cfg!(debug_assertions) {
            ", in a slow debug build"
        } else {
            ""
        }
    );
    let mut rows: Vec<_> = model
        .manifest
        .features
        .iter()
        .zip(importance(model))
        .collect();
    let rank = |i: &Importance| (i.gain.or(i.weight)).unwrap_or(i.splits.unwrap_or(0) as f64);
    rows.sort_by(|a, b| rank(&b.1).total_cmp(&rank(&a.1)));
    let _ = writeln!(
        out,
        "{:<32} {:<12} {:>8} {:>12}",
        "feature", "source", "splits", "gain"
    );
    for (feature, importance) in rows {
        let splits = importance
            .splits
            .map_or_else(String::new, |n| n.to_string());
        let gain = (importance.gain.or(importance.weight))
            .map_or_else(String::new, |gain| format!("{gain:.4}"));
        let source = feature.source.to_string();
        let _ = writeln!(
            out,
            "{:<32} {source:<12} {splits:>8} {gain:>12}",
            feature.name
        );
    }
    out
}
