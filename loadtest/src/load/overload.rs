//! `loadtest overload`: what becomes of a server that is asked for many times what it can do.

use std::time::Duration;

use anyhow::Context;

use super::args::{Output, Shape, Target, Time};
use super::plan::{Pace, Phase, Plan};
use super::report::{Phase as Found, Report, Run};
use super::run::of_round;
use super::source::Scenario;
use super::subject::{Extra, Subject};
use super::tally::total;

/// The load before and after, as a share of capacity: busy, and not at its limit.
const BASE: f64 = 0.9;
/// Callers do not queue for each other's connections: there are as many as a crowd has.
const CONNECTIONS: u32 = 4_096;
/// Shares of refusals that differ by less than this say nothing about what one costs.
const APART: f64 = 0.2;
/// A lesser overload before the real one, times the capacity: with two of them the processor time tells what a
/// decision costs there, which is not what it costs at the base, and what a refusal does.
const LESSER: f64 = 2.0;
/// Callers who find out what it can do: enough that it never waits for them, too few for a queue that it would
/// refuse them for.
const FEW: u32 = 8;
/// A request that the generator comes this late to is not sent: the next part of the run must not have it.
const LATE_MAX: Duration = Duration::from_millis(50);
/// Less than this part of what was asked for, and it was not that overload.
const SENT_MIN: f64 = 0.95;
/// How many times the base's p99 still counts as recovered.
const RECOVERED: f64 = 2.0;

/// Ask for many times what the server can do, and see what it still does.
///
/// Measures capacity (or takes --capacity), then sends 0.9 of it, twice as much as it, the overload, and 0.9
/// again. A request that finds no connection free is not sent and counts as `backlog full`, and one that the
/// generator itself comes to too late as `generator late`: both are the generator's, and are told.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest overload --offerd target/release/offerd --times 10 --pin-server 0 --pin 1"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: Output,
    /// How many times its capacity.
    #[arg(long, default_value_t = 10.0)]
    times: f64,
    /// Requests per second that it can do; measured where it is not told.
    #[arg(long)]
    capacity: Option<f64>,
    /// How long before, during and after.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasts: Time,
}

/// Runs the command.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    if !(1.0..=1_000.0).contains(&args.times) {
        anyhow::bail!(crate::WrongUse("--times may be 1 to 1000".to_owned()));
    }
    let mut report = Report::new("overload");
    let mut shape = args.shape.clone();
    shape.scenario = Scenario::Decisions;
    report.machine.scheduling = shape.settle_in()?;
    let cast = shape.cast()?;
    let subject = Subject::find(&args.target, &Extra::default()).await?;
    let plan = |phases| Plan {
        phases,
        spread: shape.spread,
        seed: shape.seed,
        requests_max: None,
    };
    let capacity = match args.capacity {
        Some(capacity) => capacity,
        None => {
            let warm_up = Phase::warm_up(Pace::Saturate, shape.warm_up.0);
            let measured = Phase::new("capacity", Pace::Saturate, args.lasts.0);
            let plan = plan(vec![warm_up, measured]);
            let few = Shape {
                connections: Some(FEW),
                streams: Some(1),
                ..shape.clone()
            };
            let load = few.load(&args.target, &subject, &cast, plan, "capacity")?;
            report.take(&load, 1).await?.phases[1].goodput()
        }
    };
    // Every request finds a connection or is not sent: no caller waits behind another one's.
    shape.connections.get_or_insert(CONNECTIONS);
    shape.backlog = 1;
    shape.late_max = Some(LATE_MAX);
    let base = Pace::PerSecond(capacity * BASE);
    let phases = vec![
        Phase::warm_up(base, shape.warm_up.0),
        Phase::new("base", base, args.lasts.0),
        Phase::new("lesser", Pace::PerSecond(capacity * LESSER), args.lasts.0),
        Phase::new(
            "overload",
            Pace::PerSecond(capacity * args.times),
            args.lasts.0,
        ),
        Phase::new("recovery", base, args.lasts.0),
    ];
    let load = shape.load(
        &args.target,
        &subject,
        &of_round(&cast, 2),
        plan(phases),
        "offerd",
    )?;
    let run = report.take(&load, 1).await?.clone();
    let begins: Vec<f64> = load
        .plan
        .begins_ns()
        .iter()
        .map(|ns| *ns as f64 / 1e6)
        .collect();
    find_out(&mut report, &run, (capacity, args.times), &begins)?;
    report.notes.extend(subject.notes.iter().cloned());
    subject.stop().await?;
    let wrong: u64 = run.phases.iter().map(|p| total(&p.counts.wrong)).sum();
    args.output.give(report)?;
    Ok(wrong == 0)
}

