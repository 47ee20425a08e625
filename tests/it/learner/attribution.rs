//! Which events teach what, and what is left out and why.

use offerd::domain::{Effort, EventType};
use offerd::learn::attribution::Limits;
use offerd::learn::learner::{Report, State};

use super::world::{HOUR, MINUTE, World, offers};
use EventType::{Click, Conversion, Dismiss, Impression, Reversal, Viewable};

/// Showings learnt, and the sum of their labels.
fn learnt(report: &Report) -> (u64, f64) {
    let points = report.curve.points.iter();
    points.fold((0, 0.0), |(n, sum), p| (n + p.showings, sum + p.labels))
}

/// One showing with these events, by minutes after it; then time passes. What was learnt: how many showings, and with what
/// label.
#[track_caller]
fn check(more: &str, events: &[(i64, EventType)], expected: (u64, f64)) -> Report {
    let mut world = World::new(&offers(more));
    let shows = world.show(0, |_| {}).remove(0);
    for (minutes, event) in events {
        world.event(minutes * MINUTE, *event, &shows);
    }
    world.pass(3 * 24 * HOUR);
    let report = world.learnt().report();
    let (showings, label) = learnt(&report);
    let near = (label - expected.1).abs() < 1e-12;
    assert!(showings == expected.0 && near, "{events:?}: {report:?}");
    report
}

#[test]
fn what_was_not_seen_has_not_failed() {
    let report = check("", &[], (0, 0.0));
    assert_eq!(report.events.unseen, 1);
    check("", &[(1, Impression)], (1, 0.0));
    // A sale of something that nobody saw is not the page's doing, and there would be no failures beside it.
    check("", &[(1, Conversion)], (0, 0.0));
    check("", &[(1, Conversion), (2, Impression)], (1, 1.0));
}

#[test]
fn where_viewable_is_asked_for_an_impression_is_not_enough() {
    let viewable = "seen = \"viewable\"";
    check(viewable, &[(1, Impression)], (0, 0.0));
    check(viewable, &[(1, Impression), (2, Viewable)], (1, 0.0));
    // Faster than a second is seen too; a sale may be somebody else's doing.
    check(viewable, &[(1, Impression), (1, Click)], (1, 0.0));
    check(viewable, &[(1, Impression), (1, Conversion)], (0, 0.0));
}

#[test]
fn by_itself_it_asks_for_viewable_once_pages_send_it() {
    let mut world = World::new(&offers(""));
    let before = world.show(0, |_| {}).remove(0);
    world.event(1, Impression, &before);
    let first = world.show(10, |_| {}).remove(0);
    world.event(11, Impression, &first);
    world.event(12, Viewable, &first);
    let later = world.show(20, |_| {}).remove(0);
    world.event(21, Impression, &later);
    world.pass(3 * 24 * HOUR);
    let events = world.learnt().report().events;
    assert_eq!((events.learnt, events.unseen), (2, 1));
}

#[test]
fn labels_change_when_sales_come_and_are_taken_back() {
    let seen = (1, Impression);
    let report = check("", &[seen, (90, Conversion)], (1, 1.0));
    assert_eq!((report.events.corrected, report.events.used), (1, 2));
    let report = check("", &[seen, (90, Conversion), (2_000, Reversal)], (1, 0.0));
    assert_eq!((report.events.corrected, report.events.reversed), (2, 1));
    // A hold later it is learnt with the label that it has by then.
    let report = check("", &[seen, (1, Conversion)], (1, 1.0));
    assert_eq!(report.events.corrected, 0);
    // A reversal takes back whatever came with the sale, and what came before it stays.
    let rewards = "rewards = { order = 0.5, click = 0.1 }";
    let events = [seen, (2, Click), (3, EventType::Order), (4, Conversion)];
    check(rewards, &events, (1, 1.0));
    check(
        rewards,
        &[&events[..], &[(600, Reversal)]].concat(),
        (1, 0.1),
    );
}

#[test]
fn what_is_learnt_first_is_never_the_successes() {
    // The sale is on record before the hold is over: nothing is learnt of it before its failures would be.
    let mut world = World::new(&offers("hold_minutes = 10"));
    let shows = world.show(0, |_| {}).remove(0);
    world.event(MINUTE, Impression, &shows);
    world.event(2 * MINUTE, Conversion, &shows);
    world.pass(10 * MINUTE);
    assert_eq!(world.learnt().version(), 0);
    world.pass(11 * MINUTE);
    assert_eq!(learnt(&world.learnt().report()), (1, 1.0));
}

