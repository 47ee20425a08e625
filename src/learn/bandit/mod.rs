//! How good are explorer and learner together? Streams whose every reward is known, of which only the drawn action's is shown.
//!
//! A multi-class data set or a table of what customers own becomes a bandit stream: each line has a context and what
//! each action would have earned. The player sees the context, draws an action, and is told that action's reward and no
//! other. The mean of what it earned, over one pass, is what counts: exploring costs, and pays. The same decide path
//! draws as in the server: the same odds, the same hash.

mod stream;

use std::time::{Duration, Instant};

pub use stream::{Stream, StreamError};

use super::Dice;
use crate::decide::explore::{Arms, Policy};
use crate::decide::{pick, uniform};
use crate::domain::DecisionId;
use crate::model::online::{Context, Feature, Layers, Memory, Row};

/// One pass over a stream.
#[derive(Clone, Debug)]
pub struct Played {
    /// Lines played.
    pub rows: usize,
    /// Mean of what the drawn actions earned.
    pub reward: f64,
    /// The lowest propensity of anything drawn.
    pub propensity_min: f64,
    /// Beliefs, odds and draws, of all lines.
    pub deciding: Duration,
    /// Learning, of all lines.
    pub learning: Duration,
}

/// Plays up to `rows_max` lines in the order of `seed`; `tick` is called after each.
#[must_use]
pub fn play(
    stream: &Stream,
    policy: &Policy,
    (seed, rows_max): (u64, usize),
    tick: &dyn Fn(),
) -> Played {
    let mut order = order(stream, seed);
    order.truncate(rows_max);
    let mut player = Player::new(stream, *policy, seed);
    let mut played = Played {
        rows: order.len(),
        reward: 0.0,
        propensity_min: 1.0,
        deciding: Duration::ZERO,
        learning: Duration::ZERO,
    };
    for t in order {
        let line = &stream.lines[t];
        let start = Instant::now();
        let action = player.decide(&line.x, t);
        let decided = Instant::now();
        player.learn(action, line.rewards[action]);
        played.learning += decided.elapsed();
        played.deciding += decided - start;
        played.reward += line.rewards[action];
        played.propensity_min = played.propensity_min.min(player.odds[action]);
        tick();
    }
    played.reward /= played.rows.max(1) as f64;
    played
}

/// Line numbers in the order of a seed: 0 and streams in date order keep the file's.
fn order(stream: &Stream, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..stream.lines.len()).collect();
    if seed > 0 && !stream.in_date_order {
        // The first number of a stream of dice is SplitMix64 of its seed.
        order.sort_by_key(|&t| Dice::new(seed << 32 | t as u64).bits());
    }
    order
}

/// Somebody who decides and learns, and the buffers for it.
struct Player<'s> {
    stream: &'s Stream,
    policy: Policy,
    layers: Layers,
    memory: Memory,
    x: Context,
    salt: u64,
    /// Successes and failures so far: no model is pushed, so their log-odds are the base.
    outcomes: [f64; 2],
    scores: Vec<f64>,
    probabilities: Vec<f64>,
    spreads: Vec<f64>,
    odds: Vec<f64>,
}

impl<'s> Player<'s> {
    fn new(stream: &'s Stream, policy: Policy, seed: u64) -> Player<'s> {
        let actions = stream.values.len();
        Player {
            stream,
            policy,
            // Nothing is known of which actions are alike: they have no classes.
            layers: Layers::new(0, stream.width),
            memory: Memory::default(),
            x: Context::default(),
            // Of its own, so that the order of the lines says nothing about the draws.
            salt: Dice::new(!seed).bits(),
            // Half of one each: nobody knows the rate yet.
            outcomes: [0.5; 2],
            scores: Vec::new(),
            probabilities: Vec::new(),
            spreads: Vec::new(),
            odds: vec![0.0; actions],
        }
    }

    fn base(&self) -> f64 {
        (self.outcomes[1] / self.outcomes[0]).ln()
    }

    fn decide(&mut self, x: &[Feature], t: usize) -> usize {
        self.x.fill(|features| features.extend_from_slice(x));
        let level = self.layers.platt.logit(self.base());
        let new = self.layers.newcomer(self.stream.width);
        self.scores.clear();
        self.probabilities.clear();
        self.spreads.clear();
        for (arm, value) in self.stream.values.iter().enumerate() {
            let own = self.layers.offers.get(&(arm as u64)).unwrap_or(&new);
            let belief = own.believe(&self.x, level);
            self.scores.push(belief.probability() * value);
            self.probabilities.push(belief.probability());
            self.spreads.push(belief.spread());
        }
        let arms = Arms {
            scores: &self.scores,
            probabilities: &self.probabilities,
            spreads: &self.spreads,
        };
        self.policy.fill(&arms, &mut self.odds);
        let u = uniform(DecisionId(t as u128), self.salt, 0, 1);
        pick(u, &self.odds).expect("odds sum to 1")
    }

    /// The reward as a part of the action's value is how far it was a success.
    fn learn(&mut self, action: usize, reward: f64) {
        let y = (reward / self.stream.values[action]).clamp(0.0, 1.0);
        let base = self.base();
        let row = Row {
            number: 0,
            offer: action as u64,
            class: 0,
            base,
            x: &self.x,
        };
        (self.layers).learn(&mut self.memory, &row, (y, 1.0), self.stream.width);
        self.outcomes[0] += 1.0 - y;
        self.outcomes[1] += y;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::explore::Explorer;

    /// Two contexts, three actions; each context has one action that always pays.
    fn stream(rows: usize) -> Stream {
        let line = |t: usize| match t % 2 {
            0 => r#"{"t":0,"x":[1,0],"r":[0,1,0]}"#,
            _ => r#"{"t":1,"x":[0,1],"r":[0,0,1]}"#,
        };
        let text: Vec<&str> = (0..rows).map(line).collect();
        Stream::parse("two", &text.join("\n"), r#"{"actions":["a","b","c"]}"#).unwrap()
    }

    fn reward(policy: impl Into<Policy>, seed: u64) -> f64 {
        play(&stream(400), &policy.into(), (seed, 400), &|| {}).reward
    }

    #[test]
    fn it_learns_what_pays() {
        for seed in 0..3 {
            assert!(reward(Explorer::DEFAULT, seed) > 0.9);
            let chance = reward(Explorer::Uniform, seed);
            assert!((chance - 1.0 / 3.0).abs() < 0.1, "{chance}");
        }
    }

    #[test]
    fn orders_are_those_of_the_contract() {
        let mut stream = stream(4);
        assert_eq!(order(&stream, 0), [0, 1, 2, 3]);
        let shuffled: Vec<Vec<usize>> = (1..9).map(|seed| order(&stream, seed)).collect();
        assert!(shuffled.iter().any(|o| *o != [0, 1, 2, 3]));
        stream.in_date_order = true;
        assert_eq!(order(&stream, 5), [0, 1, 2, 3]);
    }

    #[test]
    fn the_same_seed_plays_the_same() {
        let bits = |seed| reward(Explorer::DEFAULT, seed).to_bits();
        assert_eq!(bits(4), bits(4));
    }
}
