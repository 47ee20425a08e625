//! Entries for the unit tests.

use crate::domain::{Entry, Record};

/// An entry of that kind with those keys.
pub fn entry(kind: u8, keys: &[u128]) -> Entry {
    Entry {
        kind,
        test: false,
        at: 1_763_730_000_000,
        keys: keys.to_vec(),
        decision: Some(7),
        route: 11,
        subject: None,
        shown: Vec::new(),
        hold_until: 0,
        id: "id".to_owned(),
        offer: None,
        placement: None,
        phase: None,
        propensity: Some(0.25),
        model: None,
        record: Record::default(),
    }
}
