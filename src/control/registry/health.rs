//! Is a new version worse than what it replaces? A pure function of what was counted.
//!
//! It is asked again every second while a version is new, so each bound lies far beyond what chance
//! does once: `z_min` is 4 where a single look would take 2. It errs towards keeping a version, since
//! people watch too; what it takes back, it takes back for a reason that can be said in one line.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::drift::{Drifted, REFERENCE_ROWS_MAX};
use crate::telemetry::tally::{Beliefs, Counts};

/// When a new version is taken back without anybody asking; a part of the section `[models]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// For how many seconds a version that became live or canary is new; 0 takes nothing back.
    pub watch_s: u32,
    /// Decisions before failures say anything.
    pub failed_decisions_min: u64,
    /// The share of decisions in which the model may fail, 0 to 1.
    pub failed_share_max: f64,
    /// Decisions, of both versions, before latency or reward say anything.
    pub decisions_min: u64,
    /// How many times the champion's 99th percentile of decision time is too much.
    pub latency_ratio_max: f64,
    /// ... where it is above so many microseconds at all.
    pub latency_floor_us: u32,
    /// Conversions, predicted or observed, before calibration says anything.
    pub calibration_events_min: f64,
    /// How far observed and predicted conversions may be apart, as a ratio either way.
    pub calibration_ratio_max: f64,
    /// Conversions come late: seconds before too few of them say anything of a version that does not
    /// run beside its champion.
    pub calibration_delay_s: u32,
    /// Conversions of both versions together before reward says anything.
    pub reward_conversions_min: i64,
    /// Customers before drift says anything, 100 to 2000; 0 looks for none.
    pub drift_rows_min: u64,
    /// The population stability index of an input from which on somebody should look, 0 to 100.
    pub drift_watch: f64,
    /// ... from which on a new version is taken back, 0 to 100.
    pub drift_alarm: f64,
    /// Standard errors that count as certain.
    pub z_min: f64,
}

impl Default for Guardrails {
    fn default() -> Guardrails {
        Guardrails {
            watch_s: 3_600,
            failed_decisions_min: 100,
            failed_share_max: 0.01,
            decisions_min: 1_000,
            latency_ratio_max: 3.0,
            latency_floor_us: 1_000,
            calibration_events_min: 50.0,
            calibration_ratio_max: 2.0,
            calibration_delay_s: 1_800,
            reward_conversions_min: 50,
            drift_rows_min: 1_000,
            drift_watch: 0.1,
            drift_alarm: 0.25,
            z_min: 4.0,
        }
    }
}

/// Fewer customers say nothing of shares, and more are not kept of a reference.
const DRIFT_ROWS: std::ops::RangeInclusive<u64> = 100..=REFERENCE_ROWS_MAX as u64;

impl Guardrails {
    /// What is wrong with the settings, if anything.
    pub(super) fn check(&self) -> Option<String> {
        let ranges = [
            ("failed_share_max", self.failed_share_max, 0.0, 1.0),
            ("latency_ratio_max", self.latency_ratio_max, 1.0, 1e6),
            (
                "calibration_events_min",
                self.calibration_events_min,
                1.0,
                1e9,
            ),
            (
                "calibration_ratio_max",
                self.calibration_ratio_max,
                1.0,
                1e6,
            ),
            ("drift_watch", self.drift_watch, 0.0, 100.0),
            ("drift_alarm", self.drift_alarm, self.drift_watch, 100.0),
            ("z_min", self.z_min, 1.0, 100.0),
        ];
        let wrong = |&(_, value, low, high): &(&str, f64, f64, f64)| !(low..=high).contains(&value);
        let rows = self.drift_rows_min;
        if rows != 0 && !DRIFT_ROWS.contains(&rows) {
            let (low, high) = (DRIFT_ROWS.start(), DRIFT_ROWS.end());
            return Some(format!(
                "drift_rows_min: expected 0 or {low} to {high}, found {rows}"
            ));
        }
        let (name, value, low, high) = ranges.into_iter().find(wrong)?;
        Some(format!("{name}: expected {low} to {high}, found {value}"))
    }
}

