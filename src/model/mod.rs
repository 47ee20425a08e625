//! Things that score: given what is known, how likely is a conversion?
//!
//! A model never sees an offer, a request or a clock: only numbers in the order its manifest
//! declares. Binding those numbers to requests is `decide`'s work, reading files `import`'s.

/// Predicts conversion probabilities for the candidates of one placement, in one call.
///
/// Within a request most inputs are the same for every candidate, so a model gets them once
/// (`shared`) and only what differs between candidates per row (`own`).
pub trait Scorer: Send + Sync {
    /// How many inputs the model has.
    fn inputs(&self) -> usize;

    /// Writes one probability per candidate into `out`, calibrated, finite and within [0, 1].
    ///
    /// Must not allocate once `scratch` has grown to the model's needs.
    fn score(&self, batch: &Batch<'_>, scratch: &mut ScorerScratch, out: &mut [f64]);
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

/// Buffers that a scorer may use and that outlive the call.
#[derive(Debug, Default)]
pub struct ScorerScratch {
    /// A row of inputs, or whatever the model needs.
    pub row: Vec<f64>,
}
