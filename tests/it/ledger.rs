//! The ledger against a model that never forgets, never packs and never shares.

use std::collections::BTreeMap;
use std::sync::Barrier;

use offerd::domain::{
    DecisionId, Entry, EntryKind, Exposure, Facts, Millis, NameHash, Record, Shown, SubjectKey,
};
use offerd::ledger::{HOLD_MS_MAX, Ledger, LedgerConfig, LedgerStats, STRIPES, STRIPES_PER_EXPIRE};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const DAY_MS: i64 = 86_400_000;
const START: Millis = Millis(1_763_730_000_000);

fn shown(offer: u64) -> Shown {
    // Every third offer sells.
    Shown {
        offer,
        sells: offer.is_multiple_of(3),
    }
}

fn facts(ledger: &Ledger, subject: SubjectKey, now: Millis, horizon_ms: i64) -> Vec<Exposure> {
    let mut facts = Facts::default();
    ledger.with(subject, now, |account| {
        account.facts_into(horizon_ms, &mut facts)
    });
    facts.exposures
}

fn expire_all(ledger: &Ledger, now: Millis) {
    for _ in 0..STRIPES / STRIPES_PER_EXPIRE {
        ledger.expire(now);
    }
}

fn entry(kind: EntryKind, subject: u128, decision: u128, offers: &[u64], at: Millis) -> Entry {
    Entry {
        kind: kind as u8,
        test: false,
        at: at.0,
        keys: Vec::new(),
        decision: Some(decision),
        route: 0,
        subject: Some(subject),
        shown: offers.iter().copied().map(shown).collect(),
        hold_until: at.plus(60_000).0,
        id: String::new(),
        offer: None,
        placement: None,
        phase: None,
        propensity: None,
        model: None,
        record: Record::default(),
    }
}

/// What the ledger promises, in the plainest way.
#[derive(Default)]
struct Model {
    /// By subject, decision and offer.
    shown: BTreeMap<(u128, u128, u64), Showing>,
}

struct Showing {
    reserved: Millis,
    held_until: Millis,
    seen: Option<Millis>,
}

impl Model {
    fn reserve(&mut self, key: (u128, u128, u64), reserved: Millis, held_until: Millis) {
        self.shown.entry(key).or_insert(Showing {
            reserved,
            held_until,
            seen: None,
        });
    }

    fn confirm(&mut self, key: (u128, u128, u64), at: Millis) {
        self.reserve(key, at, at);
        let seen = &mut self.shown.get_mut(&key).expect("reserved just now").seen;
        *seen = Some(seen.map_or(at, |first| first.min(at)));
    }

    fn facts(&self, subject: SubjectKey, now: Millis, horizon_ms: i64) -> Vec<Exposure> {
        let own = self.shown.iter().filter(|((s, ..), _)| *s == subject.0);
        let mut facts: Vec<Exposure> = own
            .filter(|(_, showing)| showing.seen.is_some() || now < showing.held_until)
            .map(|((_, _, offer), showing)| Exposure {
                offer: NameHash(*offer),
                sells: shown(*offer).sells,
                at: showing.seen.unwrap_or(showing.reserved),
                confirmed: showing.seen.is_some(),
            })
            .filter(|exposure| now.since(exposure.at) < horizon_ms)
            .collect();
        sort(&mut facts);
        facts
    }
}

/// The ledger promises oldest first; among exposures of one instant any order will do.
fn sort(facts: &mut [Exposure]) {
    facts.sort_by_key(|e| (e.at, e.offer, e.confirmed));
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Reserve {
        subject: u128,
        offers: Vec<u64>,
        hold_ms: i64,
    },
    /// An impression of an offer of an earlier decision, or of one never heard of, some time ago.
    Confirm {
        subject: u128,
        decision: u128,
        offer: u64,
        ago_ms: i64,
    },
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let passes = prop_oneof![0..5_000_i64, 0..20 * DAY_MS];
    prop_oneof![
        2 => passes.prop_map(Step::Pass),
        4 => (0..3_u128, prop::collection::vec(0..6_u64, 0..4), 0..100_000_i64)
            .prop_map(|(subject, offers, hold_ms)| Step::Reserve { subject, offers, hold_ms }),
        4 => (0..3_u128, 0..40_u128, 0..6_u64, 0..3_000_i64)
            .prop_map(|(subject, decision, offer, ago_ms)| Step::Confirm { subject, decision, offer, ago_ms }),
        1 => Just(Step::Expire),
    ]
}

