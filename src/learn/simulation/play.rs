//! One policy in one world, from the first look to the last.
//!
//! What is counted is not what happened to be sold but what is sold in expectation, over the draw and over
//! the customer: the odds times the true values. Two policies in one world differ by what they know and
//! not by luck, and a few worlds are enough to tell them apart.

use super::customers::Customers;
use super::labels::{self, Labels, Lesson, Post};
use super::learner::{Base, Learner, features};
use super::policy::Policy;
use super::visits::Look;
use super::visits::SEEN;
use super::world::{SEASON, STARTS, World};
use crate::decide::explore::{Arms, Explorer};
use crate::learn::Dice;
use crate::learn::ope::Weights;
use crate::model::online::{Belief, Context, sigmoid};

/// What was earned, and what could have been.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Earned {
    /// By the policy, in cents, expected.
    pub value: f64,
    /// By the oracle.
    pub best: f64,
}

impl Earned {
    fn add(&mut self, value: f64, best: f64) {
        self.value += value;
        self.best += best;
    }

    /// Value over oracle; 0 where nothing could be earned.
    #[must_use]
    pub fn share(&self) -> f64 {
        if self.best > 0.0 {
            self.value / self.best
        } else {
            0.0
        }
    }
}

/// Points of the regret curve.
pub const BINS: usize = 100;
/// What counts as just after a change, in decisions: the question of the issue, and two days of the default world.
pub const AFTER: [usize; 2] = [2_000, 20_000];

/// What became of a policy in a world.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    /// All of it.
    pub all: Earned,
    /// By hundredths of the world's time.
    pub bins: Vec<Earned>,
    /// Right after the season begins, for each of [`AFTER`].
    pub season: [Earned; 2],
    /// Right after the new offers start.
    pub start: [Earned; 2],
    /// How many rows of equal weight an evaluation of another policy would rest on, as a share of the
    /// rows: the last quarter of the log, the other policy shows the best by a fixed guess 9 times of 10.
    pub effective_share: f64,
    /// How far the self-normalised estimate of that policy's value was off, relatively.
    pub estimate_error: f64,
}

/// Plays a policy. `pushed` is what [`Policy::Model`] believes, `base` what the learner starts from.
#[must_use]
pub fn play(
    world: &World,
    customers: &Customers,
    policy: Policy,
    labels: Labels,
    (base, pushed): (&Base, &Base),
) -> Played {
    let mut player = Player::new(world, customers, policy, (base, pushed));
    let mut post = Post::default();
    let mut shown: Vec<u16> = Vec::with_capacity(world.looks.len());
    let mut tally = Tally::new(world);
    for (showing, look) in (0_u32..).zip(&world.looks) {
        while let Some((of, lesson)) = post.next(look.at_ms) {
            player.told(of, shown[of as usize], lesson);
        }
        player.decide(look);
        let mut dice = Dice::new(look.seed);
        let chosen = pick(dice.unit(), &player.odds);
        let offer = player.candidates[chosen];
        shown.push(u16::try_from(offer).expect("a world has at most 1,000 offers"));
        let seen = dice.chance(SEEN[look.phase as usize]);
        let converts = dice.chance(world.probability(customers, look, offer));
        let delay_ms = labels::delay_ms(&mut dice);
        let earned = f64::from(u8::from(converts)) * world.offers[offer].margin;
        tally.count(look, &player, (chosen, earned));
        if seen {
            post.send(labels, look.at_ms, showing, converts.then_some(delay_ms));
        }
    }
    tally.finish()
}

/// The candidate that `u` in [0, 1) falls on.
fn pick(u: f64, odds: &[f64]) -> usize {
    let mut below = 0.0;
    let drawn = odds.iter().position(|p| {
        below += p;
        u < below
    });
    // Rounding may leave a hair above the sum: it is the last possible one's.
    let last = || odds.iter().rposition(|p| *p > 0.0);
    drawn.or_else(last).expect("odds sum to 1")
}

