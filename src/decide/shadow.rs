//! A model that scores alongside: what it would have said about the same candidates.
//!
//! It runs after the decision is made and touches nothing of it. Its answers go into the record, where
//! they can be compared with what then happened, and nowhere else.

use super::inputs::{Clock, View, bind_slots};
use super::score::Asking;
use super::snapshot::{LiveModel, Snapshot};
use crate::domain::{Decision, Effort, OddInput, PlacementDecision, Request, Verdict};

/// One worker's buffers, and what the shadow said last.
#[derive(Debug, Default)]
pub struct ShadowScores {
    slots: Vec<u16>,
    asking: Asking,
    odd_inputs: Vec<OddInput>,
    /// For each placement its eligible candidates, in the record's order; NaN where the model failed.
    probabilities: Vec<Vec<f64>>,
}

impl ShadowScores {
    /// Scores every eligible candidate of a decision with another model. `None` where there is no
    /// shadow, it is not this decision's turn, or the deadline left no room for any model.
    pub fn of<'s, 'm>(
        &'s mut self,
        snapshot: &'m Snapshot,
        request: &Request<'_>,
        decision: &Decision,
    ) -> Option<(&'m LiveModel, &'s [Vec<f64>])> {
        if request.effort != Effort::Full {
            return None;
        }
        let model = snapshot.shadow_of(request.decision)?;
        bind_slots(&model.features, request, &mut self.slots);
        self.asking.begin();
        self.odd_inputs.clear();
        let clock = Clock::at(request.at, &snapshot.catalog.time_zone);
        self.probabilities.clear();
        for placement in &decision.placements {
            let answers = self.placement(model, request, decision, placement, clock);
            self.probabilities.push(answers);
        }
        Some((model, &self.probabilities))
    }

    /// What the shadow could not be told the last time that it was asked.
    #[must_use]
    pub fn odd_inputs(&self) -> &[OddInput] {
        &self.odd_inputs
    }

    fn placement(
        &mut self,
        model: &LiveModel,
        request: &Request<'_>,
        decision: &Decision,
        placement: &PlacementDecision,
        clock: Clock,
    ) -> Vec<f64> {
        let id = request.placements[usize::from(placement.ask)].id;
        let view = View::new(request, &model.vocabulary, &self.slots, id, clock);
        let eligible = decision
            .candidates_of(placement)
            .iter()
            .filter(|c| matches!(c.verdict, Verdict::Eligible { .. }))
            .map(|c| c.offer);
        let Some(scorer) = &model.scorer else {
            return Vec::new();
        };
        let odd = &mut self.odd_inputs;
        let sound = self.asking.ask(&**scorer, model, &view, eligible, odd);
        if !sound {
            self.asking.probabilities.fill(f64::NAN);
        }
        self.asking.probabilities.clone()
    }
}
