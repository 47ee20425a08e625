//! Records in both their forms: packed as the journal holds them now, and text as the releases before did.

use offerd::decide::record::DecisionRecord;
use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::{Packer, read};
use offerd::domain::{DecisionId, Exposure, Facts, Record};

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
