//! The integration tests: one binary, one module per question.

mod architecture;
mod catalog;
mod config;
mod decide;
mod docs;
mod doorstep;
mod evaluate;
mod explore;
mod growthbook;
mod journal;
mod learner;
mod ledger;
mod model;
mod readers;
mod records;
mod redis_server;
mod registry;
mod server;
mod simulate;
mod simulate_week;
mod simulation;
mod sink;
mod train;
mod train_command;
mod transport;
mod wire;

#[path = "../support/mod.rs"]
mod support;
