//! Candidates → expected value: the probability of a conversion, times what one is worth, times the
//! operator's lever.
//!
//! Never clicks, and never a regression on money, whose tails are heavy.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::inputs::{Input, InputSource, View};
use super::posterior::{Belief, PRIOR};
use super::scratch::Scratch;
use super::snapshot::{LiveModel, Snapshot};
use crate::domain::{Effort, OddInput, OfferIx, PlacementIx, Request, Verdict};
use crate::model::{Scorer, ScorerScratch};

/// Buffers of one question to a scorer.
#[derive(Debug, Default)]
pub(super) struct Asking {
    /// Inputs that all candidates share; empty until a request's first question.
    shared: Vec<f64>,
    /// Which of the model's offers are asked about.
    rows: Vec<u32>,
    /// One answer per candidate.
    pub probabilities: Vec<f64>,
    /// The scorer's own.
    scorer: ScorerScratch,
}

/// Scores every runner and writes what is believed of it into its verdict.
///
/// The posterior also applies over the priors of an answer that was cut short: they are base probabilities like a
/// model's, with layers of their own, and it costs microseconds.
pub(super) fn fill(
    snapshot: &Snapshot,
    model: &LiveModel,
    place: (u8, PlacementIx),
    request: &Request<'_>,
    scratch: &mut Scratch,
) {
    if scratch.running.is_empty() {
        return;
    }
    let placement = &snapshot.catalog.placements[usize::from(place.1.0)];
    let view = View::new(
        request,
        &model.vocabulary,
        &scratch.slots,
        &placement.id,
        scratch.clock,
    );
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
            let candidates = &scratch.decision.candidates;
            let offers = (scratch.running.iter()).map(|r| candidates[r.candidate as usize].offer);
            let odd = &mut scratch.decision.odd_inputs;
            let sound = scratch.asking.ask(&**scorer, model, &view, offers, odd);
            scratch.decision.degraded.model_failed |= !sound;
            sound
        }
    };
    let label = if answered { &*model.label } else { PRIOR };
    let posterior = snapshot.posterior.as_deref();
    let posterior = posterior.map(|p| p.ask(label, request, &view, place, &mut scratch.shared));
    for i in 0..scratch.running.len() {
        let runner = &mut scratch.running[i];
        let candidate = &mut scratch.decision.candidates[runner.candidate as usize];
        let offer = snapshot.catalog.offer(candidate.offer);
        let base = if answered {
            scratch.asking.probabilities[i]
        } else {
            offer.prior
        };
        // A pushed model and a prior say what they believe, not how surely.
        let belief = match &posterior {
            Some(posterior) => {
                posterior.believe((candidate.offer, offer.class), base, &scratch.shared)
            }
            None => Belief {
                probability: base,
                spread: 0.0,
            },
        };
        runner.probability = belief.probability;
        runner.spread = belief.spread;
        runner.score = runner.probability * offer.value_minor as f64 * offer.lever;
        (runner.labels, runner.tier, runner.class) = (offer.labels, offer.tier, offer.class);
        candidate.verdict = Verdict::Eligible {
            base,
            probability: runner.probability,
            spread: runner.spread,
            score: runner.score,
            odds: 0.0,
        };
    }
}

impl Asking {
    /// Forgets the last request.
    pub fn begin(&mut self) {
        self.shared.clear();
    }

    /// Has the model fill `probabilities`, one per offer. False where they are not all
    /// probabilities, or where the model panicked: one that fails costs its own answers, not the
    /// request. The request's first question notes in `odd` what the model could not be told.
    pub fn ask(
        &mut self,
        scorer: &dyn Scorer,
        model: &LiveModel,
        view: &View<'_>,
        offers: impl Iterator<Item = OfferIx>,
        odd: &mut Vec<OddInput>,
    ) -> bool {
        self.tell(model, view, odd);
        self.rows.clear();
        self.rows.extend(offers.map(|offer| offer.0));
        self.probabilities.clear();
        self.probabilities.resize(self.rows.len(), 0.0);
        let (shared, offers, rows) = (&self.shared, &model.offers, &self.rows);
        let (scratch, out) = (&mut self.scorer, &mut self.probabilities);
        // Whatever a panic left in the buffers is overwritten by the next question.
        let asked = catch_unwind(AssertUnwindSafe(|| {
            scorer.score_known(shared, offers, rows, scratch, out);
        }));
        asked.is_ok() && self.probabilities.iter().all(|p| (0.0..=1.0).contains(p))
    }

    /// Fills what all candidates share: everything for a request's first placement, for the others only
    /// what tells placements apart.
    fn tell(&mut self, model: &LiveModel, view: &View<'_>, odd: &mut Vec<OddInput>) {
        let value = |input: &Input| match input.source {
            InputSource::Request(key) => {
                input.encode(view.attribute(model.vocabulary.attribute(key)))
            }
            InputSource::Offer => Ok(f64::NAN),
        };
        if self.shared.is_empty() {
            for (position, input) in (0..).zip(&model.inputs) {
                self.shared.push(value(input).unwrap_or_else(|oddity| {
                    odd.push(OddInput {
                        input: position,
                        oddity,
                    });
                    input.missing
                }));
            }
        } else {
            for &position in &model.placement_inputs {
                let input = &model.inputs[usize::from(position)];
                self.shared[usize::from(position)] = value(input).unwrap_or(input.missing);
            }
        }
    }
}
