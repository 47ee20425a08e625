//! The terms of one offer, by a regression that looks at its rows again.
//!
//! A regression that sees each row once keeps what that row said when the weights were not known yet: early rows are judged
//! with weights that know nothing, and say more or less for ever than they would say now. So rows are remembered, and
//! whenever there are a fifth more, the belief is fitted to all of them at once (Newton steps to the posterior's
//! mode from the last one, the covariance there). Rows beyond the memory are kept as the quadratic that they are near the present
//! mode, which by then is a good place (sliding-window filtering, as in Sibley, Matthies and Sukhatme 2010). A label that
//! changes late is changed in the row itself.

use serde::{Deserialize, Serialize};

use super::bayes::BayesLogistic;
use super::rows::{About, Rows};
use super::{Context, packed, sigmoid};

/// The rows of one offer, and what they said together when they were last looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Arm {
    rows: Rows,
    /// Rows ever learnt.
    count: u64,
    /// At how many it is fitted again.
    fit_at: u64,
    /// The weights before anything was seen: what was learnt over the model before. Those beyond are 0.
    start: Vec<f64>,
    /// What rows beyond the memory say: curvature, and curvature times weights plus slope. Empty where there are none.
    past: Vec<f64>,
    past_pull: Vec<f64>,
    /// What was found out about how much weights differ.
    found: Found,
}

/// What an arm says about how far weights lie from where they start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Found {
    /// How many of them the rows determine, rather than the prior.
    pub determined: f64,
    /// Sum of their squared distances.
    pub squares: f64,
}

/// A row says at least so much about how sure its weights are: at rates of a few per thousand, where rows say almost
/// nothing about the log-odds, exploring for certainty about them would never end.
pub(super) const CURVATURE_MIN: f64 = 0.01;

/// An arm is first fitted at so many rows, and never with fewer new ones.
const FIT_ROWS_MIN: u64 = 8;
/// And with so many of those it remembers more: each row is then looked at six times, however many there are.
const FIT_MORE: f64 = 0.2;
/// Newton steps of one fit; it starts at the last mode.
const STEPS: usize = 2;
/// Halvings of a step that does not improve.
const HALVINGS: i32 = 8;

impl Arm {
    /// One whose weights begin there.
    pub fn new(start: Vec<f64>) -> Arm {
        Arm {
            start,
            fit_at: FIT_ROWS_MIN,
            ..Arm::default()
        }
    }

    /// Rows ever learnt.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes that a remembered row takes on average.
    pub fn row_bytes(&self) -> usize {
        self.rows.bytes() / self.rows.len().max(1)
    }

    /// What it says about how much weights differ.
    pub fn found(&self) -> Found {
        self.found
    }

    /// Remembers a row. Whether there are enough for another fit.
    pub fn remember(&mut self, about: About, x: &Context) -> bool {
        self.count += 1;
        self.rows.push(about, x.features());
        self.count >= self.fit_at
    }

    /// Changes the label of a row that is still remembered.
    pub fn relabel(&mut self, number: u64, change: f64) {
        if let Some(row) = self.rows.find(number) {
            row.label = (row.label + change as f32).clamp(0.0, 1.0);
        }
    }

    /// Fits `terms`, which is what is believed by now, to all rows; around where they start with those precisions. Of
    /// the rows, `rows_max` are remembered.
    pub fn fit(&mut self, terms: &mut BayesLogistic, precisions: &[f64], rows_max: usize) {
        let d = terms.width();
        self.start.resize(d, 0.0);
        let mut mean = terms.mean().to_vec();
        if self.rows.len() > rows_max {
            self.let_go(&mean, rows_max / 4 * 3);
        }
        for _ in 0..STEPS {
            let Some(next) = self.step(&mean, precisions) else {
                break;
            };
            mean = next;
        }
        let curvature = self.look(&mean, precisions, CURVATURE_MIN).curvature;
        if let Some(root) = packed::root(&curvature, d) {
            let covariance = packed::inverse(&root, d);
            let left = (1..d).map(|i| covariance[packed::diagonal(i)] * precisions[i]);
            self.found = Found {
                determined: ((d - 1) as f64 - left.sum::<f64>()).max(0.0),
                squares: (1..d).map(|i| (mean[i] - self.start[i]).powi(2)).sum(),
            };
            *terms = BayesLogistic::of(mean, covariance);
        }
        let more = (FIT_MORE * self.rows.len() as f64).ceil() as u64;
        self.fit_at = self.count + FIT_ROWS_MIN + more;
    }

