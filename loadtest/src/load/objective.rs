//! Objectives (`p99.9=1ms`) and conditions between two reports (`p99 > 1.2x`).

use std::fmt;
use std::str::FromStr;

use super::report::Phase;
use super::tally::total;

/// A figure of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Metric {
    /// Of the latency, in microseconds.
    Quantile(f64),
    Mean,
    /// Proper answers per second.
    Rate,
    /// Of the server's process, microseconds per request.
    Cpu,
    /// Shares of the requests that were planned.
    Failed,
    Refused,
    Wrong,
}

impl Metric {
    pub fn of(self, phase: &Phase) -> Option<f64> {
        let counts = &phase.counts;
        match self {
            Metric::Quantile(q) => Some(phase.latency().us(q)),
            Metric::Mean => Some(phase.latency().mean_us()),
            Metric::Rate => Some(phase.goodput()),
            Metric::Cpu => phase.cpu_us,
            Metric::Failed => Some(phase.share(total(&counts.failed))),
            Metric::Refused => Some(phase.share(total(&counts.refused))),
            Metric::Wrong => Some(phase.share(total(&counts.wrong))),
        }
    }

    fn is_time(self) -> bool {
        matches!(self, Metric::Quantile(_) | Metric::Mean | Metric::Cpu)
    }
}

impl FromStr for Metric {
    type Err = String;

    fn from_str(text: &str) -> Result<Metric, String> {
        Ok(match text {
            "max" => Metric::Quantile(1.0),
            "mean" => Metric::Mean,
            "rate" => Metric::Rate,
            "cpu" => Metric::Cpu,
            "failed" => Metric::Failed,
            "refused" => Metric::Refused,
            "wrong" => Metric::Wrong,
            other => {
                let percent = other.strip_prefix('p').and_then(|p| p.parse::<f64>().ok());
                match percent.filter(|p| (0.0..=100.0).contains(p)) {
                    Some(percent) => Metric::Quantile(percent / 100.0),
                    None => {
                        let known = "p50, p99.9, max, mean, rate, cpu, failed, refused or wrong";
                        return Err(format!("expected {known}, found {other:?}"));
                    }
                }
            }
        })
    }
}

/// What a figure is held against.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    /// In the figure's own unit.
    Value(f64),
    /// Times the same figure of the first report.
    Times(f64),
}

fn bound(metric: Metric, text: &str) -> Result<Bound, String> {
    let wrong = || {
        let example = if metric.is_time() {
            "1ms, 250us or 1.2x"
        } else {
            "1000, 0.5% or 0.9x"
        };
        format!("expected a bound such as {example}, found {text:?}")
    };
    let units: &[(&str, f64)] = match metric.is_time() {
        true => &[("us", 1.0), ("µs", 1.0), ("ms", 1e3), ("s", 1e6)],
        false => &[("%", 0.01), ("", 1.0)],
    };
    let number = |text: &str| {
        text.trim()
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite() && *n >= 0.0)
    };
    if let Some(times) = text.strip_suffix('x') {
        return number(times).map(Bound::Times).ok_or_else(wrong);
    }
    let found = units
        .iter()
        .find_map(|(unit, factor)| Some(Bound::Value(number(text.strip_suffix(unit)?)? * factor)));
    found.ok_or_else(wrong)
}

/// A figure that must not be above a bound.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    text: String,
    pub metric: Metric,
    /// In the figure's own unit.
    pub most: f64,
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Objective, String> {
        let (metric, most) = text
            .split_once("<=")
            .or_else(|| text.split_once('='))
            .or_else(|| text.split_once('<'))
            .ok_or_else(|| format!("expected something like p99.9=1ms, found {text:?}"))?;
        let metric: Metric = metric.trim().parse()?;
        match bound(metric, most.trim())? {
            Bound::Value(most) => Ok(Objective {
                text: text.to_owned(),
                metric,
                most,
            }),
            Bound::Times(_) => Err(format!(
                "an objective has nothing to be times of, found {text:?}"
            )),
        }
    }
}

