//! `loadtest run`: one load, in as many rounds as it takes to trust the figures.

use std::collections::BTreeMap;

use super::args::{Output, Shape, Target, Time};
use super::floor::{self, Floor};
use super::generator::Load;
use super::plan::{Pace, Phase, Plan};
use super::report::{Report, Run};
use super::source::{Cast, Scenario};
use super::subject::{Extra, Subject};
use super::wire::Door;

/// First in, first out: who never waits never lets the others in.
const STARVED: &str = "--fifo at full speed: the server's other threads, its journal's among them, may get no \
                       processor (see degraded)";

/// Visits of one round, so that the next has other ones.
const VISITS_PER_ROUND: u64 = 1 << 32;

/// Send at a rate, whether or not answers come back, and measure from the intended moments.
///
/// Exit code 0 if every request had a proper answer or an orderly refusal, 1 if any had not, 2 for wrong
/// use.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest run --offerd target/release/offerd --scenario appointment --rate 5000 --for 30s --html report.html"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: Output,
    /// Requests per second, or `max` for all that the server takes (a closed loop, for capacity only).
    #[arg(long, default_value = "1000", value_parser = pace)]
    rate: Pace,
    /// How long to measure.
    #[arg(long = "for", value_name = "TIME", default_value = "30s")]
    lasts: Time,
    /// No more requests than that.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// How often to do it all.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Measure a bare hyper and a bare tonic in the same rounds, and tell every figure as a ratio to them.
    #[arg(long)]
    floor: bool,
}

/// A rate, or everything.
pub fn pace(text: &str) -> Result<Pace, String> {
    if text == "max" {
        return Ok(Pace::Saturate);
    }
    let rate = text
        .parse()
        .ok()
        .filter(|rate| (0.01..=10e6).contains(rate));
    let rate = rate.ok_or_else(|| format!("expected 0.01 to 10000000, or max, found {text:?}"))?;
    Ok(Pace::PerSecond(rate))
}

/// Runs the command.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    let mut report = Report::new("run");
    report.machine.scheduling = args.shape.settle_in()?;
    let cast = args.shape.cast()?;
    if args.rate == Pace::Saturate && cast.scenario == Scenario::Appointment {
        report
            .notes
            .push("visits at full speed: what is measured is mostly the generator".to_owned());
    }
    let subject = Subject::find(&args.target, &Extra::default()).await?;
    let floors = match args.floor {
        true => floors(args, &subject, &cast).await?,
        false => Vec::new(),
    };
    for round in 1..=args.rounds {
        let plan = plan(args, round);
        let load = args.shape.load(
            &args.target,
            &subject,
            &of_round(&cast, round),
            plan,
            "offerd",
        )?;
        let before = server_side(&subject).await;
        report.take(&load, round).await?;
        for (bound, share) in shares(&before, &server_side(&subject).await) {
            let figure = format!("server side: share within {bound} s, round {round}");
            report.figures.insert(figure, share);
        }
        for (door, floor) in &floors {
            let load = args
                .shape
                .floor_load(&load, &floor.host, *door, floor.process.pid())?;
            let load = Load {
                name: floor.name().to_owned(),
                ..load
            };
            report.take(&load, round).await?;
        }
    }
    if args.rate == Pace::Saturate && args.target.fifo {
        report.notes.push(STARVED.to_owned());
    }
    report.notes.extend(subject.notes.iter().cloned());
    report
        .notes
        .extend(floors.iter().flat_map(|(_, floor)| floor.notes.clone()));
    subject.stop().await?;
    Ok(args.output.give(report)?.clean())
}

/// The server's own histogram of decisions, warm-up included: how many took at most so many seconds.
async fn server_side(subject: &Subject) -> BTreeMap<String, f64> {
    let Some(admin) = &subject.admin else {
        return BTreeMap::new();
    };
    let metrics = admin.metrics().await.unwrap_or_default();
    let buckets = metrics.into_iter().filter_map(|(name, count)| {
        let bound = name.strip_prefix("offerd_decision_duration_seconds_bucket{le=\"")?;
        Some((bound.strip_suffix("\"}")?.to_owned(), count))
    });
    buckets.collect()
}

/// Of the decisions between two looks, the share that each bound holds for.
fn shares(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let between = |bound: &str| {
        let count = |of: &BTreeMap<String, f64>| of.get(bound).copied().unwrap_or(0.0);
        count(after) - count(before)
    };
    let all = between("+Inf");
    let bounds = after.keys().filter(|bound| *bound != "+Inf" && all > 0.0);
    bounds
        .map(|bound| (bound.clone(), between(bound) / all))
        .collect()
}

/// The same customers with other visits.
pub fn of_round(cast: &Cast, round: u32) -> Cast {
    let seed = cast
        .seed
        .wrapping_add(u64::from(round - 1) * VISITS_PER_ROUND);
    Cast {
        seed,
        ..cast.clone()
    }
}

fn plan(args: &Args, round: u32) -> Plan {
    Plan {
        phases: vec![
            Phase::warm_up(args.rate, args.shape.warm_up.0),
            Phase::new("load", args.rate, args.lasts.0),
        ],
        spread: args.shape.spread,
        seed: args.shape.seed + u64::from(round),
        requests_max: args.count,
    }
}

async fn floors(args: &Args, subject: &Subject, cast: &Cast) -> anyhow::Result<Vec<(Door, Floor)>> {
    let mut floors = Vec::new();
    let http = match args.shape.door {
        Door::Grpc => Door::Http,
        own => own,
    };
    for (door, kind) in [(http, floor::Kind::Hyper), (Door::Grpc, floor::Kind::Tonic)] {
        let answer = subject
            .sample(cast, door, args.target.key.as_deref())
            .await?;
        floors.push((door, Floor::start(kind, &answer, &args.target).await?));
    }
    Ok(floors)
}

impl Report {
    /// Runs a load and keeps what came of it.
    pub async fn take(&mut self, load: &Load, round: u32) -> anyhow::Result<&Run> {
        let outcome = load.run().await?;
        for words in &outcome.scheduling {
            if !self.machine.scheduling.contains(words) {
                self.machine.scheduling.push(words.clone());
            }
        }
        self.runs.push(Run::new(&load.name, round, load, &outcome));
        Ok(self.runs.last().expect("it was just put there"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_what_came_between() {
        let of = |counts: [f64; 3]| {
            let bounds = ["0.0005", "0.001", "+Inf"].map(str::to_owned);
            bounds.into_iter().zip(counts).collect::<BTreeMap<_, _>>()
        };
        let found = shares(&of([10.0, 10.0, 10.0]), &of([60.0, 109.0, 110.0]));
        assert_eq!(
            found,
            [("0.0005".to_owned(), 0.5), ("0.001".to_owned(), 0.99)]
        );
        assert!(
            shares(&of([1.0; 3]), &of([1.0; 3])).is_empty(),
            "nothing came"
        );
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(pace("5000"), Ok(Pace::PerSecond(5_000.0)));
        assert_eq!(pace("max"), Ok(Pace::Saturate));
        for text in ["0", "-1", "fast", "1e9", "inf"] {
            assert!(pace(text).is_err(), "{text}");
        }
    }
}
