//! What an answer looks like, to the byte, and that its proto twin says the same.

use std::collections::HashMap;
use std::sync::Arc;

use offerd::decide::budget::{Budgets, Spent};
use offerd::decide::condition::{Attr, Attributes, Key};
use offerd::decide::explore::Explorer;
use offerd::decide::gate::Gates;
use offerd::decide::inputs::Vocabulary;
use offerd::decide::learning::Learning;
use offerd::decide::snapshot::{
    Action, ActionKind, CarePolicy, Catalog, Creative, LiveModel, Offer, Placement, Set, Snapshot,
    Span, Text,
};
use offerd::decide::words::Words;
use offerd::domain::{
    Channel, Choice, CreativeIx, Currency, Decision, DecisionId, Degraded, Exclusion, Money,
    NameHash, OfferClass, OfferIx, PlacementDecision, PlacementIx, Propensity, Request, Tier,
};
use offerd::model::Roster;
use offerd::serve::wire::{Answering, DecisionRequest, DecisionResponse, answer, parse, validate};
use offerd_proto::v1;

use super::{ARRIVAL, NOW, example, subject_of};

const USD: &str = "USD";

fn literal(text: &str) -> Text {
    Text(vec![Span::Literal(text.into())])
}

fn offer(flight_end_ms: Option<i64>) -> Offer {
    Offer {
        id: "sports_pack".into(),
        hash: NameHash::of("sports_pack"),
        name: "Sports".into(),
        class: OfferClass::Upsell,
        tier: Tier::Auction,
        value_minor: 999,
        price: Some(Money {
            amount_minor: 999,
            currency: Currency::new(USD).expect("three capitals"),
        }),
        lever: 1.0,
        prior: 0.03,
        phases: Set::ALL,
        triggers: Vec::new(),
        when: None,
        personal: false,
        flight: (None, flight_end_ms.map(|ms| NOW.plus(ms))),
        daypart: None,
        caps: Vec::new(),
        requires: None,
        valid_while: None,
        owned: Vec::new(),
        labels: 0,
        features: Vec::new(),
        creatives: vec![Creative {
            id: "sports_pack.en".into(),
            channels: Set::default().with(Channel::Web as u8),
            locale: Some("en".into()),
            title: literal("Every game, live"),
            body: Text(vec![
                Span::Literal("Thank you for ".into()),
                Span::Placeholder {
                    key: Key(0),
                    fallback: "many".into(),
                },
                Span::Literal(" months with us.".into()),
            ]),
            image_url: Some("/img/sports.webp".into()),
            cta: literal("Add it"),
            action: Action {
                kind: ActionKind::Order,
                url: None,
            },
        }],
    }
}

fn snapshot(offer: Offer) -> Snapshot {
    let placement = Placement {
        id: "tracker_hero".into(),
        hash: NameHash::of("tracker_hero"),
        phases: Set::ALL,
        channels: Set::ALL,
        count_max: 1,
        explorer: Explorer::Deterministic { floor: 0.0 }.into(),
        policy: "deterministic".into(),
        offers: vec![OfferIx(0)],
    };
    let catalog = Catalog {
        digest: String::new(),
        source: "".into(),
        currency: Currency::new(USD).expect("three capitals"),
        time_zone: jiff::tz::TimeZone::UTC,
        default_locale: "en".into(),
        consent: ARRIVAL.consent_default,
        care: CarePolicy {
            open_issue: true,
            payment_hardship: true,
            rating_max: None,
            delay_seconds_min: None,
            reschedules_min: None,
        },
        selling_caps: Vec::new(),
        exploring: Budgets::default(),
        learning: Learning::default(),
        vocabulary: Vocabulary::default(),
        triggers: Vec::new(),
        placements: vec![placement],
        placement_index: HashMap::from([("tracker_hero".into(), PlacementIx(0))]),
        gates: Gates::of(std::slice::from_ref(&offer), "en"),
        offers: vec![offer],
        offer_index: HashMap::new(),
        cap_window_ms: 0,
    };
    Snapshot {
        epoch: 184,
        salt: 1,
        canary: None,
        shadow: None,
        posterior: None,
        spent: Spent::NOTHING,
        catalog: Arc::new(catalog),
        model: Arc::new(LiveModel {
            name: "propensity".into(),
            version: "2026-11-20.1".into(),
            label: "propensity@2026-11-20.1".into(),
            scorer: None,
            vocabulary: Vocabulary::default(),
            features: Words::default(),
            inputs: Vec::new(),
            placement_inputs: Vec::new(),
            offers: Roster::default(),
        }),
    }
}

