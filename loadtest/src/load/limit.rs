//! `loadtest limit`: the highest rate that keeps an objective.

use super::args::{Output, Shape, Target, Time};
use super::objective::{Metric, Objective};
use super::plan::{Pace, Phase, Plan};
use super::report::{Phase as Found, Report};
use super::run::of_round;
use super::subject::{Extra, Subject};
use super::tally::total;

/// Steps until the objective breaks: from one request per second that is more than any machine takes.
const STEPS_MAX: u32 = 40;
/// Of the planned rate, what must have been answered for the rate to count as reached.
const REACHED: f64 = 0.99;

/// Find the highest rate that keeps an objective.
///
/// Doubles the rate until the objective breaks, then halves the gap. A rate breaks it when two of three
/// tries do, so that one bad moment of the machine does not decide; a request that failed, was refused
/// or was not sent in time breaks it too.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest limit --offerd target/release/offerd --slo p99.9=1ms --pin-server 0 --pin 1"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: Output,
    /// The objective, such as p99.9=1ms, p50=200us or max=5ms.
    #[arg(long)]
    slo: Objective,
    /// The rate to begin with.
    #[arg(long, default_value_t = 1000.0)]
    from: f64,
    /// How near to come, as a share of the rate.
    #[arg(long, default_value_t = 0.05)]
    within: f64,
    /// How long each try measures.
    #[arg(long = "for", value_name = "TIME", default_value = "5s")]
    lasts: Time,
}

/// The search, without the tries themselves.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Search {
    /// The highest rate that held.
    held: Option<f64>,
    /// The lowest that did not.
    broke: Option<f64>,
    next: f64,
    within: f64,
}

impl Search {
    fn tell(&mut self, holds: bool) {
        if holds {
            self.held = Some(self.next);
        } else {
            self.broke = Some(self.next);
        }
        self.next = match (self.held, self.broke) {
            (Some(held), None) => held * 2.0,
            (None, Some(broke)) => broke / 2.0,
            // The ratio counts, not the difference.
            (Some(held), Some(broke)) => (held * broke).sqrt(),
            (None, None) => self.next,
        };
    }

    fn done(&self) -> bool {
        let near = |held: f64, broke: f64| broke / held <= 1.0 + self.within;
        self.held
            .zip(self.broke)
            .is_some_and(|(held, broke)| near(held, broke))
            || self.next < 1.0
    }
}

/// Runs the command; true if any rate held.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    if !(1.0..=10e6).contains(&args.from) || !(0.001..=1.0).contains(&args.within) {
        anyhow::bail!(crate::WrongUse(
            "--from may be 1 to 10000000, --within 0.001 to 1".to_owned()
        ));
    }
    let mut report = Report::new("limit");
    report.machine.scheduling = args.shape.settle_in()?;
    let cast = args.shape.cast()?;
    let subject = Subject::find(&args.target, &Extra::default()).await?;
    let mut search = Search {
        held: None,
        broke: None,
        next: args.from,
        within: args.within,
    };
    let mut tries = 0;
    let mut steps = 0;
    while !search.done() && steps < STEPS_MAX {
        steps += 1;
        let (mut held, mut broke) = (0, 0);
        // One that holds is enough at once: noise makes rates break, hardly ever hold.
        while held == 0 && broke < 2 {
            tries += 1;
            let plan = Plan {
                phases: vec![
                    Phase::warm_up(Pace::PerSecond(search.next), args.shape.warm_up.0),
                    Phase::new("load", Pace::PerSecond(search.next), args.lasts.0),
                ],
                spread: args.shape.spread,
                seed: args.shape.seed + u64::from(tries),
                requests_max: None,
            };
            let cast = of_round(&cast, tries);
            let name = format!("{:.0}/s", search.next);
            let load = args
                .shape
                .load(&args.target, &subject, &cast, plan, &name)?;
            let run = report.take(&load, tries).await?;
            let found = &run.phases[1];
            match why_not(&args.slo, found) {
                None => held += 1,
                Some(why) => {
                    broke += 1;
                    let note = format!("{:.0}/s does not hold: {why}", search.next);
                    report.notes.push(note);
                }
            }
        }
        search.tell(held > 0);
    }
    // The best rate's run is the report's subject.
    let best = format!("{:.0}/s", search.held.unwrap_or(0.0));
    report.runs.sort_by_key(|run| run.name != best);
    report.figures.insert(
        format!("highest rate with {}", args.slo),
        search.held.unwrap_or(0.0),
    );
    report.notes.extend(subject.notes.iter().cloned());
    subject.stop().await?;
    args.output.give(report)?;
    Ok(search.held.is_some())
}

/// Why a rate does not count.
fn why_not(slo: &Objective, phase: &Found) -> Option<String> {
    let counts = &phase.counts;
    for (what, kinds) in [("failed", &counts.failed), ("wrong", &counts.wrong)] {
        if total(kinds) > 0 {
            return Some(format!("{} {what}", total(kinds)));
        }
    }
    if slo.metric != Metric::Refused && total(&counts.refused) > 0 {
        return Some(format!("{} refused", total(&counts.refused)));
    }
    let asked = phase.rate.unwrap_or_default();
    if phase.goodput() < asked * REACHED {
        return Some(format!("{:.0}/s answered", phase.goodput()));
    }
    if slo.holds(phase) {
        return None;
    }
    let late = counts.lateness.us(0.99);
    let found = slo.metric.of(phase).unwrap_or_default();
    let told = format!("{slo}, found {found:.1}");
    Some(match late > slo.most / 2.0 {
        true => format!("{told}; the generator itself was {late:.1} us late at p99"),
        false => told,
    })
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    /// The rate found for a server whose objective breaks above `limit`.
    fn found(limit: f64, from: f64) -> (f64, u32) {
        let mut search = Search {
            held: None,
            broke: None,
            next: from,
            within: 0.05,
        };
        let mut tries = 0;
        while !search.done() && tries < 100 {
            tries += 1;
            search.tell(search.next <= limit);
        }
        (search.held.unwrap_or(0.0), tries)
    }

    #[test]
    fn the_limit_is_found_from_both_sides() {
        for (limit, from) in [
            (12_345.0, 1_000.0),
            (123.0, 1_000.0),
            (999.0, 1_000.0),
            (1e6, 1.0),
        ] {
            let (rate, tries) = found(limit, from);
            assert!(rate <= limit && rate > limit / 1.05, "{rate} of {limit}");
            assert!(tries < 30, "{tries}");
        }
        assert_eq!(
            found(0.0, 1_000.0).0,
            0.0,
            "a server that keeps nothing ends the search"
        );
    }

    #[test]
    fn what_did_not_arrive_does_not_hold() {
        let slo: Objective = "p99=1ms".parse().unwrap();
        let why = |us: &[u64], failed| why_not(&slo, report(us, failed).main_phase().unwrap());
        assert_eq!(why(&[100; 1_000], 0), None);
        assert!(why(&[100; 1_000], 1).unwrap().contains("1 failed"));
        assert!(why(&[100; 500], 0).unwrap().contains("answered"));
        assert!(why(&[2_000; 1_000], 0).unwrap().contains("p99=1ms"));
    }
}