/// What is known about a new version.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// What it did since it is new.
    pub newcomer: &'a Counts,
    /// What the version did that it replaces, or runs beside.
    pub champion: &'a Counts,
    /// Both counted over the same time, on customers chosen by a hash.
    pub side_by_side: bool,
    /// For how long it has been new.
    pub age_s: u64,
    /// The input, if any, of which it is told other things than what it was judged on.
    pub drifted: Option<&'a Drifted>,
}

/// Why a version is taken back.
#[derive(Clone, Debug, PartialEq)]
pub enum Breach {
    /// It fails.
    Failures {
        /// Decisions in which it did.
        failures: u64,
        /// Of so many.
        decisions: u64,
    },
    /// It is slow.
    Latency {
        /// Its 99th percentile.
        newcomer: Duration,
        /// The champion's.
        champion: Duration,
    },
    /// It believes in more or fewer conversions than there are.
    Calibration {
        /// Conversions there were.
        observed: i64,
        /// Conversions there should have been.
        expected: f64,
    },
    /// It earns less.
    Reward {
        /// Minor units a decision.
        newcomer: f64,
        /// The champion's.
        champion: f64,
        /// Standard errors between them.
        z: f64,
    },
    /// It is asked other things than what it was judged on.
    Drift(Drifted),
}

/// The first guardrail that a new version breaks; `None` while there is none, or too little is known.
#[must_use]
pub fn judge(evidence: Evidence<'_>, rails: &Guardrails) -> Option<Breach> {
    failures(evidence, rails)
        .or_else(|| latency(evidence, rails))
        .or_else(|| calibration(evidence, rails))
        .or_else(|| reward(evidence, rails))
        .or_else(|| evidence.drifted.cloned().map(Breach::Drift))
}

fn failures(evidence: Evidence<'_>, rails: &Guardrails) -> Option<Breach> {
    let Counts {
        failures,
        decisions,
        ..
    } = *evidence.newcomer;
    let share = |c: &Counts| c.failures as f64 / c.decisions.max(1) as f64;
    let enough = decisions >= rails.failed_decisions_min;
    let worse = share(evidence.newcomer) > rails.failed_share_max.max(share(evidence.champion));
    (enough && worse).then_some(Breach::Failures {
        failures,
        decisions,
    })
}

fn latency(evidence: Evidence<'_>, rails: &Guardrails) -> Option<Breach> {
    if !both_decided(evidence, rails) {
        return None;
    }
    let (newcomer, champion) = (evidence.newcomer.p99()?, evidence.champion.p99()?);
    let slow = newcomer > Duration::from_micros(rails.latency_floor_us.into());
    let slower = newcomer.as_secs_f64() > champion.as_secs_f64() * rails.latency_ratio_max;
    (slow && slower).then_some(Breach::Latency { newcomer, champion })
}

/// The model's own probabilities and those that were believed after what has been learnt over it must both
/// be off, the same way. The layers are there to correct a level, so one that they have corrected is no
/// reason to take a version back; and while its conversions are still to come they believe too little, which is no
/// fault of the version either.
fn calibration(evidence: Evidence<'_>, rails: &Guardrails) -> Option<Breach> {
    let found = miscalibrated(evidence, |counts| counts.believed, rails)?;
    let own = miscalibrated(evidence, |counts| counts.predicted, rails)?;
    let over = |breach: &Breach| match breach {
        Breach::Calibration { observed, expected } => *observed as f64 > *expected,
        _ => false,
    };
    (over(&found) == over(&own)).then_some(found)
}

