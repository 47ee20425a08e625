//! Does an answer hold what the contract promises?
//!
//! A load that only counts answers would praise a server that mixes them up under pressure.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use crate::visit::message::{Answer, Offer, Receipt};

use super::wire::Asked;

/// What a token is at least and at most: base64url without padding. A server may change the layout.
const TOKEN_CHARS: std::ops::RangeInclusive<usize> = 64..=256;

/// The versions that may answer; empty where nobody could be asked for them.
///
/// Whoever pushes a version adds it before, since it may answer before its push is acknowledged.
#[derive(Clone, Debug, Default)]
pub struct Models(Arc<Mutex<BTreeSet<String>>>);

impl Models {
    pub fn add(&self, label: &str) {
        self.lock().insert(label.to_owned());
    }

    /// Whether an answer may name this model, as far as is known.
    fn allows(&self, label: &str) -> bool {
        let known = self.lock();
        known.is_empty() || known.contains(label)
    }

    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// The first thing that is wrong with a decision, by its kind.
pub fn decision(asked: &Asked, answer: &Answer, models: &Models) -> Result<(), &'static str> {
    let is = |ok: bool, kind| if ok { Ok(()) } else { Err(kind) };
    is(
        answer.request_id.as_deref().unwrap_or_default() == asked.request_id,
        "another request's answer",
    )?;
    is(!answer.decision_id.is_empty(), "no decision id")?;
    // An answer without a model says so, and names what answered in its place.
    let by_model = answer.degraded.iter().all(|word| word == "unlogged");
    is(!by_model || models.allows(&answer.model), "model not live")?;
    let ids = answer.placements.iter().map(|p| p.id.as_str());
    let asked_ids = asked.placements.iter().map(|(id, _)| id.as_str());
    is(ids.eq(asked_ids), "placements not as asked")?;
    for (placement, (_, most)) in answer.placements.iter().zip(&asked.placements) {
        let offers = &placement.offers;
        is(offers.len() <= *most as usize, "more offers than asked for")?;
        is(
            offers.is_empty() == placement.no_offer_reason.is_some(),
            "no reason for an empty placement",
        )?;
        is(
            (1..).zip(offers).all(|(rank, o)| o.rank == rank),
            "ranks out of order",
        )?;
        for offer in offers {
            is(!offer.offer_id.is_empty(), "no offer id")?;
            is(is_token(&offer.token), "token malformed")?;
            is(is_propensity(offer), "propensity not in (0, 1]")?;
        }
    }
    Ok(())
}

/// The same for a batch of events.
pub fn receipt(asked: &Asked, receipt: &Receipt) -> Result<(), &'static str> {
    let told = receipt.accepted + receipt.duplicates + receipt.rejected.len() as u64;
    if told == asked.events as u64 {
        Ok(())
    } else {
        Err("events unaccounted for")
    }
}

fn is_token(token: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    TOKEN_CHARS.contains(&token.len()) && token.bytes().all(is_part)
}

/// Callers without the right to see it get none.
fn is_propensity(offer: &Offer) -> bool {
    offer.propensity.is_none_or(|p| 0.0 < p && p <= 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            request_id: "r-1".into(),
            placements: vec![("hero".into(), 2), ("strip".into(), 1)],
            events: 2,
        }
    }

    /// A good answer with one thing replaced.
    #[track_caller]
    fn check(from: &str, to: &str, expected: Result<(), &str>) {
        let token = "a".repeat(110);
        let text = r#"{"decision_id":"d","request_id":"r-1","model":"m@1","placements":[
            {"id":"hero","no_offer_reason":null,"offers":[{"offer_id":"o","class":"care","rank":1,"price":null,
             "token":"TOKEN","propensity":0.5,"content":{"action":{"kind":"info"}}}]},
            {"id":"strip","no_offer_reason":"holdout","offers":[]}],"degraded":[]}"#;
        let text = text.replace("TOKEN", &token).replace(from, to);
        let answer: Answer = serde_json::from_str(&text).unwrap();
        let models = Models::default();
        models.add("m@1");
        assert_eq!(decision(&asked(), &answer, &models), expected, "{to}");
    }

    #[test]
    fn each_promise_is_looked_at() {
        check("x", "x", Ok(()));
        check("r-1", "r-2", Err("another request's answer"));
        check("m@1", "m@2", Err("model not live"));
        check(r#""m@1","#, r#""prior","#, Err("model not live"));
        check(
            r#""id":"hero""#,
            r#""id":"strip""#,
            Err("placements not as asked"),
        );
        check(r#""rank":1"#, r#""rank":2"#, Err("ranks out of order"));
        check("aaaa", "a.aa", Err("token malformed"));
        check("0.5", "0.0", Err("propensity not in (0, 1]"));
        check("0.5", "1.5", Err("propensity not in (0, 1]"));
        check("0.5", "null", Ok(()));
        check(
            r#""holdout""#,
            "null",
            Err("no reason for an empty placement"),
        );
    }

    #[test]
    fn without_a_model_its_name_is_free() {
        let text = r#"{"decision_id":"d","request_id":"r-1","model":"none","placements":[
            {"id":"hero","no_offer_reason":"held","offers":[]},
            {"id":"strip","no_offer_reason":"held","offers":[]}],"degraded":["prior_only"]}"#;
        let answer: Answer = serde_json::from_str(text).unwrap();
        let models = Models::default();
        models.add("m@1");
        assert_eq!(decision(&asked(), &answer, &models), Ok(()));
    }

    #[test]
    fn every_event_is_accounted_for() {
        let found = |accepted, duplicates| {
            let taken = Receipt {
                accepted,
                duplicates,
                rejected: Vec::new(),
            };
            receipt(&asked(), &taken).is_ok()
        };
        assert_eq!(
            (found(1, 1), found(2, 1), found(1, 0)),
            (true, false, false)
        );
    }
}
