//! What must not be shown, whatever it would earn.
//!
//! Guardrails remove candidates before scoring, so that the odds are odds among what may really be
//! shown. Service comes before selling: a customer in care is sold nothing.

mod caps;
mod care;
mod fulfilment;

pub(super) use caps::selling_left;
pub(super) use care::in_care;

use super::scratch::Scratch;
use super::snapshot::{Offer, Snapshot};
use crate::domain::{
    Exclusion, Facts, NameHash, OfferClass, PlacementAsk, PlacementDecision, Request, Verdict,
};

/// Removes every runner that must not be shown, and writes why.
pub(super) fn apply(
    snapshot: &Snapshot,
    wanted: &PlacementAsk<'_>,
    request: &Request<'_>,
    facts: &Facts,
    outcome: &PlacementDecision,
    scratch: &mut Scratch,
) {
    let Scratch {
        decision,
        running,
        care,
        selling_left,
        labels,
        ..
    } = scratch;
    let may_sell = request.customer.consent.marketing && *selling_left > 0;
    let first = outcome.choices.start == 0 && wanted.exclude_offers.is_empty();
    running.retain(|runner| {
        let ix = decision.candidates[runner.candidate as usize].offer;
        let offer = snapshot.catalog.offer(ix);
        // What nothing below could object to, at one look: most offers, most of the time.
        if first
            && (may_sell || !offer.class.sells())
            && (!*care || offer.class == OfferClass::Care)
            && offer.caps.is_empty()
            && offer.requires.is_none()
            && offer.labels & *labels == 0
        {
            return true;
        }
        let shown = || {
            let earlier = &decision.choices[..outcome.choices.start as usize];
            earlier.iter().any(|c| c.offer == ix) || wanted.exclude_offers.contains(&&*offer.id)
        };
        let reason = consent(offer, request)
            .or_else(|| (*care && offer.class != OfferClass::Care).then_some(Exclusion::CareOnly))
            .or_else(|| capped(offer, *selling_left, facts, request))
            .or_else(|| fulfilment::objection(offer, request))
            .or_else(|| (offer.labels & *labels != 0).then_some(Exclusion::ExcludedLabel))
            .or_else(|| shown().then_some(Exclusion::Duplicate));
        if let Some(reason) = reason {
            decision.candidates[runner.candidate as usize].verdict = Verdict::Excluded(reason);
        }
        reason.is_none()
    });
}

fn consent(offer: &Offer, request: &Request<'_>) -> Option<Exclusion> {
    let withheld = offer.class.sells() && !request.customer.consent.marketing;
    withheld.then_some(Exclusion::NoConsent)
}

fn capped(
    offer: &Offer,
    selling_left: u32,
    facts: &Facts,
    request: &Request<'_>,
) -> Option<Exclusion> {
    let spent = offer.class.sells() && selling_left == 0
        || offer
            .caps
            .iter()
            .any(|cap| caps::spent(cap, facts, request.at, Some(offer.hash)));
    spent.then_some(Exclusion::CapCustomer)
}

/// Whether an exposure concerns the offer; all of the selling ones do where none is named.
fn concerns(exposure: &crate::domain::Exposure, offer: Option<NameHash>) -> bool {
    offer.map_or(exposure.sells, |offer| exposure.offer == offer)
}
