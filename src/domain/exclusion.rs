//! Why an offer left the running, and why a placement stayed empty: one published enum.

use super::phase::vocabulary;

vocabulary! {
    /// Why an offer was not shown, in the order in which the stages look.
    ///
    /// The words are stored in journals and read by other people's programs: never reuse or rename one.
    Exclusion {
        /// The offer is not for the phase the appointment is in, or not for this placement's phase.
        PhaseMismatch = "phase_mismatch",
        /// Its flight begins later.
        NotStarted = "not_started",
        /// Its flight, or the phase its price holds for, is over.
        Ended = "ended",
        /// Not at this hour of this weekday in the operator's time zone.
        OutsideDaypart = "outside_daypart",
        /// Its `when` condition is false for this customer.
        RuleNotMet = "rule_not_met",
        /// A trigger that it waits for has not happened, or too long ago.
        TriggerMissing = "trigger_missing",
        /// The customer has the product already.
        AlreadyOwned = "already_owned",
        /// The customer has not agreed to what showing it would need.
        NoConsent = "no_consent",
        /// The customer is in care: service comes before selling.
        CareOnly = "care_only",
        /// This customer has seen it, or offers of its kind, as often as allowed.
        CapCustomer = "cap_customer",
        /// It has been shown as often as allowed to everybody.
        CapTotal = "cap_total",
        /// Its budget is spent.
        BudgetSpent = "budget_spent",
        /// It is ahead of its pacing goal.
        AheadOfSchedule = "ahead_of_schedule",
        /// The visiting technician has not the skill, the stock or the time for it.
        NotFulfillable = "not_fulfillable",
        /// An offer with the same label is shown in this answer already.
        ExcludedLabel = "excluded_label",
        /// It is on the page already, by this answer or by the request's `exclude_offers`.
        Duplicate = "duplicate",
        /// It has no creative for this channel.
        ChannelUnsupported = "channel_unsupported",
        /// The catalog knows no such placement.
        UnknownPlacement = "unknown_placement",
        /// The customer is in the group that is shown nothing, to measure against.
        Holdout = "holdout",
        /// A later phase is worth more than showing it now.
        Held = "held",
        /// It was eligible and another offer was drawn.
        LostOnScore = "lost_on_score",
        /// The policy gives it no chance (deterministic policies only).
        BelowFloor = "below_floor",
        /// The deadline passed before it could be considered.
        Deadline = "deadline",
        /// The catalog has no offer for this placement at all.
        NoCandidates = "no_candidates",
    }
}
