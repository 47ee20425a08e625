//! What a model is trained from: rows of inputs, and what the customer then did.

use crate::model::{Feature, Kind};

/// Examples, whatever they came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What the columns are; it becomes the manifest's list.
    pub features: Vec<Feature>,
    /// Row after row, one number per feature: categories as their place in the list, NaN where missing.
    pub values: Vec<f64>,
    /// Per row, whether it converted.
    pub labels: Vec<bool>,
}

/// A value before it is a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Not known.
    Missing,
    /// A number.
    Number(f64),
    /// A word.
    Text(&'a str),
}

impl Dataset {
    /// No rows yet.
    #[must_use]
    pub fn new(features: Vec<Feature>) -> Dataset {
        Dataset {
            features,
            values: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The inputs of one row.
    #[must_use]
    pub fn row(&self, index: usize) -> &[f64] {
        let width = self.features.len();
        &self.values[index * width..][..width]
    }

    /// Adds a row; `value` is asked for each feature by name. Wrong kinds and unheard-of categories
    /// are missing, as they are when a request brings them.
    pub fn push<'a>(&mut self, mut value: impl FnMut(&str) -> Value<'a>, label: bool) {
        for feature in &self.features {
            self.values.push(number(feature, value(&feature.name)));
        }
        self.labels.push(label);
    }

    /// The rows whose index `keep` accepts.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Dataset {
        let mut part = Dataset::new(self.features.clone());
        for index in (0..self.rows()).filter(|&i| keep(i)) {
            part.values.extend_from_slice(self.row(index));
            part.labels.push(self.labels[index]);
        }
        part
    }

    /// How many rows converted.
    #[must_use]
    pub fn positives(&self) -> usize {
        self.labels.iter().filter(|label| **label).count()
    }
}

fn number(feature: &Feature, value: Value<'_>) -> f64 {
    let found = match (&feature.kind, value) {
        (Kind::Number, Value::Number(number)) => Some(number),
        (Kind::Category(categories), Value::Text(text)) => {
            (categories.iter().position(|c| c == text)).map(|place| place as f64)
        }
        _ => None,
    };
    feature.input(found)
}
