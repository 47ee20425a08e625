//! The report on the terminal.

use std::fmt;

use super::super::latency::QUANTILES;
use super::super::tally::{Kinds, total};
use super::{Phase, Report, Run};

/// What the name of a run ends in that another one is to be held against.
pub const UNDISTURBED: &str = ": undisturbed";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(
            f,
            "{} · {} x {} · Linux {} · load average {:.1}",
            self.began, machine.processors, machine.processor, machine.kernel, machine.load_average
        )?;
        write!(f, "\n{:32} {:>8} {:>10}", "", "asked/s", "answered/s")?;
        for (name, _) in QUANTILES {
            write!(f, "{name:>9}")?;
        }
        writeln!(f, "  ms {:>5} {:>10}", "cpu us", "late p99")?;
        for run in &self.runs {
            for phase in run.phases.iter().filter(|phase| phase.measured) {
                row(f, run, phase)?;
            }
        }
        for run in &self.runs {
            what_else(f, run)?;
        }
        self.ratios(f)?;
        if !self.figures.is_empty() {
            writeln!(f)?;
        }
        for (name, value) in &self.figures {
            writeln!(f, "{name:44} {value:12.3}")?;
        }
        if !self.notes.is_empty() || !machine.scheduling.is_empty() {
            writeln!(f)?;
        }
        for note in machine.scheduling.iter().chain(&self.notes) {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, run: &Run, phase: &Phase) -> fmt::Result {
    let name = format!("{} {} {}", run.name, run.round, phase.name);
    let rate = phase
        .rate
        .map_or("all".to_owned(), |rate| format!("{rate:.0}"));
    write!(f, "{name:32} {rate:>8} {:10.0}", phase.goodput())?;
    let latency = phase.latency();
    for (_, quantile) in QUANTILES {
        write!(f, "{:9.3}", latency.us(quantile) / 1e3)?;
    }
    let cpu = phase.cpu_us.map_or("-".to_owned(), |us| format!("{us:.1}"));
    writeln!(f, " {cpu:>8} {:10.3}", phase.counts.lateness.us(0.99) / 1e3)
}

/// What did not go as asked, and what the answers were.
fn what_else(f: &mut fmt::Formatter<'_>, run: &Run) -> fmt::Result {
    for phase in run.phases.iter().filter(|phase| phase.measured) {
        let counts = &phase.counts;
        let name = format!("{} {} {}", run.name, run.round, phase.name);
        for (what, kinds) in [
            ("refused", &counts.refused),
            ("failed", &counts.failed),
            ("wrong", &counts.wrong),
            ("degraded", &counts.degraded),
            ("events rejected", &counts.events_rejected),
        ] {
            if total(kinds) > 0 {
                writeln!(f, "{name}: {what}: {}", words(kinds))?;
            }
        }
        if counts.checked > 0 {
            writeln!(
                f,
                "{name}: {} answers looked into, {} offers; events: {} new, {} repeated; empty: {}",
                counts.checked,
                counts.offers,
                counts.events_accepted,
                counts.events_duplicate,
                words(&counts.empty)
            )?;
        }
    }
    for detail in &run.details {
        let short: String = detail.chars().take(400).collect();
        writeln!(f, "{} {}: {short}", run.name, run.round)?;
    }
    Ok(())
}

fn words(kinds: &Kinds) -> String {
    if kinds.is_empty() {
        return "none".to_owned();
    }
    let words: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| format!("{n} {kind}"))
        .collect();
    words.join(", ")
}

