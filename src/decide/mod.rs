//! One decision: pure, synchronous, bounded.

pub mod bucketing;
pub mod condition;
pub mod explore;
pub mod inputs;
pub mod snapshot;