/// A policy at work, with its buffers.
struct Player<'w> {
    world: &'w World,
    customers: &'w Customers,
    policy: Policy,
    pushed: &'w Base,
    learner: Learner<'w>,
    x: Context,
    beliefs: Vec<Belief>,
    scores: Vec<f64>,
    probabilities: Vec<f64>,
    spreads: Vec<f64>,
    /// The offers that may be shown at this look.
    candidates: Vec<usize>,
    /// What showing each is truly worth, in cents.
    values: Vec<f64>,
    odds: Vec<f64>,
}

impl<'w> Player<'w> {
    fn new(
        world: &'w World,
        customers: &'w Customers,
        policy: Policy,
        (base, pushed): (&'w Base, &'w Base),
    ) -> Player<'w> {
        Player {
            world,
            customers,
            policy,
            pushed,
            learner: Learner::new(world, customers, base),
            x: Context::default(),
            beliefs: Vec::new(),
            scores: Vec::new(),
            probabilities: Vec::new(),
            spreads: Vec::new(),
            candidates: Vec::new(),
            values: Vec::new(),
            odds: Vec::new(),
        }
    }

    fn told(&mut self, showing: u32, offer: u16, lesson: Lesson) {
        if let Policy::Learning(_) = self.policy {
            let look = &self.world.looks[showing as usize];
            self.x.fill(|x| features(self.customers, look, x));
            let number = u64::from(showing) + 1;
            let offer = usize::from(offer);
            match lesson {
                Lesson::Failure => self.learner.learn(number, &self.x, offer, false),
                Lesson::Success => self.learner.learn(number, &self.x, offer, true),
                Lesson::Flip => self.learner.flip(number, &self.x, offer),
            }
        }
    }

    /// Fills `candidates`, `values` and `odds`.
    fn decide(&mut self, look: &Look) {
        let world = self.world;
        let running = (0..world.offers.len()).filter(|&offer| world.runs(offer, look.at_ms));
        self.candidates.clear();
        self.candidates.extend(running);
        let worth = |&offer: &usize| {
            world.probability(self.customers, look, offer) * world.offers[offer].margin
        };
        self.values.clear();
        self.values.extend(self.candidates.iter().map(worth));
        self.odds.clear();
        self.odds.resize(self.candidates.len(), 0.0);
        match self.policy {
            Policy::Oracle => self.explore(Explorer::Deterministic { floor: 0.0 }, |player| {
                player.scores.extend_from_slice(&player.values);
            }),
            Policy::Uniform => self.explore(Explorer::Uniform, |player| {
                player.scores.resize(player.candidates.len(), 0.0);
            }),
            Policy::Model(explorer) => self.explore(explorer, |player| {
                player.x.fill(|x| features(player.customers, look, x));
                for &offer in &player.candidates {
                    let z = player.pushed.logit(world, offer, &player.x);
                    player.probabilities.push(sigmoid(z));
                    player.scores.push(sigmoid(z) * world.offers[offer].margin);
                }
            }),
            Policy::Learning(explorer) => {
                self.learner.pass(look.at_ms);
                self.explore(explorer, |player| {
                    player.x.fill(|x| features(player.customers, look, x));
                    let (x, candidates) = (&player.x, &player.candidates);
                    player.learner.believe(x, candidates, &mut player.beliefs);
                    for (belief, &offer) in player.beliefs.iter().zip(&player.candidates) {
                        let margin = world.offers[offer].margin;
                        player.scores.push(belief.probability() * margin);
                        player.probabilities.push(belief.probability());
                        player.spreads.push(belief.spread());
                    }
                });
            }
        }
    }

    /// Lets an explorer make odds of the scores, and the spreads if any, that `fill` gives.
    fn explore(&mut self, explorer: Explorer, fill: impl FnOnce(&mut Self)) {
        self.scores.clear();
        self.probabilities.clear();
        self.spreads.clear();
        fill(self);
        self.spreads.resize(self.scores.len(), 0.0);
        self.probabilities.resize(self.scores.len(), 0.0);
        let arms = Arms {
            scores: &self.scores,
            probabilities: &self.probabilities,
            spreads: &self.spreads,
        };
        explorer.fill(&arms, &mut self.odds);
    }
}

