//! A learner of one world: the layers of [`crate::model::online`] as the server stacks them.
//!
//! The base model's log-odds go through Platt's two numbers, and over them lie the terms of everybody, of the
//! offer's class and of the offer. What it is told comes through [`Learner::learn`] and [`Learner::flip`]; what it
//! believes goes to an explorer of [`crate::decide::explore`].

use super::customers::{Customers, LINES};
use super::pushed::Pushed;
use super::visits::{Look, MINUTE_MS};
use super::world::World;
use crate::domain::Phase;
use crate::model::online::layers::{self, Prior};
use crate::model::online::{BayesLogistic, Belief, Feature, OnlinePlatt, logit};

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
    pub fn logit(&self, world: &World, offer: usize, x: &[Feature]) -> f64 {
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
    platt: OnlinePlatt,
    everybody: BayesLogistic,
    classes: Vec<BayesLogistic>,
    offers: Vec<BayesLogistic>,
    loosened_ms: u64,
}

/// Classes are loosened so often: often enough that no step is seen.
const LOOSEN_MS: u64 = 10 * MINUTE_MS;

impl<'w> Learner<'w> {
    /// One that was told nothing.
    #[must_use]
    pub fn new(world: &'w World, customers: &Customers, base: &'w Base) -> Learner<'w> {
        let d = width(customers);
        Learner {
            world,
            base,
            platt: OnlinePlatt::default(),
            everybody: Prior::EVERYBODY.start(d),
            classes: vec![Prior::CLASS.start(d); LINES],
            offers: vec![Prior::OFFER.start(d); world.offers.len()],
            loosened_ms: 0,
        }
    }

    /// What is believed of each of the `offers` at a look, into `beliefs`. Deviations are of what tells offers
    /// apart: what everybody does is nothing to explore.
    pub fn believe(&self, x: &[Feature], offers: &[usize], beliefs: &mut Vec<Belief>) {
        let everybody = self.everybody.believe(x, 0.0).mean;
        let classes = self.classes.iter().map(|class| class.believe(x, 0.0));
        let classes: Vec<Belief> = classes.collect();
        beliefs.clear();
        beliefs.extend(offers.iter().map(|&offer| {
            let class = classes[self.world.offers[offer].line];
            let base = self.platt.logit(self.base.logit(self.world, offer, x));
            let own = self.offers[offer].believe(x, base + everybody + class.mean);
            Belief {
                mean: own.mean,
                deviation: own.deviation.hypot(class.deviation),
            }
        }));
    }

    /// Learns how a showing turned out.
    pub fn learn(&mut self, x: &[Feature], offer: usize, success: bool) {
        let z = self.base.logit(self.world, offer, x);
        let offset = self.platt.logit(z);
        let y = f64::from(u8::from(success));
        layers::learn(&mut self.layers(offer), x, offset, y, 1.0);
        self.platt.learn(z, y, 1.0);
    }

    /// Learns that a showing learnt as a failure is a success.
    pub fn flip(&mut self, x: &[Feature], offer: usize) {
        let z = self.base.logit(self.world, offer, x);
        layers::correct(&mut self.layers(offer), x, 1.0);
        self.platt.correct(z, 1.0);
    }

    /// Lets time pass.
    pub fn pass(&mut self, now_ms: u64) {
        while self.loosened_ms + LOOSEN_MS <= now_ms {
            self.loosened_ms += LOOSEN_MS;
            for class in &mut self.classes {
                class.loosen(0, layers::drift(LOOSEN_MS));
            }
        }
    }

    fn layers(&mut self, offer: usize) -> [&mut BayesLogistic; 3] {
        let class = self.world.offers[offer].line;
        [
            &mut self.everybody,
            &mut self.classes[class],
            &mut self.offers[offer],
        ]
    }
}

/// The intercept, the phases but the first, and then the customer's.
const PHASES: u16 = Phase::ALL.len() as u16;

/// How many features there are.
#[must_use]
pub fn width(customers: &Customers) -> usize {
    usize::from(PHASES + customers.width)
}

/// What every candidate of a look shares, into `x`: 1, the phase and the customer.
pub fn features(customers: &Customers, look: &Look, x: &mut Vec<Feature>) {
    x.clear();
    x.push((0, 1.0));
    if look.phase != Phase::ALL[0] {
        x.push((look.phase as u16, 1.0));
    }
    let about = &customers.features[look.customer as usize];
    x.extend(about.iter().map(|&(i, value)| (PHASES + i, value)));
}
