//! Logistic regression by smartcore, folded into our own linear model.
//!
//! smartcore wants a dense, finite, standardised matrix and says nothing when it does not get one: a
//! single NaN gives a fit whose coefficients are all zero. So the matrix is made here, checked
//! before and after, and what comes back is translated into weights of the inputs as they are.

use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use super::dataset::Dataset;
use super::train::{TrainError, guarded};
use crate::model::{Coefficient, Cross, Kind, Linear, Link};

/// L2 penalty on the standardised weights. smartcore's default is none at all, which lets the weights
/// of rare combinations run away; on simulated rows this one needs the least calibration afterwards.
const ALPHA: f64 = 100.0;

/// A column of the matrix: something told by one or two inputs, centred and scaled to variance 1,
/// without which the optimiser crawls.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Column {
    tells: Tells,
    mean: f64,
    scale: f64,
}

/// What a column is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tells {
    /// The input's value. Where it is missing, the column is 0, as if it were the mean.
    Value { input: usize },
    /// Whether the input is missing.
    Missing { input: usize },
    /// Whether the input is that category.
    Category { input: usize, category: usize },
    /// Whether both inputs are those categories.
    Both {
        inputs: [usize; 2],
        categories: [usize; 2],
    },
}

/// What was fitted, as the trainer sees it.
pub(super) struct Fit {
    columns: Vec<Column>,
    weights: Vec<f64>,
    intercept: f64,
}

/// Fits a model with main effects of every input and the `crosses` of pairs of categories. Where rows
/// are there `copies` times on average, the penalty grows with the loss.
pub(super) fn fit(data: &Dataset, crosses: &[[usize; 2]], copies: f64) -> Result<Fit, TrainError> {
    let columns = columns(data, crosses);
    let matrix = matrix(data, &columns)?;
    let labels: Vec<u8> = data.labels.iter().map(|&label| u8::from(label)).collect();
    let parameters = LogisticRegressionParameters::default().with_alpha(ALPHA * copies);
    let model: LogisticRegression<f64, u8, _, _> =
        guarded(|| LogisticRegression::fit(&matrix, &labels, parameters))?;
    let weights: Vec<f64> = (0..columns.len())
        .map(|j| *model.coefficients().get((0, j)))
        .collect();
    let intercept = *model.intercept().get((0, 0));
    if !weights.iter().all(|w| w.is_finite()) || !intercept.is_finite() {
        return Err(TrainError::Degenerate("a coefficient is not finite"));
    }
    if weights.iter().all(|w| *w == 0.0) {
        return Err(TrainError::Degenerate("all coefficients are 0"));
    }
    Ok(Fit {
        columns,
        weights,
        intercept,
    })
}

impl Fit {
    /// The log-odds of a row, computed from the columns: not by the code that will serve.
    pub fn margin(&self, row: &[f64]) -> f64 {
        let terms = self.columns.iter().zip(&self.weights);
        self.intercept
            + terms
                .map(|(column, weight)| weight * column.value(row))
                .sum::<f64>()
    }

    /// The same model with weights of the inputs as they are.
    pub fn fold(&self, data: &Dataset) -> Linear {
        let mut linear = empty(data, self.intercept);
        for (column, &weight) in self.columns.iter().zip(&self.weights) {
            add(&mut linear, data, *column, weight);
        }
        linear
    }
}

impl Column {
    fn value(self, row: &[f64]) -> f64 {
        (self.tells.of(row)).map_or(0.0, |value| (value - self.mean) / self.scale)
    }
}

impl Tells {
    /// The value before scaling; `None` where a value is missing.
    fn of(self, row: &[f64]) -> Option<f64> {
        let flag = |condition: bool| Some(f64::from(u8::from(condition)));
        match self {
            Tells::Value { input } => Some(row[input]).filter(|v| !v.is_nan()),
            Tells::Missing { input } => flag(row[input].is_nan()),
            Tells::Category { input, category } => flag(row[input] == category as f64),
            Tells::Both {
                inputs: [i, j],
                categories: [a, b],
            } => flag(row[i] == a as f64 && row[j] == b as f64),
        }
    }

    fn input(self) -> usize {
        match self {
            Tells::Value { input }
            | Tells::Missing { input }
            | Tells::Category { input, .. }
            | Tells::Both {
                inputs: [input, _], ..
            } => input,
        }
    }
}

