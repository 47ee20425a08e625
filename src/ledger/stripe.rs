//! The accounts behind one lock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::slot::Slot;
use super::{Account, LedgerStats, Limits};
use crate::domain::{Millis, SubjectKey};

/// How much of a full stripe is forgotten at once: finding the oldest accounts means looking at all,
/// and so happens once for every sixteenth of them.
const FORGOTTEN_SHARE: usize = 16;

/// A share of the accounts.
#[derive(Default)]
pub(super) struct Stripe {
    accounts: HashMap<SubjectKey, Box<[Slot]>, BuildHasherDefault<SubjectHasher>>,
    tally: Tally,
}

/// What is in the accounts of a stripe, counted as it changes.
#[derive(Default)]
pub(super) struct Tally {
    exposures: u64,
    holds: u64,
    pub(super) forgotten: u64,
}

impl Tally {
    pub(super) fn add(&mut self, slots: &[Slot]) {
        let confirmed = slots.iter().filter(|slot| slot.is_confirmed()).count();
        self.exposures += confirmed as u64;
        self.holds += (slots.len() - confirmed) as u64;
    }

    pub(super) fn remove(&mut self, slots: &[Slot]) {
        let confirmed = slots.iter().filter(|slot| slot.is_confirmed()).count();
        self.exposures -= confirmed as u64;
        self.holds -= (slots.len() - confirmed) as u64;
    }
}

impl Stripe {
    pub(super) fn with<R>(
        &mut self,
        subject: SubjectKey,
        now: Millis,
        limits: &Limits,
        visit: impl FnOnce(&mut Account<'_>) -> R,
    ) -> R {
        let mut new = Box::default();
        let slots = self.accounts.get_mut(&subject).unwrap_or(&mut new);
        let result = visit(&mut Account {
            slots,
            tally: &mut self.tally,
            limits,
            now,
        });
        if !new.is_empty() {
            if self.accounts.len() >= limits.accounts_per_stripe {
                self.forget_oldest();
            }
            self.accounts.insert(subject, new);
        }
        result
    }

    /// Forgets the customers who were shown nothing for the longest time.
    fn forget_oldest(&mut self) {
        let latest = |slots: &[Slot]| slots.last().map_or(Millis(i64::MIN), Slot::at);
        let mut times: Vec<Millis> = self.accounts.values().map(|slots| latest(slots)).collect();
        let mut left = times.len().div_ceil(FORGOTTEN_SHARE);
        let (_, &mut newest, _) = times.select_nth_unstable(left - 1);
        let tally = &mut self.tally;
        self.accounts.retain(|_, slots| {
            // Several accounts may share the time at which the share ends.
            let keep = left == 0 || latest(slots) > newest;
            if !keep {
                left -= 1;
                tally.remove(slots);
                tally.forgotten += slots.len() as u64;
            }
            keep
        });
    }

    pub(super) fn expire(&mut self, now: Millis, limits: &Limits) {
        let tally = &mut self.tally;
        self.accounts.retain(|_, slots| {
            if slots
                .iter()
                .any(|slot| !slot.counts(now, limits.horizon_ms))
            {
                tally.remove(slots);
                let counting = slots.iter().filter(|s| s.counts(now, limits.horizon_ms));
                *slots = counting.copied().collect();
                tally.add(slots);
            }
            !slots.is_empty()
        });
        // After a rush most of the table would stay empty for ever.
        if self.accounts.len() < self.accounts.capacity() / 4 {
            self.accounts.shrink_to_fit();
        }
    }

    pub(super) fn stats(&self) -> LedgerStats {
        LedgerStats {
            accounts: self.accounts.len() as u64,
            exposures: self.tally.exposures,
            holds: self.tally.holds,
            forgotten: self.tally.forgotten,
        }
    }
}

/// Subjects are keyed hashes already, so that nobody outside can make many of them collide.
#[derive(Default)]
struct SubjectHasher(u64);

impl Hasher for SubjectHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxhash_rust::xxh3::xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u128(&mut self, subject: u128) {
        self.0 = subject as u64 ^ (subject >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
