//! Records in both their forms: packed as the journal holds them now, and text as the releases before did.

use std::collections::HashMap;
use std::sync::Arc;

use offerd::decide::posterior::{Belief, Posterior};
use offerd::decide::record::{DecisionRecord, LISTED_MAX, Made, ShadowRecord};
use offerd::decide::shadow::ShadowScores;
use offerd::decide::snapshot::{Canary, Set, Shadow, Snapshot};
use offerd::decide::{Scratch, decide};
use offerd::domain::record::{Packer, read};
use offerd::domain::{
    DecisionId, Effort, Exposure, Facts, Millis, NameHash, OfferIx, Phase, Record,
};

use crate::support;

/// A release that knew text alone made this decision with `catalog.toml`, by the offers' priors.
const BEFORE: &str = include_str!("records/before.json");
const CATALOG: &str = include_str!("records/catalog.toml");

/// Decides a record again and expects the same.
#[track_caller]
fn check_replays(snapshot: &Snapshot, record: &Record) {
    let record: DecisionRecord<'_> = read(record).expect("a record");
    let (request, facts) = (
        record.request().expect("complete"),
        record.facts().expect("complete"),
    );
    let mut scratch = Scratch::default();
    let decision = decide(snapshot, &request, &facts, &mut scratch);
    let again = DecisionRecord::new(snapshot, &request, &facts, decision, 0.0);
    assert!(record.same_outcome(&again), "{record:?}\n{again:?}");
}

/// *Goal:* a journal survives the update. *Method:* a record of before is decided again as it is, and once it
/// is packed.
#[test]
fn a_record_of_before_is_decided_again() {
    let snapshot = support::by_prior(CATALOG);
    let text = Record::from(BEFORE.trim_end());
    check_replays(&snapshot, &text);
    let record: DecisionRecord<'_> = read(&text).expect("a record");
    assert_eq!(record.id, DecisionId(7).to_string());
    let placement = &record.placements[0];
    assert_eq!(
        (
            placement.candidates.len(),
            placement.withheld.len(),
            placement.slate.len()
        ),
        (2, 1, 2)
    );
    let packed = Packer::default().pack(&record);
    check_replays(&snapshot, &packed);
    assert_eq!(packed.to_string(), BEFORE.trim_end(), "to the byte");
}

/// *Goal:* nobody can tell which form a record has. *Method:* records of a server that uses everything.
#[test]
fn both_forms_say_the_same() {
    let snapshot = support::by_model("propensity-forest");
    let (mut scratch, mut packer) = (Scratch::default(), Packer::default());
    let facts = Facts {
        exposures: vec![Exposure {
            offer: snapshot.catalog.offers[0].hash,
            sells: true,
            at: support::NOON.plus(-60_000),
            confirmed: true,
        }],
    };
    for i in 0..500_u32 {
        let mut request = support::request(u128::from(i) * 0x9E37_79B9_7F4A_7C15);
        request.customer.consent.measurement = i % 5 != 0;
        let decision = decide(&snapshot, &request, &facts, &mut scratch);
        let record = DecisionRecord::new(&snapshot, &request, &facts, decision, 12.5);
        let text = serde_json::to_string(&record).expect("plain data");
        let packed = packer.pack(&record);
        assert_eq!(packed.to_string(), text);
        assert!(
            packed.len() * 3 < text.len() * 2,
            "{} of {}",
            packed.len(),
            text.len()
        );
        assert_eq!(
            read::<DecisionRecord<'_>>(&packed).expect("as packed"),
            record
        );
        if record.measured {
            check_replays(&snapshot, &packed);
        }
    }
}

