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
        /// An element of the page, or of an offer on it, was used.
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

    /// Whether a token is looked at: what is about an offer needs one, and an element may be one of an
    /// offer (the video of a guide, say) or of the page.
    #[must_use]
    pub fn takes_token(self) -> bool {
        self.about_offer() || self == EventType::Element
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
