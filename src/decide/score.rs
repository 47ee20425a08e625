//! Candidates → expected value: the probability of a conversion, times what one is worth, times the
//! operator's lever.
//!
//! Never clicks, and never a regression on money, whose tails are heavy.

use super::inputs::{InputSource, View};
use super::scratch::Scratch;
use super::snapshot::{LiveModel, Placement, Snapshot};
use crate::domain::{Effort, Request, Verdict};
use crate::model::{Batch, Scorer};

/// Scores every runner and writes what the scorer believes into its verdict.
pub(super) fn fill(
    snapshot: &Snapshot,
    placement: &Placement,
    request: &Request<'_>,
    scratch: &mut Scratch,
) {
    if scratch.running.is_empty() {
        return;
    }
    let answered = match &snapshot.model.scorer {
        None => {
            scratch.decision.degraded.prior_only = true;
            false
        }
        Some(_) if request.effort != Effort::Full => {
            scratch.decision.degraded.model_deadline = true;
            false
        }
        Some(scorer) => {
            ask(&**scorer, &snapshot.model, placement, request, scratch);
            let sound = scratch
                .probabilities
                .iter()
                .all(|p| (0.0..=1.0).contains(p));
            scratch.decision.degraded.model_failed |= !sound;
            sound
        }
    };
    for i in 0..scratch.running.len() {
        let runner = &mut scratch.running[i];
        let candidate = &mut scratch.decision.candidates[runner.candidate as usize];
        let offer = snapshot.catalog.offer(candidate.offer);
        runner.probability = if answered {
            scratch.probabilities[i]
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

/// Has the model fill `scratch.probabilities`, one per runner.
fn ask(
    scorer: &dyn Scorer,
    model: &LiveModel,
    placement: &Placement,
    request: &Request<'_>,
    scratch: &mut Scratch,
) {
    let view = View::new(
        request,
        &model.vocabulary,
        &scratch.slots,
        &placement.id,
        scratch.clock,
    );
    scratch.shared.clear();
    scratch
        .shared
        .extend(model.inputs.iter().map(|input| match input.source {
            InputSource::Request(key) => {
                input.encode(view.attribute(model.vocabulary.attribute(key)))
            }
            InputSource::Offer => f64::NAN,
        }));
    let width = model.own_inputs.len();
    scratch.own.clear();
    for runner in &scratch.running {
        let offer = scratch.decision.candidates[runner.candidate as usize]
            .offer
            .0 as usize;
        scratch
            .own
            .extend_from_slice(&model.own[offer * width..(offer + 1) * width]);
    }
    scratch.probabilities.clear();
    scratch.probabilities.resize(scratch.running.len(), 0.0);
    let batch = Batch {
        shared: &scratch.shared,
        own_inputs: &model.own_inputs,
        own: &scratch.own,
    };
    scorer.score(&batch, &mut scratch.scorer, &mut scratch.probabilities);
}
