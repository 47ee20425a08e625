//! The demo operator: it has no mistakes, something to say everywhere, and something for everybody.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use offerd::control::catalog::{diff, read_json, read_toml, to_json};
use offerd::decide::condition::{Attr, Attributes, Key};
use offerd::decide::inputs::{Attribute, Vocabulary};
use offerd::decide::snapshot::{Catalog, Creative, Offer, Placement};
use offerd::domain::{Channel, OfferClass, Phase, Tier};

/// What the server ships.
const DEMO: &str = include_str!("../../../catalog/demo.toml");

const LOCALES: [&str; 2] = ["en", "es"];

#[track_caller]
fn demo() -> Arc<Catalog> {
    read_toml(DEMO).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

#[test]
fn it_says_the_same_in_json() {
    let toml = demo();
    let json = to_json(DEMO).expect("is TOML").to_string();
    let json = read_json(&json).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(diff(&toml, &json).is_empty());
    for (a, b) in toml.offers.iter().zip(&json.offers) {
        assert_eq!(shape(a), shape(b));
    }
    let places = |catalog: &Catalog| -> Vec<String> {
        let places = catalog.placements.iter();
        places
            .map(|p| format!("{} {:?} {:?}", p.id, p.explorer, p.offers))
            .collect()
    };
    assert_eq!(places(&toml), places(&json));
}

/// Everything about an offer that does not depend on where it was read from.
fn shape(offer: &Offer) -> String {
    let Offer {
        id,
        flight,
        daypart,
        caps,
        requires,
        labels,
        features,
        when,
        ..
    } = offer;
    // Feature lists are tables, whose order TOML and JSON need not share.
    let features: BTreeMap<_, _> = features
        .iter()
        .map(|(n, v)| (n, format!("{v:?}")))
        .collect();
    let when = when.is_some();
    format!("{id} {flight:?} {daypart:?} {caps:?} {requires:?} {labels} {features:?} {when}")
}

#[test]
fn it_covers_the_whole_product() {
    let demo = demo();
    assert!(demo.offers.len() >= 24);
    assert_eq!(demo.placements.len(), 6);
    for class in OfferClass::ALL {
        assert!(
            demo.offers.iter().any(|o| o.class == *class),
            "no offer of class {class}"
        );
    }
    for tier in Tier::ALL {
        assert!(
            demo.offers.iter().any(|o| o.tier == *tier),
            "no offer of tier {tier}"
        );
    }
    let count = |is: fn(&Offer) -> bool| demo.offers.iter().filter(|o| is(o)).count();
    assert!(
        count(|o| o.flight.0.is_some() && o.flight.1.is_some()) >= 2,
        "seasonal"
    );
    assert!(
        count(|o| o.valid_while == Some(Phase::OnSite)) >= 1,
        "while the technician is there"
    );
    let van = |o: &Offer| {
        o.requires
            .as_ref()
            .is_some_and(|r| !r.stock.is_empty() && r.slack_minutes > 0)
    };
    assert!(count(van) >= 1, "from the van");
    assert!(count(|o| o.daypart.is_some()) >= 1, "at some hours");
    assert!(count(|o| !o.triggers.is_empty()) >= 2, "triggered");
    assert!(
        count(|o| o.class.sells() && !o.personal) >= 1,
        "for those who withhold their data"
    );
}

#[test]
fn help_is_first_and_for_everybody() {
    for offer in demo().offers.iter().filter(|o| o.class == OfferClass::Care) {
        assert_eq!(offer.tier, Tier::MustRun, "{}", offer.id);
        assert!(!offer.personal, "{}", offer.id);
        assert!(
            offer.when.is_some(),
            "{} would help those who need none",
            offer.id
        );
    }
}

#[test]
fn what_sells_is_capped() {
    let demo = demo();
    assert!(!demo.selling_caps.is_empty());
    for offer in demo.offers.iter().filter(|o| o.class.sells()) {
        assert!(
            !offer.caps.is_empty(),
            "{} could be shown without end",
            offer.id
        );
    }
}

#[test]
fn every_offer_speaks_both_languages() {
    for offer in &demo().offers {
        for locale in LOCALES {
            let own = offer
                .creatives
                .iter()
                .find(|c| c.locale.as_deref() == Some(locale));
            let own = own.unwrap_or_else(|| panic!("{} has no words in {locale}", offer.id));
            assert_eq!(*own.id, format!("{}.{locale}", offer.id));
            let image = format!("/demo/assets/{}.svg", offer.id);
            assert_eq!(own.image_url.as_deref(), Some(image.as_str()));
            assert!(
                !own.body.0.is_empty() && !own.cta.0.is_empty(),
                "{}",
                own.id
            );
        }
    }
}

#[test]
fn every_placement_has_something_to_say_in_every_phase_and_language() {
    let demo = demo();
    for placement in &demo.placements {
        for &phase in Phase::ALL
            .iter()
            .filter(|&&p| placement.phases.has_phase(p))
        {
            for locale in LOCALES {
                let candidates = candidates(&demo, placement, phase, locale);
                let place = format!("{} in {phase} ({locale})", placement.id);
                assert!(!candidates.is_empty(), "nothing at {place}");
                let auction = candidates
                    .iter()
                    .filter(|o| o.tier == Tier::Auction)
                    .count();
                assert!(auction >= 2, "nothing to choose from at {place}");
            }
        }
    }
}

/// Offers that phase, channel and language leave for a placement.
fn candidates<'c>(
    catalog: &'c Catalog,
    placement: &Placement,
    phase: Phase,
    locale: &str,
) -> Vec<&'c Offer> {
    let speaks = |c: &Creative| {
        c.channels.has_channel(Channel::Web) && c.locale.as_deref().is_none_or(|l| l == locale)
    };
    let offers = placement.offers.iter().map(|&ix| catalog.offer(ix));
    offers
        .filter(|o| o.phases.has_phase(phase) && o.valid_while.is_none_or(|last| phase <= last))
        .filter(|o| o.creatives.iter().any(speaks))
        .collect()
}

