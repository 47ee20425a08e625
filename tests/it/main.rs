//! The integration tests: one binary, one module per question.

mod architecture;
mod catalog;
mod decide;
mod growthbook;
mod journal;
mod ledger;
mod transport;

#[path = "../support/mod.rs"]
mod support;
