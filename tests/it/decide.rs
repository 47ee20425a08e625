//! Is the written propensity the true chance, and does a record make the same decision again?

use std::collections::HashMap;

use offerd::decide::record::DecisionRecord;
use offerd::decide::{Scratch, decide};
use offerd::domain::{
    Care, Consent, Effort, Exclusion, Exposure, Facts, NameHash, OfferClass, Phase, PlacementAsk,
    Request, Verdict,
};

use crate::support;

/// Four offers in one placement, worth 4, 3, 2 and 1 dollars, and an explorer to be told.
fn catalog(explorer: &str) -> String {
    let mut text = format!(
        "[operator]\nname = \"Test\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\ndefault_locale = \"en\"\n\
         [explorer]\n{explorer}\n\
         [[placement]]\nid = \"p\"\nname = \"P\"\ncount_max = 4\n"
    );
    for (i, value) in [400, 300, 200, 100].into_iter().enumerate() {
        text.push_str(&format!(
            "[[offer]]\nid = \"o{i}\"\nname = \"O{i}\"\nclass = \"upsell\"\ntier = \"auction\"\n\
             value_minor = {value}\nprior = 0.1\nplacements = [\"p\"]\nprice_minor = 100\n\
             [[offer.creatives]]\nlocale = \"en\"\ntitle = \"t\"\nbody = \"b\"\ncta = \"c\"\n\
             action = {{ kind = \"info\" }}\n"
        ));
    }
    text
}

