//! What is written is what decisions read.

use offerd::control::catalog::read_toml;
use offerd::decide::explore::Explorer;
use offerd::decide::learning::{LearningKind, Seen};
use offerd::decide::snapshot::{ActionKind, Cap, Daypart, OfferFeature, Requires, Set, Span};
use offerd::domain::{Channel, EventType, Millis, NameHash, OfferClass, OfferIx, Phase, Tier};

use super::BASE;

const HOUR_MS: i64 = 3_600_000;

/// The instant of an RFC 3339 text.
fn at(text: &str) -> Option<Millis> {
    let instant: jiff::Timestamp = text.parse().expect("RFC 3339");
    Some(Millis(instant.as_millisecond()))
}

#[test]
fn settings() {
    let catalog = read_toml(BASE).expect("no mistakes");
    assert_eq!(catalog.currency.as_str(), "USD");
    assert_eq!(catalog.time_zone.iana_name(), Some("America/Chicago"));
    assert_eq!(&*catalog.source, BASE);
    assert_eq!(catalog.digest.len(), 64);
    let consent = catalog.consent;
    assert!(consent.marketing && !consent.personalization && !consent.measurement);
    let care = catalog.care;
    assert!(care.open_issue && care.payment_hardship, "by default");
    assert_eq!(
        (
            care.rating_max,
            care.delay_seconds_min,
            care.reschedules_min
        ),
        (Some(2), None, Some(2))
    );
    assert_eq!(
        catalog.selling_caps,
        [Cap {
            count: 6,
            window_ms: 24 * HOUR_MS
        }]
    );
    let triggers: Vec<&str> = catalog.triggers.iter().map(AsRef::as_ref).collect();
    assert_eq!(
        (triggers.len(), triggers[0], triggers[11]),
        (12, "page_viewed", "speed_test_run")
    );
}

#[test]
fn learning() {
    let catalog = read_toml(BASE).expect("no mistakes");
    let learning = &catalog.learning;
    let of = |class, event| learning.rewards_of(class).of(event);
    let inputs = learning.inputs.iter().map(|i| (&*i.name, i.kind.clone()));
    let words = LearningKind::Words(vec!["small".into(), "large".into()]);
    assert_eq!(
        inputs.collect::<Vec<_>>(),
        [
            ("income", LearningKind::Number(0.0, 100.0)),
            ("plan", words),
            ("vip", LearningKind::Number(0.0, 1.0)),
            ("eta_seconds", LearningKind::Number(0.0, 7_200.0)),
            ("map_viewed.count", LearningKind::Number(0.0, 10.0)),
        ]
    );
    assert_eq!(learning.segments, [Box::<str>::from("new_mover")]);
    assert_eq!(
        (learning.seen, learning.hold_ms),
        (Seen::Viewable, 5 * 60_000)
    );
    assert_eq!(learning.window_ms(EventType::Conversion), 72 * HOUR_MS);
    assert_eq!(learning.window_ms(EventType::Click), 24 * HOUR_MS);
    assert_eq!(of(OfferClass::Upsell, EventType::Conversion), 1.0);
    assert_eq!(of(OfferClass::Upsell, EventType::Order), 0.5);
    assert_eq!(of(OfferClass::Content, EventType::Click), 1.0);
    assert_eq!(of(OfferClass::Content, EventType::Conversion), 0.0);
    assert_eq!(of(OfferClass::Content, EventType::Dismiss), -0.25);
    let without = BASE.replace("[learning]", "[learning]\nenabled = false");
    let without = read_toml(&without).expect("no mistakes");
    assert!(learning.enabled && !without.learning.enabled);
}

#[test]
fn exploring_may_cost_what_the_catalog_says() {
    let text = BASE.replace(
        "epsilon = 0.1",
        "epsilon = 0.1\nuniform_share = 0.01\ndaily_budget_minor = { upsell = 5000, care = 0 }",
    );
    let catalog = read_toml(&text).expect("no mistakes");
    for (class, expected) in [
        (OfferClass::Upsell, Some(5_000)),
        (OfferClass::Care, Some(0)),
        (OfferClass::Content, None),
    ] {
        assert_eq!(catalog.exploring.of(class), expected, "{class}");
    }
    let without = read_toml(BASE).expect("no mistakes");
    assert!(without.exploring.is_empty());
}

