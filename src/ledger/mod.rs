//! Who has been shown what: the counts behind caps per customer.
//!
//! A decision *reserves* what it puts on a page, an impression *confirms* it, and a reservation that
//! nobody confirms stops counting after a while (a *hold*): a customer who never saw an offer can
//! still be shown it. [`Ledger::with`] keeps one customer's account locked while a decision is made,
//! so that two simultaneous decisions never both take the last showing that a cap allows.
//!
//! Accounts are spread over [`STRIPES`] locks; two customers meet at one only by chance, and a lock is
//! held for microseconds. Nothing here is written to disk: [`Ledger::apply`] rebuilds it from the
//! journal, in whatever order and however often its entries come.
//!
//! Memory: an account costs 33 bytes in a hash table that is half to seven eighths full, an
//! allocation, and 24 bytes for each exposure: about 140 bytes for a customer with three, 0.7 GB for
//! five million of them.
//!
//! This module never reads a clock, never logs and never decides: whether a cap is reached is
//! `decide`'s to say, from the facts it gets here.

mod account;
mod slot;
mod stripe;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::{DecisionId, Entry, EntryKind, Millis, Shown, SubjectKey};

pub use account::Account;
pub use slot::HOLD_MS_MAX;
use stripe::Stripe;

/// How many locks the accounts are spread over: so many that at the default limit there are 305
/// accounts behind each, and clearing them holds the lock for 30 µs, 0.3 ms at the very worst (with
/// 1,024 locks it was 0.5 and 4 ms, and decisions wait there).
pub const STRIPES: usize = 16_384;

/// How many stripes one [`Ledger::expire`] looks at. At the default limit that takes 2 ms; called
/// once a second, it sees every account within five minutes.
pub const STRIPES_PER_EXPIRE: usize = 64;

const MS_PER_DAY: i64 = 86_400_000;

/// How much the ledger remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LedgerConfig {
    /// Exposures remembered per customer, 1 to 1,024. Beyond it the oldest reservation, else the
    /// oldest exposure, is forgotten and counted. Caps allow a few showings a week; 64 is months of them.
    pub exposures_per_customer_max: u32,
    /// Customers remembered, 16,384 to 1,000,000,000. Beyond it those shown nothing for the longest
    /// time are forgotten, and their exposures counted. Every stripe keeps to its share of the limit:
    /// stripes fill unevenly, so the first customers go at about nine tenths of it.
    pub customers_max: u32,
    /// How long an exposure is remembered, 1 to 400 days, and no longer than the journal keeps what
    /// the ledger is rebuilt from. No cap's window can be longer. Default 35, as the journal's.
    pub horizon_days: u32,
}

