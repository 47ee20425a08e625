//! Things that score: given what is known, how likely is a conversion?
//!
//! A model never sees an offer, a request or a clock: only numbers in the order its manifest
//! declares. Binding those numbers to requests is `control::bind`'s work, reading files `import`'s.
//! A pushed file is hostile until [`load`] has accepted it; after that nothing here can fail.

mod calibration;
pub mod ensemble;
mod error;
pub mod eval;
mod feature;
mod fields;
mod import;
mod linear;
mod load;
mod manifest;
pub mod online;
mod predictor;
mod roster;

pub use calibration::Calibration;
pub use ensemble::Ensemble;
pub use error::{ArtifactError, LoadError, ManifestError};
pub use feature::{Feature, Kind, Missing};
pub use import::{Split, Tree, write_forest, write_linear};
pub use linear::{Coefficient, Cross, Linear};
pub use load::{
    ARTIFACT_BYTES_MAX, GOLDEN_TOLERANCE, MANIFEST_BYTES_MAX, Model, digest, load, load_unproven,
};
pub use manifest::{Format, GoldenRow, Manifest, Source, Target, is_identifier, limits};
pub use predictor::{Function, Link, Predictor};
pub use roster::Roster;

/// Predicts conversion probabilities for the candidates of one placement, in one call.
///
/// Within a request most inputs are the same for every candidate, so a model gets them once
/// (`shared`) and only what differs between candidates per row (`own`).
pub trait Scorer: Send + Sync {
    /// How many inputs the model has.
    fn inputs(&self) -> usize;

    /// Writes one calibrated probability within [0, 1] per candidate into `out`.
    ///
    /// NaN where the model has no finite answer (an input so large that a sum overflows): the caller
    /// takes the offer's prior instead, and says so. Must not allocate once `scratch` has grown to
    /// the model's needs.
    fn score(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]);

    /// Candidates that [`Scorer::score_known`] will be asked about again and again: see [`Roster::new`].
    /// Here a scorer works out beforehand what it can; that may take a millisecond.
    fn roster(&self, own_inputs: Vec<u16>, own: Vec<f64>) -> Roster {
        Roster::new(own_inputs, own)
    }

    /// As [`Scorer::score`] for the `rows` of a roster, one per entry of `out`. Gives the same bits.
    fn score_known(
        &self,
        shared: &[f64],
        roster: &Roster,
        rows: &[u32],
        scratch: &mut ScorerScratch,
        out: &mut [f64],
    ) {
        roster.with_batch(shared, rows, scratch, |batch, scratch| {
            self.score(batch, scratch, out);
        });
    }
}

/// The inputs of one call.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// One value per model input, NaN where missing. At the positions in `own_inputs` it is not read.
    pub shared: &'a [f64],
    /// Which inputs differ between candidates, ascending.
    pub own_inputs: &'a [u16],
    /// Their values, candidate after candidate: `out.len() * own_inputs.len()` numbers.
    pub own: &'a [f64],
}

impl Batch<'_> {
    /// The own inputs of one candidate, in the order of `own_inputs`.
    fn own_of(&self, candidate: usize) -> &[f64] {
        let width = self.own_inputs.len();
        &self.own[candidate * width..][..width]
    }

    /// Copies what one candidate does not share into `row`, which holds the rest.
    fn overwrite(&self, candidate: usize, row: &mut [f64]) {
        for (&input, &value) in self.own_inputs.iter().zip(self.own_of(candidate)) {
            row[usize::from(input)] = value;
        }
    }
}

/// Buffers that a scorer may use and that outlive the call.
#[derive(Debug, Default)]
pub struct ScorerScratch {
    /// A few rows of inputs, one after another.
    pub row: Vec<f64>,
    /// Per input, whether it differs between candidates.
    pub own: Vec<bool>,
    /// Own inputs of the candidates at hand, where they come from a roster.
    own_values: Vec<f64>,
    /// The evaluators' own.
    eval: eval::Scratch,
}
