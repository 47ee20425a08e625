//! Whether the evidence lets a new policy serve.
//!
//! The question is not whether it looks better but whether it could be worse: it may serve if the lower
//! bound of what it earns more than the champion is above minus the margin, and if the weights are
//! worth believing. Anything else is a refusal, and "we cannot tell" is one: the log says how many more
//! rows it would take.

use std::fmt;

use serde::Serialize;

use super::estimate::{deviation, mean};
use super::interval::Betting;
use super::records::{Counts, Evidence, Judged, Side};
use super::weights::{Guards, Short, Weights};
use crate::domain::vocabulary;

vocabulary! {
    /// What the evidence says.
    Outcome {
        /// It may serve.
        Pass = "pass",
        /// It earns less than the champion.
        NotBetter = "not_better",
        /// The log cannot tell.
        Inconclusive = "inconclusive",
    }
}

/// What the evidence must show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// How much less than the champion it may earn, as a share of what the champion does.
    pub margin: f64,
    /// The chance that a policy worse than that passes.
    pub alpha: f64,
    /// The largest part of its odds, on average, on offers that had no chance in the log.
    pub uncovered_max: f64,
    /// When weights are worth believing.
    pub guards: Guards,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule {
            margin: 0.05,
            alpha: 0.05,
            uncovered_max: 0.1,
            guards: Guards::default(),
        }
    }
}

/// What the log says of a new policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Whether it may serve.
    #[serde(serialize_with = "as_word")]
    pub outcome: Outcome,
    /// All slates.
    #[serde(flatten)]
    pub all: Comparison,
    /// The lower bound of the difference must be above minus this, in minor units.
    pub margin: f64,
    /// The bound, by betting.
    pub lower: f64,
    /// The weights of the new policy's slates.
    pub weights: Weights,
    /// The part of its odds on offers that had no chance in the log.
    pub uncovered: f64,
    /// What the weights lack.
    pub short: Vec<Short>,
    /// How many more slates it would take, if the log goes on as it is; absent where it passes, and
    /// where more of the same would not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_rows: Option<u64>,
    /// Phase by phase and placement by placement.
    pub groups: Vec<Group>,
    /// What became of the records.
    pub log: Counts,
}

/// Two policies on the same slates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Slates.
    pub rows: usize,
    /// Of these, how many earned something.
    pub conversions: u64,
    /// Effective slates.
    pub effective: f64,
    /// What a slate of the new policy earns, in minor units (doubly robust).
    pub new: f64,
    /// Of the champion.
    pub champion: f64,
    /// The first less the second.
    pub difference: f64,
    /// Of the difference.
    pub standard_error: f64,
}

/// The same at one placement in one phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Group {
    /// The phase.
    pub phase: &'static str,
    /// The placement.
    pub placement: String,
    /// What it says there.
    #[serde(flatten)]
    pub comparison: Comparison,
}

fn as_word<S: serde::Serializer>(outcome: &Outcome, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(outcome.as_str())
}

/// Any number does: the same log gives the same verdict.
const SEED: u64 = 1;