impl Default for LedgerConfig {
    fn default() -> LedgerConfig {
        LedgerConfig {
            exposures_per_customer_max: 64,
            customers_max: 5_000_000,
            horizon_days: 35,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {min} to {max}")]
pub struct LedgerConfigError {
    /// The setting.
    pub field: &'static str,
    /// What it is.
    pub value: u32,
    /// The least it may be.
    pub min: u32,
    /// The most it may be.
    pub max: u32,
}

impl LedgerConfig {
    /// Checks that every setting is within its range.
    pub fn check(&self) -> Result<(), LedgerConfigError> {
        let ranges = [
            (
                "exposures_per_customer_max",
                self.exposures_per_customer_max,
                1,
                1_024,
            ),
            (
                "customers_max",
                self.customers_max,
                STRIPES as u32,
                1_000_000_000,
            ),
            ("horizon_days", self.horizon_days, 1, 400),
        ];
        for (field, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                return Err(LedgerConfigError {
                    field,
                    value,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }

    /// How long an exposure is remembered, in milliseconds.
    #[must_use]
    pub fn horizon_ms(&self) -> i64 {
        i64::from(self.horizon_days) * MS_PER_DAY
    }
}

/// What an account may hold, in the units it is kept in.
#[derive(Clone, Copy, Debug)]
struct Limits {
    exposures: usize,
    accounts_per_stripe: usize,
    horizon_ms: i64,
}

/// How much is in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStats {
    /// Customers.
    pub accounts: u64,
    /// Exposures that an impression confirmed.
    pub exposures: u64,
    /// Reservations, including expired ones that have not been cleared away yet.
    pub holds: u64,
    /// Exposures and reservations forgotten since the start because a limit was reached.
    pub forgotten: u64,
}

/// Every customer's account.
pub struct Ledger {
    stripes: Box<[Mutex<Stripe>]>,
    limits: Limits,
    /// The stripe that the next [`Ledger::expire`] begins with.
    next: AtomicUsize,
}

impl Ledger {
    /// An empty ledger. Settings out of range count as the nearest that is allowed (at least one
    /// exposure, one customer per stripe); [`LedgerConfig::check`] is for refusing them.
    #[must_use]
    pub fn new(config: LedgerConfig) -> Ledger {
        let customers = config.customers_max as usize;
        Ledger {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            limits: Limits {
                exposures: config.exposures_per_customer_max.max(1) as usize,
                accounts_per_stripe: customers.div_ceil(STRIPES).max(1),
                horizon_ms: config.horizon_ms(),
            },
            next: AtomicUsize::new(0),
        }
    }

    /// Runs `visit` on the subject's account as of `now`, with the account locked.
    ///
    /// An account that is not there is empty, and is only kept if something was put into it. `visit`
    /// must not come back to the ledger: it would wait for itself.
    pub fn with<R>(
        &self,
        subject: SubjectKey,
        now: Millis,
        visit: impl FnOnce(&mut Account<'_>) -> R,
    ) -> R {
        let stripe = xxh3_64(&subject.0.to_le_bytes()) as usize % STRIPES;
        lock(&self.stripes[stripe]).with(subject, now, &self.limits, visit)
    }

    /// Notes that the customer has seen, at `at`, what the decision had put on the page.
    ///
    /// It counts whether the reservation still holds, has expired, or is not known (yet); and once,
    /// from the earliest time told, however often it is confirmed. `at` is the server's own time:
    /// what a page claims could lie years ahead and would count until then.
    pub fn confirm(&self, subject: SubjectKey, decision: DecisionId, shown: Shown, at: Millis) {
        self.with(subject, at, |account| account.confirm(decision, shown));
    }

    /// Books a journal entry: a decision reserves, an impression confirms. Everything else, test
    /// entries and entries about nobody leave the ledger as it is.
    ///
    /// `recorded` is when the journal took the entry in. A showing counts from then: `entry.at` of an
    /// event is what the page says.
    ///
    /// Entries may come in any order and more than once. Call [`Ledger::expire`] now and then while
    /// reading a long journal.
    pub fn apply(&self, entry: &Entry, recorded: Millis) {
        let (Some(subject), Some(decision), false) =
            (entry.subject(), entry.decision(), entry.test)
        else {
            return;
        };
        match entry.kind() {
            Some(EntryKind::Decision) => self.with(subject, entry.at(), |account| {
                account.reserve(decision, &entry.shown, Millis(entry.hold_until));
            }),
            Some(EntryKind::Impression) => {
                for shown in &entry.shown {
                    self.confirm(subject, decision, *shown, recorded);
                }
            }
            _ => {}
        }
    }

    /// Clears away, in the next [`STRIPES_PER_EXPIRE`] stripes, reservations that have expired,
    /// exposures beyond the horizon, and accounts that are empty then.
    ///
    /// Only memory depends on it: what has expired does not count in any case.
    pub fn expire(&self, now: Millis) {
        let first = self.next.fetch_add(STRIPES_PER_EXPIRE, Ordering::Relaxed);
        for stripe in first..first + STRIPES_PER_EXPIRE {
            lock(&self.stripes[stripe % STRIPES]).expire(now, &self.limits);
        }
    }

    /// How much is in the ledger, stripe by stripe: not one instant's picture under load.
    #[must_use]
    pub fn stats(&self) -> LedgerStats {
        let stripes = self.stripes.iter().map(|stripe| lock(stripe).stats());
        stripes.fold(LedgerStats::default(), |sum, stripe| LedgerStats {
            accounts: sum.accounts + stripe.accounts,
            exposures: sum.exposures + stripe.exposures,
            holds: sum.holds + stripe.holds,
            forgotten: sum.forgotten + stripe.forgotten,
        })
    }
}

/// Locks a stripe. One whose holder panicked is still whole: the ledger's own code changes an account
/// in one step, after whatever a decision may have panicked in.
fn lock(stripe: &Mutex<Stripe>) -> MutexGuard<'_, Stripe> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked_by_name() {
        assert_eq!(LedgerConfig::default().check(), Ok(()));
        let config = LedgerConfig {
            horizon_days: 0,
            ..LedgerConfig::default()
        };
        let error = config.check().expect_err("no horizon at all");
        assert_eq!(error.to_string(), "horizon_days is 0, expected 1 to 400");
    }
}