/// A customer's columns, found by the vocabulary's slots.
struct Row<'a> {
    vocabulary: &'a Vocabulary,
    columns: BTreeMap<u16, &'a str>,
}

impl Attributes for Row<'_> {
    fn get(&self, key: Key) -> Attr<'_> {
        let Attribute::Feature(slot) = self.vocabulary.attribute(key) else {
            return Attr::Missing;
        };
        match self.columns.get(slot) {
            None => Attr::Missing,
            Some(text) => text.parse().map_or(Attr::Text(text), Attr::Number),
        }
    }
}

/// Goal: the offers' conditions are right for real customers, not only for invented ones.
/// Method: the customers of the telco data set; nobody goes without a choice of things to buy, and
/// nothing that sells is for nobody or (where it asks for anything) for everybody.
#[test]
fn real_customers_get_sensible_offers() {
    let shared = std::env::var_os("OFFERD_SHARED").map_or("../shared".into(), PathBuf::from);
    let path = shared.join("data/telco/Telco-Customer-Churn.csv");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: no {}", path.display());
        return;
    };
    let demo = demo();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    let mut customers = 0;
    for line in lines {
        customers += 1;
        let named = header.iter().zip(line.split(','));
        let columns = named.filter_map(|(name, value)| Some((demo.vocabulary.slot(name)?, value)));
        let row = Row {
            vocabulary: &demo.vocabulary,
            columns: columns.collect(),
        };
        let fits = |o: &&Offer| o.when.as_ref().is_none_or(|when| when.holds(&row));
        let selling = demo.offers.iter().filter(|o| o.class.sells()).filter(fits);
        let ids: Vec<&str> = selling.map(|o| &*o.id).collect();
        assert!(ids.len() >= 5, "only {ids:?} for {line}");
        for id in ids {
            *shown.entry(id).or_default() += 1;
        }
    }
    println!("of {customers} customers: {shown:?}");
    for offer in demo.offers.iter().filter(|o| o.class.sells()) {
        let fits = shown.get(&*offer.id).copied().unwrap_or(0);
        assert!(
            fits * 20 >= customers,
            "{} is for {fits} of {customers} only",
            offer.id
        );
        assert!(
            !offer.personal || fits < customers,
            "{} asks for nothing",
            offer.id
        );
    }
}