/// One offer at the first placement, none at the second.
fn decision() -> Decision {
    let placement = |ask, choices, no_offer| PlacementDecision {
        ask,
        placement: Some(PlacementIx(0)),
        candidates: 0..0,
        choices,
        no_offer,
        joint: 1.0,
    };
    Decision {
        id: Some(DecisionId(0x0193_4a5b_6c7d_7e8f_9a0b_1c2d_3e4f_5061)),
        epoch: 184,
        canary: false,
        placements: vec![
            placement(0, 0..1, None),
            placement(1, 1..1, Some(Exclusion::UnknownPlacement)),
        ],
        candidates: Vec::new(),
        choices: vec![Choice {
            offer: OfferIx(0),
            creative: CreativeIx(0),
            rank: 1,
            base: 0.05,
            probability: 0.041,
            score: 1.31,
            propensity: Propensity::new(0.82).expect("odds"),
            explored: false,
            gap: 0.0,
            behind: 0.0,
        }],
        degraded: Degraded {
            model_deadline: true,
            unlogged: true,
            ..Degraded::default()
        },
        odd_inputs: Vec::new(),
    }
}

struct Tenure(Attr<'static>);

impl Attributes for Tenure {
    fn get(&self, _: Key) -> Attr<'_> {
        self.0
    }
}

