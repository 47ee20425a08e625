//! What a model is trained from: rows of inputs, and what the customer then did.

use super::Dice;
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
    /// Per row, how much it counts: 1 where nothing chose what was shown, else how rarely it is chosen.
    pub weights: Vec<f64>,
    /// Per row, what it is for.
    pub parts: Vec<Part>,
}

/// What a row is for. A row serves one end only, or the figures would flatter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fitting.
    Train,
    /// Calibrating what was fitted.
    Calibrate,
    /// Measuring what was calibrated.
    HeldOut,
}

impl Part {
    /// Three fifths train, one calibrates, one measures; `place` is anything that spreads evenly.
    #[must_use]
    pub fn of(place: u64) -> Part {
        match place % 5 {
            0..3 => Part::Train,
            3 => Part::Calibrate,
            _ => Part::HeldOut,
        }
    }
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
            weights: Vec::new(),
            parts: Vec::new(),
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
        let row: Vec<f64> = (self.features.iter())
            .map(|feature| number(feature, value(&feature.name)))
            .collect();
        self.push_row(&row, label);
    }

    /// Adds a row of numbers, one per feature. It weighs 1, and its place says what it is for.
    pub fn push_row(&mut self, values: &[f64], label: bool) {
        debug_assert_eq!(values.len(), self.features.len());
        self.values.extend_from_slice(values);
        self.parts.push(Part::of(self.labels.len() as u64));
        self.labels.push(label);
        self.weights.push(1.0);
    }

    /// The rows whose index `keep` accepts.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Dataset {
        let mut part = Dataset::new(self.features.clone());
        for index in (0..self.rows()).filter(|&i| keep(i)) {
            part.values.extend_from_slice(self.row(index));
            part.labels.push(self.labels[index]);
            part.weights.push(self.weights[index]);
            part.parts.push(self.parts[index]);
        }
        part
    }

    /// Without the features that say nothing: those with the same value in every row.
    #[must_use]
    pub fn varying(self) -> Dataset {
        let width = self.features.len();
        let varies = |column: usize| {
            let first = self.values.get(column).map(|v| v.to_bits());
            (0..self.rows()).any(|row| Some(self.values[row * width + column].to_bits()) != first)
        };
        let kept: Vec<usize> = (0..width).filter(|&column| varies(column)).collect();
        if kept.len() == width {
            return self;
        }
        let rows = 0..self.rows();
        Dataset {
            features: kept.iter().map(|&c| self.features[c].clone()).collect(),
            values: (rows.flat_map(|row| kept.iter().map(move |c| row * width + c)))
                .map(|at| self.values[at])
                .collect(),
            ..self
        }
    }

    /// The rows as often as they weigh, twice the rows in all: for trainers that know no weights. What is
    /// left after whole copies decides by `dice` about one more, so that the mean is exact.
    #[must_use]
    pub fn repeated(&self, dice: &mut Dice) -> Dataset {
        let mean = self.weights.iter().sum::<f64>() / self.rows() as f64;
        let mut repeated = Dataset::new(self.features.clone());
        for index in 0..self.rows() {
            let times = 2.0 * self.weights[index] / mean + dice.unit();
            for _ in 0..times as usize {
                repeated.push_row(self.row(index), self.labels[index]);
            }
        }
        repeated
    }

    /// Whether some rows count more than others.
    #[must_use]
    pub fn weighted(&self) -> bool {
        self.weights.windows(2).any(|w| w[0] != w[1])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Missing, Source};

    fn numbers(names: &[&str]) -> Vec<Feature> {
        let feature = |name: &&str| Feature {
            name: (*name).into(),
            kind: Kind::Number,
            source: Source::Customer,
            missing: Missing::Nan,
        };
        names.iter().map(feature).collect()
    }

    #[test]
    fn columns_that_never_change_are_left_out() {
        let mut data = Dataset::new(numbers(&["same", "varies", "missing", "sometimes"]));
        data.push_row(&[1.0, 1.0, f64::NAN, f64::NAN], true);
        data.push_row(&[1.0, 2.0, f64::NAN, 4.0], false);
        let data = data.varying();
        let names: Vec<&str> = data.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["varies", "sometimes"]);
        assert_eq!(data.row(1), [2.0, 4.0]);
        assert!(data.row(0)[1].is_nan());
    }

    #[test]
    fn rows_are_repeated_as_they_weigh() {
        let mut data = Dataset::new(numbers(&["row"]));
        for row in 0..1_000 {
            data.push_row(&[f64::from(row % 4)], row % 4 == 0);
        }
        // Mean 1: so many copies of a hundred rows.
        data.weights = [0.25, 0.5, 1.25, 2.0].repeat(250);
        let repeated = data.repeated(&mut Dice::new(1));
        let copies = |kind: f64| repeated.values.iter().filter(|v| **v == kind).count();
        assert!((100..150).contains(&copies(0.0)), "{}", copies(0.0));
        assert_eq!([copies(1.0), copies(3.0)], [250, 1_000]);
        assert!((600..650).contains(&copies(2.0)), "{}", copies(2.0));
    }
}
