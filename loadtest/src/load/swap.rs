//! `loadtest swap`: what new model versions cost those who are being answered.

use std::time::Duration;

use anyhow::Context;

use super::admin::{Admin, ModelFiles};
use super::args::{Output, Shape, Target, Time};
use super::check::Models;
use super::plan::{Pace, Phase, Plan};
use super::report::Report;
use super::run::{of_round, pace};
use super::subject::{Extra, Subject};

/// Push a new version of a model again and again, and compare with the same load without.
///
/// Every answer must name a version that was pushed. --model has the files.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest swap --offerd target/release/offerd --model models/propensity-forest --every 1s --rate 3000"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: Output,
    /// From one push to the next.
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: Time,
    /// Requests per second.
    #[arg(long, default_value = "1000", value_parser = pace)]
    rate: Pace,
    /// How long to measure, with pushes and without.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasts: Time,
    /// Pairs.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
}

/// Runs the command.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    let mut report = Report::new("swap");
    report.machine.scheduling = args.shape.settle_in()?;
    let cast = args.shape.cast()?;
    let folder = args.target.model.as_ref();
    let folder = folder.ok_or_else(|| crate::WrongUse("swap needs --model".to_owned()))?;
    let files = ModelFiles::read(folder)?;
    let subject = Subject::find(&args.target, &Extra::default()).await?;
    let admin = subject
        .admin
        .clone()
        .context("swap needs --admin or --offerd")?;
    let mut pushed = 0;
    for round in 1..=args.rounds {
        // In turns, so that whatever drifts hits both alike.
        let order = if round % 2 == 1 {
            [false, true]
        } else {
            [true, false]
        };
        for swaps in order {
            let plan = Plan {
                phases: vec![
                    Phase::warm_up(args.rate, args.shape.warm_up.0),
                    Phase::new("load", args.rate, args.lasts.0),
                ],
                spread: args.shape.spread,
                seed: args.shape.seed + u64::from(round),
                requests_max: None,
            };
            let name = if swaps { "swapping" } else { "undisturbed" };
            let cast = of_round(&cast, 2 * round - u32::from(swaps));
            let load = args.shape.load(&args.target, &subject, &cast, plan, name)?;
            let started = load.start().await?;
            let outcome = if swaps {
                let pushes = push(
                    &admin,
                    &files,
                    &subject.models,
                    args.every.0,
                    load.plan.lasts(),
                    round,
                );
                let (outcome, pushes) = tokio::join!(started.finish(), pushes);
                pushed += pushes?;
                outcome?
            } else {
                started.finish().await?
            };
            report.keep(round, &load, &outcome);
        }
    }
    // Ratios are of the first name to the others.
    report.runs.sort_by_key(|run| run.name != "swapping");
    report
        .figures
        .insert("versions pushed".to_owned(), f64::from(pushed));
    report.figures.insert(
        "versions that answered".to_owned(),
        versions(&report) as f64,
    );
    report.notes.extend(subject.notes.iter().cloned());
    subject.stop().await?;
    Ok(args.output.give(report)?.clean())
}

async fn push(
    admin: &Admin,
    files: &ModelFiles,
    models: &Models,
    every: Duration,
    lasts: Duration,
    round: u32,
) -> anyhow::Result<u32> {
    let end = tokio::time::Instant::now() + lasts;
    let mut ticks = tokio::time::interval(every.max(Duration::from_millis(1)));
    let mut pushed = 0;
    loop {
        ticks.tick().await;
        if tokio::time::Instant::now() >= end {
            return Ok(pushed);
        }
        let version = format!("loadtest.{}.{round}.{pushed}", std::process::id());
        models.add(&files.label(&version));
        admin.push(files, &version).await?;
        pushed += 1;
    }
}

fn versions(report: &Report) -> usize {
    let phases = report.runs.iter().flat_map(|run| &run.phases);
    let names = phases.flat_map(|phase| phase.counts.models.keys());
    names.collect::<std::collections::BTreeSet<_>>().len()
}