/// Answers the example, with a second placement asked for, and hands the answer on.
fn answered<T>(
    offer: Offer,
    tenure: Attr<'static>,
    reveal: bool,
    look: impl FnOnce(DecisionResponse<'_>) -> T,
) -> T {
    let mut body = example();
    body["placements"] = serde_json::json!([{"id": "tracker_hero"}, {"id": "elsewhere"}]);
    let body = body.to_string();
    let wire: DecisionRequest<'_> = parse(body.as_bytes()).expect("well-formed");
    let request: Request<'_> = validate(&wire, &ARRIVAL, subject_of).expect("valid");
    let (snapshot, decision) = (snapshot(offer), decision());
    let answering = Answering {
        snapshot: &snapshot,
        request: &request,
        decision: &decision,
        reveal,
    };
    look(answer(
        answering,
        |placement| {
            assert!(["tracker_hero", "elsewhere"].contains(&placement));
            Tenure(tenure)
        },
        |_, choice, usage| format!("{usage:?}{}", choice.rank),
    ))
}

const GOLDEN: &str = r#"{"decision_id":"01934a5b-6c7d-7e8f-9a0b-1c2d3e4f5061","request_id":"r-81","epoch":184,"model":"propensity@2026-11-20.1","placements":[{"id":"tracker_hero","offers":[{"offer_id":"sports_pack","creative_id":"sports_pack.en","rank":1,"class":"upsell","content":{"title":"Every game, live","body":"Thank you for 14 months with us.","image_url":"/img/sports.webp","cta":"Add it","action":{"kind":"order","url":null}},"price":{"amount_minor":999,"currency":"USD"},"expires_at":"2025-11-22T13:00:00Z","token":"Event1","tracking":{"impression":"/v1/t/Impression1","click":"/v1/t/Click1"},"score":1.31,"conversion_probability":0.041,"propensity":0.82,"explored":false}],"no_offer_reason":null},{"id":"elsewhere","offers":[],"no_offer_reason":"unknown_placement"}],"ttl_ms":45000,"refresh_on":["phase","eta_slip"],"experiments":[],"degraded":["model_deadline","unlogged"]}"#;

#[test]
fn an_answer_is_the_contracts() {
    let json = |a: DecisionResponse<'_>| serde_json::to_string(&a).expect("serializes");
    assert_eq!(
        answered(offer(None), Attr::Number(14.0), true, json),
        GOLDEN
    );

    let hidden = answered(offer(None), Attr::Number(14.0), false, json);
    let revealed =
        r#","score":1.31,"conversion_probability":0.041,"propensity":0.82,"explored":false"#;
    assert_eq!(
        hidden,
        GOLDEN.replace(revealed, ""),
        "scores are not for pages"
    );

    let unknown = answered(offer(None), Attr::Missing, true, json);
    assert_eq!(unknown, GOLDEN.replace("for 14 months", "for many months"));
}

#[test]
fn an_answer_ends_with_its_offers() {
    let look = |a: DecisionResponse<'_>| (a.ttl_ms, a.placements[0].offers[0].expires_at.0);
    let at = |end| answered(offer(end), Attr::Missing, true, look);
    let day = 24 * 3_600_000;
    assert_eq!(at(None), (45_000, NOW.plus(day)));
    assert_eq!(at(Some(day + 1)), (45_000, NOW.plus(day)));
    assert_eq!(at(Some(day - 1)), (45_000, NOW.plus(day - 1)));
    assert_eq!(at(Some(30_000)), (30_000, NOW.plus(30_000)));
    assert_eq!(at(Some(0)), (0, NOW));
}

#[test]
fn the_proto_twin_says_the_same() {
    let twin = |a: DecisionResponse<'_>| v1::DecideResponse::from(a);
    let twin = answered(offer(None), Attr::Number(14.0), true, twin);
    let golden: serde_json::Value = serde_json::from_str(GOLDEN).expect("JSON");
    assert_eq!(golden["decision_id"], twin.decision_id.as_str());
    assert_eq!(
        golden["request_id"],
        twin.request_id.as_deref().unwrap_or("")
    );
    assert_eq!(golden["epoch"], twin.epoch);
    assert_eq!(golden["model"], twin.model.as_str());
    assert_eq!(golden["ttl_ms"], twin.ttl_ms);
    let refresh: Vec<_> = twin.refresh_on().collect();
    assert_eq!(refresh, [v1::RefreshOn::Phase, v1::RefreshOn::EtaSlip]);
    let degraded: Vec<_> = twin.degraded().collect();
    let expected = [v1::Degradation::ModelDeadline, v1::Degradation::Unlogged];
    assert_eq!(degraded, expected);

    let reasons: Vec<_> = twin
        .placements
        .iter()
        .map(|p| p.no_offer_reason())
        .collect();
    let unspecified = v1::ExclusionReason::Unspecified;
    assert_eq!(
        reasons,
        [unspecified, v1::ExclusionReason::UnknownPlacement]
    );
    let offer = &twin.placements[0].offers[0];
    assert_eq!(offer.class(), v1::OfferClass::Upsell);
    assert_eq!(offer.expires_at.map(|t| t.seconds), Some(1_763_816_400));
    assert_eq!((offer.score, offer.propensity), (Some(1.31), Some(0.82)));
    assert_eq!(
        (offer.conversion_probability, offer.explored),
        (Some(0.041), Some(false))
    );
    assert_eq!(offer.price.as_ref().map(|p| p.amount_minor), Some(999));
    assert_eq!((offer.token.as_str(), offer.rank), ("Event1", 1));
    let content = offer.content.as_ref().expect("never empty");
    assert_eq!(content.body, "Thank you for 14 months with us.");
    let action = content.action.as_ref().expect("never empty");
    assert_eq!((action.kind(), &action.url), (v1::ActionKind::Order, &None));
}
