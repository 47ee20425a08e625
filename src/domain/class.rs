//! Who goes first when not everybody can, and why somebody did not.

use super::phase::vocabulary;

vocabulary! {
    /// What a request is, as to who goes first.
    Class {
        /// Orders, conversions, reversals, signed contexts: refused last.
        Conversion = "conversion",
        /// Decisions.
        Decision = "decision",
        /// Impressions, clicks and whatever else is told about an offer; the SDK sends them again.
        Click = "click",
        /// What is told about the visit: phases, elements, ratings. Refused first.
        Report = "report",
    }
}

vocabulary! {
    /// Why a request was turned away before it was read.
    Lack {
        /// Too much is being worked on.
        InFlight = "in_flight",
        /// Requests wait too long for their turn.
        Queue = "queue",
        /// Its own deadline passed while it waited.
        Deadline = "deadline",
    }
}
