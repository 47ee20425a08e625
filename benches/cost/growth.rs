//! The points of the plots: what a decision meets, by how much of it there is.

use offerd::decide::snapshot::Snapshot;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::Packer;
use offerd::domain::{DecisionId, Facts, Request, Shown, SubjectKey};
use offerd::ledger::{Ledger, LedgerConfig};

use crate::Work;
use crate::example;
use crate::made::{self, Barred, Dice, Scorer};
use crate::support::NOON;

/// So many compete where something else is varied and their number is not.
const FEW: usize = 10;
/// So many compete where the number of trees is varied.
const SOME: usize = 50;
const HOUR_MS: i64 = 3_600_000;

/// The smallest size of an axis.
pub fn floor(axis: &str) -> Option<usize> {
    Some(match axis {
        "offers" | "trees" => 10,
        "candidates" => 1,
        "customers" => 1_000,
        _ => return None,
    })
}

/// What is done at one point; `None` where there is no such curve.
pub fn point(axis: &str, kind: &str, size: usize) -> Option<Work> {
    let barred = |by| made::snapshot(made::catalog(size, FEW, by), Scorer::Prior);
    let open = |all, scorer| made::snapshot(made::catalog(all, all, Barred::Nobody), scorer);
    Some(match (axis, kind) {
        ("offers", "phase") => decision(barred(Barred::ByPhase)),
        ("offers", "rule") => decision(barred(Barred::ByRule)),
        ("offers", "rules") => decision(barred(Barred::ByRules)),
        ("offers", "record") => record(barred(Barred::ByPhase)),
        ("candidates", "prior") => decision(open(size, Scorer::Prior)),
        ("candidates", "linear") => decision(open(size, Scorer::Linear)),
        ("candidates", "forest") => decision(open(size, Scorer::Forest(500))),
        ("trees", "forest") => decision(open(SOME, Scorer::Forest(size))),
        ("customers", "account") => account(size),
        ("customers", "decision") => visit(open(FEW, Scorer::Linear), size),
        _ => return None,
    })
}

/// A decision about nobody in particular.
pub fn decision(snapshot: Snapshot) -> Work {
    let (request, facts) = (made::request(), Facts::default());
    let mut scratch = Scratch::default();
    Box::new(move || {
        let made = decide(&snapshot, &request, &facts, &mut scratch);
        assert!(!made.choices.is_empty(), "nothing shown measures little");
    })
}

/// Its record.
pub fn record(snapshot: Snapshot) -> Work {
    let (request, facts) = (made::request(), Facts::default());
    let mut scratch = Scratch::default();
    decide(&snapshot, &request, &facts, &mut scratch);
    let mut packer = Packer::default();
    Box::new(move || {
        let made = example::made(&snapshot, &request, &facts, scratch.decision());
        assert!(!made.pack(&mut packer).is_empty());
    })
}

/// A ledger of so many customers, each of whom has seen three offers.
fn ledger(customers: usize) -> Ledger {
    // Stripes fill unevenly: with a limit of just so many, some would be forgotten.
    let limit = u32::try_from(customers * 2).expect("millions");
    let ledger = Ledger::new(LedgerConfig {
        customers_max: limit.max(LedgerConfig::default().customers_max),
        ..LedgerConfig::default()
    });
    for customer in 0..customers as u128 {
        for offer in 0..3 {
            let shown = Shown { offer, sells: true };
            ledger.confirm(SubjectKey(customer), DecisionId(7), shown, NOON);
        }
    }
    assert_eq!(ledger.stats().accounts, customers as u64);
    ledger
}

/// Reading one account and reserving an offer, and nothing in between. Customers come in no order, so that
/// the processor's caches hold what they would hold in real life.
fn account(customers: usize) -> Work {
    let (ledger, mut dice) = (ledger(customers), Dice(4));
    let mut facts = Facts::default();
    let shown = [Shown {
        offer: 0,
        sells: true,
    }];
    Box::new(move || {
        let subject = SubjectKey(dice.below(customers) as u128);
        ledger.with(subject, NOON, |account| {
            account.facts_into(HOUR_MS, &mut facts);
            assert_eq!(facts.exposures.len(), 3);
            // The decision is the one that was confirmed already, so that accounts stay as they are.
            account.reserve(DecisionId(7), &shown, NOON.plus(HOUR_MS));
        });
    })
}

/// The same with the decision in between, as the server does it.
fn visit(snapshot: Snapshot, customers: usize) -> Work {
    let (ledger, mut dice) = (ledger(customers), Dice(4));
    let (mut request, mut facts): (Request<'static>, Facts) = (made::request(), Facts::default());
    let mut scratch = Scratch::default();
    Box::new(move || {
        let subject = SubjectKey(dice.below(customers) as u128);
        request.customer.subject = Some(subject);
        ledger.with(subject, NOON, |account| {
            account.facts_into(HOUR_MS, &mut facts);
            let made = decide(&snapshot, &request, &facts, &mut scratch);
            assert!(!made.choices.is_empty(), "nothing shown measures little");
            let shown = [Shown {
                offer: 0,
                sells: true,
            }];
            account.reserve(DecisionId(7), &shown, NOON.plus(HOUR_MS));
        });
    })
}