/// A z-test of the number of conversions against its expectation and variance under those beliefs (a sum of
/// independent Bernoulli variables). Conversions come late or, on some sites, not at all, so "too few" is judged by
/// what the champion's beliefs came to, where that is known.
fn miscalibrated(
    evidence: Evidence<'_>,
    beliefs: impl Fn(&Counts) -> Beliefs,
    rails: &Guardrails,
) -> Option<Breach> {
    let newcomer = evidence.newcomer;
    let observed = newcomer.conversions as f64;
    let far = |expected: f64, variance: f64| {
        let enough = expected.max(observed) >= rails.calibration_events_min;
        let z = (observed - expected).abs() / variance.max(f64::MIN_POSITIVE).sqrt();
        let ratio = observed.max(1e-9) / expected.max(1e-9);
        let apart = ratio.max(1.0 / ratio) > rails.calibration_ratio_max;
        enough && apart && z > rails.z_min
    };
    let breach = |expected| Breach::Calibration {
        observed: newcomer.conversions,
        expected,
    };
    let Beliefs { expected, variance } = beliefs(newcomer);
    if observed > expected {
        return far(expected, variance).then(|| breach(expected));
    }
    let champion = evidence.champion;
    let known = champion.conversions as f64 >= rails.calibration_events_min;
    let in_time = evidence.side_by_side || evidence.age_s >= rails.calibration_delay_s.into();
    if !known || !in_time {
        return None;
    }
    // The champion's own ratio is uncertain too: its conversions' Poisson variance goes in.
    let arrived = champion.conversions as f64 / beliefs(champion).expected.max(1e-9);
    let expected = expected * arrived;
    let variance = variance * arrived + expected.powi(2) / champion.conversions as f64;
    (observed < expected && far(expected, variance)).then(|| breach(expected))
}

/// Welch's test of the value of a decision, canary against champion. A decision is taken to have at
/// most one conversion, so the sum of squares of the events is that of the decisions.
fn reward(evidence: Evidence<'_>, rails: &Guardrails) -> Option<Breach> {
    let (a, b) = (evidence.newcomer, evidence.champion);
    let conversions = a.conversions + b.conversions >= rails.reward_conversions_min;
    if !evidence.side_by_side || !both_decided(evidence, rails) || !conversions {
        return None;
    }
    let mean = |c: &Counts| c.value as f64 / c.decisions as f64;
    let error = |c: &Counts| {
        let n = c.decisions as f64;
        (c.value_squares / n - mean(c).powi(2)).max(0.0) / n
    };
    let spread = (error(a) + error(b)).sqrt();
    let z = (mean(a) - mean(b)) / spread.max(f64::MIN_POSITIVE);
    (z < -rails.z_min).then_some(Breach::Reward {
        newcomer: mean(a),
        champion: mean(b),
        z,
    })
}

