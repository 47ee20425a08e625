//! Policies compared over several worlds.
//!
//! Worlds differ from each other more than policies do, so policies are compared within each world and
//! the differences are averaged: the interval of a difference is a paired one. Two threads at most share the
//! worlds, and what comes out does not depend on which played what.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::customers::Customers;
use super::labels::Labels;
use super::learner::Base;
use super::play::{AFTER, BINS, Earned, Played, play};
use super::policy::Policy;
use super::pushed::Pushed;
use super::world::{Setup, World};

/// What is to be played.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// How each world is made.
    pub setup: Setup,
    /// How many worlds; world `i` has the seed `seed + i`.
    pub worlds: u32,
    /// The seed of the first.
    pub seed: u64,
    /// Who plays; the others are compared with the first.
    pub policies: Vec<Policy>,
    /// What learners are told, and when.
    pub labels: Labels,
    /// Whether learners start from a pushed model, or from one prior for everything.
    pub pushed: bool,
    /// How many worlds are played at the same time, 1 or 2.
    pub threads: usize,
}

/// A mean over worlds and where it lies with a confidence of 95 % (Student's t over the worlds).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// What became of one policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Its name.
    pub policy: String,
    /// Its explorer with its figures, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub explorer: Option<String>,
    /// Whether it learns.
    pub learns: bool,
    /// Value over the oracle's.
    pub share: Interval,
    /// The same minus the first policy's, paired; none of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_first: Option<Interval>,
    /// Value over the oracle's in each world.
    pub worlds: Vec<f64>,
    /// The same by thirds of the time: before, during and after the season.
    pub thirds: [f64; 3],
    /// Value over the oracle's right after the season begins, and the same minus the first policy's.
    pub season: [After; 2],
    /// And right after the new offers start.
    pub start: [After; 2],
    /// Effective rows that its log has for judging another policy, as a share of its rows.
    pub effective_share: f64,
    /// Root mean square of the relative error of that judgement.
    pub estimate_error: f64,
    /// What it earned less than the oracle up to each hundredth of the time, in currency units, mean over worlds.
    pub regret: Vec<f64>,
}

/// Value over the oracle's in the first decisions after a change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct After {
    /// How many decisions.
    pub decisions: usize,
    /// Value over the oracle's.
    pub share: Interval,
    /// The same minus the first policy's, paired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_first: Option<Interval>,
}

/// Everything that came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Study {
    /// How many offers each world has.
    pub offers: usize,
    /// How many decisions, in the mean over worlds.
    pub decisions: f64,
    /// How many days a world lasts.
    pub days: f64,
    /// The seed of the first world.
    pub seed: u64,
    /// What learners are told.
    pub labels: String,
    /// What learners start from: `prior` or `model`.
    pub base: &'static str,
    /// One entry per policy, in the order asked.
    pub policies: Vec<Comparison>,
}

/// Told whenever a policy has played a world.
pub type Progress<'a> = &'a (dyn Fn() + Sync);

/// Plays everything.
#[must_use]
pub fn study(plan: &Plan, customers: &Customers, progress: Progress<'_>) -> Study {
    let worlds = plan.worlds as usize;
    let next = AtomicUsize::new(0);
    let played: Mutex<Vec<Option<Lived>>> = Mutex::new(vec![None; worlds]);
    thread::scope(|scope| {
        for _ in 0..plan.threads.clamp(1, 2) {
            scope.spawn(|| {
                loop {
                    let world = next.fetch_add(1, Ordering::Relaxed);
                    if world >= worlds {
                        return;
                    }
                    let lived = live(plan, customers, world as u64, progress);
                    played.lock().expect("no player panics")[world] = Some(lived);
                }
            });
        }
    });
    let played = played.into_inner().expect("no player panics");
    let played = played
        .into_iter()
        .map(|lived| lived.expect("every world was played"));
    summary(plan, &played.collect::<Vec<Lived>>())
}

/// One world, played by every policy.
#[derive(Clone, Debug)]
struct Lived {
    decisions: usize,
    played: Vec<Played>,
}

fn live(plan: &Plan, customers: &Customers, world: u64, progress: Progress<'_>) -> Lived {
    let world = World::new(plan.seed.wrapping_add(world), customers, &plan.setup);
    let needed = plan.pushed || plan.policies.iter().any(|p| matches!(p, Policy::Model(_)));
    let pushed = match needed {
        true => Base::Pushed(Pushed::train(&world, customers)),
        false => Base::Prior,
    };
    let base = if plan.pushed { &pushed } else { &Base::Prior };
    let play_one = |policy: &Policy| {
        let played = play(&world, customers, *policy, plan.labels, (base, &pushed));
        progress();
        played
    };
    Lived {
        decisions: world.looks.len(),
        played: plan.policies.iter().map(play_one).collect(),
    }
}