/// A category's first value is what the others are compared with: it has no column.
fn columns(data: &Dataset, crosses: &[[usize; 2]]) -> Vec<Column> {
    let mut columns = Vec::new();
    for (input, feature) in data.features.iter().enumerate() {
        match &feature.kind {
            Kind::Number => columns.extend(column(data, Tells::Value { input })),
            Kind::Category(names) => columns.extend(
                (1..names.len())
                    .filter_map(|category| column(data, Tells::Category { input, category })),
            ),
        }
        columns.extend(missing(data, input));
    }
    for &inputs in crosses {
        let [rows, across] = inputs.map(|input| categories(data, input));
        let pairs = (1..rows).flat_map(|a| (1..across).map(move |b| [a, b]));
        columns.extend(
            pairs.filter_map(|categories| column(data, Tells::Both { inputs, categories })),
        );
    }
    columns
}

/// `None` where it is always the same: that says nothing, and its scale would be 0.
fn column(data: &Dataset, tells: Tells) -> Option<Column> {
    let values = || (0..data.rows()).filter_map(|row| tells.of(data.row(row)));
    let count = values().count() as f64;
    let mean = values().sum::<f64>() / count;
    let scale = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
    // Not `scale <= 0`: an infinite input makes it NaN, and is reported when the matrix is made.
    (scale != 0.0 && count > 0.0).then_some(Column { tells, mean, scale })
}

/// Inputs that are missing together, as all of a customer's are without consent, share the first one's
/// column.
fn missing(data: &Dataset, input: usize) -> Option<Column> {
    let same = |other: usize| {
        (0..data.rows()).all(|row| data.row(row)[other].is_nan() == data.row(row)[input].is_nan())
    };
    if (0..input).any(same) {
        return None;
    }
    column(data, Tells::Missing { input })
}

/// Row after row: the optimiser reads it so, some hundred times.
fn matrix(data: &Dataset, columns: &[Column]) -> Result<DenseMatrix<f64>, TrainError> {
    let mut values = Vec::with_capacity(data.rows() * columns.len());
    for row in 0..data.rows() {
        values.extend(columns.iter().map(|column| column.value(data.row(row))));
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        let input = columns[at % columns.len()].tells.input();
        return Err(TrainError::NotFinite {
            feature: data.features[input].name.clone(),
            row: at / columns.len(),
        });
    }
    DenseMatrix::new(data.rows(), columns.len(), values, false)
        .map_err(|error| TrainError::NoFit(error.to_string()))
}

/// A model in which nothing has weight yet.
fn empty(data: &Dataset, intercept: f64) -> Linear {
    let coefficients = (data.features.iter())
        .map(|feature| match &feature.kind {
            Kind::Number => Coefficient::Number {
                weight: 0.0,
                missing: 0.0,
            },
            Kind::Category(names) => Coefficient::Category {
                weights: vec![0.0; names.len()],
                missing: 0.0,
            },
        })
        .collect();
    Linear {
        link: Link::Logistic,
        intercept,
        coefficients,
        crosses: Vec::new(),
        rounded: None,
    }
}

/// Moves a column's weight to the inputs as they are: `w * (x - mean) / scale` is `w / scale` for each
/// unit of x and `-w * mean / scale` for everybody.
fn add(linear: &mut Linear, data: &Dataset, column: Column, weight: f64) {
    let each = weight / column.scale;
    linear.intercept -= each * column.mean;
    match (
        column.tells,
        linear.coefficients.get_mut(column.tells.input()),
    ) {
        (Tells::Value { .. }, Some(Coefficient::Number { weight, missing })) => {
            *weight += each;
            // A missing value stands for the mean.
            *missing += each * column.mean;
        }
        (
            Tells::Missing { .. },
            Some(Coefficient::Number { missing, .. } | Coefficient::Category { missing, .. }),
        ) => *missing += each,
        (Tells::Category { category, .. }, Some(Coefficient::Category { weights, .. })) => {
            weights[category] += each;
        }
        (
            Tells::Both {
                inputs,
                categories: [a, b],
            },
            _,
        ) => {
            let cross = cross_of(linear, data, inputs);
            cross.weights[a * cross.columns + b] += each;
        }
        _ => unreachable!("columns are made from the same features as coefficients"),
    }
}

fn cross_of<'a>(linear: &'a mut Linear, data: &Dataset, inputs: [usize; 2]) -> &'a mut Cross {
    let key = inputs.map(|i| u16::try_from(i).expect("FEATURES_MAX fits"));
    let found = linear.crosses.iter().position(|c| c.inputs == key);
    let index = found.unwrap_or_else(|| {
        let [rows, columns] = inputs.map(|input| categories(data, input));
        linear.crosses.push(Cross {
            inputs: key,
            columns,
            weights: vec![0.0; rows * columns],
        });
        linear.crosses.len() - 1
    });
    &mut linear.crosses[index]
}

fn categories(data: &Dataset, input: usize) -> usize {
    match &data.features[input].kind {
        Kind::Category(names) => names.len(),
        Kind::Number => 0,
    }
}
