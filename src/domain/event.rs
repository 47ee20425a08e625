//! What a customer does after (or without) an offer.

use super::phase::vocabulary;

use super::Ack;

vocabulary! {
    /// What happened.
    EventType {
        /// The offer was put on the page.
        Impression = "impression",
        /// At least half of it was on screen for one second.
        Viewable = "viewable",
        /// It was tapped.
        Click = "click",
        /// It was waved away.
        Dismiss = "dismiss",
        /// It was ordered.
        Order = "order",
        /// The order went through: what the learner learns from.
        Conversion = "conversion",
        /// The conversion was taken back.
        Reversal = "reversal",
        /// A phase of the appointment was looked at, and for how long.
        PhaseView = "phase_view",
        /// An element of the page was used.
        Element = "element",
        /// The customer rated the visit.
        Feedback = "feedback",
    }
}

impl EventType {
    /// Whether the event is about an offer and so carries a decision's token.
    #[must_use]
    pub fn about_offer(self) -> bool {
        self <= EventType::Reversal
    }

    /// How firmly the journal must hold it before the sender hears of success.
    #[must_use]
    pub fn ack(self) -> Ack {
        match self {
            EventType::Order | EventType::Conversion | EventType::Reversal => Ack::Durable,
            _ => Ack::Written,
        }
    }
}
