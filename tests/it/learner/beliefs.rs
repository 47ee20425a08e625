//! What decisions believe after something was learnt.

use std::sync::Arc;

use offerd::control::catalog;
use offerd::decide::record::DecisionRecord;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::read;
use offerd::domain::{EventType, Facts, FeatureValue, PlacementAsk};
use offerd::learn::learner::bind;

use super::world::{HOUR, MINUTE, World, offer, offers};
use crate::support::request;

/// Shows so many offers a minute, and sells each as often as `rate` of it says, a few minutes later.
fn play(world: &mut World, from: i64, minutes: i64, rate: impl Fn(&str) -> f64) {
    let mut owed = std::collections::BTreeMap::<String, f64>::new();
    for minute in from..from + minutes {
        for second in 0..6 {
            let now = minute * MINUTE + second * 1_000;
            let shows = world.show(now, |_| {}).remove(0);
            world.event(now + 100, EventType::Impression, &shows);
            // No dice: what is owed is paid when it is whole.
            let debt = owed.entry(shows.offer.clone()).or_default();
            *debt += rate(&shows.offer);
            if *debt >= 1.0 {
                *debt -= 1.0;
                world.event(now + 200, EventType::Conversion, &shows);
            }
        }
    }
    world.pass((from + minutes) * MINUTE);
}

#[test]
fn beliefs_go_where_the_sales_are() {
    let mut world = World::new(&offers(""));
    play(&mut world, 0, 200, |id| match id {
        "a" => 0.15,
        "b" => 0.02,
        _ => 0.05,
    });
    let learner = world.learnt();
    let (a, b) = (world.believed(&learner, "a"), world.believed(&learner, "b"));
    assert!((0.12..0.18).contains(&a.0), "{a:?}");
    assert!((0.01..0.04).contains(&b.0), "{b:?}");
    assert!(a.1 > 0.0 && a.1 < 0.3, "{a:?}");
    // Nothing was published meanwhile, so it foretold as well as the priors did.
    let points = learner.report().curve.points;
    let off = |p: &offerd::learn::learner::Point| (p.loss - p.base_loss).abs();
    assert!(points.iter().all(|p| off(p) < 1e-3), "{points:?}");
}

/// *Goal:* a new offer learns from its own sales in minutes. *Method:* two offers of a class for a day; then a third, five times
/// as good as anybody thinks, seen twice a minute for half an hour.
#[test]
fn a_new_offer_learns_from_its_own_sales_in_minutes() {
    let text = offers("");
    let mut world = World::new(&text);
    play(&mut world, 0, 300, |_| 0.04);
    let class = world.learnt();
    let text = text + &offer("new", "upsell", 0.05);
    world.put(&text);
    let (before, unsure) = world.believed(&class, "new");
    let (known, sure) = world.believed(&class, "a");
    assert!(
        (before - known).abs() < 0.02,
        "it starts from its class: {before} {known}"
    );
    assert!(unsure > 2.0 * sure, "as unsure as new: {unsure} {sure}");
    play(
        &mut world,
        400,
        40,
        |id| if id == "new" { 0.25 } else { 0.04 },
    );
    let learner = world.learnt();
    let (after, _) = world.believed(&learner, "new");
    assert!((0.15..0.3).contains(&after), "{before} became {after}");
}

#[test]
fn terms_tell_customers_apart() {
    let mut world = World::new(&offers(""));
    for i in 0..3_000_i64 {
        let long = i % 2 == 0;
        let shows = world.show(i * 1_000, |asked| {
            let tenure = if long { 95.0 } else { 5.0 };
            asked.customer.features = vec![("tenure", FeatureValue::Number(tenure))];
        });
        world.event(i * 1_000 + 1, EventType::Impression, &shows[0]);
        if i % if long { 4 } else { 40 } < 2 && i % 4 < 2 {
            world.event(i * 1_000 + 2, EventType::Conversion, &shows[0]);
        }
    }
    world.pass(HOUR);
    let learner = world.learnt();
    let catalog = Arc::clone(&world.snapshot.catalog);
    let posterior = bind(&learner.learnt(), &catalog, &["prior@0"]);
    world.snapshot.posterior = Some(Arc::new(posterior));
    let mut scratch = Scratch::default();
    let mut of = |tenure: f64| {
        let mut asked = request(9);
        asked.customer.features = vec![("tenure", FeatureValue::Number(tenure))];
        asked.placements.truncate(1);
        asked.placements[0].id = "card";
        let decision = decide(&world.snapshot, &asked, &Facts::default(), &mut scratch);
        decision.choices[0].probability
    };
    let (short, long) = (of(5.0), of(95.0));
    assert!(long > 3.0 * short, "{short} {long}");
}

