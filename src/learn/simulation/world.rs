//! The truth of one world: its offers, when they run, and how likely each is to convert.
//!
//! Offers convert at 0.5 to 5 % and the rare ones tend to be worth more, so that none is the best for
//! everybody. In the middle third of the time the first of four groups of offers has its season. A quarter
//! of the offers appear at half time and a quarter end at 65 %: whoever learns has to notice both.

use super::customers::{Customers, LINES};
use super::visits::{self, DAY_MS, Look};
use crate::domain::{OfferClass, Phase};
use crate::learn::Dice;
use crate::learn::simulate::phase_effect;

/// What a world is made of besides its customers and its seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    /// How many offers, 2 to 1,000.
    pub offers: usize,
    /// How many looks at the page, about; each is a decision.
    pub decisions: u32,
    /// How many of them a day.
    pub per_day: f64,
    /// Whether there are a season and offers that start and end.
    pub changes: bool,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            offers: 20,
            decisions: 200_000,
            per_day: 10_000.0,
            changes: true,
        }
    }
}

/// One offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer {
    /// How likely it converts with an average customer out of season.
    pub rate: f64,
    /// What a conversion is worth, in cents.
    pub margin: f64,
    /// The line it belongs to, which is all that its class tells a learner.
    pub line: usize,
    /// The group that its season and flight go by.
    pub group: usize,
}

/// One world, the same for the same seed, customers and setup.
#[derive(Clone, Debug)]
pub struct World {
    /// Its offers.
    pub offers: Vec<Offer>,
    /// Every look at the page, in order of time.
    pub looks: Vec<Look>,
    /// The looks of some days before it began, out of season, for a model to be trained on.
    pub before: Vec<Look>,
    /// How long it lasts.
    pub length_ms: u64,
    changes: bool,
}

/// The season, as shares of the world's time, and what it does to the group that has it and to the others.
pub const SEASON: (f64, f64) = (1.0 / 3.0, 2.0 / 3.0);
const SEASON_FACTORS: (f64, f64) = (2.5, 0.8);
/// When the offers of group 3 appear, and those of group 2 end.
pub const STARTS: f64 = 0.5;
const ENDS: f64 = 0.65;
/// The season's group, the one that ends, and the one that starts late.
const GROUPS: usize = 4;
const SEASONAL: usize = 0;
const ENDING: usize = 2;
const STARTING: usize = 3;
/// No appetite and no season makes anything likelier than this.
const PROBABILITY_MAX: f64 = 0.6;
/// The log from before the world is shorter than it by this.
const BEFORE: u32 = 4;

impl World {
    /// Makes the world of that seed.
    #[must_use]
    pub fn new(seed: u64, customers: &Customers, setup: &Setup) -> World {
        let mut dice = Dice::new(seed);
        let offers = (0..setup.offers).map(|i| offer(&mut dice, i)).collect();
        let days = f64::from(setup.decisions) / setup.per_day;
        let mut looks = |days| visits::looks(&mut dice, customers.len(), days, setup.per_day);
        World {
            offers,
            looks: looks(days),
            before: looks(days / f64::from(BEFORE)),
            length_ms: (days * DAY_MS as f64) as u64,
            changes: setup.changes,
        }
    }

    /// The logarithm of what a conversion is worth, around 0: dear things are bought less often.
    #[must_use]
    pub fn price(&self, offer: usize) -> f64 {
        (self.offers[offer].margin / PRICE).ln()
    }

    /// When in the world's time that is, in [0, 1).
    #[must_use]
    pub fn share(&self, at_ms: u64) -> f64 {
        at_ms as f64 / self.length_ms as f64
    }

    /// Whether the offer may be shown.
    #[must_use]
    pub fn runs(&self, offer: usize, at_ms: u64) -> bool {
        match self.offers[offer].group {
            ENDING if self.changes => self.share(at_ms) < ENDS,
            STARTING if self.changes => self.share(at_ms) >= STARTS,
            _ => true,
        }
    }

    /// The probability that the offer converts if it is seen.
    #[must_use]
    pub fn probability(&self, customers: &Customers, look: &Look, offer: usize) -> f64 {
        let Offer {
            rate, line, group, ..
        } = self.offers[offer];
        let appetite = customers.appetites[look.customer as usize][line];
        let p = rate * appetite * phase_factor(line, look.phase) * self.season(group, look.at_ms);
        p.min(PROBABILITY_MAX)
    }

    fn season(&self, group: usize, at_ms: u64) -> f64 {
        let in_season = (SEASON.0..SEASON.1).contains(&self.share(at_ms));
        match group {
            _ if !self.changes || !in_season => 1.0,
            SEASONAL => SEASON_FACTORS.0,
            _ => SEASON_FACTORS.1,
        }
    }
}

/// What the class of a line is, for what the phase does to it.
const CLASS_OF_LINE: [OfferClass; LINES] = [
    OfferClass::Upsell,
    OfferClass::Service,
    OfferClass::Service,
    OfferClass::Partner,
    OfferClass::Service,
    OfferClass::Upsell,
    OfferClass::Upsell,
    OfferClass::Content,
];

fn phase_factor(line: usize, phase: Phase) -> f64 {
    phase_effect(phase, CLASS_OF_LINE[line]).exp()
}

/// Rates between 0.5 and 5 %, even on the scale of factors.
const RATES: (f64, f64) = (0.005, 0.05);
/// What a showing is worth at the median, in cents, and how much that varies on the scale of factors.
const WORTH: (f64, f64) = (35.0, 0.6);
/// The usual margin, in cents.
const PRICE: f64 = 2_000.0;
/// Margins in cents.
const MARGINS: (f64, f64) = (200.0, 8_000.0);

fn offer(dice: &mut Dice, index: usize) -> Offer {
    let rate = RATES.0 * (RATES.1 / RATES.0).powf(dice.unit());
    let margin = WORTH.0 / rate * (WORTH.1 * normal(dice)).exp();
    Offer {
        rate,
        margin: margin.clamp(MARGINS.0, MARGINS.1),
        line: index % LINES,
        group: index % GROUPS,
    }
}

/// Standard normal (Box and Muller 1958).
fn normal(dice: &mut Dice) -> f64 {
    let radius = (2.0 * visits::exponential(dice)).sqrt();
    radius * (std::f64::consts::TAU * dice.unit()).cos()
}