    /// Makes all but the newest rows a quadratic.
    fn let_go(&mut self, mean: &[f64], keep: usize) {
        let old = self.rows.len() - keep;
        self.past.resize(packed::len(mean.len()), 0.0);
        self.past_pull.resize(mean.len(), 0.0);
        let (past, pull) = (&mut self.past, &mut self.past_pull);
        self.rows.each(0..old, mean.len(), |row, x| {
            let z = packed::dot(mean, x);
            let p = sigmoid(f64::from(row.offset) + z);
            let weight = f64::from(row.weight);
            let curve = weight * (p * (1.0 - p)).max(CURVATURE_MIN);
            packed::add_outer(past, curve, x);
            packed::add(pull, weight * (f64::from(row.label) - p) + curve * z, x);
        });
        self.rows.forget(old);
    }

    /// One Newton step from `mean`, halved until it improves; `None` where none does.
    fn step(&self, mean: &[f64], precisions: &[f64]) -> Option<Vec<f64>> {
        let here = self.look(mean, precisions, 0.0);
        let root = packed::root(&here.curvature, mean.len())?;
        let step = packed::solve(&root, &here.slope);
        (0..HALVINGS).find_map(|halvings| {
            let mut next = mean.to_vec();
            packed::add(&mut next, 0.5_f64.powi(halvings), &step);
            (self.loss(&next, precisions) <= here.loss).then_some(next)
        })
    }

    /// The posterior there, where a row has at least that curvature.
    fn look(&self, mean: &[f64], precisions: &[f64], least: f64) -> Looked {
        let d = mean.len();
        let mut curvature = self.past.clone();
        curvature.resize(packed::len(d), 0.0);
        let mut slope: Vec<f64> = packed::times(&curvature, mean).iter().map(|s| -s).collect();
        packed::add(&mut slope, 1.0, &self.past_pull);
        for (i, precision) in precisions.iter().enumerate() {
            curvature[packed::diagonal(i)] += precision;
            slope[i] -= precision * (mean[i] - self.start[i]);
        }
        let mut loss = self.loss_of_the_rest(mean, precisions);
        self.rows.each(0..self.rows.len(), d, |row, x| {
            let m = f64::from(row.offset) + packed::dot(mean, x);
            let (p, weight, label) = (sigmoid(m), f64::from(row.weight), f64::from(row.label));
            packed::add_outer(&mut curvature, weight * (p * (1.0 - p)).max(least), x);
            packed::add(&mut slope, weight * (label - p), x);
            loss += weight * row_loss(m, label);
        });
        Looked {
            loss,
            slope,
            curvature,
        }
    }

    /// Minus the logarithm of the posterior, up to a constant.
    fn loss(&self, mean: &[f64], precisions: &[f64]) -> f64 {
        let mut loss = self.loss_of_the_rest(mean, precisions);
        self.rows.each(0..self.rows.len(), mean.len(), |row, x| {
            let m = f64::from(row.offset) + packed::dot(mean, x);
            loss += f64::from(row.weight) * row_loss(m, f64::from(row.label));
        });
        loss
    }

    /// Of the prior, and of the rows beyond the memory.
    fn loss_of_the_rest(&self, mean: &[f64], precisions: &[f64]) -> f64 {
        let away = mean.iter().zip(&self.start).map(|(m, s)| (m - s).powi(2));
        let prior: f64 = away
            .zip(precisions)
            .map(|(square, p)| 0.5 * p * square)
            .sum();
        if self.past.is_empty() {
            return prior;
        }
        let mut past = self.past.clone();
        past.resize(packed::len(mean.len()), 0.0);
        let quadratic = 0.5 * packed::dot(&packed::times(&past, mean), mean);
        prior + quadratic - packed::dot(&self.past_pull, mean)
    }
}

/// The posterior's logarithm at some weights: minus itself, its slope, and minus its curvature.
struct Looked {
    loss: f64,
    slope: Vec<f64>,
    curvature: Vec<f64>,
}

/// Minus the logarithm of the probability of a label at log-odds `m`.
fn row_loss(m: f64, label: f64) -> f64 {
    m.max(0.0) + (-m.abs()).exp().ln_1p() - label * m
}
