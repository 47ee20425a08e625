//! The clock and the dice, read once per request at the edge; nothing deeper down has either.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::SecureRandom;

use crate::domain::{DecisionId, Millis};

/// The time, as everything that is written down tells it.
#[must_use]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is a broken clock; decisions go on at its beginning.
    Millis(since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
}

/// A new decision's id. Ids must be unique, not secret: the draw is salted.
#[must_use]
pub fn decision_id(at: Millis) -> DecisionId {
    thread_local! {
        static STATE: Cell<u128> = Cell::new(seed());
    }
    let state = STATE.get();
    // A 128-bit Weyl sequence through a mixer (splitmix, Steele et al. 2014), one per thread.
    STATE.set(state.wrapping_add(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835));
    let (low, high) = (
        mix(state as u64),
        mix((state >> 64) as u64 ^ mix(state as u64)),
    );
    DecisionId::v7(at, u128::from(high) << 64 | u128::from(low))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

fn seed() -> u128 {
    let mut bytes = [0u8; 16];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random numbers");
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_do_not_repeat() {
        let ids: HashSet<DecisionId> = (0..100_000).map(|_| decision_id(Millis(1))).collect();
        assert_eq!(ids.len(), 100_000);
    }
}