impl Rule {
    /// What is wrong with the settings, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let guards = &self.guards;
        let ranges = [
            ("margin", self.margin, 0.0, 1.0),
            ("alpha", self.alpha, 1e-6, 0.5),
            ("uncovered_max", self.uncovered_max, 0.0, 1.0),
            ("effective_min", guards.effective_min, 0.0, 1e9),
            ("effective_share_min", guards.effective_share_min, 0.0, 1.0),
            ("weight_share_max", guards.weight_share_max, 0.0, 1.0),
            (
                "mean_weight_errors_max",
                guards.mean_weight_errors_max,
                0.0,
                1e6,
            ),
        ];
        let wrong = |&(_, value, low, high): &(&str, f64, f64, f64)| !(low..=high).contains(&value);
        let (name, value, low, high) = ranges.into_iter().find(wrong)?;
        Some(format!("{name}: expected {low} to {high}, found {value}"))
    }

    /// What the evidence says.
    #[must_use]
    pub fn judge(&self, evidence: &Evidence) -> Verdict {
        let slates: Vec<&Judged> = evidence.slates.iter().collect();
        let all = Comparison::of(&slates);
        let differences: Vec<f64> = slates.iter().map(|s| s.difference()).collect();
        let floor = slates
            .iter()
            .map(|s| s.difference_min())
            .fold(0.0, f64::min);
        let betting = Betting {
            floor,
            alpha: self.alpha,
            seed: SEED,
        };
        let lower = betting.lower(&differences);
        let margin = self.margin * all.champion.max(0.0);
        let weights = Weights::of(slates.iter().map(|s| s.new.slate));
        let uncovered: Vec<f64> = slates.iter().map(|s| s.new.uncovered).collect();
        let uncovered = if slates.is_empty() {
            0.0
        } else {
            mean(&uncovered)
        };
        let short = self.short(&weights, uncovered, all.conversions);
        let worse = all.difference + NORMAL * all.standard_error < 0.0;
        let outcome = match (short.is_empty(), lower > -margin) {
            (true, true) => Outcome::Pass,
            (true, false) if worse => Outcome::NotBetter,
            _ => Outcome::Inconclusive,
        };
        Verdict {
            outcome,
            more_rows: match outcome {
                Outcome::Inconclusive => self.more_rows(&all, margin, lower, &short),
                Outcome::Pass | Outcome::NotBetter => None,
            },
            groups: groups(evidence),
            log: evidence.counts.clone(),
            all,
            margin,
            lower,
            weights,
            uncovered,
            short,
        }
    }

    fn short(&self, weights: &Weights, uncovered: f64, conversions: u64) -> Vec<Short> {
        // Where part of the odds is on offers that had no chance, only the rest can have a mean weight.
        let whole = Weights {
            mean: weights.mean + uncovered,
            ..*weights
        };
        let mut short = self.guards.judge(&whole, conversions);
        if uncovered > self.uncovered_max {
            short.push(Short::Uncovered {
                found: uncovered,
                allowed: self.uncovered_max,
            });
        }
        short
    }

    fn more_rows(&self, all: &Comparison, margin: f64, lower: f64, short: &[Short]) -> Option<u64> {
        let rows = all.rows as f64;
        let times = |needed: f64, found: f64| (found > 0.0).then_some(needed / found);
        let mut factor = 1.0_f64;
        for short in short {
            factor = factor.max(match *short {
                Short::EffectiveRows { found, .. } => times(self.guards.effective_min, found)?,
                Short::Conversions { found, needed } => times(needed as f64, found as f64)?,
                // Others do not go away with more of the same.
                _ => return None,
            });
        }
        if lower <= -margin {
            // The bound comes nearer with the square root of the rows.
            let (room, now) = (all.difference + margin, all.difference - lower);
            factor = factor.max((room > 0.0).then(|| (now / room).powi(2))?);
        }
        Some((rows * (factor - 1.0)).ceil() as u64)
    }
}

/// The normal distribution's 95th percentile.
const NORMAL: f64 = 1.644_853_626_951_472_2;

fn groups(evidence: &Evidence) -> Vec<Group> {
    let group = |(index, (phase, placement)): (usize, &(crate::domain::Phase, Box<str>))| {
        let slates: Vec<&Judged> = evidence
            .slates
            .iter()
            .filter(|s| s.group == index)
            .collect();
        Group {
            phase: phase.as_str(),
            placement: placement.to_string(),
            comparison: Comparison::of(&slates),
        }
    };
    evidence.groups.iter().enumerate().map(group).collect()
}

impl Comparison {
    fn of(slates: &[&Judged]) -> Comparison {
        if slates.is_empty() {
            return Comparison::default();
        }
        let values = |of: fn(&Judged) -> f64| slates.iter().map(|s| of(s)).collect::<Vec<_>>();
        let differences = values(Judged::difference);
        Comparison {
            rows: slates.len(),
            conversions: slates.iter().filter(|s| s.converted).count() as u64,
            effective: Weights::of(slates.iter().map(|s| s.new.slate)).effective,
            new: mean(&values(|s| s.value(&s.new, |r| r.2))),
            champion: mean(&values(|s| s.value(&s.champion, |r| r.3))),
            difference: mean(&differences),
            standard_error: deviation(&differences) / (slates.len() as f64).sqrt(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison {
            rows,
            conversions,
            new,
            champion,
            ..
        } = self.all;
        write!(
            f,
            "{}: over {rows} slates with {conversions} conversions it earns {new:.2} a slate and the live one \
             {champion:.2}; the lower bound of the difference is {:.2}, needed above {:.2}",
            self.outcome,
            self.lower,
            0.0 - self.margin
        )?;
        for short in &self.short {
            write!(f, "; {short}")?;
        }
        match self.more_rows {
            Some(more) => write!(f, "; about {more} more slates would tell"),
            None => Ok(()),
        }
    }
}

impl Judged {
    /// Doubly robust at the first rank; the cascade's weights at the others.
    fn value(&self, side: &Side, weight: fn(&(f64, f64, f64, f64)) -> f64) -> f64 {
        let rest: f64 = self.rest.iter().map(|r| weight(r) * r.0).sum();
        side.expected + side.first * (self.reward - self.believed) + rest
    }

    fn difference(&self) -> f64 {
        self.value(&self.new, |r| r.2) - self.value(&self.champion, |r| r.3)
    }

    /// The least that the difference could have been, whatever the slate had earned.
    fn difference_min(&self) -> f64 {
        let (new, champion) = (&self.new, &self.champion);
        let first = (new.first - champion.first)
            * if new.first < champion.first {
                self.worth - self.believed
            } else {
                -self.believed
            };
        let rest = |&(_, worth, n, c): &(f64, f64, f64, f64)| ((n - c) * worth).min(0.0);
        new.expected - champion.expected + first + self.rest.iter().map(rest).sum::<f64>()
    }
}