fn ask(id: &'static str, count: u8) -> Vec<PlacementAsk<'static>> {
    vec![PlacementAsk {
        id,
        count,
        exclude_offers: vec![],
    }]
}

/// Slates over many decision ids, each with how often it came and the joint propensity it was given.
fn slates(text: &str, count: u8, draws: u32) -> HashMap<Vec<u32>, (u32, f64)> {
    let snapshot = support::by_prior(text);
    let mut scratch = Scratch::default();
    let mut seen: HashMap<Vec<u32>, (u32, f64)> = HashMap::new();
    for i in 0..draws {
        let mut request = support::request(u128::from(i) << 64 | 99);
        request.placements = ask("p", count);
        let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
        let outcome = &decision.placements[0];
        let product: f64 = decision
            .choices
            .iter()
            .map(|c| c.propensity.get())
            .product();
        assert!(
            (product - outcome.joint).abs() < 1e-12,
            "the joint is the product of the ranks"
        );
        let slate = decision.choices.iter().map(|c| c.offer.0).collect();
        let entry = seen.entry(slate).or_insert((0, outcome.joint));
        assert_eq!(
            entry.1, outcome.joint,
            "a slate's propensity does not depend on the draw"
        );
        entry.0 += 1;
    }
    seen
}

/// Goal: what is logged is the chance really given. Method: count slates over fixed decision ids and
/// compare with the logged joint propensity; they sum to 1 over all slates that can occur.
#[track_caller]
fn check_propensities(explorer: &str, count: u8, expected_slates: usize) {
    const DRAWS: u32 = 60_000;
    let seen = slates(&catalog(explorer), count, DRAWS);
    assert_eq!(seen.len(), expected_slates, "{explorer}: {seen:?}");
    let sum: f64 = seen.values().map(|(_, p)| p).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{explorer}: slates sum to {sum}");
    for (slate, (n, p)) in seen {
        let expected = p * f64::from(DRAWS);
        let deviation = (expected * (1.0 - p)).sqrt().max(1.0);
        let off = (f64::from(n) - expected).abs() / deviation;
        assert!(
            off < 4.5,
            "{explorer}: {slate:?} came {n} times, expected {expected:.1}"
        );
    }
}

#[test]
fn propensities_of_single_offers_are_true() {
    check_propensities("kind = \"epsilon_greedy\"\nepsilon = 0.2", 1, 4);
    check_propensities("kind = \"softmax\"\ntemperature = 0.5\nfloor = 0.05", 1, 4);
    check_propensities("kind = \"deterministic\"", 1, 1);
}

#[test]
fn propensities_of_slates_are_true() {
    check_propensities("kind = \"epsilon_greedy\"\nepsilon = 0.5", 2, 12);
    check_propensities("kind = \"softmax\"\ntemperature = 1.0\nfloor = 0.1", 3, 24);
    check_propensities("kind = \"deterministic\"", 3, 1);
}

/// The demo's decision for a request, as (offers shown, reasons of the rest).
fn demo(change: impl FnOnce(&mut Request<'static>)) -> (Vec<OfferClass>, Vec<Exclusion>) {
    let snapshot = support::by_prior(support::DEMO);
    let mut request = support::request(5);
    change(&mut request);
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    let class = |c: &offerd::domain::Choice| snapshot.catalog.offer(c.offer).class;
    let reason = |c: &offerd::domain::Candidate| match c.verdict {
        Verdict::Excluded(reason) => Some(reason),
        Verdict::Eligible { .. } => None,
    };
    (
        decision.choices.iter().map(class).collect(),
        decision.candidates.iter().filter_map(reason).collect(),
    )
}

#[test]
fn nothing_is_sold_to_a_customer_in_care() {
    type Change = fn(&mut Request<'static>);
    let troubles: [(&str, Change); 4] = [
        ("open issue", |r| {
            r.customer.care = Care {
                open_issue: true,
                ..Care::default()
            }
        }),
        ("hardship", |r| {
            r.customer.care = Care {
                payment_hardship: true,
                ..Care::default()
            }
        }),
        ("bad rating", |r| {
            r.customer.care = Care {
                last_rating: Some(1),
                ..Care::default()
            };
        }),
        ("very late", |r| {
            r.appointment.delay_seconds = Some(3 * 3_600)
        }),
    ];
    for (what, trouble) in troubles {
        for &phase in Phase::ALL {
            let (shown, _) = demo(|r| {
                r.appointment.phase = phase;
                trouble(r);
            });
            assert!(
                shown.iter().all(|c| *c == OfferClass::Care),
                "{what} {phase}: {shown:?}"
            );
        }
        let (_, reasons) = demo(trouble);
        assert!(
            reasons.contains(&Exclusion::CareOnly),
            "{what}: {reasons:?}"
        );
    }
}

#[test]
fn without_consent_to_marketing_nothing_is_sold() {
    let (shown, reasons) = demo(|r| {
        r.customer.consent = Consent {
            marketing: false,
            ..r.customer.consent
        };
    });
    assert!(shown.iter().all(|c| !c.sells()), "{shown:?}");
    assert!(reasons.contains(&Exclusion::NoConsent));
}

#[test]
fn an_offer_is_shown_once_per_answer_and_not_beside_what_is_on_the_page() {
    let text = catalog("kind = \"epsilon_greedy\"\nepsilon = 0.5")
        .replace(
            "[[placement]]\nid = \"p\"",
            "[[placement]]\nid = \"q\"\nname = \"Q\"\ncount_max = 4\n[[placement]]\nid = \"p\"",
        )
        .replace("placements = [\"p\"]", "placements = [\"p\", \"q\"]");
    let snapshot = support::by_prior(&text);
    let mut scratch = Scratch::default();
    for i in 0..500 {
        let mut request = support::request(i);
        request.placements = vec![
            PlacementAsk {
                id: "p",
                count: 2,
                exclude_offers: vec!["o0"],
            },
            PlacementAsk {
                id: "q",
                count: 4,
                exclude_offers: vec![],
            },
        ];
        let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
        let mut shown: Vec<u32> = decision.choices.iter().map(|c| c.offer.0).collect();
        assert_eq!(
            shown.len(),
            4,
            "three are left for p, which takes two; q takes the rest"
        );
        assert!(
            decision.choices[..2].iter().all(|c| c.offer.0 != 0),
            "o0 is on the page"
        );
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown.len(), 4, "no offer twice");
    }
}

#[test]
fn caps_hold_within_one_answer_too() {
    let text = catalog("kind = \"deterministic\"").replace(
        "[explorer]",
        "[caps]\nselling = [{ count = 3, window_hours = 24 }]\n[explorer]",
    );
    let snapshot = support::by_prior(&text);
    let mut scratch = Scratch::default();
    let mut request = support::request(1);
    request.placements = ask("p", 4);
    let seen = |ago_ms: i64| Exposure {
        offer: NameHash(77),
        sells: true,
        at: support::NOON.plus(-ago_ms),
        confirmed: false,
    };
    for (exposures, expected) in [
        (vec![], 3),
        (vec![seen(1_000)], 2),
        (vec![seen(1_000), seen(2_000), seen(3_000)], 0),
        (vec![seen(25 * 3_600_000)], 3),
    ] {
        let facts = Facts { exposures };
        let decision = decide(&snapshot, &request, &facts, &mut scratch);
        assert_eq!(decision.choices.len(), expected, "{facts:?}");
        let reason = (expected == 0).then_some(Exclusion::CapCustomer);
        assert_eq!(decision.placements[0].no_offer, reason);
    }
}

#[test]
fn what_cannot_be_answered_says_why() {
    let snapshot = support::by_prior(support::DEMO);
    let mut scratch = Scratch::default();
    let mut request = support::request(1);
    request.placements = ask("no_such_place", 1);
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    assert_eq!(
        decision.placements[0].no_offer,
        Some(Exclusion::UnknownPlacement)
    );

    request.placements = ask("tracker_hero", 1);
    request.effort = Effort::Nothing;
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    assert_eq!(decision.placements[0].no_offer, Some(Exclusion::Deadline));
    assert!(decision.choices.is_empty());
}

#[test]
fn a_record_makes_the_same_decision_again() {
    let snapshot = support::by_model("propensity-forest");
    let mut scratch = Scratch::default();
    let mut again = Scratch::default();
    let exposure = Exposure {
        offer: snapshot.catalog.offers[0].hash,
        sells: true,
        at: support::NOON.plus(-60_000),
        confirmed: true,
    };
    let facts = Facts {
        exposures: vec![exposure],
    };
    let mut shown = 0;
    for i in 0..2_000u32 {
        let mut request = support::request(u128::from(i) * 0x9E37_79B9_7F4A_7C15);
        request.appointment.phase = Phase::ALL[i as usize % Phase::ALL.len()];
        let decision = decide(&snapshot, &request, &facts, &mut scratch);
        shown += decision.choices.len();
        let record = DecisionRecord::new(&snapshot, &request, &facts, decision, 12.5);
        let text = serde_json::to_string(&record).expect("plain data");
        let read: DecisionRecord<'_> = serde_json::from_str(&text).expect("as written");
        assert_eq!(read, record);
        let request = read.request().expect("complete");
        let facts = read.facts().expect("complete");
        let decision = decide(&snapshot, &request, &facts, &mut again);
        let replayed = DecisionRecord::new(&snapshot, &request, &facts, decision, 0.0);
        assert!(read.same_outcome(&replayed), "decision {i}");
    }
    assert!(shown > 1_000, "only {shown} offers were shown");
}

#[test]
fn a_record_tells_of_every_offer_once() {
    let snapshot = support::by_prior(support::DEMO);
    let request = support::request(5);
    let mut scratch = Scratch::default();
    let facts = Facts::default();
    let decision = decide(&snapshot, &request, &facts, &mut scratch);
    let record = DecisionRecord::new(&snapshot, &request, &facts, decision, 12.5);
    for (told, made) in record.placements.iter().zip(&decision.placements) {
        let running = told.candidates.iter().map(|c| (&*c.offer, None));
        let withheld = told.withheld.iter().flat_map(|(why, offers)| {
            let offers = offers.iter();
            offers.map(move |offer| (&**offer, Some(&**why)))
        });
        let mut told: Vec<(&str, Option<&str>)> = running.chain(withheld).collect();
        let fate = |c: &offerd::domain::Candidate| match c.verdict {
            Verdict::Excluded(reason) => Some(reason.as_str()),
            Verdict::Eligible { .. } => None,
        };
        let all = decision.candidates_of(made).iter();
        let mut all: Vec<_> = all
            .map(|c| (&*snapshot.catalog.offer(c.offer).id, fate(c)))
            .collect();
        told.sort_unstable();
        all.sort_unstable();
        assert_eq!(told, all);
        assert!(
            all.iter().any(|(_, why)| why.is_some()),
            "the demo excludes"
        );
    }
}

#[test]
fn the_record_of_the_largest_catalog_fits_the_journal() {
    let mut text = String::from(
        "[operator]\nname = \"Test\"\ncurrency = \"USD\"\ntime_zone = \"UTC\"\ndefault_locale = \"en\"\n\
         [explorer]\nkind = \"softmax\"\ntemperature = 1.0\nfloor = 0.5\n",
    );
    const PLACES: [&str; 8] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7"];
    for id in PLACES {
        text.push_str(&format!(
            "[[placement]]\nid = \"{id}\"\nname = \"P\"\ncount_max = 20\n"
        ));
    }
    for i in 0..10_000 {
        text.push_str(&format!(
            "[[offer]]\nid = \"o{i:063}\"\nname = \"O\"\nclass = \"content\"\nvalue_minor = {}\nprior = 0.07\n\
             [[offer.creatives]]\ntitle = \"t\"\nbody = \"b\"\ncta = \"c\"\naction = {{ kind = \"info\" }}\n",
            100 + i
        ));
    }
    let snapshot = support::by_prior(&text);
    let mut request = support::request(7);
    request.placements = PLACES.iter().flat_map(|id| ask(id, 20)).collect();
    let mut scratch = Scratch::default();
    let facts = Facts::default();
    let decision = decide(&snapshot, &request, &facts, &mut scratch);
    let record = DecisionRecord::new(&snapshot, &request, &facts, decision, 12.5);
    for placement in &record.placements {
        assert_eq!(
            (placement.candidates.len(), placement.slate.len()),
            (500, 20)
        );
        assert_eq!(
            placement.excluded.iter().map(|(_, n)| n).sum::<u32>(),
            9_500
        );
        for choice in &placement.slate {
            assert!(placement.candidates.iter().any(|c| c.offer == choice.offer));
        }
    }
    let bytes = serde_json::to_vec(&record).expect("plain data").len();
    let room = offerd::journal::format::PAYLOAD_BYTES_MAX - 64 * 1_024;
    assert!(bytes < room, "{bytes} bytes");
}

#[test]
fn odds_on_record_are_those_of_the_first_draw_of_a_tier() {
    let house = catalog("kind = \"deterministic\"").replacen("\"auction\"", "\"house\"", 2);
    let snapshot = support::by_prior(&house);
    let mut scratch = Scratch::default();
    let mut request = support::request(1);
    request.placements = ask("p", 4);
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    let shown: Vec<u32> = decision.choices.iter().map(|c| c.offer.0).collect();
    assert_eq!(shown, [2, 3, 0, 1], "the auction tier, then the house's");
    let odds = decision.candidates.iter().map(|c| match c.verdict {
        Verdict::Eligible { odds, .. } => odds,
        Verdict::Excluded(reason) => panic!("{reason}"),
    });
    assert_eq!(
        odds.collect::<Vec<_>>(),
        [1.0, 0.0, 1.0, 0.0],
        "drawn first of its tier or not"
    );
}

#[test]
fn an_empty_placement_tells_the_reason_that_matters() {
    let (shown, _) = demo(|r| {
        r.customer.care = Care {
            open_issue: true,
            ..Care::default()
        };
        r.placements = ask("eta_strip", 1);
    });
    assert!(shown.iter().all(|c| *c == OfferClass::Care));
    let text = catalog("kind = \"deterministic\"") + "[care]\nopen_issue = true\n";
    let snapshot = support::by_prior(&text);
    let mut request = support::request(5);
    request.customer.care = Care {
        open_issue: true,
        ..Care::default()
    };
    request.placements = vec![PlacementAsk {
        id: "p",
        count: 1,
        exclude_offers: vec!["o0"],
    }];
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &request, &Facts::default(), &mut scratch);
    assert_eq!(decision.placements[0].no_offer, Some(Exclusion::CareOnly));
}