impl Report {
    /// Every figure of the first name against every other name, within each round.
    fn ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, other) in self.pairs() {
            let run = self.runs.iter().find(|run| run.name == name);
            let phases = run.iter().flat_map(|run| &run.phases);
            for phase in phases.filter(|phase| phase.measured) {
                let ratios = self.paired(name, other, &phase.name);
                if ratios.is_empty() {
                    continue;
                }
                write!(f, "\n{name} / {other}, {}:", phase.name)?;
                for (figure, ratios) in ratios {
                    write!(f, "  {figure} {}", spread(ratios))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }

    /// Names to hold against each other: each fault against its own undisturbed run, or else what the
    /// command is about against all else.
    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut names: Vec<&str> = Vec::new();
        for run in &self.runs {
            if !names.contains(&run.name.as_str()) {
                names.push(&run.name);
            }
        }
        let own = names
            .iter()
            .map(|name| (name.strip_suffix(UNDISTURBED), *name));
        let faults = own.filter_map(|(own, other)| Some((own?, other)));
        let faults: Vec<(&str, &str)> = faults.collect();
        match names.split_first() {
            Some((first, others)) if faults.is_empty() => {
                others.iter().map(|other| (*first, *other)).collect()
            }
            _ => faults,
        }
    }

    /// The ratios of each round by figure.
    pub fn paired(&self, name: &str, other: &str, phase: &str) -> Vec<(&'static str, Vec<f64>)> {
        let of = |name: &str, round: u32| -> Option<&Phase> {
            let mut runs = self.runs.iter();
            runs.find(|run| run.name == name && run.round == round)?
                .phase(phase)
        };
        let mut pairs = Vec::new();
        let rounds = self.runs.iter().map(|run| run.round).max().unwrap_or(0);
        for round in 1..=rounds {
            pairs.extend(of(name, round).zip(of(other, round)));
        }
        type Figure = fn(&Phase) -> f64;
        let figures: [(&'static str, Figure); 6] = [
            ("rate", Phase::goodput),
            ("p50", |p| p.latency().us(0.5)),
            ("p99", |p| p.latency().us(0.99)),
            ("p99.9", |p| p.latency().us(0.999)),
            ("max", |p| p.latency().us(1.0)),
            ("cpu", |p| p.cpu_us.unwrap_or(0.0)),
        ];
        let ratios = figures.into_iter().map(|(figure, of)| {
            let each = pairs.iter().map(|(a, b)| of(a) / of(b));
            (figure, each.filter(|r| r.is_finite() && *r > 0.0).collect())
        });
        ratios
            .filter(|(_, r): &(_, Vec<f64>)| !r.is_empty())
            .collect()
    }
}

/// The median, and between which the others lie.
fn spread(mut ratios: Vec<f64>) -> String {
    let median = median(&mut ratios);
    match ratios.as_slice() {
        [least, .., most] => format!("{median:.2} ({least:.2}..{most:.2})"),
        _ => format!("{median:.2}"),
    }
}

/// The middle one; sorts them.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn pairs_are_of_the_same_round() {
        let mut all = report(&[100], 0);
        for (name, round, us) in [("hyper", 1, 50), ("offerd", 2, 300), ("hyper", 2, 100)] {
            let mut run = report(&[us], 0).runs.remove(0);
            (run.name, run.round) = (name.to_owned(), round);
            all.runs.push(run);
        }
        let ratios = all.paired("offerd", "hyper", "load");
        let (_, p50) = ratios.iter().find(|(figure, _)| *figure == "p50").unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.002;
        assert!(near(p50[0], 2.0) && near(p50[1], 3.0), "{p50:?}");
        assert!(all.to_string().contains("offerd / hyper, load:"), "{all}");
    }

    #[test]
    fn each_fault_has_its_own_undisturbed_run() {
        let mut all = report(&[100], 0);
        all.runs.clear();
        for name in ["one", "one: undisturbed", "two", "two: undisturbed"] {
            let mut run = report(&[100], 0).runs.remove(0);
            run.name = name.to_owned();
            all.runs.push(run);
        }
        let expected = [("one", "one: undisturbed"), ("two", "two: undisturbed")];
        assert_eq!(all.pairs(), expected);
        all.runs.truncate(1);
        assert_eq!(all.pairs(), []);
    }

    #[test]
    fn medians_are_in_the_middle() {
        for (values, expected) in [(&[][..], 0.0), (&[3.0, 1.0, 2.0], 2.0), (&[4.0, 1.0], 2.5)] {
            assert_eq!(median(&mut values.to_vec()), expected);
        }
    }
}
