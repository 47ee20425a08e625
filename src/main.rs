//! Arguments → command → exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use offerd::cmd::{
    bandit, catalog, evaluate, export, keys, learn, model, registry, replay, serve, simulate, train,
};

/// Decides which offer a customer should see while waiting for a technician.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    /// Work on a catalog file.
    #[command(subcommand)]
    Catalog(Catalog),
    /// Work on models.
    #[command(subcommand)]
    Model(Model),
    Train(train::Args),
    Evaluate(evaluate::Args),
    Bandit(bandit::Args),
    Learn(learn::Args),
    Simulate(simulate::Args),
    Replay(replay::Args),
    Export(export::Args),
    Keys(keys::KeysArgs),
}

#[derive(Debug, Subcommand)]
enum Catalog {
    /// Report every mistake in a catalog file, with its line.
    #[command(after_help = "Example: offerd catalog check offers.toml")]
    Check {
        /// TOML or JSON.
        file: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum Model {
    #[command(flatten)]
    Files(model::Command),
    #[command(flatten)]
    Registry(registry::Command),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result: anyhow::Result<ExitCode> = match cli.command {
        None => return serve::run(&cli.serve),
        Some(Command::Serve(args)) => return serve::run(&args),
        Some(Command::Catalog(Catalog::Check { file, json })) => {
            return catalog::check(&file, json);
        }
        Some(Command::Model(Model::Files(command))) => return model::run(&command),
        Some(Command::Model(Model::Registry(command))) => return registry::run(&command),
        Some(Command::Train(args)) => done(train::run(&args)),
        Some(Command::Evaluate(args)) => done(evaluate::run(&args)),
        Some(Command::Learn(args)) => learn::run(&args).map_err(Into::into),
        Some(Command::Simulate(args)) => done(simulate::run(&args)),
        Some(Command::Bandit(args)) => done(bandit::run(&args)),
        Some(Command::Replay(args)) => replay::run(&args).map_err(Into::into),
        Some(Command::Export(args)) => done(export::run(&args)),
        Some(Command::Keys(args)) => done(keys::run(&args, &mut std::io::stdout())),
    };
    result.unwrap_or_else(|error| {
        eprintln!("offerd: {error:#}");
        ExitCode::FAILURE
    })
}

fn done<E: Into<anyhow::Error>>(result: Result<(), E>) -> anyhow::Result<ExitCode> {
    result.map(|()| ExitCode::SUCCESS).map_err(Into::into)
}