fn same_cases_on_every_run() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(20_261_121),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(same_cases_on_every_run())]

    // Goal: whatever happens, in whatever order, a decision sees what was really shown.
    // Method: the same random steps for the ledger and the model; after each, the same facts.
    #[test]
    fn ledger_agrees_with_the_model(steps in prop::collection::vec(step(), 1..60)) {
        // So long that in none of these cases an impression is forgotten before its decision is told.
        let config = LedgerConfig {
            horizon_days: 400,
            ..LedgerConfig::default()
        };
        let ledger = Ledger::new(config);
        let mut model = Model::default();
        let mut now = START;
        let horizon_ms = config.horizon_ms();
        for (i, step) in steps.into_iter().enumerate() {
            match step {
                Step::Pass(ms) => now = now.plus(ms),
                Step::Reserve { subject, offers, hold_ms } => {
                    let until = now.plus(hold_ms);
                    let list: Vec<Shown> = offers.iter().copied().map(shown).collect();
                    ledger.with(SubjectKey(subject), now, |account| {
                        account.reserve(DecisionId(i as u128), &list, until);
                    });
                    for offer in offers {
                        model.reserve((subject, i as u128, offer), now, until);
                    }
                }
                Step::Confirm { subject, decision, offer, ago_ms } => {
                    let at = now.plus(-ago_ms);
                    ledger.confirm(SubjectKey(subject), DecisionId(decision), shown(offer), at);
                    model.confirm((subject, decision, offer), at);
                }
                Step::Expire => expire_all(&ledger, now),
            }
            for subject in (0..3).map(SubjectKey) {
                for window_ms in [10_000, DAY_MS, 30 * DAY_MS, horizon_ms] {
                    let actual = facts(&ledger, subject, now, window_ms);
                    prop_assert!(actual.is_sorted_by_key(|e| e.at), "oldest first: {actual:?}");
                    let mut actual = actual;
                    sort(&mut actual);
                    prop_assert_eq!(actual, model.facts(subject, now, window_ms));
                }
            }
        }
        let stats = ledger.stats();
        prop_assert_eq!(stats.forgotten, 0);
        // Long after, nothing is left, and nothing was miscounted on the way.
        expire_all(&ledger, now.plus(horizon_ms + HOLD_MS_MAX));
        prop_assert_eq!(ledger.stats(), LedgerStats::default());
    }

    // Goal: a restart gives the ledger back, however the journal's segments were read.
    // Method: apply a journal in order, and again shuffled with every entry twice.
    #[test]
    fn ledger_rebuilds_from_entries_in_any_order(
        visits in prop::collection::vec((0..4_u128, prop::collection::vec(0..6_u64, 1..4), any::<bool>()), 1..15),
        seed in any::<u64>(),
    ) {
        let mut journal = Vec::new();
        let mut now = START;
        for (i, (subject, offers, seen)) in visits.iter().enumerate() {
            now = now.plus(10_000);
            journal.push(entry(EntryKind::Decision, *subject, i as u128, offers, now));
            if *seen {
                journal.push(entry(EntryKind::Impression, *subject, i as u128, &offers[..1], now.plus(700)));
            }
        }
        let mut shuffled = [journal.clone(), journal.clone()].concat();
        // Sorting by a hash of the position and the seed shuffles the same way on every run.
        let mut order: Vec<usize> = (0..shuffled.len()).collect();
        order.sort_by_key(|i| DecisionId(u128::from(seed) << 64 | *i as u128).hash64());
        shuffled = order.into_iter().map(|i| shuffled[i].clone()).collect();

        let (straight, mixed) = (Ledger::new(LedgerConfig::default()), Ledger::new(LedgerConfig::default()));
        journal.iter().for_each(|entry| straight.apply(entry, entry.at()));
        shuffled.iter().for_each(|entry| mixed.apply(entry, entry.at()));
        for subject in (0..4).map(SubjectKey) {
            for later_ms in [0, 30_000, 59_999, 60_000, DAY_MS] {
                let now = now.plus(later_ms);
                prop_assert_eq!(
                    facts(&straight, subject, now, DAY_MS),
                    facts(&mixed, subject, now, DAY_MS)
                );
            }
        }
    }
}

