//! Candidates → expected value: the probability of a conversion, times what one is worth, times the
//! operator's lever.
//!
//! Never clicks, and never a regression on money, whose tails are heavy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::inputs::{InputSource, View};
use super::scratch::Scratch;
use super::snapshot::{LiveModel, Placement, Snapshot};
use crate::domain::{Effort, OfferIx, Request, Verdict};
use crate::model::{Batch, Scorer, ScorerScratch};

/// Buffers of one question to a scorer.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Inputs that all candidates share.
    shared: Vec<f64>,
    /// Inputs of each candidate.
    own: Vec<f64>,
    /// One answer per candidate.
    pub probabilities: Vec<f64>,
    /// The scorer's own.
    scorer: ScorerScratch,
}

/// Scores every runner and writes what the scorer believes into its verdict.
pub(super) fn fill(
    snapshot: &Snapshot,
    model: &LiveModel,
    placement: &Placement,
    request: &Request<'_>,
    scratch: &mut Scratch,
) {
    if scratch.running.is_empty() {
        return;
    }
    let answered = match &model.scorer {
        None => {
            scratch.decision.degraded.prior_only = true;
            false
        }
        Some(_) if request.effort != Effort::Full => {
            let degraded = &mut scratch.decision.degraded;
            match request.effort {
                Effort::Overload => degraded.overload = true,
                _ => degraded.model_deadline = true,
            }
            false
        }
        Some(scorer) => {
            let view = View::new(
                request,
                &model.vocabulary,
                &scratch.slots,
                &placement.id,
                scratch.clock,
            );
            let candidates = &scratch.decision.candidates;
            let offers = (scratch.running.iter()).map(|r| candidates[r.candidate as usize].offer);
            let sound = scratch.asking.ask(&**scorer, model, &view, offers);
            scratch.decision.degraded.model_failed |= !sound;
            sound
        }
    };
    for i in 0..scratch.running.len() {
        let runner = &mut scratch.running[i];
        let candidate = &mut scratch.decision.candidates[runner.candidate as usize];
        let offer = snapshot.catalog.offer(candidate.offer);
        runner.probability = if answered {
            scratch.asking.probabilities[i]
        } else {
            offer.prior
        };
        runner.score = runner.probability * offer.value_minor as f64 * offer.lever;
        candidate.verdict = Verdict::Eligible {
            probability: runner.probability,
            score: runner.score,
            odds: 0.0,
        };
    }
}

impl Asking {
    /// Has the model fill `probabilities`, one per offer. False where they are not all
    /// probabilities, or where the model panicked: one that fails costs its own answers, not the
    /// request.
    pub fn ask(
        &mut self,
        scorer: &dyn Scorer,
        model: &LiveModel,
        view: &View<'_>,
        offers: impl Iterator<Item = OfferIx>,
    ) -> bool {
        self.shared.clear();
        self.shared
            .extend(model.inputs.iter().map(|input| match input.source {
                InputSource::Request(key) => {
                    input.encode(view.attribute(model.vocabulary.attribute(key)))
                }
                InputSource::Offer => f64::NAN,
            }));
        let width = model.own_inputs.len();
        self.own.clear();
        self.probabilities.clear();
        for offer in offers {
            let row = offer.0 as usize * width;
            self.own.extend_from_slice(&model.own[row..row + width]);
            self.probabilities.push(0.0);
        }
        let batch = Batch {
            shared: &self.shared,
            own_inputs: &model.own_inputs,
            own: &self.own,
        };
        let (scratch, out) = (&mut self.scorer, &mut self.probabilities);
        // Whatever a panic left in the buffers is overwritten by the next question.
        let asked = catch_unwind(AssertUnwindSafe(|| scorer.score(&batch, scratch, out)));
        asked.is_ok() && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
    }
}
