//! Candidates that are known before any request, such as a catalog's offers.

use super::{Batch, ScorerScratch, eval};

/// The own inputs of every candidate that a request may name, and what a scorer worked out about them
/// beforehand. Only [`super::Scorer::roster`] works anything out; without, a roster is a table of numbers.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    own_inputs: Vec<u16>,
    own: Vec<f64>,
    /// Asked only by the evaluator that made it.
    pub(super) struck: Option<eval::Struck>,
}

impl Roster {
    /// Candidates whose `own_inputs` (positions among the model's inputs, ascending) have the values `own`,
    /// candidate after candidate.
    ///
    /// # Panics
    /// Where `own` is no whole number of rows.
    #[must_use]
    pub fn new(own_inputs: Vec<u16>, own: Vec<f64>) -> Roster {
        let whole = own.is_empty() || own.len().is_multiple_of(own_inputs.len().max(1));
        assert!(whole, "{} numbers are no whole rows", own.len());
        Roster {
            own_inputs,
            own,
            struck: None,
        }
    }

    /// Which inputs differ between candidates, ascending.
    #[must_use]
    pub fn own_inputs(&self) -> &[u16] {
        &self.own_inputs
    }

    /// Their values, candidate after candidate.
    #[must_use]
    pub fn own(&self) -> &[f64] {
        &self.own
    }

    /// Has `score` score the candidates of these `rows` as if they were not known beforehand.
    pub(super) fn with_batch(
        &self,
        shared: &[f64],
        rows: &[u32],
        scratch: &mut ScorerScratch,
        score: impl FnOnce(&Batch<'_>, &mut ScorerScratch),
    ) {
        let width = self.own_inputs.len();
        let mut own = std::mem::take(&mut scratch.own_values);
        own.clear();
        for &row in rows {
            own.extend_from_slice(&self.own[row as usize * width..][..width]);
        }
        let batch = Batch {
            shared,
            own_inputs: &self.own_inputs,
            own: &own,
        };
        score(&batch, scratch);
        scratch.own_values = own;
    }
}