/// Decides for every phase and effort, measured and not, and expects of every record that it is written as
/// [`DecisionRecord`] says it; the records.
fn check_written(snapshot: &Snapshot) -> Vec<Record> {
    let (mut scratch, mut packer) = (Scratch::default(), Packer::default());
    let mut shadow = ShadowScores::default();
    let exposure = |offer: u64, confirmed: bool| Exposure {
        offer: NameHash(offer),
        sells: !confirmed,
        at: support::NOON.plus(-(offer as i64 & 0xFFFF_FFFF)),
        confirmed,
    };
    let mut records = Vec::new();
    for i in 0..420_usize {
        let mut request = support::request(i as u128 * 0x9E37_79B9_7F4A_7C15);
        request.at = Millis(request.at.0 + i as i64 * 7_654_321);
        request.appointment.phase = Phase::ALL[i % 7];
        request.customer.consent.measurement = i % 5 != 0;
        request.customer.consent.marketing = i % 9 != 0;
        request.customer.care.last_rating = (i % 6 == 0).then_some(2);
        request.test = i % 11 == 0;
        request.effort = match i % 13 {
            0 => Effort::PriorOnly,
            1 => Effort::Overload,
            2 => Effort::Nothing,
            _ => Effort::Full,
        };
        request.placements[0].exclude_offers = vec!["none"; i % 3];
        if i % 4 == 0 {
            request.placements[1].id = "nowhere";
            request.request_id = None;
            request.appointment.technician = None;
            request.appointment.delay_seconds = Some(-300);
            request.customer.subject = None;
        }
        let facts = Facts {
            exposures: (0..i as u64 % 4)
                .map(|n| exposure(n << 60 | 0xABC, n % 2 == 0))
                .collect(),
        };
        let decision = decide(snapshot, &request, &facts, &mut scratch);
        let said = shadow.of(snapshot, &request, decision);
        let made = Made {
            snapshot,
            request: &request,
            facts: &facts,
            decision,
            shadow: said,
            decide_us: 12.5,
        };
        let mut expected = DecisionRecord::new(snapshot, &request, &facts, decision, 12.5);
        expected.shadow = said.map(|(model, said)| ShadowRecord::new(model, decision, said));
        let record = made.pack(&mut packer);
        assert_eq!(
            read::<DecisionRecord<'_>>(&record).expect("as written"),
            expected
        );
        assert!(record == packer.pack(&expected), "{record}");
        records.push(record);
    }
    records
}

/// *Goal:* the server writes what the record's struct says, to the byte. *Method:* decisions of every kind are
/// written both ways, and every field that a record may lack is met.
#[test]
fn a_record_is_written_as_its_struct_says() {
    let mut snapshot = support::by_model("propensity-linear");
    let mut records = check_written(&snapshot);
    let other = support::by_model("propensity-forest").model;
    snapshot.canary = Some(Canary {
        model: Arc::clone(&other),
        percent: 50.0,
    });
    snapshot.shadow = Some(Shadow {
        model: other,
        share: 0.7,
    });
    snapshot.spent.classes = Set::ALL;
    let believed = (0..snapshot.catalog.offers.len()).map(|i| {
        let belief = Belief {
            probability: 0.01 * (i + 1) as f64,
            spread: 0.3,
        };
        ((i as u8 % 2, OfferIx(i as u32)), belief)
    });
    let beliefs: HashMap<_, _> = believed.collect();
    snapshot.posterior = Some(Arc::new(Posterior::recorded(70_000, beliefs)));
    records.extend(check_written(&snapshot));
    let mut many = String::from(
        "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n[[placement]]\nid = \"tracker_hero\"\n",
    );
    for i in 0..LISTED_MAX + 100 {
        let phases = if i % 40 == 0 {
            "phases = [\"day_of\"]\n"
        } else {
            ""
        };
        many += &format!(
            "[[offer]]\nid = \"o{i}\"\nclass = \"service\"\nvalue_minor = {i}\n{phases}\
             [[offer.creatives]]\ntitle = \"t\"\n"
        );
    }
    let mut many = support::by_prior(&many);
    many.shadow = snapshot.shadow.clone();
    records.extend(check_written(&many));
    let texts: Vec<String> = records.iter().map(Record::to_string).collect();
    for field in [
        "request_id",
        "posterior",
        "shadow",
        "budget_spent",
        "withheld",
        "excluded",
        "base",
        "exposures\":[{",
    ] {
        let has = |text: &&String| text.contains(&format!("\"{field}"));
        let with = texts.iter().filter(has).count();
        assert!(
            0 < with && with < texts.len(),
            "{field}: {with} of {}",
            texts.len()
        );
    }
}