fn summary(plan: &Plan, worlds: &[Lived]) -> Study {
    let decisions = worlds.iter().map(|w| w.decisions as f64).sum::<f64>();
    let compared = |(i, policy): (usize, &Policy)| {
        let of = |i: usize| -> Vec<&Played> { worlds.iter().map(|w| &w.played[i]).collect() };
        compare(policy, &of(i), (i > 0).then(|| of(0)).as_deref())
    };
    Study {
        offers: plan.setup.offers,
        decisions: decisions / worlds.len() as f64,
        days: f64::from(plan.setup.decisions) / plan.setup.per_day,
        seed: plan.seed,
        labels: plan.labels.to_string(),
        base: if plan.pushed { "model" } else { "prior" },
        policies: plan.policies.iter().enumerate().map(compared).collect(),
    }
}

fn compare(policy: &Policy, played: &[&Played], first: Option<&[&Played]>) -> Comparison {
    let figure = |of: &dyn Fn(&Played) -> f64| -> (Interval, Option<Interval>) {
        let values: Vec<f64> = played.iter().map(|p| of(p)).collect();
        let difference = |first: &[&Played]| {
            let less: Vec<f64> = values.iter().zip(first).map(|(v, f)| v - of(f)).collect();
            Interval::over(&less)
        };
        (Interval::over(&values), first.map(difference))
    };
    let after = |of: &dyn Fn(&Played) -> [Earned; 2]| {
        [0, 1].map(|n| {
            let (share, over_first) = figure(&|p| of(p)[n].share());
            After {
                decisions: AFTER[n],
                share,
                over_first,
            }
        })
    };
    let third = |n: usize| {
        let of = |p: &Played| {
            let bins = &p.bins[n * BINS / 3..(n + 1) * BINS / 3];
            let earned = bins.iter().fold(Earned::default(), |a, b| Earned {
                value: a.value + b.value,
                best: a.best + b.best,
            });
            earned.share()
        };
        figure(&of).0.mean
    };
    let n = played.len() as f64;
    let errors = played.iter().map(|p| p.estimate_error.powi(2));
    let (share, over_first) = figure(&|p| p.all.share());
    Comparison {
        policy: policy.to_string(),
        explorer: policy.explorer().map(|explorer| explorer.to_string()),
        learns: policy.learns(),
        share,
        over_first,
        worlds: played.iter().map(|p| p.all.share()).collect(),
        thirds: [third(0), third(1), third(2)],
        season: after(&|p| p.season),
        start: after(&|p| p.start),
        effective_share: figure(&|p| p.effective_share).0.mean,
        estimate_error: (errors.sum::<f64>() / n).sqrt(),
        regret: regret(played),
    }
}

/// Cumulated over the bins, in currency units.
fn regret(played: &[&Played]) -> Vec<f64> {
    let mut sum = 0.0;
    let at = |bin: usize| {
        let lost = played.iter().map(|p| p.bins[bin].best - p.bins[bin].value);
        sum += lost.sum::<f64>() / played.len() as f64 / 100.0;
        sum
    };
    (0..BINS).map(at).collect()
}

impl Interval {
    /// Of a mean of independent values; one value says nothing of its own error, and gets no width.
    #[must_use]
    pub fn over(values: &[f64]) -> Interval {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let half = match values.len() {
            0 | 1 => 0.0,
            count => student(count - 1) * (squares / (n - 1.0) / n).sqrt(),
        };
        Interval {
            mean,
            low: mean - half,
            high: mean + half,
        }
    }
}

/// The 97.5 % point of Student's t with so many degrees of freedom, at least 1: from a table where there are few,
/// by the first terms of the expansion around the normal (Fisher and Cornish 1960) from there on.
fn student(degrees: usize) -> f64 {
    const EXACT: [f64; 6] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447];
    const NORMAL: f64 = 1.959_964;
    let n = degrees as f64;
    let expansion = || {
        NORMAL
            + (NORMAL.powi(3) + NORMAL) / (4.0 * n)
            + (5.0 * NORMAL.powi(5) + 16.0 * NORMAL.powi(3) + 3.0 * NORMAL) / (96.0 * n * n)
    };
    EXACT.get(degrees - 1).copied().unwrap_or_else(expansion)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_t_is_that_of_the_tables() {
        for (degrees, t) in [
            (1, 12.706),
            (7, 2.365),
            (10, 2.228),
            (30, 2.042),
            (1000, 1.962),
        ] {
            assert!(
                (student(degrees) - t).abs() < 0.01,
                "{degrees}: {}",
                student(degrees)
            );
        }
    }

    #[test]
    fn an_interval_is_a_mean_and_its_error() {
        let found = Interval::over(&[0.8, 0.9, 1.0]);
        // Deviation 0.1, over the root of 3, times 4.303.
        let half = 0.1 / 3f64.sqrt() * 4.303;
        assert!((found.mean - 0.9).abs() < 1e-12);
        assert!((found.high - 0.9 - half).abs() < 1e-12 && (0.9 - found.low - half).abs() < 1e-12);
        assert_eq!(Interval::over(&[0.5]).low, 0.5);
    }
}
