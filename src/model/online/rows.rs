//! Rows that are remembered, oldest first, in a few long lists: a row of ten features takes some 90 bytes.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Feature;

/// Rows, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rows {
    about: Vec<About>,
    /// Features of all rows, one after another: which, and its value.
    names: Vec<u16>,
    values: Vec<f32>,
}

/// A row without its features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// By which it is found again; 0 for one that nobody looks for.
    pub number: u64,
    /// What model and class said, in log-odds.
    pub offset: f32,
    /// Its outcome, in [0, 1].
    pub label: f32,
    /// How many times it counts.
    pub weight: f32,
    /// How many features it has.
    features: u16,
}

impl About {
    pub fn new(number: u64, offset: f64, label: f64, weight: f64) -> About {
        About {
            number,
            offset: offset as f32,
            label: label as f32,
            weight: weight as f32,
            features: 0,
        }
    }
}

impl Rows {
    pub fn len(&self) -> usize {
        self.about.len()
    }

    /// Bytes that the rows take.
    pub fn bytes(&self) -> usize {
        self.about.len() * size_of::<About>()
            + self.names.len() * (size_of::<u16>() + size_of::<f32>())
    }

    pub fn push(&mut self, about: About, x: &[Feature]) {
        let features = u16::try_from(x.len()).expect("requests have few features");
        self.about.push(About { features, ..about });
        self.names.extend(x.iter().map(|(i, _)| *i));
        self.values.extend(x.iter().map(|(_, v)| *v as f32));
    }

    /// The row of that number.
    pub fn find(&mut self, number: u64) -> Option<&mut About> {
        let mut newest_first = self.about.iter_mut().rev();
        newest_first.find(|row| row.number == number && number > 0)
    }

    /// Gives those rows to `take`, each with its features as a list of `d` values.
    pub fn each(&self, rows: Range<usize>, d: usize, mut take: impl FnMut(&About, &[f64])) {
        let before = self.about[..rows.start].iter();
        let mut at: usize = before.map(|row| usize::from(row.features)).sum();
        let mut dense = vec![0.0; d];
        for about in &self.about[rows] {
            let features = at..at + usize::from(about.features);
            at = features.end;
            dense.fill(0.0);
            let values = self.values[features.clone()].iter();
            for (i, v) in self.names[features].iter().zip(values) {
                dense[usize::from(*i)] += f64::from(*v);
            }
            take(about, &dense);
        }
    }

    /// Forgets the oldest.
    pub fn forget(&mut self, count: usize) {
        let features = self
            .about
            .drain(..count)
            .map(|row| usize::from(row.features));
        let features: usize = features.sum();
        self.names.drain(..features);
        self.values.drain(..features);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_and_forgotten_with_their_features() {
        let mut rows = Rows::default();
        for i in 1..=5_u16 {
            let about = About::new(u64::from(i), -1.0, 0.0, 1.0);
            rows.push(about, &[(0, 1.0), (i, f64::from(i))]);
        }
        rows.find(4).unwrap().label = 1.0;
        assert!(rows.find(9).is_none() && rows.find(0).is_none());
        rows.forget(2);
        assert!(rows.find(2).is_none());
        let mut seen = Vec::new();
        rows.each(1..3, 6, |row, x| {
            seen.push((row.number, row.label, x.to_vec()))
        });
        let (four, five) = (
            vec![1.0, 0.0, 0.0, 0.0, 4.0, 0.0],
            vec![1.0, 0.0, 0.0, 0.0, 0.0, 5.0],
        );
        assert_eq!(seen, [(4, 1.0, four), (5, 0.0, five)]);
        assert_eq!(rows.bytes(), 3 * size_of::<About>() + 6 * 6);
    }
}