impl Objective {
    pub fn holds(&self, phase: &Phase) -> bool {
        self.metric
            .of(phase)
            .is_some_and(|found| found <= self.most)
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Something that must not be true of the second report.
#[derive(Clone, Debug, PartialEq)]
pub struct FailIf {
    text: String,
    metric: Metric,
    above: bool,
    bound: Bound,
}

impl FromStr for FailIf {
    type Err = String;

    fn from_str(text: &str) -> Result<FailIf, String> {
        let above = text.contains('>');
        let parts = text.split_once(if above { '>' } else { '<' });
        let parts =
            parts.ok_or_else(|| format!("expected something like p99 > 1.2x, found {text:?}"))?;
        let metric: Metric = parts.0.trim().parse()?;
        Ok(FailIf {
            text: text.to_owned(),
            metric,
            above,
            bound: bound(metric, parts.1.trim())?,
        })
    }
}

/// What a condition came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Both figures and the condition, in words.
    pub words: String,
    pub failed: bool,
}

impl FailIf {
    /// Which figure is to be judged.
    pub fn metric(&self) -> Metric {
        self.metric
    }

    /// Judges the figure before and after. Fails too where one is missing: then nothing was shown.
    pub fn judge(&self, a: Option<f64>, b: Option<f64>) -> Verdict {
        let failed = match (self.bound, a, b) {
            (Bound::Value(bound), _, Some(b)) => self.is_beyond(b, bound),
            (Bound::Times(times), Some(a), Some(b)) => self.is_beyond(b, a * times),
            (_, _, _) => true,
        };
        let word = |n: Option<f64>| n.map_or("unknown".to_owned(), |n| format!("{n:.3}"));
        let ratio = a.zip(b).map(|(a, b)| b / a).filter(|r| r.is_finite());
        Verdict {
            words: format!(
                "{}: {} then {} ({}): {}",
                self.text,
                word(a),
                word(b),
                ratio.map_or("no ratio".to_owned(), |r| format!("{r:.3}x")),
                if failed { "failed" } else { "holds" }
            ),
            failed,
        }
    }

    fn is_beyond(&self, found: f64, bound: f64) -> bool {
        if self.above {
            found > bound
        } else {
            found < bound
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn objectives_are_read() {
        for (text, metric, most) in [
            ("p99.9=1ms", Metric::Quantile(0.999), 1_000.0),
            ("p50 <= 250us", Metric::Quantile(0.5), 250.0),
            ("max=2s", Metric::Quantile(1.0), 2e6),
            ("refused<0.5%", Metric::Refused, 0.005),
            ("failed=0", Metric::Failed, 0.0),
            ("cpu=30us", Metric::Cpu, 30.0),
        ] {
            let objective: Objective = text.parse().unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
            assert!(near(objective.most, most), "{text}");
            match (objective.metric, metric) {
                (Metric::Quantile(a), Metric::Quantile(b)) => assert!(near(a, b), "{text}"),
                (a, b) => assert_eq!(a, b, "{text}"),
            }
        }
        for text in [
            "p99.9", "p101=1ms", "p99=1", "p99=1.2x", "rate=1ms", "q=1ms", "p99=-1ms",
        ] {
            assert!(text.parse::<Objective>().is_err(), "{text}");
        }
    }

    #[track_caller]
    fn check(condition: &str, before_us: u64, after_us: u64, failed: bool) {
        let condition: FailIf = condition.parse().unwrap();
        let figure = |us| {
            condition
                .metric()
                .of(report(&[us], 0).main_phase().unwrap())
        };
        let verdict = condition.judge(figure(before_us), figure(after_us));
        assert_eq!(verdict.failed, failed, "{verdict:?}");
    }

    #[test]
    fn conditions_are_judged() {
        check("p99 > 1.2x", 1_000, 1_100, false);
        check("p99 > 1.2x", 1_000, 1_300, true);
        check("p99 > 1ms", 100, 1_100, true);
        check("p99>1ms", 5_000, 900, false);
        check("rate < 0.9x", 1, 1, false);
        check("rate < 1000", 1, 1, true);
        check("failed > 0", 1, 1, false);
        for text in ["p99", "p99 > x", "p99 = 1.2x", "speed > 1x"] {
            assert!(text.parse::<FailIf>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_has_not_been_shown() {
        let condition: FailIf = "cpu > 1.2x".parse().unwrap();
        assert!(condition.judge(Some(20.0), None).failed);
        assert!(condition.judge(None, Some(20.0)).failed);
        assert!(!condition.judge(Some(20.0), Some(24.0)).failed);
    }
}