#[test]
fn placements() {
    let catalog = read_toml(BASE).expect("no mistakes");
    let (_, hero) = catalog.placement("hero").expect("is there");
    assert_eq!(hero.hash, NameHash::of("hero"));
    assert_eq!((hero.phases, hero.count_max), (Set::ALL, 2));
    assert_eq!(
        hero.explorer,
        Explorer::EpsilonGreedy { epsilon: 0.1 }.into(),
        "the catalog's"
    );
    assert_eq!(hero.offers, [OfferIx(0), OfferIx(1), OfferIx(2)]);
    let (_, map) = catalog.placement("map").expect("is there");
    assert_eq!(
        map.explorer,
        Explorer::Softmax {
            temperature: 0.5,
            floor: 0.1
        }
        .into(),
        "its own"
    );
    assert_eq!(
        map.offers,
        [OfferIx(0)],
        "it takes neither partner nor care"
    );
    let phases = Phase::ALL.iter().filter(|&&p| map.phases.has_phase(p));
    assert_eq!(
        phases.copied().collect::<Vec<_>>(),
        [Phase::EnRoute, Phase::Arriving]
    );
    let channels = Channel::ALL
        .iter()
        .filter(|&&c| map.channels.has_channel(c));
    assert_eq!(
        channels.copied().collect::<Vec<_>>(),
        [Channel::Web, Channel::App]
    );
}

#[test]
fn an_offer_with_everything() {
    let catalog = read_toml(BASE).expect("no mistakes");
    let offer = catalog
        .offer_by_hash(NameHash::of("extender"))
        .expect("is there");
    assert_eq!(
        (offer.value_minor, offer.lever, offer.prior),
        (700, 1.5, 0.05)
    );
    assert_eq!(offer.price.map(|price| price.amount_minor), Some(4_900));
    assert!(offer.personal && offer.when.is_some(), "it looks at tenure");
    // A date is its midnight in Chicago, still on summer time that day.
    assert_eq!(offer.flight.0, at("2026-11-01T05:00:00Z"));
    assert_eq!(offer.flight.1, at("2026-12-02T00:00:00Z"));
    let night = Daypart {
        weekdays: 0b100_0001,
        from_minute: 22 * 60,
        until_minute: 150,
    };
    assert_eq!(offer.daypart, Some(night));
    assert_eq!(
        offer.caps,
        [Cap {
            count: 2,
            window_ms: 12 * HOUR_MS
        }]
    );
    let requires = Requires {
        skills: vec!["wifi".into()],
        stock: vec!["extender".into()],
        slack_minutes: 15,
    };
    assert_eq!(offer.requires, Some(requires));
    assert_eq!((offer.valid_while, offer.labels), (Some(Phase::OnSite), 1));
    assert_eq!(offer.owned, [Box::<str>::from("mesh")]);
    let triggers = offer
        .triggers
        .iter()
        .map(|t| (&*t.name, t.count_min, t.age_ms_max));
    let expected = [("map_viewed", 1, None), ("speed_test_run", 2, Some(60_000))];
    assert_eq!(triggers.collect::<Vec<_>>(), expected);
    let feature = |name: &str| {
        offer
            .features
            .iter()
            .find(|(n, _)| **n == *name)
            .map(|(_, v)| v.clone())
    };
    assert_eq!(
        feature("category"),
        Some(OfferFeature::Text("equipment".into()))
    );
    assert_eq!(feature("weight"), Some(OfferFeature::Number(1.5)));
    assert_eq!(feature("new"), Some(OfferFeature::Flag(true)));

    let creative = &offer.creatives[0];
    assert_eq!(
        (&*creative.id, creative.channels),
        ("extender.en", Set::ALL)
    );
    let mut vocabulary = catalog.vocabulary.clone();
    let spans = [
        Span::Literal("Hello ".into()),
        Span::Placeholder {
            key: vocabulary.key("first_name"),
            fallback: "there".into(),
        },
    ];
    assert_eq!(creative.title.0, spans);
    assert_eq!(
        (creative.action.kind, &creative.action.url),
        (ActionKind::Order, &None)
    );
}

#[test]
fn an_offer_with_nothing_but_what_is_needed() {
    let catalog = read_toml(BASE).expect("no mistakes");
    let offer = catalog
        .offer_by_hash(NameHash::of("sport"))
        .expect("is there");
    assert_eq!((&*offer.name, offer.tier), ("sport", Tier::Auction));
    assert_eq!((offer.lever, offer.prior, offer.price), (1.0, 0.02, None));
    assert_eq!((offer.phases, offer.flight), (Set::ALL, (None, None)));
    assert!(offer.when.is_none() && !offer.personal && offer.daypart.is_none());
    assert!(offer.caps.is_empty() && offer.requires.is_none() && offer.labels == 0);
    let creative = &offer.creatives[0];
    assert_eq!(&*creative.id, "sport.link");
    assert!(
        creative.channels.has_channel(Channel::Web) && !creative.channels.has_channel(Channel::Sms)
    );
    assert_eq!(
        creative.action.url.as_deref(),
        Some("https://example.com/sport")
    );
    let help = catalog
        .offer_by_hash(NameHash::of("help"))
        .expect("is there");
    assert!(
        !help.personal,
        "an open issue is the operator's own knowledge"
    );
}
