//! The load: requests at their moments whatever the server does, and what came of them.
//!
//! Read `plan` (what is sent when), `engine` (one generator), `generator` (a run), then a command.
//! Requests come from a `source`, go over `h1` or `h2c`, are judged by `check`, booked in a `tally`, and
//! told in a `report`. A `subject` is the server under test.

mod admin;
mod args;
mod check;
mod clock;
pub mod compare;
mod engine;
pub mod faults;
pub mod floor;
mod generator;
mod h1;
mod h2c;
mod latency;
pub mod limit;
mod machine;
mod objective;
pub mod overload;
mod plan;
mod process;
mod proxy;
mod report;
pub mod run;
mod source;
mod subject;
pub mod swap;
mod tally;
#[cfg(test)]
mod tests;
mod wire;

use anyhow::Context;

/// Runs a command that waits for several things at once.
pub fn block_on(command: impl Future<Output = anyhow::Result<bool>>) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.context("failed to start")?.block_on(command)
}
