//! What is asked about or learnt from: a row's features, made ready for many regressions to look at.
//!
//! The deviation of a belief is a quadratic form in the features, and it is asked of each of a hundred offers with the same
//! features. So their products are formed once: as a list as long as a covariance where most features are there, else as
//! the few entries that count.

use super::packed;
use super::{FULL_MAX, Feature};

/// The features of one row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    x: Vec<Feature>,
    /// The values by feature, with those that are 0, up to the last and to [`FULL_MAX`].
    dense: Vec<f64>,
    /// Products of pairs of features, twice those of two different ones: along the whole of a packed matrix,
    products: Vec<f64>,
    /// or where in it they are.
    pairs: Vec<(u32, f64)>,
}

/// One entry that has to be looked for takes as long as so many that stand side by side.
const LOOKUP: usize = 4;

impl Context {
    /// Of those features.
    #[must_use]
    pub fn of(x: &[Feature]) -> Context {
        let mut context = Context::default();
        context.fill(|features| features.extend_from_slice(x));
        context
    }

    /// Takes other features: `fill` writes them into a list that is empty.
    pub fn fill(&mut self, fill: impl FnOnce(&mut Vec<Feature>)) {
        self.x.clear();
        fill(&mut self.x);
        self.x.sort_unstable_by_key(|(i, _)| *i);
        self.dense.clear();
        self.products.clear();
        self.pairs.clear();
        let narrow = self.x.iter().filter(|(i, _)| usize::from(*i) < FULL_MAX);
        let (count, last) = (narrow.clone().count(), narrow.clone().next_back());
        let width = last.map_or(0, |(i, _)| usize::from(*i) + 1);
        self.dense.resize(width, 0.0);
        for &(i, v) in narrow {
            self.dense[usize::from(i)] += v;
        }
        if LOOKUP * packed::len(count) < packed::len(width) {
            self.pair();
        } else {
            self.multiply();
        }
    }

    fn multiply(&mut self) {
        for (i, &v) in self.dense.iter().enumerate() {
            let twice = 2.0 * v;
            self.products
                .extend(self.dense[..i].iter().map(|w| twice * w));
            self.products.push(v * v);
        }
    }

    fn pair(&mut self) {
        for (at, &(i, v)) in self.x.iter().enumerate() {
            let i = usize::from(i);
            if i >= FULL_MAX {
                break;
            }
            let place = |j: usize| u32::try_from(packed::len(i) + j).expect("FULL_MAX is small");
            let before = self.x[..at].iter();
            self.pairs
                .extend(before.map(|&(j, w)| (place(usize::from(j)), 2.0 * v * w)));
            self.pairs.push((place(i), v * v));
        }
    }

    /// The features, by number.
    #[must_use]
    pub fn features(&self) -> &[Feature] {
        &self.x
    }

    /// The values by feature as far as full covariances go.
    pub(super) fn dense(&self) -> &[f64] {
        &self.dense
    }

    /// `x' matrix x`; features that the matrix does not have count for nothing.
    pub(super) fn quadratic(&self, matrix: &[f64]) -> f64 {
        if self.pairs.is_empty() {
            return packed::dot(&self.products, matrix);
        }
        let known = self
            .pairs
            .iter()
            .take_while(|(at, _)| (*at as usize) < matrix.len());
        known.map(|&(at, v)| v * matrix[at as usize]).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_quadratic(x: &[Feature], d: usize) {
        let mut matrix = vec![0.0; packed::len(d)];
        for (at, entry) in matrix.iter_mut().enumerate() {
            *entry = ((at * 7) % 11) as f64 - 3.0;
        }
        let mut expected = 0.0;
        for &(i, v) in x {
            for &(j, w) in x {
                let (i, j) = (usize::from(i.max(j)), usize::from(i.min(j)));
                if i < d {
                    expected += v * w * matrix[packed::len(i) + j];
                }
            }
        }
        let mut context = Context::of(&[(3, 9.0)]);
        context.fill(|features| features.extend_from_slice(x));
        let found = context.quadratic(&matrix);
        assert!(
            (found - expected).abs() < 1e-9,
            "{x:?}: {found}, {expected}"
        );
    }

    #[test]
    fn the_quadratic_form_is_that_of_the_whole_matrix() {
        let dense: Vec<Feature> = (0..9).map(|i| (i, f64::from(i) - 3.5)).collect();
        for d in [1, 5, 9, 20] {
            check_quadratic(&dense, d);
            check_quadratic(&[(0, 1.0)], d);
        }
        // Few of many, in any order, and one of them beyond.
        check_quadratic(&[(0, 1.0), (40, 0.5), (17, -2.0)], 60);
        check_quadratic(&[(0, 1.0), (40, 0.5), (17, -2.0)], 30);
        check_quadratic(&[(0, 1.0), (60_000, 1.0)], 30);
    }
}