#[test]
fn ledger_holds_a_cap_against_simultaneous_decisions() {
    const CAP: usize = 3;
    let ledger = Ledger::new(LedgerConfig::default());
    let subjects = 200;
    let threads = 4;
    let barrier = Barrier::new(threads);
    let decide = |thread: usize| {
        let mut taken = 0;
        let mut facts = Facts::default();
        barrier.wait();
        for round in 0..subjects * 2 {
            // Every thread visits the same customers in the same order, so that they meet.
            let subject = SubjectKey(round as u128 / 2);
            let decision = DecisionId((thread * 1_000_000 + round) as u128);
            ledger.with(subject, START, |account| {
                account.facts_into(DAY_MS, &mut facts);
                if facts.exposures.len() < CAP {
                    std::thread::yield_now();
                    account.reserve(decision, &[shown(1)], START.plus(60_000));
                    taken += 1;
                }
            });
        }
        taken
    };
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|i| scope.spawn(move || decide(i)))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum()
    });
    assert_eq!(taken, subjects * CAP);
    assert_eq!(ledger.stats().holds, (subjects * CAP) as u64);
}

#[test]
fn ledger_frees_what_nobody_saw_and_counts_what_is_seen_late() {
    let ledger = Ledger::new(LedgerConfig::default());
    let subject = SubjectKey(7);
    let decision = DecisionId(1);
    ledger.with(subject, START, |account| {
        account.reserve(decision, &[shown(1), shown(2)], START.plus(1_000));
    });
    assert_eq!(facts(&ledger, subject, START.plus(999), DAY_MS).len(), 2);
    let late = START.plus(1_000);
    assert_eq!(facts(&ledger, subject, late, DAY_MS), []);
    expire_all(&ledger, late);
    assert_eq!(ledger.stats(), LedgerStats::default());

    ledger.confirm(subject, decision, shown(2), late.plus(500));
    ledger.confirm(subject, decision, shown(2), late.plus(900));
    let seen = Exposure {
        offer: NameHash(2),
        sells: false,
        at: late.plus(500),
        confirmed: true,
    };
    assert_eq!(facts(&ledger, subject, late.plus(1_000), DAY_MS), [seen]);
}

/// Goal: a page that claims to have shown an offer long ago gains nothing by it at the next start.
#[test]
fn ledger_counts_a_showing_from_when_it_was_recorded() {
    let ledger = Ledger::new(LedgerConfig::default());
    let impression = entry(EntryKind::Impression, 7, 1, &[3], START.plus(-30 * DAY_MS));
    ledger.apply(&impression, START);
    let seen = facts(&ledger, SubjectKey(7), START.plus(1_000), DAY_MS);
    assert_eq!(seen.iter().map(|e| e.at).collect::<Vec<_>>(), [START]);
}

#[test]
fn ledger_learns_from_the_decision_that_an_offer_sells() {
    let ledger = Ledger::new(LedgerConfig::default());
    let subject = SubjectKey(7);
    // Whoever wrote the impression may not have known the offer any more.
    let mut impression = entry(EntryKind::Impression, 7, 1, &[3], START.plus(500));
    impression.shown[0].sells = false;
    ledger.apply(&impression, impression.at());
    ledger.apply(&entry(EntryKind::Decision, 7, 1, &[3], START), START);
    ledger.apply(&impression, impression.at());
    let seen = facts(&ledger, subject, START.plus(1_000), DAY_MS);
    assert_eq!(seen.iter().map(|e| e.sells).collect::<Vec<_>>(), [true]);
}

#[test]
fn ledger_counts_on_when_the_clock_is_set_back() {
    let ledger = Ledger::new(LedgerConfig::default());
    let subject = SubjectKey(7);
    ledger.confirm(subject, DecisionId(1), shown(1), START);
    ledger.with(subject, START, |account| {
        account.reserve(DecisionId(2), &[shown(2)], START.plus(1_000));
    });
    let back = START.plus(-3_600_000);
    expire_all(&ledger, back);
    assert_eq!(facts(&ledger, subject, back, DAY_MS).len(), 2);
    for extreme in [Millis(i64::MIN), Millis(i64::MAX)] {
        ledger.with(subject, extreme, |account| {
            account.reserve(DecisionId(3), &[shown(3)], Millis(i64::MAX));
        });
        expire_all(&ledger, extreme);
    }
}

