//! The load harness: a client like any other.
//!
//! It knows the server only by the published contract, over HTTP or gRPC, so that what it measures
//! and proves is what any caller gets. Exit codes: 0 done, 1 failed, 2 wrong use.

mod drive;
mod load;
mod visit;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Drives an offerd server as its callers would.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Drive(drive::Args),
    Run(load::run::Args),
    Limit(load::limit::Args),
    Overload(load::overload::Args),
    Swap(load::swap::Args),
    Faults(load::faults::Args),
    Compare(load::compare::CompareArgs),
    Merge(load::compare::MergeArgs),
    #[command(hide = true)]
    Floor(load::floor::Args),
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let result = match &command {
        Command::Drive(args) => drive::run(args),
        Command::Run(args) => load::block_on(load::run::run(args)),
        Command::Limit(args) => load::block_on(load::limit::run(args)),
        Command::Overload(args) => load::block_on(load::overload::run(args)),
        Command::Swap(args) => load::block_on(load::swap::run(args)),
        Command::Faults(args) => load::block_on(load::faults::run(args)),
        Command::Compare(args) => load::compare::compare(args),
        Command::Merge(args) => load::compare::merge(args),
        Command::Floor(args) => load::floor::run(args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadtest: {error:#}");
            ExitCode::from(if error.is::<WrongUse>() { 2 } else { 1 })
        }
    }
}

/// The command line or the file is wrong; nothing was sent.
#[derive(Debug)]
pub struct WrongUse(pub String);

impl std::fmt::Display for WrongUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WrongUse {}
