//! A model as somebody would push it: trained on a log from before the world began, and frozen since.
//!
//! It knows classes, customers, phases and prices, and no offer by name, as models should: an offer that it has
//! never seen gets what its class and price say. It is a logistic regression with main effects and with crosses of
//! the class and everything else.

use super::customers::{Customers, LINES};
use super::learner::{features, width};
use super::world::World;
use crate::learn::Dice;
use crate::model::online::layers::Prior;
use crate::model::online::{BayesLogistic, Context, sum};

/// A frozen model.
#[derive(Clone, Debug)]
pub struct Pushed {
    everybody: BayesLogistic,
    /// Of each class.
    classes: Vec<BayesLogistic>,
    /// The number of the price's feature.
    price: u16,
}

impl Pushed {
    /// Trains on the world's log from before it began: offers were shown at random and every conversion
    /// has come.
    #[must_use]
    pub fn train(world: &World, customers: &Customers) -> Pushed {
        let price = u16::try_from(width(customers)).expect("customers have a few dozen features");
        let mut model = Pushed {
            everybody: EVERYBODY.start(usize::from(price) + 1),
            classes: vec![Prior::CLASS.start(usize::from(price) + 1); LINES],
            price,
        };
        let running: Vec<usize> = (0..world.offers.len())
            .filter(|&o| world.runs(o, 0))
            .collect();
        let mut x = Context::default();
        for look in &world.before {
            let mut dice = Dice::new(look.seed);
            let offer = running[(dice.unit() * running.len() as f64) as usize];
            x.fill(|x| {
                features(customers, look, x);
                x.push((price, world.price(offer)));
            });
            let converts = dice.chance(world.probability(customers, look, offer));
            let class = &mut model.classes[world.offers[offer].line];
            let y = f64::from(u8::from(converts));
            sum::learn(&mut [&mut model.everybody, class], &x, LEVEL, (y, 1.0));
        }
        model
    }

    /// Its log-odds of an offer; `x` are `features`.
    #[must_use]
    pub fn logit(&self, world: &World, offer: usize, x: &Context) -> f64 {
        let class = &self.classes[world.offers[offer].line];
        let both = [&self.everybody, class];
        let price: f64 = both
            .iter()
            .map(|layer| layer.mean()[usize::from(self.price)])
            .sum();
        let known: f64 = both.iter().map(|layer| layer.believe(x, 0.0).mean).sum();
        LEVEL + known + price * world.price(offer)
    }
}

/// How far the weights of what all classes share lie from 0.
const EVERYBODY: Prior = Prior {
    intercept: 0.7,
    weight: 0.7,
};

/// Where training starts: 1.8 % convert.
const LEVEL: f64 = -4.0;
