//! offerd from outside, one module per subject.

mod growthbook;
mod ledger;
