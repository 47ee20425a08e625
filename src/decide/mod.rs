//! One decision: pure, synchronous, bounded.

pub mod condition;
pub mod explore;
pub mod inputs;
pub mod snapshot;
