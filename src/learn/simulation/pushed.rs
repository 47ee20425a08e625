//! A model as somebody would push it: trained on a log from before the world began, and frozen since.
//!
//! It knows classes, customers, phases and prices, and no offer by name, as models should: an offer that it has
//! never seen gets what its class and price say. One logistic regression per class has crosses of
//! class and everything else for nothing.

use super::customers::{Customers, LINES};
use super::learner::{features, width};
use super::world::World;
use crate::learn::Dice;
use crate::model::online::{BayesLogistic, Feature};

/// A frozen model.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// Of each class.
    classes: Vec<BayesLogistic>,
    /// The number of the price's feature.
    price: u16,
}

/// What is believed of weights before the first row: small.
const PRECISION: f64 = 4.0;

impl Pushed {
    /// Trains on the world's log from before it began: offers were shown at random and every conversion
    /// has come.
    #[must_use]
    pub fn train(world: &World, customers: &Customers) -> Pushed {
        let price = u16::try_from(width(customers)).expect("customers have a few dozen features");
        let mut model = Pushed {
            classes: vec![BayesLogistic::new(usize::from(price) + 1, PRECISION); LINES],
            price,
        };
        let running: Vec<usize> = (0..world.offers.len())
            .filter(|&o| world.runs(o, 0))
            .collect();
        let mut x = Vec::new();
        for look in &world.before {
            let mut dice = Dice::new(look.seed);
            let offer = running[(dice.unit() * running.len() as f64) as usize];
            features(customers, look, &mut x);
            x.push((price, world.price(offer)));
            let converts = dice.chance(world.probability(customers, look, offer));
            let class = &mut model.classes[world.offers[offer].line];
            class.learn(&x, LEVEL, f64::from(u8::from(converts)), 1.0);
        }
        model
    }

    /// Its log-odds of an offer; `x` are [`features`].
    #[must_use]
    pub fn logit(&self, world: &World, offer: usize, x: &[Feature]) -> f64 {
        let class = &self.classes[world.offers[offer].line];
        let price = class.mean()[usize::from(self.price)] * world.price(offer);
        class.believe(x, LEVEL).mean + price
    }
}

/// Where training starts: 1.8 % convert.
const LEVEL: f64 = -4.0;
