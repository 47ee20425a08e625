//! What was decided: every candidate's fate, the slate, and the exact odds it was drawn with.

use std::ops::Range;

use super::{CreativeIx, DecisionId, Exclusion, OfferIx, PlacementIx, Propensity};

/// What an answer had to leave out. Such decisions are logged and never learnt from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Degraded {
    /// The deadline left no room for the model; the prior scored.
    pub model_deadline: bool,
    /// Too much came at once for the model; the prior scored.
    pub overload: bool,
    /// The model gave something that is not a probability; the prior scored.
    pub model_failed: bool,
    /// No model is live; the prior scored.
    pub prior_only: bool,
    /// The journal's queue was full: this decision is not on record.
    pub unlogged: bool,
}

impl Degraded {
    /// The published words of what is set, in a fixed order.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        [
            (self.model_deadline, "model_deadline"),
            (self.overload, "overload"),
            (self.model_failed, "model_failed"),
            (self.prior_only, "prior_only"),
            (self.unlogged, "unlogged"),
        ]
        .into_iter()
        .filter_map(|(set, word)| set.then_some(word))
    }
}

super::vocabulary! {
    /// Why a model was not told an input as it is, and the manifest's rule for such values took over.
    Oddity {
        /// The request does not carry it, or the customer withholds it.
        Missing = "missing",
        /// Words where the model takes a number, or the other way round.
        Mistyped = "mistyped",
        /// A category that is not in the model's list.
        Unknown = "unknown",
    }
}

/// An input that the model was not told as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OddInput {
    /// Its position in the model's order.
    pub input: u16,
    /// Why.
    pub oddity: Oddity,
}

/// One decision, all placements. Flat lists with ranges, so that the buffers are reused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decision {
    /// Zero before the first decision in a buffer.
    pub id: Option<DecisionId>,
    /// The snapshot that decided.
    pub epoch: u64,
    /// Whether the snapshot's canary decided, and not the model that decides for everybody else.
    pub canary: bool,
    /// One per placement asked for, in order.
    pub placements: Vec<PlacementDecision>,
    /// Every offer looked at, placement by placement.
    pub candidates: Vec<Candidate>,
    /// Every offer to show, placement by placement, best rank first.
    pub choices: Vec<Choice>,
    /// What had to be left out.
    pub degraded: Degraded,
    /// What the model that decided could not be told; empty where it was not asked.
    pub odd_inputs: Vec<OddInput>,
}

/// The outcome at one placement.
#[derive(Clone, Debug, PartialEq)]
pub struct PlacementDecision {
    /// Index into the request's placements.
    pub ask: u8,
    /// `None` where the catalog does not know the placement.
    pub placement: Option<PlacementIx>,
    /// Its part of [`Decision::candidates`].
    pub candidates: Range<u32>,
    /// Its part of [`Decision::choices`].
    pub choices: Range<u32>,
    /// Why nothing is shown; `None` where something is.
    pub no_offer: Option<Exclusion>,
    /// The probability of this very slate in this order; 1 where nothing could be drawn.
    pub joint: f64,
}

/// An offer that was looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Which.
    pub offer: OfferIx,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// It left the running, and why.
    Excluded(Exclusion),
    /// It stayed in the running.
    Eligible {
        /// Probability of a success as the model, or the offer's prior, says.
        base: f64,
        /// The same with what has been learnt since.
        probability: f64,
        /// Standard deviation of the logarithm of `probability`; 0 where nothing has been learnt.
        spread: f64,
        /// Expected value in minor units: probability x value x lever.
        score: f64,
        /// Its probability of being drawn first.
        odds: f64,
    },
}

/// An offer to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Which.
    pub offer: OfferIx,
    /// In which words.
    pub creative: CreativeIx,
    /// 1 for the best place.
    pub rank: u8,
    /// Probability of a conversion, as the scorer says.
    pub base: f64,
    /// The same as is believed after what has been learnt over the scorer.
    pub probability: f64,
    /// Expected value in minor units.
    pub score: f64,
    /// The probability of drawing it at this rank, given the ranks before it.
    pub propensity: Propensity,
    /// Whether another eligible offer of its tier had the higher score.
    pub explored: bool,
    /// The best score at this rank less the mean score under the odds: what exploring costs in expectation.
    pub gap: f64,
    /// The best score at this rank less this one: what it cost this time.
    pub behind: f64,
}

impl Decision {
    /// Forgets the last decision and keeps the buffers.
    pub fn clear(&mut self) {
        self.id = None;
        self.epoch = 0;
        self.canary = false;
        self.placements.clear();
        self.candidates.clear();
        self.choices.clear();
        self.degraded = Degraded::default();
        self.odd_inputs.clear();
    }

    /// The candidates of one placement.
    #[must_use]
    pub fn candidates_of(&self, placement: &PlacementDecision) -> &[Candidate] {
        &self.candidates[placement.candidates.start as usize..placement.candidates.end as usize]
    }

    /// The slate of one placement.
    #[must_use]
    pub fn choices_of(&self, placement: &PlacementDecision) -> &[Choice] {
        &self.choices[placement.choices.start as usize..placement.choices.end as usize]
    }
}
