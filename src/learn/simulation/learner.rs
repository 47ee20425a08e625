//! A learner of one world: the server's [`Layers`], and what they lie over.
//!
//! What it is told comes through [`Learner::learn`] and [`Learner::flip`]; what it believes goes to an explorer of
//! [`crate::decide::explore`].

use super::customers::{Customers, LINES};
use super::pushed::Pushed;
use super::visits::{Look, MINUTE_MS};
use super::world::World;
use crate::domain::Phase;
use crate::model::online::{Belief, Context, Feature, Layers, Memory, Row, layers, logit};

/// What answers before anything was learnt.
#[derive(Clone, Debug)]
pub enum Base {
    /// One probability for everything, as where no model was pushed.
    Prior,
    /// A model trained on a log from before the world began.
    Pushed(Pushed),
}

/// The probability of [`Base::Prior`].
const PRIOR: f64 = 0.018;

impl Base {
    /// Its log-odds of an offer; `x` are `features`.
    #[must_use]
    pub fn logit(&self, world: &World, offer: usize, x: &Context) -> f64 {
        match self {
            Base::Prior => logit(PRIOR),
            Base::Pushed(model) => model.logit(world, offer, x),
        }
    }
}

/// Everything learnt in one world.
#[derive(Clone, Debug)]
pub struct Learner<'w> {
    world: &'w World,
    base: &'w Base,
    width: usize,
    layers: Layers,
    memory: Memory,
    loosened_ms: u64,
}

/// Classes are loosened so often: often enough that no step is seen.
const LOOSEN_MS: u64 = 10 * MINUTE_MS;

impl<'w> Learner<'w> {
    /// One that was told nothing.
    #[must_use]
    pub fn new(world: &'w World, customers: &Customers, base: &'w Base) -> Learner<'w> {
        let width = width(customers);
        Learner {
            world,
            base,
            width,
            layers: Layers::new(LINES, width),
            memory: Memory::default(),
            loosened_ms: 0,
        }
    }

    /// What is believed of each of the `offers` at a look, into `beliefs`.
    pub fn believe(&self, x: &Context, offers: &[usize], beliefs: &mut Vec<Belief>) {
        let classes = self
            .layers
            .classes
            .iter()
            .map(|class| class.believe(x, 0.0));
        let classes: Vec<Belief> = classes.collect();
        let new = self.layers.newcomer(self.width);
        beliefs.clear();
        beliefs.extend(offers.iter().map(|&offer| {
            let class = classes[self.world.offers[offer].line];
            let level = self.base.logit(self.world, offer, x);
            let own = self.layers.offers.get(&(offer as u64)).unwrap_or(&new);
            class.and(own, x, self.layers.platt.logit(level))
        }));
    }

    /// Learns how the showing of that number, which is not 0, turned out.
    pub fn learn(&mut self, number: u64, x: &Context, offer: usize, success: bool) {
        let row = self.row(number, x, offer);
        let y = f64::from(u8::from(success));
        (self.layers).learn(&mut self.memory, &row, (y, 1.0), self.width);
    }

    /// Learns that a showing learnt as a failure is a success.
    pub fn flip(&mut self, number: u64, x: &Context, offer: usize) {
        let row = self.row(number, x, offer);
        (self.layers).correct(&mut self.memory, &row, 1.0, self.width);
    }

    fn row<'x>(&self, number: u64, x: &'x Context, offer: usize) -> Row<'x> {
        Row {
            number,
            offer: offer as u64,
            class: self.world.offers[offer].line,
            base: self.base.logit(self.world, offer, x),
            x,
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, now_ms: u64) {
        while self.loosened_ms + LOOSEN_MS <= now_ms {
            self.loosened_ms += LOOSEN_MS;
            self.layers.loosen(layers::drift(LOOSEN_MS));
        }
    }
}

/// The intercept, the phases but the first, and then the customer's.
const PHASES: u16 = Phase::ALL.len() as u16;

/// How many features there are.
#[must_use]
pub fn width(customers: &Customers) -> usize {
    usize::from(PHASES + customers.width)
}

/// Adds what every candidate of a look shares to `x`: 1, the phase and the customer.
pub fn features(customers: &Customers, look: &Look, x: &mut Vec<Feature>) {
    x.push((0, 1.0));
    if look.phase != Phase::ALL[0] {
        x.push((look.phase as u16, 1.0));
    }
    let about = &customers.features[look.customer as usize];
    x.extend(about.iter().map(|&(i, value)| (PHASES + i, value)));
}
