//! `loadtest compare` and `loadtest merge`: reports against each other, and reports put together.

use std::path::PathBuf;

use anyhow::bail;

use super::args::Output;
use super::objective::{FailIf, Metric};
use super::report::{Report, median};

/// Compare two reports, and fail if the second is worse.
///
/// Where a command had several rounds, their median counts. Exit code 1 if any condition is met, or a
/// figure that it needs is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest compare before.json after.json --fail-if 'p99 > 1.2x' --fail-if 'failed > 0'"
)]
pub struct CompareArgs {
    /// The report to compare with.
    before: PathBuf,
    /// The report to judge.
    after: PathBuf,
    /// What must not be (repeat for several): FIGURE > BOUND or FIGURE < BOUND, such as p99 > 1.2x.
    #[arg(long)]
    fail_if: Vec<FailIf>,
    /// Which part of the runs to compare; the first that is measured, unless told.
    #[arg(long)]
    part: Option<String>,
}

/// Put together the reports of several generators that sent at the same time.
///
/// Histograms are added, which loses nothing; plots over time show the worst generator's quantiles.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest merge one.json two.json three.json --json all.json --html all.html"
)]
pub struct MergeArgs {
    /// The reports.
    #[arg(required = true, num_args = 2..)]
    reports: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs `compare`.
pub fn compare(args: &CompareArgs) -> anyhow::Result<bool> {
    let (before, after) = (Report::read(&args.before)?, Report::read(&args.after)?);
    let part = args.part.as_deref();
    let of = |report: &Report, metric| figure(report, metric, part);
    if args.fail_if.is_empty() {
        for name in [
            "rate", "p50", "p90", "p99", "p99.9", "max", "cpu", "failed", "refused", "wrong",
        ] {
            let metric: Metric = name.parse().expect("these are names");
            let (a, b) = (of(&before, metric), of(&after, metric));
            let word = |n: Option<f64>| n.map_or("-".to_owned(), |n| format!("{n:.3}"));
            let ratio = a
                .zip(b)
                .map(|(a, b)| b / a)
                .filter(|ratio| ratio.is_finite());
            println!(
                "{name:8} {:>14} {:>14} {:>8}",
                word(a),
                word(b),
                word(ratio)
            );
        }
    }
    let mut held = true;
    for condition in &args.fail_if {
        let metric = condition.metric();
        let verdict = condition.judge(of(&before, metric), of(&after, metric));
        println!("{}", verdict.words);
        held &= !verdict.failed;
    }
    Ok(held)
}

/// Runs `merge`.
pub fn merge(args: &MergeArgs) -> anyhow::Result<bool> {
    let [first, others @ ..] = args.reports.as_slice() else {
        bail!(crate::WrongUse("there is nothing to merge".to_owned()));
    };
    let mut report = Report::read(first)?;
    for path in others {
        report.add(&Report::read(path)?)?;
    }
    Ok(args.output.give(report)?.clean())
}

/// The median over all rounds of what the report is about.
fn figure(report: &Report, metric: Metric, part: Option<&str>) -> Option<f64> {
    let name = &report.runs.first()?.name;
    let part = part.or_else(|| Some(report.main_phase()?.name.as_str()))?;
    let runs = report.runs.iter().filter(|run| run.name == *name);
    let phases = runs.filter_map(|run| run.phase(part));
    let mut figures = phases
        .map(|phase| metric.of(phase))
        .collect::<Option<Vec<f64>>>()?;
    (!figures.is_empty()).then(|| median(&mut figures))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn the_median_round_is_compared() {
        let mut all = report(&[100], 0);
        for (round, us) in [(2, 900), (3, 110)] {
            let mut run = report(&[us], 0).runs.remove(0);
            run.round = round;
            all.runs.push(run);
        }
        let p50: Metric = "p50".parse().unwrap();
        let found = figure(&all, p50, None).unwrap();
        assert!((found / 110.0 - 1.0).abs() < 0.002, "{found}");
        assert_eq!(figure(&all, p50, Some("no such part")), None);
    }
}