#[test]
fn a_catalog_that_changes_keeps_what_was_learnt() {
    let mut world = World::new(&offers(""));
    play(&mut world, 0, 100, |id| if id == "a" { 0.2 } else { 0.02 });
    let learner = world.learnt();
    let before = world.believed(&learner, "a");
    let other = offers("segments = [\"new_mover\", \"vip\"]").replace(
        "[[placement]]\nid = \"card\"",
        "[[placement]]\nid = \"first\"\n[[placement]]\nid = \"card\"",
    );
    world.put(&other);
    assert_eq!(world.believed(&learner, "a"), before, "not heard of yet");
    play(&mut world, 100, 1, |_| 0.05);
    let learner = world.learnt();
    let after = world.believed(&learner, "a");
    assert!(
        (after.0 / before.0 - 1.0).abs() < 0.3,
        "{before:?} {after:?}"
    );
    assert_eq!(learner.report().decisions.no_catalog, 0);
}

/// *Goal:* a decision under a posterior is made again from its record, without that posterior. *Method:* every record of a
/// world that believes something, decided with the beliefs in it.
#[test]
fn a_record_replays_without_the_posterior_of_its_second() {
    let mut world = World::new(&offers(""));
    play(&mut world, 0, 60, |id| if id == "a" { 0.2 } else { 0.02 });
    let posterior = bind(&world.learnt().learnt(), &world.snapshot.catalog, &[]);
    let version = posterior.version;
    world.snapshot.posterior = Some(Arc::new(posterior));
    let from = world.log.len();
    for i in 0..50 {
        world.show(100 * MINUTE + i, |asked| asked.placements[0].count = 2);
    }
    let mut scratch = Scratch::default();
    let mut gaps = 0.0;
    for (_, entry) in &world.log[from..] {
        let record: DecisionRecord<'_> = read(&entry.record).unwrap();
        assert_eq!(record.posterior, Some(version));
        let candidates = &record.placements[0].candidates;
        assert!(
            candidates
                .iter()
                .all(|c| c.base == Some(0.05) && c.spread > Some(0.0))
        );
        gaps += record.placements[0].slate[0].gap;
        let catalog = &world.snapshot.catalog;
        let beliefs = record.beliefs(catalog).unwrap().unwrap();
        let mut again = world.snapshot.clone();
        again.posterior = Some(Arc::new(beliefs));
        let (request, facts) = (record.request().unwrap(), record.facts().unwrap());
        let decision = decide(&again, &request, &facts, &mut scratch);
        let remade = DecisionRecord::new(&again, &request, &facts, decision, 0.0);
        assert!(record.same_outcome(&remade), "{}\n{remade:?}", entry.record);
        // The model's own part is held against the record, not taken from it.
        let mut wrong = record.clone();
        wrong.placements[0].candidates[0].base = Some(0.04);
        assert!(!wrong.same_outcome(&remade));
    }
    assert!(gaps > 0.0, "everything at random has a price");
}

/// *Goal:* the shadow's level is known before it is live. *Method:* records with a shadow that says twice as much.
#[test]
fn a_shadow_learns_its_own_level() {
    let mut world = World::new(&offers(""));
    play(&mut world, 0, 200, |_| 0.1);
    for (_, entry) in &mut world.log {
        let Ok(mut record) = read::<serde_json::Value>(&entry.record) else {
            continue;
        };
        if record["type"] == "decision" {
            record["shadow"] =
                serde_json::json!({ "model": "new@2", "probabilities": [[0.3, 0.3, 0.3]] });
            entry.record = record.to_string().into();
        }
    }
    let learner = world.learnt();
    let models = learner.report().models;
    assert_eq!(models.keys().collect::<Vec<_>>(), ["new@2", "prior@0"]);
    let mut shadow = world.snapshot.clone();
    let model = Arc::get_mut(&mut shadow.model);
    assert!(model.is_none(), "shared");
    let (believed, _) = world.believed(&learner, "a");
    assert!((0.08..0.12).contains(&believed), "{believed}");
}

#[test]
fn the_buffers_of_a_placement_without_offers_are_left_alone() {
    let text = offers("").replace("id = \"card\"", "id = \"card\"\nphases = [\"feedback\"]");
    let world = World::new(&text);
    let catalog = catalog::read(&text).unwrap();
    let mut snapshot = world.snapshot.clone();
    snapshot.posterior = Some(Arc::new(bind(&world.learnt().learnt(), &catalog, &[])));
    let mut asked = request(1);
    asked.placements = vec![PlacementAsk {
        id: "card",
        count: 1,
        exclude_offers: Vec::new(),
    }];
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &asked, &Facts::default(), &mut scratch);
    assert!(decision.choices.is_empty());
}
