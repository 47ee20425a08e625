//! From examples to a model that may be pushed: fit, calibrate, measure, write, and load it again.
//!
//! smartcore trains and never serves: it panics on widths it does not expect, loops for ever on a
//! damaged tree, and fits zeros without a word. Its answers become a file of ours, and the golden rows in
//! it are what smartcore's side of the fence computed, not what our scorer did.

use std::panic::{AssertUnwindSafe, catch_unwind};

use smartcore::error::Failed;

use super::dataset::{Dataset, Part};
use super::metrics::{Bin, Quality, reliability};
use super::{Dice, forest, isotonic, logistic, platt};
use crate::model::{
    self, Calibration, Format, GoldenRow, Link, LoadError, Manifest, Model, Target,
};

/// Fewer rows, or fewer conversions among them, teach nothing that holds.
pub const ROWS_MIN: usize = 2_000;
/// Conversions (and others) that each part of the data needs at least.
pub const POSITIVES_MIN: usize = 10;
/// Golden rows that are written: twice what is asked for.
const GOLDEN_ROWS: usize = 64;

/// Columns of pairs of categories that a linear model may have. Further pairs, the customer's last, are left
/// out: the fit takes the square of them.
const CROSS_COLUMNS_MAX: usize = 300;
/// Pairs of features that a linear model may have at most.
const CROSSES_MAX: usize = 64;

/// What makes probabilities of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Calibrator {
    /// Two numbers: enough for most, and steady with few conversions.
    #[default]
    Platt,
    /// A curve: follows any shape, and needs a thousand conversions to know it.
    Isotonic,
}

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// Which kind of model.
    pub format: Format,
    /// What makes probabilities of its scores.
    pub calibrator: Calibrator,
    /// The same data and seed give the same model.
    pub seed: u64,
    /// When, RFC 3339: this module has no clock.
    pub trained_at: Option<String>,
    /// How it was made, for people.
    pub note: Option<String>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Trained {
    /// Loaded from the two files, as a server would.
    pub model: Model,
    /// The file with the trained numbers.
    pub artifact: Vec<u8>,
    /// How good it is.
    pub report: Report,
    /// What it predicted and what happened, on the rows measured on.
    pub reliability: Vec<Bin>,
}

/// How good a model is, on a fifth of the rows that neither training nor calibration saw.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// Rows trained on.
    pub rows_train: usize,
    /// Rows calibrated on.
    pub rows_calibrate: usize,
    /// Rows measured on.
    pub rows_held_out: usize,
    /// Conversions among the rows measured on.
    pub positives_held_out: usize,
    /// The model.
    pub held_out: Quality,
    /// The model, each row by its weight: as if what is shown had not been chosen. Absent where every row
    /// weighs the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out_weighted: Option<Quality>,
    /// Giving every row the average rate of the rows trained on: what a model has to beat.
    pub baseline: Quality,
}

/// Why nothing was made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// Models of this format come from elsewhere.
    #[error("models of format {0} are trained elsewhere and pushed; here linear and smartcore are")]
    Format(Format),
    /// Not enough to learn from.
    #[error("{found} rows, at least {ROWS_MIN} are needed")]
    TooFewRows {
        /// How many there are.
        found: usize,
    },
    /// One outcome hardly occurs.
    #[error(
        "{part} has {positives} conversions in {rows} rows, at least {POSITIVES_MIN} of either outcome are needed in \
         each part (a fifth of the rows is the smallest: a usable model takes about 500 conversions in all)"
    )]
    OneClass {
        /// Which part of the data.
        part: &'static str,
        /// Conversions in it.
        positives: usize,
        /// Rows in it.
        rows: usize,
    },
    /// An infinite input.
    #[error("feature {feature} is not finite in row {row}")]
    NotFinite {
        /// Its name.
        feature: String,
        /// Of the rows trained on, from 0.
        row: usize,
    },
    /// The trainer gave up, or panicked.
    #[error("the trainer gave no model: {0}")]
    NoFit(String),
    /// The trainer gave something that is no model.
    #[error("the trainer's model is no good: {0}")]
    Degenerate(&'static str),
    /// The files that were made do not load.
    #[error("the trained model was refused: {0}")]
    Refused(#[from] LoadError),
}

/// What [`train`] is doing, for a progress display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The part that takes long.
    Fit,
    /// Platt's calibration.
    Calibrate,
    /// Writing, loading and measuring.
    Prove,
}

