//! A day's money for exploring: counted by the learner, kept by decisions, on record for replays.

use offerd::control::budget;
use offerd::decide::budget::Spent;
use offerd::decide::record::DecisionRecord;
use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::read;
use offerd::domain::{Millis, OfferClass};
use offerd::learn::learner::{Learner, State};

use super::world::{HOUR, MINUTE, World, at, offer};

/// `a` is the best; `b` is of its class and `c` is not, and showing either gives up 5 of expected value.
fn catalog(budget: u32) -> String {
    let head = format!(
        "[operator]\ncurrency = \"USD\"\ntime_zone = \"America/Denver\"\n[consent]\npersonalization = true\n\
         marketing = true\nmeasurement = true\n[explorer]\nkind = \"epsilon_greedy\"\nepsilon = 0.6\n\
         uniform_share = 0.06\ndaily_budget_minor = {{ upsell = {budget} }}\n[[placement]]\nid = \"card\"\ncount_max = 2\n"
    );
    let one = |(id, class, prior)| offer(id, class, prior);
    let offers = [
        ("b", "upsell", 0.05),
        ("a", "upsell", 0.055),
        ("c", "content", 0.05),
    ];
    head + &offers.map(one).concat()
}

/// A server and its learner, which publishes after every record.
struct Node {
    world: World,
    learner: Learner,
}

impl Node {
    fn new(budget: u32) -> Node {
        let world = World::new(&catalog(budget));
        let learner = world.learner(State::default());
        Node { world, learner }
    }

    fn publish(&mut self) {
        let catalog = &self.world.snapshot.catalog;
        self.world.snapshot.spent = budget::spent(Some(&self.learner.learnt()), catalog);
    }

    /// Decides at that moment, then learns what it cost.
    fn show(&mut self, ms: i64) -> DecisionRecord<'_> {
        self.world.show(ms, |_| {});
        let (position, entry) = self.world.log.last().unwrap();
        self.learner.hear("journal", *position, entry);
        self.publish();
        self.record(self.world.log.len() - 1)
    }

    fn record(&self, i: usize) -> DecisionRecord<'_> {
        read(&self.world.log[i].1.record).unwrap()
    }

    fn report(&self, ms: i64) -> budget::ExploringBudget {
        let catalog = &self.world.snapshot.catalog;
        budget::report(Some(&self.learner.learnt()), catalog, Millis(at(ms)))["upsell"]
    }
}

/// The odds of `a`, `b` and `c`, and the classes that had spent.
fn drawn(record: &DecisionRecord<'_>) -> ([f64; 3], Vec<String>) {
    let placement = &record.placements[0];
    let odds = |id| {
        let mut candidates = placement.candidates.iter();
        candidates.find(|c| c.offer == id).unwrap().odds.unwrap()
    };
    let spent = placement.budget_spent.iter().map(|c| c.to_string());
    (["a", "b", "c"].map(odds), spent.collect())
}

#[track_caller]
fn check(record: &DecisionRecord<'_>, odds: [f64; 3], spent: &[&str]) {
    let (drawn, classes) = drawn(record);
    assert_eq!(classes, spent);
    for (drawn, odds) in drawn.into_iter().zip(odds) {
        assert!((drawn - odds).abs() < 1e-12, "{drawn} is not {odds}");
    }
}

/// Everything explores: a fifth of the explorer's draws each, and a third of the uniform slice.
const FREE: [f64; 3] = [0.6 * 0.94 + 0.02, 0.2 * 0.94 + 0.02, 0.2 * 0.94 + 0.02];
/// `b` has the slice only, and `a` what it had beside that; `c` is of another class.
const HELD: [f64; 3] = [0.8 * 0.94 + 0.02, 0.02, 0.2 * 0.94 + 0.02];

/// *Goal:* a class explores until its day's money is gone, then for the rest of the operator's day only the floor does, and the
/// next day it explores again from the first request on. Every decision replays to the bit.
#[test]
fn it_spends_holds_back_and_returns_the_next_day() {
    let mut node = Node::new(50);
    let mut ms = 0;
    while !node.report(ms).spent {
        check(&node.show(ms), FREE, &[]);
        ms += MINUTE;
        assert!(ms < 6 * HOUR, "never spent: {:?}", node.report(ms));
    }
    let report = node.report(ms);
    assert_eq!(report.since_ms, Some(at(ms - MINUTE)), "{report:?}");
    assert!((report.spent_minor - 50.0).abs() < 1e-6, "{report:?}");
    // Ten in the morning in Denver: fourteen hours are left.
    for hour in 7..14 {
        check(&node.show(hour * HOUR), HELD, &["upsell"]);
    }
    assert_eq!(node.report(13 * HOUR).since_ms, report.since_ms);
    // A learner that was started again knows as much.
    let state = node.learner.state().clone();
    node.learner = node.world.learner(state);
    node.publish();
    check(&node.show(14 * HOUR - 1), HELD, &["upsell"]);
    // Nothing has been published since.
    assert!(node.report(14 * HOUR - 1).spent);
    check(&node.show(14 * HOUR), FREE, &[]);
    assert!(!node.report(14 * HOUR).spent);

    let mut scratch = Scratch::default();
    let (mut held, mut differ) = (0, 0);
    for i in 0..node.world.log.len() {
        let record = node.record(i);
        let (request, facts) = (record.request().unwrap(), record.facts().unwrap());
        let mut again = |spent: Spent| {
            let snapshot = Snapshot {
                spent,
                ..node.world.snapshot.clone()
            };
            let decision = decide(&snapshot, &request, &facts, &mut scratch);
            record.same_outcome(&DecisionRecord::new(
                &snapshot, &request, &facts, decision, 0.0,
            ))
        };
        assert!(again(record.spent().unwrap()), "{}", record.id);
        held += usize::from(!record.placements[0].budget_spent.is_empty());
        differ += usize::from(!again(Spent::NOTHING));
    }
    assert_eq!((held, differ), (8, 8));
}

/// *Goal:* a catalog that gives more, or nothing at all, is obeyed at once.
#[test]
fn a_new_catalog_changes_what_is_left() {
    let mut node = Node::new(0);
    check(&node.show(0), FREE, &[]);
    // Nothing was published before that: whoever serves begins with what the catalog says.
    check(&node.show(1), HELD, &["upsell"]);
    check(&node.show(48 * HOUR), HELD, &["upsell"]);
    node.world.put(&catalog(1_000));
    node.learner = node.world.learner(node.learner.state().clone());
    node.publish();
    check(&node.show(48 * HOUR + 1), FREE, &[]);
    let report = node.report(48 * HOUR + 1);
    assert_eq!((report.spent, report.since_ms), (false, None), "{report:?}");
    let spent = budget::spent(None, &node.world.snapshot.catalog);
    assert!(!spent.at(Millis(at(0))).has_class(OfferClass::Upsell));
}
