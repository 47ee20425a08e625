//! One decision: pure, synchronous, bounded.
//!
//! A decision is a function of the snapshot, the request and the ledger's facts. No clock, no dice,
//! no lock: time arrives in the request and the draw comes from the decision's id, so that every
//! decision can be made again from its record, bit for bit.
//!
//! Every stage works on all candidates of a placement at once. Guardrails act before scoring, and
//! **nothing vetoes after the draw**: it would make the written propensity false.

pub mod bucketing;
pub mod budget;
pub mod condition;
mod draw;
mod eligibility;
pub mod explore;
pub mod gate;
mod guardrail;
pub mod inputs;
pub mod learning;
mod odds;
pub mod offer_inputs;
pub mod posterior;
pub mod record;
mod score;
mod scratch;
pub mod shadow;
pub mod snapshot;
pub mod words;

pub use draw::{pick, uniform};
pub use eligibility::creative_for;
pub use odds::{SlateOdds, odds_of};
pub use scratch::Scratch;

use crate::domain::{Decision, Effort, Exclusion, Facts, PlacementDecision, Request, Verdict};
use inputs::View;
use snapshot::{LiveModel, Snapshot};

/// Decides every placement of the request, in order.
///
/// The answer lives in `scratch` until the next decision. Does not allocate once `scratch` has grown
/// to the catalog's size.
pub fn decide<'s>(
    snapshot: &Snapshot,
    request: &Request<'_>,
    facts: &Facts,
    scratch: &'s mut Scratch,
) -> &'s Decision {
    let choose = &mut draw::by_chance(snapshot, request);
    run(snapshot, request, facts, choose, scratch)
}

/// Every stage, in order; `choose` says who takes a rank.
fn run<'s>(
    snapshot: &Snapshot,
    request: &Request<'_>,
    facts: &Facts,
    choose: &mut draw::Pick<'_>,
    scratch: &'s mut Scratch,
) -> &'s Decision {
    let canary = snapshot.is_canary(request);
    let model = snapshot.model_of(canary);
    scratch.begin(snapshot, model, request, facts);
    scratch.decision.canary = canary;
    for (ask, wanted) in request.placements.iter().enumerate() {
        let known = snapshot.catalog.placement(wanted.id);
        let mut outcome = PlacementDecision {
            ask: u8::try_from(ask).expect("validation allows 8 placements"),
            placement: known.map(|(ix, _)| ix),
            candidates: scratch.next_candidate()..scratch.next_candidate(),
            choices: scratch.next_choice()..scratch.next_choice(),
            no_offer: None,
            joint: 1.0,
        };
        match known {
            None => outcome.no_offer = Some(Exclusion::UnknownPlacement),
            Some(_) if request.effort == Effort::Nothing => {
                outcome.no_offer = Some(Exclusion::Deadline);
            }
            Some((ix, placement)) => {
                eligibility::select(snapshot, model, placement, request, scratch);
                guardrail::apply(snapshot, wanted, request, facts, &outcome, scratch);
                score::fill(snapshot, model, (outcome.ask, ix), request, scratch);
                outcome.joint =
                    draw::slate(snapshot, placement, request, wanted, ask, choose, scratch);
                outcome.candidates.end = scratch.next_candidate();
                outcome.choices.end = scratch.next_choice();
                outcome.no_offer = why_empty(&scratch.decision, &outcome);
            }
        }
        scratch.decision.placements.push(outcome);
    }
    &scratch.decision
}

/// The request as placeholders look at it, for whoever renders the answer.
pub struct Views<'a> {
    model: &'a LiveModel,
    request: &'a Request<'a>,
    slots: &'a [u16],
    clock: inputs::Clock,
}

impl<'a> Views<'a> {
    /// The request as it was seen by the decision that is in `scratch`, which bound its features to the
    /// model that decided.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, request: &'a Request<'a>, scratch: &'a Scratch) -> Views<'a> {
        Views {
            model: snapshot.decided_by(&scratch.decision),
            request,
            slots: &scratch.slots,
            clock: scratch.clock,
        }
    }

    /// How many of the request's features neither the catalog nor the model knows.
    #[must_use]
    pub fn unknown_features(&self) -> usize {
        let known = self
            .slots
            .iter()
            .filter(|slot| **slot != inputs::NO_FEATURE);
        self.request
            .customer
            .features
            .len()
            .saturating_sub(known.count())
    }

    /// The view from one placement.
    #[must_use]
    pub fn at(&self, placement: &'a str) -> View<'a> {
        let vocabulary = &self.model.vocabulary;
        View::new(self.request, vocabulary, self.slots, placement, self.clock)
    }
}

/// The reason worth telling: care, if that is why something was withheld; else that of the candidate
/// that got furthest.
fn why_empty(decision: &Decision, outcome: &PlacementDecision) -> Option<Exclusion> {
    if !outcome.choices.is_empty() {
        return None;
    }
    let reasons = decision
        .candidates_of(outcome)
        .iter()
        .map(|c| match c.verdict {
            Verdict::Excluded(reason) => reason,
            Verdict::Eligible { .. } => Exclusion::LostOnScore,
        });
    Some(
        reasons
            .max_by_key(|r| reach(*r))
            .unwrap_or(Exclusion::NoCandidates),
    )
}

/// How far a candidate got that left the running for this reason.
fn reach(reason: Exclusion) -> u8 {
    const STAGES: [Exclusion; 14] = [
        Exclusion::PhaseMismatch,
        Exclusion::NotStarted,
        Exclusion::Ended,
        Exclusion::OutsideDaypart,
        Exclusion::ChannelUnsupported,
        Exclusion::TriggerMissing,
        Exclusion::RuleNotMet,
        Exclusion::AlreadyOwned,
        Exclusion::NoConsent,
        Exclusion::CapCustomer,
        Exclusion::NotFulfillable,
        Exclusion::ExcludedLabel,
        Exclusion::Duplicate,
        Exclusion::CareOnly,
    ];
    let stage = STAGES.iter().position(|s| *s == reason);
    stage.map_or(u8::MAX, |stage| u8::try_from(stage).expect("a short list"))
}

impl Scratch {
    fn next_candidate(&self) -> u32 {
        u32::try_from(self.decision.candidates.len()).expect("offers are indexed by u32")
    }

    fn next_choice(&self) -> u32 {
        u32::try_from(self.decision.choices.len()).expect("a slate is at most 20 long")
    }
}