/// Trains a model. `progress` hears of each step as it begins.
///
/// Each row of `data` says whether it is to train on, to calibrate on or to measure on.
///
/// # Errors
/// If the data cannot teach anything, or if what the trainer made of it is no model.
pub fn train(
    data: &Dataset,
    options: Options,
    mut progress: impl FnMut(Step),
) -> Result<Trained, TrainError> {
    let parts = split(data)?;
    progress(Step::Fit);
    let fit = Fit::of(&parts.train, &options)?;
    progress(Step::Calibrate);
    let calibration = calibrate(&fit, options.calibrator, &parts.calibrate)?;
    progress(Step::Prove);
    let artifact = fit.artifact(data)?;
    let manifest = Manifest {
        name: options.name,
        version: options.version,
        format: options.format,
        target: Target::Conversion,
        features: data.features.clone(),
        golden: golden(&fit, &calibration, &parts.held_out)?,
        calibration,
        sha256: Some(model::digest(&artifact)),
        trained_at: options.trained_at,
        note: options.note,
    };
    let model = model::load(&manifest.to_json(), &artifact)?;
    let (report, reliability) = report(&model, &parts)?;
    Ok(Trained {
        model,
        artifact,
        report,
        reliability,
    })
}

/// Runs a piece of smartcore, which panics where it should refuse.
pub(super) fn guarded<T>(run: impl FnOnce() -> Result<T, Failed>) -> Result<T, TrainError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(|error| TrainError::NoFit(error.to_string())),
        Err(panic) => {
            let text = (panic.downcast_ref::<String>().map(String::as_str))
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Err(TrainError::NoFit(format!(
                "it panicked: {}",
                text.unwrap_or("no message")
            )))
        }
    }
}

struct Parts {
    train: Dataset,
    calibrate: Dataset,
    held_out: Dataset,
}

fn split(data: &Dataset) -> Result<Parts, TrainError> {
    if data.rows() < ROWS_MIN {
        return Err(TrainError::TooFewRows { found: data.rows() });
    }
    let part = |part: Part| data.filter(|row| data.parts[row] == part);
    let parts = Parts {
        train: part(Part::Train),
        calibrate: part(Part::Calibrate),
        held_out: part(Part::HeldOut),
    };
    for (name, part) in [
        ("the training part", &parts.train),
        ("the calibration part", &parts.calibrate),
        ("the held-out part", &parts.held_out),
    ] {
        let (positives, rows) = (part.positives(), part.rows());
        if rows < GOLDEN_ROWS {
            return Err(TrainError::TooFewRows { found: data.rows() });
        }
        if positives < POSITIVES_MIN || rows - positives < POSITIVES_MIN {
            return Err(TrainError::OneClass {
                part: name,
                positives,
                rows,
            });
        }
    }
    Ok(parts)
}

/// What the trainer made, on the trainer's side.
enum Fit {
    Linear(logistic::Fit),
    Forest(forest::Fit),
}

impl Fit {
    fn of(data: &Dataset, options: &Options) -> Result<Fit, TrainError> {
        let rows = data.rows();
        let repeated;
        let data = if data.weighted() {
            repeated = data.repeated(&mut Dice::new(options.seed));
            &repeated
        } else {
            data
        };
        let copies = data.rows() as f64 / rows as f64;
        match options.format {
            Format::Linear => logistic::fit(data, &crosses(data), copies).map(Fit::Linear),
            Format::Smartcore => forest::fit(data, options.seed).map(Fit::Forest),
            other => Err(TrainError::Format(other)),
        }
    }

    fn link(&self) -> Link {
        match self {
            Fit::Linear(_) => Link::Logistic,
            Fit::Forest(_) => Link::Identity,
        }
    }

    fn raw(&self, data: &Dataset) -> Result<Vec<f64>, TrainError> {
        match self {
            Fit::Linear(fit) => Ok((0..data.rows()).map(|i| fit.margin(data.row(i))).collect()),
            Fit::Forest(fit) => fit.predict(data),
        }
    }

    fn artifact(&self, data: &Dataset) -> Result<Vec<u8>, TrainError> {
        match self {
            Fit::Linear(fit) => Ok(model::write_linear(&fit.fold(data), &data.features)),
            Fit::Forest(fit) => Ok(model::write_forest(&fit.trees()?)),
        }
    }
}

/// Every category of the request with every category of the offer, as far as the limits allow: without
/// these, a linear model ranks the offers alike for everybody.
fn crosses(data: &Dataset) -> Vec<[usize; 2]> {
    let categories = |offer: bool| {
        (data.features.iter().enumerate())
            .filter(move |(_, f)| (f.source == model::Source::Offer) == offer)
            .filter_map(|(i, f)| match &f.kind {
                model::Kind::Category(names) => Some((i, names.len())),
                model::Kind::Number => None,
            })
    };
    let mut pairs: Vec<([usize; 2], usize)> = categories(false)
        .flat_map(|(i, a)| {
            categories(true).map(move |(j, b)| ([i, j], a.saturating_sub(1) * b.saturating_sub(1)))
        })
        .collect();
    // The visit and the page first: they change what is worth showing the most.
    pairs.sort_by_key(|([i, _], _)| data.features[*i].source == model::Source::Customer);
    let mut left = CROSS_COLUMNS_MAX;
    pairs.retain(|(_, columns)| {
        let fits = *columns <= left;
        left -= if fits { *columns } else { 0 };
        fits
    });
    pairs.truncate(CROSSES_MAX);
    let mut crosses: Vec<[usize; 2]> = pairs.into_iter().map(|(pair, _)| pair).collect();
    crosses.sort_unstable();
    crosses
}

