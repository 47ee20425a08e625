//! The same belief, with its rows remembered and fitted again.
//!
//! A sequential update is as good as the weights at which it was made: an offer's first rows are judged with weights that
//! know nothing, and say more or less for ever than they would say now. So rows are remembered, and whenever there are some
//! 15 % more, the belief is fitted to all of them at once (Newton steps to the posterior's mode, the covariance there).
//! Rows beyond the memory are kept as the quadratic that they are near the present mode, which by then is a
//! good place (sliding-window filtering, as in Sibley, Matthies and Sukhatme 2010). A label that changes late is
//! changed in the row itself.
//!
//! How much features matter is learnt too, from all arms of a [`Family`] together: MacKay 1992's estimate of the
//! prior's precision from the parameters that the data determine.

use super::bayes::BayesLogistic;
use super::{Belief, Feature, sigmoid, symmetric};

/// What a family starts from, and what it learns by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FamilyPrior {
    /// Precision of a weight before anything is known of how much features matter.
    pub precision: f64,
    /// Precision of an arm's own level, the first feature.
    pub level_precision: f64,
    /// Rows remembered exactly, per arm.
    pub rows_max: usize,
    /// A row says at least so much about how sure its weights are: at rates of a few per thousand, where rows say almost
    /// nothing about the log-odds, exploring for certainty about them would never end.
    pub curvature_min: f64,
}

impl Default for FamilyPrior {
    /// The one setting that `docs/learning.md` measures.
    fn default() -> FamilyPrior {
        FamilyPrior {
            precision: 0.14,
            level_precision: 1.0,
            rows_max: 4_096,
            curvature_min: 0.02,
        }
    }
}

/// Arms that share how much features matter.
#[derive(Clone, Debug)]
pub struct Family {
    prior: FamilyPrior,
    precision: f64,
    arms: Vec<Arm>,
}

/// One arm: its belief, and the rows it comes from.
#[derive(Clone, Debug)]
struct Arm {
    belief: BayesLogistic,
    rows: Vec<Row>,
    /// Rows ever learnt.
    count: usize,
    /// At how many it is fitted again.
    fit_at: usize,
    /// What rows beyond the memory say: curvature, and curvature times weights plus slope.
    past: Vec<f64>,
    past_pull: Vec<f64>,
    /// Parameters that the data determine, and the squares of the weights.
    determined: f64,
    squares: f64,
}

#[derive(Clone, Debug)]
struct Row {
    x: Box<[Feature]>,
    offset: f64,
    y: f64,
}

/// An arm is first fitted at so many rows, and never with fewer new ones.
const FIT_ROWS_MIN: usize = 8;
/// Newton steps of one fit; it starts at the last mode.
const STEPS: usize = 2;
/// Halvings of a step that does not improve.
const HALVINGS: usize = 8;
/// An arm counts for how much features matter from so many rows per weight on.
const ROWS_PER_WEIGHT: usize = 5;
/// How strongly the first guess about that is held, in parameters.
const GUESS: f64 = 1.0;
/// What it can come to.
const PRECISION_RANGE: (f64, f64) = (0.01, 100.0);

impl Family {
    /// `arms` arms over `d` features, at most [`super::FULL_MAX`], of which the first is always 1.
    #[must_use]
    pub fn new(arms: usize, d: usize, prior: FamilyPrior) -> Family {
        assert!(
            d <= super::FULL_MAX,
            "fitting again needs the whole covariance"
        );
        let arm = Arm {
            belief: BayesLogistic::with_prior(vec![0.0; d], &prior.precisions(d, prior.precision)),
            rows: Vec::new(),
            count: 0,
            fit_at: FIT_ROWS_MIN,
            past: vec![0.0; d * d],
            past_pull: vec![0.0; d],
            determined: 0.0,
            squares: 0.0,
        };
        Family {
            prior,
            precision: prior.precision,
            arms: vec![arm; arms],
        }
    }

    /// What is believed about an arm where the features are `x` and everything else says `offset`.
    #[must_use]
    pub fn believe(&self, arm: usize, x: &[Feature], offset: f64) -> Belief {
        self.arms[arm].belief.believe(x, offset)
    }

