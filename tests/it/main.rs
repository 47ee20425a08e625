//! offerd from outside, one module per subject.

mod architecture;
mod growthbook;
mod ledger;
