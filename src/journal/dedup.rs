//! Which idempotency keys have been seen: exact, in order of arrival, bounded by age and by count.
//!
//! Keys are kept in the order in which they came, 16 bytes each, in a ring; an open-addressing table
//! of 32-bit ring numbers finds them. Keys only ever leave at the two ends (expiry at the old one, a
//! refused write at the new one), so the ring needs no holes and four million keys fit in about
//! 100 MB, a third of what a hash map from key to time would take.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

/// No key; ring numbers are kept below it by the limit on keys.
const EMPTY: u32 = u32::MAX;
/// Keys that came within one of these share one time stamp.
const SPAN_MS: i64 = 60_000;

/// The keys seen.
pub struct Dedup {
    keys: VecDeque<u128>,
    /// The number of `keys[0]`; numbers wrap around.
    first: u64,
    /// Ring numbers, truncated to 32 bits less one value, at the place their key hashes to or behind.
    table: Vec<u32>,
    /// Start of a span of time, and the number of its first key; oldest first.
    spans: VecDeque<(i64, u64)>,
    hasher: RandomState,
    keys_max: usize,
    age_ms_max: i64,
    evicted: u64,
}

impl Dedup {
    /// An empty index of at most `keys_max` keys, none older than `age_ms_max`.
    #[must_use]
    pub fn new(keys_max: usize, age_ms_max: i64) -> Dedup {
        Dedup {
            keys: VecDeque::new(),
            first: 0,
            table: vec![EMPTY; 16],
            spans: VecDeque::new(),
            // Keys may come from outside: a fixed hash would let a sender pile them up in one place.
            hasher: RandomState::new(),
            keys_max,
            age_ms_max,
            evicted: 0,
        }
    }