fn both_decided(evidence: Evidence<'_>, rails: &Guardrails) -> bool {
    evidence.newcomer.decisions.min(evidence.champion.decisions) >= rails.decisions_min.max(1)
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Failures {
                failures,
                decisions,
            } => write!(f, "the model failed in {failures} of {decisions} decisions"),
            Breach::Latency { newcomer, champion } => write!(
                f,
                "99 % of decisions take up to {} us, the champion's {} us",
                newcomer.as_micros(),
                champion.as_micros()
            ),
            Breach::Calibration { observed, expected } => write!(
                f,
                "{observed} conversions where {expected:.1} were to be expected"
            ),
            Breach::Reward {
                newcomer,
                champion,
                z,
            } => write!(
                f,
                "a decision earns {newcomer:.3} minor units, the champion's {champion:.3} (z = {z:.1})"
            ),
            Breach::Drift(Drifted { feature, psi }) => write!(
                f,
                "{feature} is not what it was before the version got its stage (population stability index {psi:.2})"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(decisions: u64, us: u64) -> Counts {
        let counts = Counts {
            decisions,
            choices: decisions,
            predicted: beliefs(decisions, 0.05),
            believed: beliefs(decisions, 0.05),
            ..Counts::default()
        };
        counts.with_durations(Duration::from_micros(us), decisions)
    }

    fn beliefs(decisions: u64, p: f64) -> Beliefs {
        Beliefs {
            expected: decisions as f64 * p,
            variance: decisions as f64 * p * (1.0 - p),
        }
    }

    fn sold(conversions: i64, value_each: i64, counts: Counts) -> Counts {
        Counts {
            conversions,
            value: conversions * value_each,
            value_squares: conversions as f64 * (value_each as f64).powi(2),
            ..counts
        }
    }

    #[track_caller]
    fn check(newcomer: Counts, champion: Counts, side_by_side: bool, age_s: u64, expected: &str) {
        let evidence = Evidence {
            newcomer: &newcomer,
            champion: &champion,
            side_by_side,
            age_s,
            drifted: None,
        };
        let found = judge(evidence, &Guardrails::default());
        let word = match found {
            None => "fine",
            Some(Breach::Failures { .. }) => "failures",
            Some(Breach::Latency { .. }) => "latency",
            Some(Breach::Calibration { .. }) => "calibration",
            Some(Breach::Reward { .. }) => "reward",
            Some(Breach::Drift(_)) => "drift",
        };
        assert_eq!(word, expected, "{found:?}");
    }

    #[test]
    fn a_version_that_fails_is_taken_back_early() {
        let failing = |failures, n| Counts {
            failures,
            ..counts(n, 50)
        };
        check(failing(2, 100), counts(0, 0), false, 1, "failures");
        check(failing(1, 100), counts(0, 0), false, 1, "fine");
        check(failing(50, 99), counts(0, 0), false, 1, "fine");
        // Whatever makes the champion fail as much is not the newcomer's doing.
        check(failing(20, 100), failing(300, 1_000), false, 1, "fine");
    }

    #[test]
    fn slow_is_slower_than_the_champion_and_slow() {
        check(
            counts(1_000, 4_000),
            counts(1_000, 500),
            false,
            1,
            "latency",
        );
        check(counts(1_000, 4_000), counts(1_000, 2_000), false, 1, "fine");
        check(counts(1_000, 400), counts(1_000, 20), false, 1, "fine");
        check(counts(999, 4_000), counts(1_000, 500), false, 1, "fine");
        check(counts(1_000, 4_000), counts(0, 0), false, 1, "fine");
    }

    #[test]
    fn beliefs_are_held_against_what_happened() {
        // 500 are predicted of 10,000.
        let with = |n| sold(n, 0, counts(10_000, 50));
        check(with(1_500), with(0), false, 1, "calibration");
        check(with(900), with(500), false, 1, "fine");
        // Too few: not without a champion that had some, and not before they can have come.
        check(with(100), with(0), false, 100_000, "fine");
        check(with(100), with(480), false, 60, "fine");
        check(with(100), with(480), false, 3_600, "calibration");
        check(with(100), with(480), true, 60, "calibration");
        check(with(100), with(120), true, 60, "fine");
        check(sold(3, 0, counts(100, 50)), with(480), true, 60, "fine");
    }

    /// What is learnt over a model neither excuses one that is off in every way nor accuses one that is right.
    #[test]
    fn layers_are_no_fault_of_the_version() {
        let with = |own, believed, conversions| Counts {
            predicted: beliefs(10_000, own),
            believed: beliefs(10_000, believed),
            ..sold(conversions, 0, counts(10_000, 50))
        };
        let champion = || with(0.05, 0.05, 500);
        // Level with what happens: by the layers, or by itself while the layers still wait for conversions.
        check(with(0.15, 0.05, 500), champion(), true, 60, "fine");
        check(with(0.05, 0.015, 500), champion(), true, 60, "fine");
        // Off in opposite directions: the layers overshoot, which is theirs to mend.
        check(with(0.15, 0.01, 500), champion(), true, 60, "fine");
        check(with(0.15, 0.12, 500), champion(), true, 60, "calibration");
        check(with(0.01, 0.02, 500), champion(), true, 60, "calibration");
    }

    #[test]
    fn earning_less_takes_certainty() {
        let earning = |n, each| sold(n, each, counts(10_000, 50));
        check(earning(450, 400), earning(450, 1_000), true, 60, "reward");
        check(earning(450, 1_000), earning(450, 1_000), true, 60, "fine");
        check(earning(430, 1_000), earning(470, 1_000), true, 60, "fine");
        // One after the other, other days may explain it.
        check(earning(450, 400), earning(450, 1_000), false, 60, "fine");
        let few = |n, each| sold(n, each, counts(600, 50));
        check(few(20, 1), few(25, 1_000), true, 60, "fine");
    }
}