#[test]
fn ledger_forgets_a_customers_oldest_exposures_at_the_limit() {
    let ledger = Ledger::new(LedgerConfig {
        exposures_per_customer_max: 3,
        ..LedgerConfig::default()
    });
    let subject = SubjectKey(7);
    for i in 0..5 {
        ledger.confirm(
            subject,
            DecisionId(i),
            shown(i as u64),
            START.plus(i as i64),
        );
    }
    let left = facts(&ledger, subject, START.plus(10), DAY_MS);
    let left: Vec<u64> = left.iter().map(|e| e.offer.0).collect();
    assert_eq!(left, [2, 3, 4]);
    assert_eq!(ledger.stats().forgotten, 2);
}

/// Goal: a page that asks anew all day long does not wash away what was really seen.
#[test]
fn ledger_forgets_reservations_before_exposures() {
    let ledger = Ledger::new(LedgerConfig {
        exposures_per_customer_max: 4,
        ..LedgerConfig::default()
    });
    let subject = SubjectKey(7);
    ledger.confirm(subject, DecisionId(1), shown(1), START);
    for i in 0..100 {
        let now = START.plus(1_000 * i);
        ledger.with(subject, now, |account| {
            let offers = [shown(10), shown(11)];
            account.reserve(DecisionId(100 + i as u128), &offers, now.plus(DAY_MS));
        });
    }
    let left = facts(&ledger, subject, START.plus(100_000), DAY_MS);
    let seen: Vec<u64> = (left.iter().filter(|e| e.confirmed).map(|e| e.offer.0)).collect();
    assert_eq!(seen, [1]);
    assert_eq!(left.len(), 4);
    assert_eq!(
        left[3].at,
        START.plus(99_000),
        "the newest reservation is there"
    );
}

#[test]
fn ledger_forgets_the_longest_absent_customers_at_the_limit() {
    let customers_max = 16 * STRIPES as u32;
    let ledger = Ledger::new(LedgerConfig {
        customers_max,
        ..LedgerConfig::default()
    });
    let customers = 2 * u128::from(customers_max);
    for i in 0..customers {
        ledger.confirm(SubjectKey(i), DecisionId(i), shown(1), START.plus(i as i64));
    }
    let now = START.plus(customers as i64);
    let stats = ledger.stats();
    assert!(stats.accounts <= u64::from(customers_max), "{stats:?}");
    assert!(
        stats.accounts > u64::from(customers_max) * 7 / 8,
        "{stats:?}"
    );
    assert_eq!(
        stats.accounts + stats.forgotten,
        customers as u64,
        "{stats:?}"
    );
    assert_eq!(stats.accounts, stats.exposures);
    // The last quarter of what fits is safe whichever stripe it fell into.
    for i in customers - u128::from(customers_max) / 4..customers {
        assert_eq!(facts(&ledger, SubjectKey(i), now, DAY_MS).len(), 1, "{i}");
    }
}

#[test]
fn ledger_ignores_entries_that_do_not_count() {
    let ledger = Ledger::new(LedgerConfig::default());
    let decision = entry(EntryKind::Decision, 1, 1, &[1], START);
    let ignored = [
        Entry {
            test: true,
            ..decision.clone()
        },
        Entry {
            subject: None,
            ..decision.clone()
        },
        Entry {
            decision: None,
            ..decision.clone()
        },
        Entry {
            kind: u8::MAX,
            ..decision.clone()
        },
        entry(EntryKind::Click, 1, 1, &[1], START),
        entry(EntryKind::Snapshot, 1, 1, &[1], START),
        entry(EntryKind::Decision, 1, 1, &[], START),
    ];
    ignored
        .iter()
        .for_each(|entry| ledger.apply(entry, entry.at()));
    assert_eq!(ledger.stats(), LedgerStats::default());
    ledger.apply(&decision, decision.at());
    assert_eq!(ledger.stats().holds, 1);
}

#[test]
fn ledger_outlives_a_panic_in_a_decision() {
    let ledger = Ledger::new(LedgerConfig::default());
    let subject = SubjectKey(7);
    ledger.confirm(subject, DecisionId(1), shown(1), START);
    let visit = std::panic::AssertUnwindSafe(|| {
        ledger.with(subject, START, |_| panic!("a decision goes wrong"));
    });
    assert!(std::panic::catch_unwind(visit).is_err());
    assert_eq!(facts(&ledger, subject, START, DAY_MS).len(), 1);
}
