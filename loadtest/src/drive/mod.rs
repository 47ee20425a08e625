//! `loadtest drive`: customers from a file, each through a whole visit.
//!
//! It shows that the server does its main job for real customers, and with `--acks` it gives another
//! program what it needs to prove that nothing acknowledged was lost or counted twice. The loop is
//! closed: a worker asks again only when it has been answered. That is how visitors behave, and no way
//! to measure latency under load.

mod acks;
mod client;
mod courier;
mod summary;
mod tally;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;

use crate::visit::customers::{Columns, Customer, read_file};
use crate::visit::dice::Dice;
use crate::visit::visitor::Visitor;
use crate::visit::walk::walk;
use acks::Acks;
use client::Client;
use courier::{Courier, Stopped};
use summary::Summary;
use tally::Tally;

/// Walk customers from a CSV through their visits against a running server.
///
/// The header names the features; cells that read as numbers are numbers, empty ones are missing. Each
/// customer passes the seven phases: decisions for the phase's placements, and the events that a
/// simulated visitor's page would send. The same seed makes the same visitors, and the same events have
/// the same ids on every run. What the server does not answer is sent again.
///
/// Exit code 0 if everything was taken, 1 if anything was refused or the server stayed away, 2 for
/// wrong use.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest drive --customers customers.csv --limit 500 --json figures.json"
)]
pub struct Args {
    /// The customers.
    #[arg(long, value_name = "FILE.csv")]
    customers: PathBuf,
    /// The server's public address.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// How to speak to it.
    #[arg(long, value_enum, default_value_t = Door::Http)]
    door: Door,
    /// Visits at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    concurrency: u16,
    /// Makes the visitors: their circumstances, tastes and habits.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only the first so many customers.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Stop after that time, between two phases.
    #[arg(long = "for", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// For how long one request is tried again before the drive stops.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    retry_for: u32,
    /// Ask for these placements in every phase, in place of the demo catalog's (repeat for several).
    #[arg(long = "placement", value_name = "ID")]
    placements: Vec<String>,
    /// The column with the customer's id.
    #[arg(long, value_name = "NAME", default_value = "customerID")]
    id_column: String,
    /// Columns that are not features (repeat for several), such as what is only known afterwards.
    #[arg(long, value_name = "NAME", default_value = "Churn")]
    leave_out: Vec<String>,
    /// Write the figures there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write there what was acknowledged, one JSON object a line.
    #[arg(long, value_name = "FILE.ndjson")]
    acks: Option<PathBuf>,
}

/// A door of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Door {
    /// JSON over HTTP/1.1.
    Http,
    /// gRPC over h2c.
    Grpc,
}

/// Runs the command; true if everything that was sent was taken.
pub fn run(args: &Args) -> anyhow::Result<bool> {
    let columns = Columns {
        id: &args.id_column,
        left_out: &args.leave_out,
    };
    let limit = args.limit.map(|n| n as usize);
    let customers = read_file(&args.customers, &columns, limit)?;
    let concurrency = usize::from(args.concurrency).min(customers.len());
    let runtime = tokio::runtime::Runtime::new().context("failed to start")?;
    // The gRPC channel starts a task of its own as soon as it is made.
    let _inside = runtime.enter();
    let drive = Arc::new(Drive {
        client: Client::new(args.door, &args.url, concurrency)?,
        acks: Acks::create(args.acks.as_deref())?,
        next: AtomicUsize::new(0),
        stopped: Mutex::new(None),
        bar: bar(customers.len()),
        began: Instant::now(),
        time: args.seconds.map(|s| Duration::from_secs(s.into())),
        retry_for: Duration::from_secs(args.retry_for.into()),
        seed: args.seed,
        placements: args.placements.clone(),
        customers,
    });
    let tally = runtime.block_on(all_workers(&drive, concurrency))?;
    drive.bar.finish_and_clear();
    let summary = Summary {
        tally,
        took: drive.began.elapsed(),
        concurrency,
        stopped: drive.stopped().take(),
    };
    print!("{summary}");
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&summary.to_json())?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    Ok(summary.clean())
}

/// What all workers share.
struct Drive {
    client: Client,
    acks: Acks,
    customers: Vec<Customer>,
    /// The next customer to be taken.
    next: AtomicUsize,
    /// Why everybody should stop.
    stopped: Mutex<Option<String>>,
    bar: ProgressBar,
    began: Instant,
    time: Option<Duration>,
    retry_for: Duration,
    seed: u64,
    placements: Vec<String>,
}

async fn all_workers(drive: &Arc<Drive>, concurrency: usize) -> anyhow::Result<Tally> {
    let mut workers = JoinSet::new();
    for number in 0..concurrency {
        let drive = drive.clone();
        workers.spawn(async move { worker(&drive, number).await });
    }
    let mut tally = Tally::default();
    while let Some(worker) = workers.join_next().await {
        tally.add(worker.context("a worker failed")??);
    }
    Ok(tally)
}

/// Takes one customer after another.
async fn worker(drive: &Drive, number: usize) -> anyhow::Result<Tally> {
    let mut courier = Courier {
        client: drive.client.clone(),
        acks: &drive.acks,
        tally: Tally::default(),
        retry_for: drive.retry_for,
        dice: Dice::new(drive.seed, &["pauses", &number.to_string()]),
    };
    while drive.goes_on() {
        let number = drive.next.fetch_add(1, Ordering::Relaxed);
        let Some(customer) = drive.customers.get(number) else {
            break;
        };
        let visitor = Visitor::new(drive.seed, number, customer);
        let walked = walk(&visitor, &drive.placements, &mut courier, || {
            drive.goes_on()
        });
        match walked.await {
            Ok(true) => courier.tally.visits += 1,
            Ok(false) => courier.tally.visits_cut += 1,
            Err(Stopped::Away(failure)) => {
                courier.tally.visits_cut += 1;
                // One request's patience is everybody's: the others would only wait as long in vain.
                let patience = drive.retry_for.as_secs();
                let why = format!(
                    "no answer for {patience} s: {}: {}",
                    failure.cause, failure.detail
                );
                drive.stopped().get_or_insert(why);
            }
            Err(Stopped::Broken(error)) => return Err(error),
        }
        drive.bar.inc(1);
    }
    Ok(courier.tally)
}

impl Drive {
    fn goes_on(&self) -> bool {
        let in_time = self.time.is_none_or(|time| self.began.elapsed() < time);
        in_time && self.stopped().is_none()
    }

    fn stopped(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.stopped.lock().expect("nobody panics while holding it")
    }
}

/// On standard error, and only if that is a terminal.
fn bar(customers: usize) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} customers, {per_sec}, {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is fixed");
    ProgressBar::new(customers as u64).with_style(style)
}