    /// Learns that the outcome of `x` on an arm was `y`, in [0, 1].
    pub fn learn(&mut self, arm: usize, x: &[Feature], offset: f64, y: f64) {
        let one = &mut self.arms[arm];
        (one.belief).learn_at_least(x, offset, y, 1.0, self.prior.curvature_min);
        one.count += 1;
        one.rows.push(Row {
            x: x.into(),
            offset,
            y,
        });
        if one.count >= one.fit_at {
            one.fit(&self.prior, self.precision);
            self.precision = self.matter();
        }
    }

    /// The precision of a weight that the arms' weights make likely.
    fn matter(&self) -> f64 {
        let (determined, squares) = (self.arms.iter()).fold((0.0, 0.0), |(d, s), arm| {
            (d + arm.determined, s + arm.squares)
        });
        let precision = (determined + GUESS) / (squares + GUESS / self.prior.precision);
        precision.clamp(PRECISION_RANGE.0, PRECISION_RANGE.1)
    }
}

impl FamilyPrior {
    fn precisions(&self, d: usize, precision: f64) -> Vec<f64> {
        let mut precisions = vec![precision; d];
        precisions[0] = self.level_precision;
        precisions
    }
}

impl Arm {
    fn fit(&mut self, prior: &FamilyPrior, precision: f64) {
        let d = self.belief.width();
        let precisions = prior.precisions(d, precision);
        if self.rows.len() > prior.rows_max {
            self.let_go(prior);
        }
        let mut mean = self.belief.mean().to_vec();
        for _ in 0..STEPS {
            let Some(next) = self.step(&mean, &precisions) else {
                break;
            };
            mean = next;
        }
        let curvature = self.curvature(&mean, &precisions, prior.curvature_min);
        if let Some(covariance) = symmetric::inverse(&curvature, d) {
            if self.count >= ROWS_PER_WEIGHT * d {
                let left: f64 = (1..d).map(|i| covariance[i * d + i]).sum();
                self.determined = ((d - 1) as f64 - precision * left).max(0.0);
                self.squares = symmetric::dot(&mean[1..], &mean[1..]);
            }
            self.belief = BayesLogistic::of(mean, covariance);
        }
        let more = (0.15 * self.rows.len() as f64).ceil() as usize;
        self.fit_at = self.count + FIT_ROWS_MIN + more;
    }

    /// Makes the oldest quarter of the memory a quadratic.
    fn let_go(&mut self, prior: &FamilyPrior) {
        let (d, keep) = (self.belief.width(), prior.rows_max / 4 * 3);
        let old: Vec<Row> = self.rows.drain(..self.rows.len() - keep).collect();
        for row in old {
            let z = dot(self.belief.mean(), &row.x);
            let p = sigmoid(row.offset + z);
            let curve = (p * (1.0 - p)).max(prior.curvature_min);
            symmetric::add_outer(&mut self.past, d, &row.x, curve);
            for &(i, v) in &row.x {
                self.past_pull[usize::from(i)] += (row.y - p + curve * z) * v;
            }
        }
    }

    /// One Newton step from `mean`, halved until it improves; `None` where none does.
    fn step(&self, mean: &[f64], precisions: &[f64]) -> Option<Vec<f64>> {
        let d = mean.len();
        let covariance = symmetric::inverse(&self.curvature(mean, precisions, 0.0), d)?;
        let step = symmetric::times(&covariance, &self.slope(mean, precisions));
        let loss = self.loss(mean, precisions);
        (0..HALVINGS).find_map(|halvings| {
            let scale = 0.5_f64.powi(halvings as i32);
            let next: Vec<f64> = mean.iter().zip(&step).map(|(m, s)| m + scale * s).collect();
            (self.loss(&next, precisions) <= loss).then_some(next)
        })
    }

    fn curvature(&self, mean: &[f64], precisions: &[f64], least: f64) -> Vec<f64> {
        let d = mean.len();
        let mut curvature = self.past.clone();
        for (i, precision) in precisions.iter().enumerate() {
            curvature[i * d + i] += precision;
        }
        for row in &self.rows {
            let p = sigmoid(row.offset + dot(mean, &row.x));
            symmetric::add_outer(&mut curvature, d, &row.x, (p * (1.0 - p)).max(least));
        }
        curvature
    }