/// What a world has come to so far.
struct Tally<'w> {
    world: &'w World,
    all: Earned,
    bins: Vec<Earned>,
    season: [Earned; 2],
    start: [Earned; 2],
    /// Decisions since each change.
    since: [usize; 2],
    weights: Vec<f64>,
    /// Weight times what was earned, and the judged policy's true value.
    weighted: f64,
    judged: f64,
}

/// The judged policy is its favourite with this probability, and anything else in equal parts.
const FAVOURITE: f64 = 0.9;
/// From where in the world's time the log is judged.
const JUDGED_FROM: f64 = 0.75;

impl<'w> Tally<'w> {
    fn new(world: &'w World) -> Tally<'w> {
        Tally {
            world,
            all: Earned::default(),
            bins: vec![Earned::default(); BINS],
            season: [Earned::default(); 2],
            start: [Earned::default(); 2],
            since: [0; 2],
            weights: Vec::new(),
            weighted: 0.0,
            judged: 0.0,
        }
    }

    fn count(&mut self, look: &Look, player: &Player<'_>, drawn: (usize, f64)) {
        let Player { values, odds, .. } = player;
        let value: f64 = odds.iter().zip(values).map(|(p, v)| p * v).sum();
        let best = values.iter().copied().fold(0.0, f64::max);
        let share = self.world.share(look.at_ms);
        self.all.add(value, best);
        let bin = (share * BINS as f64) as usize;
        self.bins[bin.min(BINS - 1)].add(value, best);
        let changes = [(SEASON.0, &mut self.season), (STARTS, &mut self.start)];
        for ((from, earned), since) in changes.into_iter().zip(&mut self.since) {
            if share >= from {
                *since += 1;
                let within = earned.iter_mut().zip(AFTER).filter(|(_, n)| *since <= *n);
                within.for_each(|(earned, _)| earned.add(value, best));
            }
        }
        if share >= JUDGED_FROM {
            self.judge(look, player, drawn);
        }
    }

    /// Weighs the row for a policy whose favourites are those of somebody who knows rates, and customers by half.
    fn judge(&mut self, look: &Look, player: &Player<'_>, (chosen, earned): (usize, f64)) {
        let Player {
            values,
            odds,
            candidates,
            ..
        } = player;
        let guess = |&offer: &usize| {
            let known = &self.world.offers[offer];
            let appetite = player.customers.appetites[look.customer as usize][known.line];
            known.rate * known.margin * appetite.sqrt()
        };
        let guesses: Vec<f64> = candidates.iter().map(guess).collect();
        let ahead = |a: usize, b: usize| if guesses[b] > guesses[a] { b } else { a };
        let favourite = (0..guesses.len()).reduce(ahead);
        let each = (1.0 - FAVOURITE) / values.len() as f64;
        let target = |i: usize| each + if Some(i) == favourite { FAVOURITE } else { 0.0 };
        let weight = target(chosen) / odds[chosen];
        self.weights.push(weight);
        self.weighted += weight * earned;
        let expected = values.iter().enumerate().map(|(i, v)| target(i) * v);
        self.judged += expected.sum::<f64>();
    }

    fn finish(self) -> Played {
        let weights = Weights::of(self.weights.iter().copied());
        let rows = self.weights.len().max(1) as f64;
        let sum: f64 = self.weights.iter().sum();
        let (estimate, truth) = (self.weighted / sum, self.judged / rows);
        Played {
            all: self.all,
            bins: self.bins,
            season: self.season,
            start: self.start,
            effective_share: weights.effective / rows,
            estimate_error: if sum > 0.0 {
                estimate / truth - 1.0
            } else {
                0.0
            },
        }
    }
}
