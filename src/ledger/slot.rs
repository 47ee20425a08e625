//! One exposure in 24 bytes.

use crate::domain::{DecisionId, Exposure, Millis, NameHash, Shown};

/// The longest a reservation can hold, about 12 days: what fits beside two flags into 32 bits.
/// A longer one ends then.
pub const HOLD_MS_MAX: i64 = (1 << 30) - 1;

const SELLS: u32 = 1 << 31;
const CONFIRMED: u32 = 1 << 30;
const HOLD_MS: u32 = CONFIRMED - 1;

/// An offer that was put on a page, and whether it was seen there.
///
/// Slots sort by time; the decision and the offer only make the order total, so that an account looks
/// the same however its journal was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    /// When it was seen, or decided while it is reserved.
    at: i64,
    /// Half of the decision's hash. One account holds few decisions: mistaking one for another takes a
    /// chance of one in 2^32 and the same offer.
    decision: u32,
    offer: NameHash,
    /// [`SELLS`], [`CONFIRMED`], and for how long a reservation holds in [`HOLD_MS`].
    rest: u32,
}

const _: () = assert!(size_of::<Slot>() == 24);

impl Slot {
    /// A reservation made at `at`.
    pub(super) fn reserved(
        decision: DecisionId,
        shown: Shown,
        at: Millis,
        hold_until: Millis,
    ) -> Slot {
        let hold_ms = hold_until.since(at).clamp(0, HOLD_MS_MAX);
        let hold_ms = u32::try_from(hold_ms).expect("clamped to 30 bits");
        Slot {
            at: at.0,
            decision: short(decision),
            offer: shown.offer(),
            rest: hold_ms | if shown.sells { SELLS } else { 0 },
        }
    }

    /// An offer seen at `at`.
    pub(super) fn confirmed(decision: DecisionId, shown: Shown, at: Millis) -> Slot {
        let mut slot = Slot::reserved(decision, shown, at, at);
        slot.rest |= CONFIRMED;
        slot
    }

    /// Whether it is this offer of this decision.
    pub(super) fn is(&self, decision: DecisionId, offer: NameHash) -> bool {
        self.decision == short(decision) && self.offer == offer
    }

    /// Notes that it was seen at `at`; of several times the earliest counts.
    pub(super) fn confirm(&mut self, at: Millis) {
        self.at = if self.is_confirmed() {
            self.at.min(at.0)
        } else {
            at.0
        };
        self.rest = self.rest & SELLS | CONFIRMED;
    }

    /// Notes that its class sells, in case it was first heard of from somewhere that did not know.
    pub(super) fn mark_sells(&mut self, sells: bool) {
        self.rest |= if sells { SELLS } else { 0 };
    }

    pub(super) fn is_confirmed(&self) -> bool {
        self.rest & CONFIRMED != 0
    }

    pub(super) fn at(&self) -> Millis {
        Millis(self.at)
    }

    /// Whether it counts at `now`: seen less than `horizon_ms` ago, or reserved and still held. What
    /// is from the future, after a clock was set back, counts.
    pub(super) fn counts(&self, now: Millis, horizon_ms: i64) -> bool {
        let age_ms = now.since(self.at());
        let hold_ms = i64::from(self.rest & HOLD_MS);
        age_ms < horizon_ms && (self.is_confirmed() || age_ms < hold_ms)
    }

    /// As a decision sees it.
    pub(super) fn exposure(&self) -> Exposure {
        Exposure {
            offer: self.offer,
            sells: self.rest & SELLS != 0,
            at: self.at(),
            confirmed: self.is_confirmed(),
        }
    }
}

fn short(decision: DecisionId) -> u32 {
    (decision.hash64() >> 32) as u32
}