fn find_out(
    report: &mut Report,
    run: &Run,
    (capacity, times): (f64, f64),
    begins_ms: &[f64],
) -> anyhow::Result<()> {
    let phase = |name: &str| run.phase(name).context("the plan has it");
    let (base, over, after) = (phase("base")?, phase("overload")?, phase("recovery")?);
    // From the moment of sending: nobody waits for another one's connection here, so that what lies between
    // the intended moment and that one is the generator's own lateness, which an overload is apt to bring.
    let p99 = |phase: &Found| phase.counts.service.us(0.99);
    let mut tell = |name: &str, value: f64| {
        report.figures.insert(name.to_owned(), value);
    };
    tell("capacity, per second", capacity);
    tell("overload: goodput / capacity", over.goodput() / capacity);
    let by_prior = over.counts.degraded.get("overload").copied().unwrap_or(0) as f64;
    let by_prior = by_prior / over.counts.checked.max(1) as f64;
    tell("overload: share of the goodput without the model", by_prior);
    let sent = over.counts.sent as f64 / over.seconds / capacity;
    tell("overload: sent / capacity", sent);
    let decided = over.counts.answered + total(&over.counts.refused);
    tell(
        "overload: share refused of what was sent",
        total(&over.counts.refused) as f64 / decided.max(1) as f64,
    );
    tell("overload: accepted p99 / p99 before", p99(over) / p99(base));
    tell(
        "overload: refusals p99, ms",
        over.counts.refusals.us(0.99) / 1e3,
    );
    if let (Some(before), Some((decision, refusal))) =
        (base.cpu_us, costs_us(phase("lesser")?, over))
    {
        tell(
            "overload: processor time of a refusal / decision",
            refusal / before,
        );
        tell("overload: processor time of a refusal, us", refusal);
        tell("overload: processor time of a decision, us", decision);
        tell("base: processor time of a decision, us", before);
    }
    tell(
        "overload: generator late, p99, ms",
        over.counts.lateness.us(0.99) / 1e3,
    );
    let step = run.step_ms;
    let at = |ms: f64| (ms / step).round() as usize;
    let overload = run
        .timeline
        .get(at(begins_ms[3])..at(begins_ms[4]))
        .unwrap_or_default();
    if let Some(first) = overload.iter().position(|point| point.refused > 0) {
        tell(
            "overload: time to the first refusal, ms, at most",
            (first + 1) as f64 * step,
        );
    }
    let later = run.timeline.get(at(begins_ms[4])..).unwrap_or_default();
    let calm_us = base.latency().us(0.99) * RECOVERED;
    let well = |point: &super::report::Point| {
        point.refused == 0 && point.failed == 0 && point.p99_us as f64 <= calm_us
    };
    let bad = later
        .iter()
        .rposition(|point| point.answered > 0 && !well(point));
    tell(
        "recovery: time until all is as before, ms, at most",
        bad.map_or(1, |at| at + 2) as f64 * step,
    );
    tell("recovery: p99 / p99 before", p99(after) / p99(base));
    if sent < SENT_MIN * times {
        let share = |kind: &str| {
            let n = over.counts.failed.get(kind).copied().unwrap_or(0);
            over.share(n) * 100.0
        };
        report.notes.push(format!(
            "this was {sent:.1} times the capacity and not {times}: {:.0} % of the requests found no connection free \
             (more --connections, or --streams, send more), {:.0} % the generator came to too late (several send more)",
            share("backlog full"),
            share("generator late"),
        ));
    }
    Ok(())
}

/// Processor time of a decision and of a refusal in such times: two overloads with different shares of refusals are
/// two equations. None where the shares are too much alike to tell.
fn costs_us(lesser: &Found, over: &Found) -> Option<(f64, f64)> {
    let shares = |phase: &Found| {
        let (answered, refused) = (phase.counts.answered, total(&phase.counts.refused));
        let all = (answered + refused).max(1) as f64;
        (answered as f64 / all, refused as f64 / all)
    };
    let ((a, r), (b, s)) = (shares(lesser), shares(over));
    let apart = a * s - b * r;
    let (x, y) = (lesser.cpu_us?, over.cpu_us?);
    let (decision, refusal) = ((s * x - r * y) / apart, (a * y - b * x) / apart);
    (apart > APART).then(|| (decision.max(0.0), refusal.max(0.0)))
}