fn calibrate(fit: &Fit, calibrator: Calibrator, part: &Dataset) -> Result<Calibration, TrainError> {
    let raw = fit.raw(part)?;
    if raw.iter().all(|score| *score == raw[0]) {
        return Err(TrainError::Degenerate("it gives every row the same score"));
    }
    let mean = part.weights.iter().sum::<f64>() / part.rows() as f64;
    let weights: Vec<f64> = part.weights.iter().map(|w| w / mean).collect();
    let found = match calibrator {
        Calibrator::Platt => {
            let margins: Vec<f64> = raw.iter().map(|raw| fit.link().margin(*raw)).collect();
            platt::fit(&margins, &part.labels, &weights)
                .filter(|(a, _)| *a > 0.0)
                .map(|(a, b)| Calibration::Platt { a, b })
        }
        Calibrator::Isotonic => isotonic::fit(&raw, &part.labels, &weights)
            .map(|(raw, probability)| Calibration::Isotonic { raw, probability }),
    };
    found.ok_or(TrainError::Degenerate(
        "on rows it has not seen, what it ranks higher does not convert more",
    ))
}

/// Rows from all over the held-out part. In each one more input is missing than in real rows, in turn,
/// and in the last all are.
fn golden(
    fit: &Fit,
    calibration: &Calibration,
    held_out: &Dataset,
) -> Result<Vec<GoldenRow>, TrainError> {
    let width = held_out.features.len();
    let stride = held_out.rows() / GOLDEN_ROWS;
    let mut rows = held_out.filter(|i| i % stride == 0 && i / stride < GOLDEN_ROWS);
    for row in 0..rows.rows() {
        // Every other row stays as it was.
        if row % 2 == 1 {
            let input = row / 2 % width;
            rows.values[row * width + input] = held_out.features[input].input(None);
        }
    }
    let last = rows.values.len() - width;
    for (value, feature) in rows.values[last..].iter_mut().zip(&held_out.features) {
        *value = feature.input(None);
    }
    let raw = fit.raw(&rows)?;
    let golden = |(i, raw): (usize, f64)| GoldenRow {
        features: rows
            .row(i)
            .iter()
            .map(|v| Some(*v).filter(|v| !v.is_nan()))
            .collect(),
        raw,
        probability: calibration.probability(fit.link(), raw),
    };
    Ok(raw.into_iter().enumerate().map(golden).collect())
}

/// Measures the model that was loaded, not the one that was fitted.
fn report(model: &Model, parts: &Parts) -> Result<(Report, Vec<Bin>), TrainError> {
    let held_out = &parts.held_out;
    let probabilities = score(model, held_out);
    if probabilities.iter().any(|p| p.is_nan()) {
        return Err(TrainError::Degenerate("a probability is not a number"));
    }
    let rate = parts.train.positives() as f64 / parts.train.rows() as f64;
    let bins = reliability(
        &probabilities,
        &held_out.labels,
        &vec![1.0; held_out.rows()],
    );
    let weighted = || Quality::weighted(&probabilities, &held_out.labels, &held_out.weights);
    let report = Report {
        rows_train: parts.train.rows(),
        rows_calibrate: parts.calibrate.rows(),
        rows_held_out: held_out.rows(),
        positives_held_out: held_out.positives(),
        held_out: Quality::of(&probabilities, &held_out.labels),
        held_out_weighted: held_out.weighted().then(weighted),
        baseline: Quality::of(&vec![rate; held_out.rows()], &held_out.labels),
    };
    Ok((report, bins))
}

/// The probability of every row of `data`.
#[must_use]
pub fn score(model: &Model, data: &Dataset) -> Vec<f64> {
    use model::Scorer as _;
    let own_inputs: Vec<u16> = (0..).take(data.features.len()).collect();
    let batch = model::Batch {
        shared: &vec![f64::NAN; data.features.len()],
        own_inputs: &own_inputs,
        own: &data.values,
    };
    let mut probabilities = vec![0.0; data.rows()];
    model.scorer.score(
        &batch,
        &mut model::ScorerScratch::default(),
        &mut probabilities,
    );
    probabilities
}
