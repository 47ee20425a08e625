//! What is learnt does not depend on how a record is written down, nor on how much of it is looked at.

use offerd::decide::record::ShadowRecord;
use offerd::domain::record::{Packer, read};
use offerd::domain::{EventType, FeatureValue};
use offerd::learn::learner::State;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::world::{HOUR, MINUTE, World, offers};

/// Two hundred visits with and without consequences.
fn visited(text: &str) -> World {
    let mut world = World::new(text);
    for visit in 0..200_i64 {
        let shows = world.show(visit * MINUTE, |asked| {
            asked.placements[0].count = 1 + (visit % 2) as u8;
            asked.customer.features[0] = ("tenure", FeatureValue::Number(visit as f64));
        });
        for shown in &shows {
            world.event(visit * MINUTE + 1_000, EventType::Impression, shown);
            if visit % 5 == i64::from(shown.rank) {
                world.event(visit * MINUTE + 9_000, EventType::Conversion, shown);
            }
        }
    }
    world.pass(300 * HOUR);
    world
}

/// The same with what `change` makes of every record.
fn changed(text: &str, mut change: impl FnMut(&mut Value)) -> [State; 2] {
    let mut states = Vec::new();
    for packed in [true, false] {
        let mut world = visited(text);
        for (_, entry) in &mut world.log {
            let mut record: Value = read(&entry.record).unwrap();
            change(&mut record);
            entry.record = if packed {
                Packer::default().pack(&record)
            } else {
                record.to_string().into()
            };
        }
        states.push(world.learnt().state().clone());
    }
    states.try_into().unwrap()
}

#[track_caller]
fn check(text: &str, change: impl FnMut(&mut Value)) -> State {
    let [packed, text] = changed(text, change);
    // What they hold would fill pages.
    assert!(packed == text);
    packed
}

fn without_inputs() -> String {
    offers("").replace("features = [\"tenure\"]\n", "")
}

#[test]
fn a_record_teaches_the_same_packed_and_as_text() {
    for text in [offers(""), without_inputs()] {
        let learnt = check(&text, |_| {});
        assert!(learnt == *visited(&text).learnt().state());
    }
}

#[test]
fn what_the_shadow_said_is_found_beside_its_candidate() {
    let plain = check(&offers(""), |_| {});
    let shadowed = check(&offers(""), |record| {
        let Some(candidates) = record.pointer("/placements/0/candidates") else {
            return;
        };
        // Another answer for each candidate of each decision.
        let decision = xxh3_64(record["id"].as_str().unwrap().as_bytes()) % 100;
        let answers = (decision..).zip(candidates.as_array().unwrap());
        let answers = answers.map(|(n, _)| Some((n * 37 % 100 + 1) as f64 / 200.0));
        let shadow = ShadowRecord {
            model: "shadow@1".into(),
            probabilities: vec![answers.collect()],
        };
        record["shadow"] = json!(shadow);
    });
    assert!(plain != shadowed);
}

#[test]
fn an_old_record_lists_what_was_excluded_too() {
    check(&offers(""), |record| {
        if let Some(candidates) = record.pointer_mut("/placements/0/candidates") {
            let excluded = json!({"offer": "x", "excluded": "phase"});
            candidates.as_array_mut().unwrap().insert(0, excluded);
            record["shadow"] = json!({"model": "s@1", "probabilities": [[0.1, null, 0.3]]});
        }
    });
}

#[test]
fn a_record_that_is_none_is_counted() {
    let spoilt = [
        ("/at", json!("noon")),
        ("/id", json!("1")),
        ("/v", json!(99)),
    ];
    let parts = [("/request/phase", json!("?")), ("/request", json!(7))];
    for (place, value) in spoilt.into_iter().chain(parts) {
        for text in [offers(""), without_inputs()] {
            let mut world = visited(&text);
            for (_, entry) in &mut world.log {
                let mut record: Value = read(&entry.record).unwrap();
                if let Some(part) = record.pointer_mut(place).filter(|_| entry.kind == 0) {
                    *part = value.clone();
                    entry.record = Packer::default().pack(&record);
                }
            }
            let learner = world.learnt();
            assert_eq!(learner.report().decisions.unreadable, 200, "{place}");
            assert_eq!(learner.report().events.showings, 0, "{place}");
        }
    }
}
