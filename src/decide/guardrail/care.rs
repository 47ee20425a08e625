//! Service before selling: when a customer wants help and not offers.

use crate::decide::snapshot::CarePolicy;
use crate::domain::Request;

/// Whether anything the policy names weighs on this customer or this visit.
pub(in crate::decide) fn in_care(policy: &CarePolicy, request: &Request<'_>) -> bool {
    let care = &request.customer.care;
    let visit = &request.appointment;
    let at_most =
        |value: Option<u8>, max: Option<u8>| matches!((value, max), (Some(v), Some(m)) if v <= m);
    policy.open_issue && care.open_issue
        || policy.payment_hardship && care.payment_hardship
        || at_most(care.last_rating, policy.rating_max)
        || policy
            .delay_seconds_min
            .is_some_and(|min| visit.delay_seconds.is_some_and(|d| d >= min))
        || policy
            .reschedules_min
            .is_some_and(|min| visit.reschedules >= min)
}
