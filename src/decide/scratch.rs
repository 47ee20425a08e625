//! Buffers reused between decisions, so that deciding does not allocate once they have grown.

use super::inputs::{Clock, bind_slots};
use super::score::Asking;
use super::snapshot::{LiveModel, Set, Snapshot};
use crate::domain::{Decision, Facts, OfferClass, Request, Tier};
use crate::model::online::Context;

/// One worker's buffers. Holds nothing that outlives a decision but capacity.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The decision being made.
    pub(super) decision: Decision,
    /// For each feature slot, where the request carries it.
    pub(super) slots: Vec<u16>,
    /// The operator's wall clock.
    pub(super) clock: Clock,
    /// How many more selling offers this customer may be shown.
    pub(super) selling_left: u32,
    /// Label bits of what this answer shows already.
    pub(super) labels: u64,
    /// Whether the customer is in care.
    pub(super) care: bool,
    /// Whether each rule of the catalog holds at the placement at hand, as far as it was asked.
    pub(super) rules: Vec<Option<bool>>,
    /// Classes that have spent what exploring may cost today.
    pub(super) spent: Set,
    /// The candidates of the placement at hand that are still in the running.
    pub(super) running: Vec<Runner>,
    /// Scores of those who compete for a rank.
    pub(super) scores: Vec<f64>,
    /// Probabilities of a conversion in those.
    pub(super) probabilities: Vec<f64>,
    /// How sure those are: standard deviations of their logarithms.
    pub(super) spreads: Vec<f64>,
    /// Which of those may not explore: the budget of their class is spent.
    pub(super) held: Vec<bool>,
    /// Their odds.
    pub(super) odds: Vec<f64>,
    /// Which runners they are.
    pub(super) competing: Vec<u32>,
    /// What the posterior is asked: the features that all candidates share.
    pub(super) shared: Context,
    /// What the scorer is asked and answers.
    pub(super) asking: Asking,
}

/// A candidate in the running for the placement at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runner {
    /// Index into the decision's candidates.
    pub candidate: u32,
    /// Probability of a conversion.
    pub probability: f64,
    /// Expected value in minor units.
    pub score: f64,
    /// Standard deviation of the logarithm of `score`; 0 where nobody knows.
    pub spread: f64,
    /// Of its offer, for the draw: offers lie far apart in memory, runners do not.
    pub labels: u64,
    /// Likewise.
    pub tier: Tier,
    /// Likewise.
    pub class: OfferClass,
    /// Drawn, or barred by something drawn.
    pub out: bool,
}

impl Scratch {
    /// The decision made last.
    #[must_use]
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Forgets the last decision and prepares what every placement of this one shares.
    pub(super) fn begin(
        &mut self,
        snapshot: &Snapshot,
        model: &LiveModel,
        request: &Request<'_>,
        facts: &Facts,
    ) {
        self.decision.clear();
        self.decision.id = Some(request.decision);
        self.decision.epoch = snapshot.epoch;
        bind_slots(&model.features, request, &mut self.slots);
        self.asking.begin();
        self.clock = Clock::at(request.at, &snapshot.catalog.time_zone);
        self.labels = 0;
        self.spent = snapshot.spent.at(request.at);
        self.care = super::guardrail::in_care(&snapshot.catalog.care, request);
        self.selling_left =
            super::guardrail::selling_left(&snapshot.catalog.selling_caps, facts, request.at);
    }
}