    /// Of the logarithm of the posterior.
    fn slope(&self, mean: &[f64], precisions: &[f64]) -> Vec<f64> {
        let past = symmetric::times(&self.past, mean);
        let mut slope: Vec<f64> = (0..mean.len())
            .map(|i| self.past_pull[i] - past[i] - precisions[i] * mean[i])
            .collect();
        for row in &self.rows {
            let gap = row.y - sigmoid(row.offset + dot(mean, &row.x));
            for &(i, v) in &row.x {
                slope[usize::from(i)] += gap * v;
            }
        }
        slope
    }

    /// Minus the logarithm of the posterior, up to a constant.
    fn loss(&self, mean: &[f64], precisions: &[f64]) -> f64 {
        let past = symmetric::times(&self.past, mean);
        let quadratic: f64 = (0..mean.len())
            .map(|i| mean[i] * (0.5 * (past[i] + precisions[i] * mean[i]) - self.past_pull[i]))
            .sum();
        let row = |row: &Row| {
            let m = row.offset + dot(mean, &row.x);
            m.max(0.0) + (-m.abs()).exp().ln_1p() - row.y * m
        };
        quadratic + self.rows.iter().map(row).sum::<f64>()
    }
}

fn dot(mean: &[f64], x: &[Feature]) -> f64 {
    x.iter().map(|&(i, v)| mean[usize::from(i)] * v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose outcome is exactly likely, of three features.
    fn play(family: &mut Family, rows: u32) {
        for t in 0..rows {
            let a = (f64::from(t) * 0.618).fract() * 2.0 - 1.0;
            let b = (f64::from(t) * 0.414).fract() * 2.0 - 1.0;
            let y = sigmoid(-1.0 + 2.0 * a - b);
            family.learn(0, &[(0, 1.0), (1, a), (2, b)], 0.0, y);
        }
    }

    #[track_caller]
    fn check_found(rows: u32, rows_max: usize) {
        let prior = FamilyPrior {
            rows_max,
            ..FamilyPrior::default()
        };
        let mut family = Family::new(2, 3, prior);
        play(&mut family, rows);
        for (x, expected) in [
            ([(0, 1.0), (1, 0.0), (2, 0.0)], -1.0),
            ([(0, 1.0), (1, 1.0), (2, 0.0)], 1.0),
            ([(0, 1.0), (1, 0.0), (2, 1.0)], -2.0),
        ] {
            let belief = family.believe(0, &x, 0.0);
            assert!(
                (belief.mean - expected).abs() < 0.1,
                "{belief:?}, {expected}"
            );
        }
        let memory = family.arms[0].rows.len();
        assert!(memory <= rows_max + rows_max / 4 + FIT_ROWS_MIN, "{memory}");
    }

    #[test]
    fn finds_the_weights_with_all_rows_and_with_few() {
        check_found(2_000, 4_096);
        check_found(2_000, 100);
    }

    #[test]
    fn how_much_features_matter_is_learnt() {
        let played = |weight: f64| {
            let mut family = Family::new(2, 3, FamilyPrior::default());
            for t in 0..2_000_u32 {
                let a = (f64::from(t) * 0.618).fract() * 2.0 - 1.0;
                let b = (f64::from(t) * 0.414).fract() * 2.0 - 1.0;
                let x = [(0, 1.0), (1, a), (2, b)];
                family.learn(1, &x, -1.0, sigmoid(-1.0 + weight * (a - b)));
            }
            family.precision
        };
        let (nothing, much) = (played(0.0), played(6.0));
        let guess = FamilyPrior::default().precision;
        assert!(nothing > 2.0 * guess, "{nothing}");
        assert!(much < guess, "{much}");
    }

    #[test]
    fn the_same_lessons_give_the_same_bits() {
        let beliefs = || {
            let mut family = Family::new(1, 3, FamilyPrior::default());
            play(&mut family, 300);
            family.arms[0].belief.clone()
        };
        assert_eq!(beliefs(), beliefs());
    }
}
