//! What a catalog says about learning: which features, what counts as success, and for how long.
//!
//! There is no key that says when a failure is learnt other than a hold of a few minutes. Learning
//! successes when they arrive and failures when their window closes looks natural and halves the value
//! that a simulated operator makes (0.43 to 0.48 of the oracle's instead of 0.88): until a window has
//! closed, every offer that was ever bought looks like one that is always bought.

use super::condition::Key;
use crate::domain::{EventType, OfferClass, vocabulary};

/// The longest hold before a showing is learnt, in minutes. See the module: beyond a few minutes the
/// hold becomes the mistake that it is here to avoid.
pub const HOLD_MINUTES_MAX: i64 = 30;

vocabulary! {
    /// What proves that an offer was seen. What was not seen has not failed.
    Seen {
        /// `viewable` where the placement's pages send it, `impression` elsewhere.
        Auto = "auto",
        /// The offer was put on the page.
        Impression = "impression",
        /// Half of it was on screen for a second, or the customer used it.
        Viewable = "viewable",
    }
}

/// `[learning]` of a catalog.
#[derive(Clone, Debug, PartialEq)]
pub struct Learning {
    /// Whether anything is learnt from events at all.
    pub enabled: bool,
    /// What beside phase and placement the terms of an offer look at.
    pub inputs: Vec<LearningInput>,
    /// Customer segments, one column each.
    pub segments: Vec<Box<str>>,
    /// What proves that an offer was seen.
    pub seen: Seen,
    /// From seen to learnt, milliseconds.
    pub hold_ms: i64,
    /// How long after the decision (impressions) or after being seen (the rest) an event of that type is
    /// its consequence, milliseconds, by [`EventType`].
    pub windows_ms: [i64; EventType::ALL.len()],
    /// What counts as success, by [`OfferClass`].
    pub rewards: [Rewards; OfferClass::ALL.len()],
}

/// One attribute that the terms of an offer look at.
#[derive(Clone, Debug, PartialEq)]
pub struct LearningInput {
    /// Such as `tenure`.
    pub name: Box<str>,
    /// Where it is, in the catalog's vocabulary.
    pub key: Key,
    /// What becomes of its value.
    pub kind: LearningKind,
}

/// What becomes of an attribute's value.
#[derive(Clone, Debug, PartialEq)]
pub enum LearningKind {
    /// A number or flag between these bounds, as -1 to 1; beyond them as the nearer one; missing as 0.
    Number(f64, f64),
    /// One column for each of these values.
    Words(Vec<Box<str>>),
}

/// What each event type is worth as a share of a success, for one class.
///
/// A showing's label is the greatest share among what happened, so that a click and the order after it
/// do not add up to more than a sale. A negative share is an extra failure of that weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rewards {
    /// By [`EventType`]; 0 for what does not count.
    pub shares: [f64; EventType::ALL.len()],
}

const HOUR_MS: i64 = 3_600_000;

impl Rewards {
    /// A conversion is a success and nothing else is.
    #[must_use]
    pub fn conversions() -> Rewards {
        let mut shares = [0.0; EventType::ALL.len()];
        shares[EventType::Conversion as usize] = 1.0;
        Rewards { shares }
    }

    /// What the event is worth.
    #[must_use]
    pub fn of(&self, event: EventType) -> f64 {
        self.shares[event as usize]
    }
}

impl Learning {
    /// What holds where a catalog says nothing about an event type's window.
    #[must_use]
    pub fn window_ms_default(event: EventType) -> i64 {
        match event {
            EventType::Impression | EventType::Viewable => 24 * HOUR_MS,
            EventType::Order | EventType::Conversion => 7 * 24 * HOUR_MS,
            EventType::Reversal => 30 * 24 * HOUR_MS,
            _ => 24 * HOUR_MS,
        }
    }

    /// How long after the decision (impressions) or after being seen (the rest) an event counts.
    #[must_use]
    pub fn window_ms(&self, event: EventType) -> i64 {
        self.windows_ms[event as usize]
    }

    /// How long after being seen anything can still make the showing of that class a success.
    #[must_use]
    pub fn success_window_ms(&self, class: OfferClass) -> i64 {
        let rewards = self.rewards_of(class);
        let counting = EventType::ALL.iter().filter(|e| rewards.of(**e) != 0.0);
        counting.map(|e| self.window_ms(*e)).max().unwrap_or(0)
    }

    /// What counts as success for offers of that class.
    #[must_use]
    pub fn rewards_of(&self, class: OfferClass) -> &Rewards {
        &self.rewards[class as usize]
    }
}

impl Default for Learning {
    fn default() -> Learning {
        let mut windows_ms = [0; EventType::ALL.len()];
        for (window, event) in windows_ms.iter_mut().zip(EventType::ALL) {
            *window = Learning::window_ms_default(*event);
        }
        Learning {
            enabled: true,
            inputs: Vec::new(),
            segments: Vec::new(),
            seen: Seen::Auto,
            hold_ms: 60_000,
            windows_ms,
            rewards: [Rewards::conversions(); OfferClass::ALL.len()],
        }
    }
}
