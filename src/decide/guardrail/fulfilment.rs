//! Offers that only make sense because a person with a van is coming.
//!
//! What was not told counts as absent: better no extender offered than one promised that is not on
//! the van.

use crate::decide::snapshot::Offer;
use crate::domain::{Exclusion, Request};

/// Why the visiting technician cannot fulfil the offer on the spot.
pub(super) fn objection(offer: &Offer, request: &Request<'_>) -> Option<Exclusion> {
    let requires = offer.requires.as_ref()?;
    let able = request
        .appointment
        .technician
        .as_ref()
        .is_some_and(|technician| {
            let has = |list: &[&str], item: &str| list.contains(&item);
            requires.skills.iter().all(|s| has(&technician.skills, s))
                && requires.stock.iter().all(|s| has(&technician.stock, s))
                && (requires.slack_minutes == 0
                    || technician
                        .slack_minutes
                        .is_some_and(|m| m >= requires.slack_minutes))
        });
    (!able).then_some(Exclusion::NotFulfillable)
}
