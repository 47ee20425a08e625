//! What makes two events the same event.
//!
//! Every event gets one or two 128-bit keys, and is a duplicate when any of them has been seen. They
//! are made of what the event says and nothing else, so every node makes the same ones:
//!
//! - the sender's event id, within the decision: visitors' pages number their events `e-1`, `e-2`;
//! - what the token proves, for a type that counts once per offer shown (a click once an hour; an element as often
//!   as it is used, by its id alone);
//! - for events about no offer, the sender's event id within the appointment.

use xxhash_rust::xxh3::xxh3_128;

use crate::domain::{EventType, Millis, NameHash};

use super::token::Token;

/// A second click within this time is the same click.
const CLICK_BUCKET_MS: i64 = 3_600_000;

/// The parts of a key, of fixed width but for the last, so that no two sets of parts read alike.
struct Parts(Vec<u8>);

impl Parts {
    /// `scheme` keeps keys of different make apart.
    fn of(scheme: u8) -> Parts {
        let mut bytes = Vec::with_capacity(64);
        bytes.push(scheme);
        Parts(bytes)
    }

    fn with(mut self, part: &[u8]) -> Parts {
        self.0.extend_from_slice(part);
        self
    }

    fn key(self) -> u128 {
        xxh3_128(&self.0)
    }
}

/// The keys of an event about an offer, which happened at `at`; a tracking URL has no `event_id`, an element always
/// has.
#[must_use]
pub fn offer_event_keys(
    token: &Token,
    event: EventType,
    event_id: Option<&str>,
    at: Millis,
) -> Vec<u128> {
    let decision = token.decision.0.to_be_bytes();
    let bucket = match event {
        EventType::Click => at.0.div_euclid(CLICK_BUCKET_MS),
        _ => 0,
    };
    let once = (event != EventType::Element).then(|| {
        Parts::of(2)
            .with(&decision)
            .with(&[token.slot, token.rank, event as u8])
            .with(&token.offer.0.to_be_bytes())
            .with(&bucket.to_be_bytes())
            .key()
    });
    let named = event_id.map(|id| Parts::of(1).with(&decision).with(id.as_bytes()).key());
    named.into_iter().chain(once).collect()
}

/// The key of an event about no offer: `phase_view`, `feedback`, and `element` without a token.
#[must_use]
pub fn visit_event_keys(appointment_id: &str, event_id: &str) -> Vec<u128> {
    let appointment = NameHash::of(appointment_id).0.to_be_bytes();
    let key = Parts::of(3)
        .with(&appointment)
        .with(event_id.as_bytes())
        .key();
    vec![key]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DecisionId, Phase, Propensity};
    use crate::serve::token::TokenKind;

    fn token(decision: u128, kind: TokenKind, slot: u8, rank: u8) -> Token {
        Token {
            kind,
            test: false,
            unmeasured: false,
            sells: false,
            phase: Phase::Scheduled,
            issued: Millis(0),
            decision: DecisionId(decision),
            slot,
            rank,
            offer: NameHash(1),
            placement: 0,
            creative: 0,
            model: 0,
            subject: None,
            propensity: Propensity::ONE,
        }
    }

    /// Two events: decision, slot, type, id, minute.
    type Event = (u128, u8, EventType, Option<&'static str>, i64);

    #[track_caller]
    fn check(a: Event, b: Event, same: bool) {
        let keys = |(decision, slot, event, id, minute): Event, kind| {
            let token = token(decision, kind, slot, 1);
            offer_event_keys(&token, event, id, Millis(minute * 60_000))
        };
        let a_keys = keys(a, TokenKind::Any);
        let b_keys = keys(b, TokenKind::Impression);
        let found = a_keys.iter().any(|k| b_keys.contains(k));
        assert_eq!(found, same, "{a:?} and {b:?}");
    }

    #[test]
    fn the_same_event_is_the_same_however_it_comes() {
        use EventType::{Click, Conversion, Element, Impression, Viewable};
        let first = (1, 0, Impression, Some("e-1"), 0);
        check(first, first, true);
        check(first, (1, 0, Impression, Some("e-2"), 9), true);
        check(first, (1, 0, Impression, None, 9), true);
        check(first, (1, 0, Viewable, Some("e-1"), 0), true);
        check(first, (1, 0, Viewable, Some("e-2"), 0), false);
        check(first, (1, 1, Impression, Some("e-2"), 0), false);
        check(first, (2, 0, Impression, Some("e-1"), 0), false);
        let used = (1, 0, Element, Some("e-8"), 0);
        check(used, used, true);
        check(used, (1, 0, Element, Some("e-9"), 0), false);
        check(used, (2, 0, Element, Some("e-8"), 0), false);
        check((1, 0, Click, None, 1), (1, 0, Click, None, 59), true);
        check((1, 0, Click, None, 1), (1, 0, Click, None, 61), false);
        check(
            (1, 0, Conversion, None, 0),
            (1, 0, Conversion, Some("o"), 99_999),
            true,
        );
    }

    #[test]
    fn visits_number_their_events_apart() {
        let first = visit_event_keys("apt-1", "p-3");
        assert_eq!(first, visit_event_keys("apt-1", "p-3"));
        assert_ne!(first, visit_event_keys("apt-2", "p-3"));
        assert_ne!(first, visit_event_keys("apt-1", "p-4"));
    }
}
