//! A trained function with its link and calibration: what serves.

use super::calibration::sigmoid;
use super::eval::Evaluator;
use super::{Batch, Calibration, Ensemble, Linear, Roster, Scorer, ScorerScratch};

/// What a raw score means before any calibration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Log-odds: `probability = 1 / (1 + exp(-raw))`.
    Logistic,
    /// A probability already, limited to [0, 1].
    Identity,
    /// The logarithm of an expected count, which is taken for a probability as far as it is one.
    Exp,
}

/// Log-odds of 0 and 1 are infinite; this is how near a predicted probability may come to them.
const PROBABILITY_MIN: f64 = 1e-6;

impl Link {
    /// The probability that a finite raw score stands for.
    #[must_use]
    pub fn probability(self, raw: f64) -> f64 {
        match self {
            Link::Logistic => sigmoid(raw),
            Link::Identity => raw.clamp(0.0, 1.0),
            Link::Exp => raw.exp().min(1.0),
        }
    }

    /// The raw score as log-odds.
    #[must_use]
    pub fn margin(self, raw: f64) -> f64 {
        match self {
            Link::Logistic => raw,
            Link::Identity | Link::Exp => {
                let p = self.probability(raw);
                let p = p.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
                (p / (1.0 - p)).ln()
            }
        }
    }
}

/// A trained function. The set is ours, so it is an enum: what a file format gives is one of these.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    /// A weighted sum.
    Linear(Linear),
    /// Trees, averaged or added up.
    Forest(Ensemble),
}

impl Function {
    /// How many inputs it has.
    #[must_use]
    pub fn inputs(&self) -> usize {
        match self {
            Function::Linear(linear) => linear.inputs(),
            Function::Forest(forest) => forest.inputs(),
        }
    }

    /// What its raw score means.
    #[must_use]
    pub fn link(&self) -> Link {
        match self {
            Function::Linear(linear) => linear.link,
            Function::Forest(forest) => forest.output().link,
        }
    }
}

/// A trained function with its calibration.
#[derive(Clone, Debug)]
pub struct Predictor {
    /// Gives the raw score.
    pub function: Function,
    /// Makes a probability of it.
    pub calibration: Calibration,
    /// The function's trees, if it has any, laid out for speed.
    evaluator: Option<Evaluator>,
}

impl Predictor {
    /// Prepares a function for serving. `own_inputs` are those that differ between a request's candidates;
    /// knowing them beforehand makes it faster.
    #[must_use]
    pub fn new(function: Function, calibration: Calibration, own_inputs: &[u16]) -> Predictor {
        let evaluator = match &function {
            Function::Linear(_) => None,
            Function::Forest(forest) => Some(Evaluator::new(forest, own_inputs)),
        };
        Predictor {
            function,
            calibration,
            evaluator,
        }
    }

    /// Writes the raw score of each candidate into `out`: before link and calibration, for golden rows,
    /// explanations and whoever compares with the trainer.
    pub fn raw(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]) {
        debug_assert_eq!(batch.shared.len(), self.inputs());
        debug_assert_eq!(batch.own.len(), batch.own_inputs.len() * out.len());
        match (&self.function, &self.evaluator) {
            (Function::Linear(linear), _) => linear.raw(batch, scratch, out),
            (Function::Forest(forest), Some(fast)) => fast.raw(forest, batch, scratch, out),
            (Function::Forest(forest), None) => forest.raw(batch, scratch, out),
        }
    }

    /// As [`Predictor::raw`] for the `rows` of a roster.
    pub fn raw_known(
        &self,
        shared: &[f64],
        roster: &Roster,
        rows: &[u32],
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        debug_assert_eq!(shared.len(), self.inputs());
        debug_assert_eq!(rows.len(), out.len());
        match (&self.function, &self.evaluator) {
            (Function::Forest(forest), Some(fast)) => {
                fast.raw_known(forest, shared, roster, rows, scratch, out);
            }
            _ => roster.with_batch(shared, rows, scratch, |batch, scratch| {
                self.raw(batch, scratch, out);
            }),
        }
    }

    /// The probability of a raw score; NaN where the score is not finite.
    #[must_use]
    pub fn probability(&self, raw: f64) -> f64 {
        self.calibration.probability(self.function.link(), raw)
    }
}

impl Scorer for Predictor {
    fn inputs(&self) -> usize {
        self.function.inputs()
    }

    fn score(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]) {
        self.raw(batch, scratch, out);
        for value in out {
            *value = self.probability(*value);
        }
    }

    fn roster(&self, own_inputs: Vec<u16>, own: Vec<f64>) -> Roster {
        let roster = Roster::new(own_inputs, own);
        match &self.evaluator {
            Some(fast) => fast.strike(self.inputs(), roster),
            None => roster,
        }
    }

    fn score_known(
        &self,
        shared: &[f64],
        roster: &Roster,
        rows: &[u32],
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        self.raw_known(shared, roster, rows, scratch, out);
        for value in out {
            *value = self.probability(*value);
        }
    }
}
