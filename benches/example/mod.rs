//! What the bench programs measure with: a request as a tracker page sends it, how it arrived, what becomes of it.

use offerd::decide::record::Made;
use offerd::decide::snapshot::Snapshot;
use offerd::domain::{
    Consent, Decision, DecisionId, Effort, Facts, NameHash, Phase, Propensity, Request, SubjectKey,
};
use offerd::serve::token::{Token, TokenKind, hash16, hash32};
use offerd::serve::wire::Arrival;

use crate::support::NOON;

/// What a tracker page sends.
pub const BODY: &str = include_str!("request.json");

/// How it arrives: from somebody who is believed and permits everything.
pub fn arrival() -> Arrival {
    Arrival {
        decision: DecisionId(7),
        at: NOON,
        effort: Effort::Full,
        consent_default: Consent {
            personalization: true,
            marketing: true,
            measurement: true,
        },
        gpc: false,
        trusted: true,
    }
}

/// A token of an offer shown.
pub fn token() -> Token {
    Token {
        kind: TokenKind::Any,
        test: false,
        unmeasured: false,
        sells: true,
        phase: Phase::EnRoute,
        issued: NOON,
        decision: DecisionId(1 << 90),
        slot: 0,
        rank: 1,
        offer: NameHash::of("mobile_line"),
        placement: hash32("tracker_hero"),
        creative: hash16("mobile_line.en"),
        model: hash32("propensity@1"),
        subject: Some(SubjectKey(7)),
        propensity: Propensity::new(0.5).expect("a half is a chance"),
    }
}

/// A decision on its way to be packed.
pub fn made<'a>(
    snapshot: &'a Snapshot,
    request: &'a Request<'a>,
    facts: &'a Facts,
    decision: &'a Decision,
) -> Made<'a> {
    Made {
        snapshot,
        request,
        facts,
        decision,
        shadow: None,
        decide_us: 100.0,
    }
}
