//! One visit to a customer's account: what caps cost a decision. The floor is an uncontended lock.

use std::hint::black_box;
use std::sync::Mutex;

use criterion::Criterion;
use offerd::domain::{DecisionId, Facts, Shown, SubjectKey};
use offerd::ledger::{Ledger, LedgerConfig};

use crate::support::NOON;

const DAY_MS: i64 = 86_400_000;

/// A ledger of `customers`, each of whom has seen three offers.
fn ledger(customers: u32) -> Ledger {
    let ledger = Ledger::new(LedgerConfig::default());
    for customer in 0..customers {
        for offer in 0..3 {
            let (subject, decision) = (
                SubjectKey(customer.into()),
                DecisionId(u128::from(offer + 1)),
            );
            ledger.confirm(subject, decision, Shown { offer, sells: true }, NOON);
        }
    }
    ledger
}

pub fn bench(c: &mut Criterion) {
    for customers in [1_000, 1_000_000] {
        let ledger = ledger(customers);
        let mut facts = Facts::default();
        let mut customer = 0;
        let mut visit = || {
            // Far apart, so that the processor's caches hold what they would hold in real life.
            customer = (customer + 7_919) % customers;
            let subject = SubjectKey(customer.into());
            facts.exposures.clear();
            ledger.with(black_box(subject), NOON, |account| {
                account.facts_into(DAY_MS, &mut facts)
            });
            facts.exposures.len()
        };
        assert_eq!(visit(), 3);
        let name = format!("ledger/visit/{customers}");
        c.bench_function(&name, |b| b.iter(&mut visit));
    }
    let lock = Mutex::new(0_u64);
    c.bench_function("ledger/floor-lock/1", |b| {
        b.iter(|| *black_box(&lock).lock().expect("nobody panics in here"));
    });
}
