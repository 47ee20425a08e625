//! A random forest by smartcore, as trees of our own.
//!
//! Its *regressor* on labels 0 and 1: the mean of a leaf's labels is a probability, while its
//! classifier only counts the trees' votes (learned the hard way: AUC 0.53 against 0.80 on the same
//! data). Missing values become larger than every known one before training, which is what a missing
//! value means when scoring: it goes right at every split.

use serde_json::Value;
use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::dataset::Dataset;
use super::train::{TrainError, guarded};
use crate::model::{Split, Tree};

/// Twenty trees of depth 8 score a hundred candidates in a tenth of a millisecond.
const TREES: usize = 20;
const DEPTH: u16 = 8;
/// With two conversions in a hundred, fifty rows would make leaves of pure luck: a leaf has as many as
/// hold five conversions on average, within these limits.
const LEAF_ROWS_MIN: std::ops::RangeInclusive<usize> = 20..=200;
const LEAF_CONVERSIONS: usize = 5;

type Regressor = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

/// What was fitted, as the trainer sees it.
pub(super) struct Fit {
    model: Regressor,
    /// Per feature, what stands for a missing value.
    missing: Vec<f64>,
}

/// Fits a forest; the same data and seed give the same one.
pub(super) fn fit(data: &Dataset, seed: u64) -> Result<Fit, TrainError> {
    let missing = (0..data.features.len())
        .map(|input| beyond(data, input))
        .collect::<Vec<_>>();
    let matrix = matrix(data, &missing)?;
    let labels: Vec<f64> = data
        .labels
        .iter()
        .map(|&l| f64::from(u8::from(l)))
        .collect();
    let parameters = RandomForestRegressorParameters::default()
        .with_n_trees(TREES)
        .with_max_depth(DEPTH)
        .with_min_samples_leaf(leaf_rows_min(data))
        .with_m(data.features.len().div_ceil(2))
        .with_seed(seed);
    let model = guarded(|| Regressor::fit(&matrix, &labels, parameters))?;
    Ok(Fit { model, missing })
}

impl Fit {
    /// smartcore's own predictions for the rows of `data`.
    pub fn predict(&self, data: &Dataset) -> Result<Vec<f64>, TrainError> {
        let matrix = matrix(data, &self.missing)?;
        let predicted = guarded(|| self.model.predict(&matrix))?;
        if !predicted.iter().all(|p| p.is_finite()) {
            return Err(TrainError::Degenerate("a prediction is not finite"));
        }
        Ok(predicted)
    }

    /// The trees. They are private, but they serialize.
    pub fn trees(&self) -> Result<Vec<Tree>, TrainError> {
        let value = serde_json::to_value(&self.model)
            .map_err(|error| TrainError::NoFit(error.to_string()))?;
        let trees = value
            .pointer("/forest_regressor/trees")
            .and_then(Value::as_array);
        let converted = trees.map(|trees| trees.iter().map(tree).collect::<Option<Vec<_>>>());
        converted.flatten().ok_or(TrainError::Degenerate(
            "smartcore's trees are not laid out as expected",
        ))
    }
}

fn leaf_rows_min(data: &Dataset) -> usize {
    let rows = LEAF_CONVERSIONS * data.rows() / data.positives().max(1);
    rows.clamp(*LEAF_ROWS_MIN.start(), *LEAF_ROWS_MIN.end())
}

/// A value right of every threshold that training can choose.
fn beyond(data: &Dataset, input: usize) -> f64 {
    let values = (0..data.rows()).map(|row| data.row(row)[input]);
    values.fold(0.0, f64::max) + 1.0
}

fn matrix(data: &Dataset, missing: &[f64]) -> Result<DenseMatrix<f64>, TrainError> {
    let width = missing.len();
    let filled = |(i, value): (usize, &f64)| {
        if value.is_nan() {
            missing[i % width]
        } else {
            *value
        }
    };
    let values: Vec<f64> = data.values.iter().enumerate().map(filled).collect();
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(TrainError::NotFinite {
            feature: data.features[at % width].name.clone(),
            row: at / width,
        });
    }
    DenseMatrix::new(data.rows(), width, values, false)
        .map_err(|error| TrainError::NoFit(error.to_string()))
}

fn tree(value: &Value) -> Option<Tree> {
    let nodes = value.get("nodes")?.as_array()?;
    Some(Tree {
        nodes: nodes.iter().map(node).collect::<Option<_>>()?,
    })
}

fn node(value: &Value) -> Option<Split> {
    if value.get("true_child")?.is_null() {
        return Some(Split::Leaf {
            value: value.get("output")?.as_f64()?,
        });
    }
    let child = |name: &str| value.get(name)?.as_u64()?.try_into().ok();
    Some(Split::Inner {
        input: value.get("split_feature")?.as_u64()?.try_into().ok()?,
        threshold: value.get("split_value")?.as_f64()?,
        left: child("true_child")?,
        right: child("false_child")?,
    })
}