#[test]
fn a_dismissal_is_a_failure_and_a_part_of_another() {
    let mut world = World::new(&offers("rewards = { dismiss = -0.5 }"));
    let (patient, annoyed) = (world.show(0, |_| {}), world.show(1, |_| {}));
    world.event(2, Impression, &patient[0]);
    world.event(3, Impression, &annoyed[0]);
    world.event(HOUR, Dismiss, &annoyed[0]);
    world.event(HOUR, Dismiss, &annoyed[0]);
    world.pass(2 * HOUR);
    let report = world.learnt().report();
    assert_eq!((report.events.dismissed, report.events.repeated), (1, 1));
    assert_eq!(learnt(&report), (2, 0.0));
}

#[test]
fn the_same_again_and_the_too_late_change_nothing() {
    let seen = (1, Impression);
    let report = check(
        "windows = { conversion = 24 }",
        &[seen, seen, (60, Conversion), (61, Conversion)],
        (1, 1.0),
    );
    assert_eq!(report.events.repeated, 2);
    let report = check(
        "windows = { conversion = 24 }",
        &[seen, (25 * 60, Conversion)],
        (1, 0.0),
    );
    assert_eq!(report.events.outside_window, 1);
    let report = check("", &[seen, (2, Click)], (1, 0.0));
    assert_eq!(report.events.no_share, 1);
}

#[test]
fn what_happened_in_time_and_comes_late_is_used_and_flagged() {
    let mut world = World::new(&offers("windows = { conversion = 24 }"));
    let shows = world.show(0, |_| {}).remove(0);
    world.event(MINUTE, Impression, &shows);
    world.event_heard(23 * HOUR, 40 * HOUR, Conversion, &shows);
    world.pass(41 * HOUR);
    let report = world.learnt().report();
    assert_eq!((report.events.late, learnt(&report)), (1, (1, 1.0)));
}

#[test]
fn what_must_not_teach_does_not() {
    let mut world = World::new(&offers(""));
    let shows = [
        world.show(0, |asked| asked.test = true),
        world.show(1, |asked| asked.customer.consent.measurement = false),
        world.show(2, |_| {}),
    ];
    for (ms, shows) in (10..).zip(shows.iter().flatten()) {
        world.event(ms, Impression, shows);
        world.event(ms, Conversion, shows);
    }
    world.pass(HOUR);
    let report = world.learnt().report();
    let heard = &report.decisions;
    assert_eq!((heard.test, heard.unmeasured), (2, 1), "{heard:?}");
    assert_eq!(learnt(&report), (1, 1.0));
    assert_eq!(report.events.no_showing, 4);

    // Off is off.
    let mut world = World::new(&offers("enabled = false"));
    world.show(0, |_| {});
    let heard = world.learnt().report().decisions;
    assert_eq!(heard.learning_off, 1);
}

#[test]
fn answers_cut_short_do_not_teach_and_those_without_a_model_do() {
    let mut world = World::new(&offers(""));
    let shows = world.show(0, |_| {}).remove(0);
    let record = &mut world.log[0].1;
    let json = record.record.to_string();
    assert!(json.contains("\"degraded\":[\"prior_only\"]"));
    record.record = json.replace("prior_only", "model_deadline").into();
    world.event(1, Impression, &shows);
    let _ = world.show(2, |asked| asked.effort = Effort::PriorOnly);
    world.pass(HOUR);
    let report = world.learnt().report();
    assert_eq!((report.decisions.degraded, report.events.showings), (1, 1));
}

#[test]
fn beyond_the_limit_the_oldest_is_forgotten_and_counted() {
    let mut world = World::new(&offers(""));
    let shows: Vec<_> = (0..30).map(|i| world.show(i, |_| {}).remove(0)).collect();
    for (ms, shows) in (100..).zip(&shows) {
        world.event(ms, Impression, shows);
    }
    let limits = Limits { showings_max: 20 };
    let mut learner = world.limited(State::default(), limits);
    for (position, entry) in &world.log {
        learner.hear("journal", *position, entry);
    }
    let report = learner.report();
    assert_eq!(report.remembered, 20);
    assert_eq!(
        (report.events.forgotten, report.events.no_showing),
        (10, 10)
    );
}

#[test]
fn lower_ranks_teach_of_the_best_place_what_they_can() {
    let mut world = World::new(&offers(""));
    for i in 0..1_500 {
        let shows = world.show(i * MINUTE, |asked| asked.placements[0].count = 2);
        for shows in &shows {
            world.event(i * MINUTE + 1, Impression, shows);
            // In the second place everything sells a quarter as often.
            if i % if shows.rank == 1 { 5 } else { 20 } == 0 {
                world.event(i * MINUTE + 2, Conversion, shows);
            }
        }
    }
    let learner = world.learnt();
    let (believed, _) = world.believed(&learner, "a");
    assert!((0.16..0.24).contains(&believed), "{believed}");
}