    /// Keys in the index.
    #[must_use]
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Keys that had to go before their time because there were too many.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// The number the next key will get. Numbers grow by one a key.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.first + self.keys.len() as u64
    }

    /// The number under which `key` came, if it is in the index.
    #[must_use]
    pub fn find(&self, key: u128) -> Option<u64> {
        self.slot_of(key).map(|slot| self.number(self.table[slot]))
    }

    /// Adds a key that is not in the index. Times must not decrease from call to call.
    pub fn insert(&mut self, key: u128, at_ms: i64) {
        debug_assert!(self.find(key).is_none());
        if (self.keys.len() + 1) * 2 > self.table.len() {
            self.grow();
        }
        let number = self.next_number();
        if self.spans.back().is_none_or(|s| s.0 + SPAN_MS <= at_ms) {
            self.spans.push_back((at_ms, number));
        }
        self.keys.push_back(key);
        self.place(key, number);
    }

    /// Takes the last key back.
    pub fn remove_last(&mut self) {
        let Some(key) = self.keys.back().copied() else {
            return;
        };
        self.unplace(key);
        self.keys.pop_back();
        let number = self.next_number();
        if self.spans.back().is_some_and(|s| s.1 == number) {
            self.spans.pop_back();
        }
    }

    /// Lets go of what is too old at `now_ms`, and of the oldest beyond the limit.
    pub fn expire(&mut self, now_ms: i64) {
        while let Some(&(start, from)) = self.spans.front() {
            // Every key of a span is younger than its end.
            let end_ms = start.saturating_add(SPAN_MS);
            if end_ms.saturating_add(self.age_ms_max) > now_ms {
                break;
            }
            let behind = self.spans.get(1).map_or(self.next_number(), |s| s.1);
            self.drop_first(behind - from.max(self.first));
        }
        let excess = self.keys.len().saturating_sub(self.keys_max) as u64;
        self.evicted += excess;
        self.drop_first(excess);
    }

    fn drop_first(&mut self, count: u64) {
        for _ in 0..count {
            let key = self.keys[0];
            self.unplace(key);
            self.keys.pop_front();
            self.first += 1;
        }
        while self.spans.get(1).map_or(self.next_number(), |s| s.1) <= self.first
            && self.spans.front().is_some()
        {
            self.spans.pop_front();
        }
    }

    fn grow(&mut self) {
        let size = self.table.len() * 2;
        self.table.clear();
        self.table.resize(size, EMPTY);
        for i in 0..self.keys.len() {
            self.place(self.keys[i], self.first + i as u64);
        }
    }

    fn place(&mut self, key: u128, number: u64) {
        let mut slot = self.home(key);
        while self.table[slot] != EMPTY {
            slot = self.after(slot);
        }
        self.table[slot] = short(number);
    }

    /// Removes a key and moves up those that were pushed behind it, so that no search stops short.
    fn unplace(&mut self, key: u128) {
        let Some(mut gap) = self.slot_of(key) else {
            return;
        };
        let mut slot = self.after(gap);
        while self.table[slot] != EMPTY {
            let home = self.home(self.key(self.table[slot]));
            let mask = self.table.len() - 1;
            // It may move into the gap unless its home lies between the gap and where it is.
            if (slot.wrapping_sub(home) & mask) >= (slot.wrapping_sub(gap) & mask) {
                self.table[gap] = self.table[slot];
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.table[gap] = EMPTY;
    }

    fn slot_of(&self, key: u128) -> Option<usize> {
        let mut slot = self.home(key);
        while self.table[slot] != EMPTY {
            if self.key(self.table[slot]) == key {
                return Some(slot);
            }
            slot = self.after(slot);
        }
        None
    }

    fn key(&self, short: u32) -> u128 {
        let index = self.number(short) - self.first;
        self.keys[usize::try_from(index).expect("an index into memory")]
    }

    /// The number that a table's 32 bits stand for: the first at or after `first` that is short for.
    fn number(&self, short_number: u32) -> u64 {
        let base = u64::from(short(self.first));
        let modulus = u64::from(EMPTY);
        self.first + (u64::from(short_number) + modulus - base) % modulus
    }

    fn home(&self, key: u128) -> usize {
        let hash = self.hasher.hash_one(key);
        usize::try_from(hash & (self.table.len() as u64 - 1)).expect("below the table's length")
    }

    fn after(&self, slot: usize) -> usize {
        (slot + 1) & (self.table.len() - 1)
    }
}

fn short(number: u64) -> u32 {
    u32::try_from(number % u64::from(EMPTY)).expect("below the largest u32")
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// The index against a plain list, through inserts, take-backs, age and count.
    #[test]
    fn it_agrees_with_a_plain_list() {
        const AGE: i64 = 40 * SPAN_MS;
        let mut dedup = Dedup::new(300, AGE);
        // Near the wrap of the 32-bit numbers, which takes years to reach otherwise.
        dedup.first = u64::from(EMPTY) - 500;
        let mut model: VecDeque<(u128, i64)> = VecDeque::new();
        let mut dice: u64 = 42;
        let mut roll = move |n: u64| {
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % n
        };
        let mut now = 0;
        for step in 0..20_000 {
            now += i64::try_from(roll(SPAN_MS as u64 / 4)).unwrap();
            let key = u128::from(roll(700));
            let known = model.iter().any(|(k, _)| *k == key);
            assert_eq!(dedup.find(key).is_some(), known, "step {step}");
            if !known {
                dedup.insert(key, now);
                model.push_back((key, now));
            }
            if roll(10) == 0 {
                dedup.remove_last();
                model.pop_back();
            }
            if roll(5) == 0 {
                dedup.expire(now);
                while model.len() > 300 {
                    model.pop_front();
                }
                // Ages are kept by span, so up to one span longer than asked.
                while model
                    .front()
                    .is_some_and(|(k, at)| at + AGE <= now && dedup.find(*k).is_none())
                {
                    model.pop_front();
                }
                assert!(model.iter().all(|(_, at)| at + AGE + SPAN_MS > now));
            }
            assert_eq!(dedup.count(), model.len(), "step {step}");
        }
        assert!(dedup.first > u64::from(EMPTY), "the numbers wrapped");
    }

    #[test]
    fn beyond_the_limit_the_oldest_go_and_are_counted() {
        let mut dedup = Dedup::new(2, i64::MAX);
        for key in 0..5 {
            dedup.insert(key, 0);
        }
        dedup.expire(0);
        assert_eq!((dedup.count(), dedup.evicted()), (2, 3));
        assert_eq!(dedup.find(2), None);
        assert!(dedup.find(3).is_some());
    }
}
