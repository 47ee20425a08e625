//! A made-up telecom operator: customers in visits, offers shown to them, and what they then do.
//!
//! The shipped models are trained on it, because the project has no customers of its own and
//! nobody's data to give away. Features carry the names of the IBM Telco data set, so that a
//! well-known CSV fits the demo; nothing is read from it. What is simulated is plausible, not
//! measured: a few percent convert, attention peaks while the technician drives, a technician in
//! the house makes complicated things easy, prices deter, and it depends on the customer how much.
//!
//! Offers are shown at random, so that what a model learns here is the effect of the offer and not
//! the habit of whoever chose it.

use super::Dice;
use super::dataset::{Dataset, Value};
use crate::domain::{OfferClass, Phase};
use crate::model::{Feature, Kind, Missing, Source};

/// The least likely conversion, and the likeliest.
pub const PROBABILITY_RANGE: (f64, f64) = (0.005, 0.06);

const CONTRACTS: [&str; 3] = ["Month-to-month", "One year", "Two year"];
const INTERNET: [&str; 3] = ["DSL", "Fiber optic", "No"];
const ADD_ON: [&str; 3] = ["No", "Yes", "No internet service"];
const DEVICES: [&str; 3] = ["mobile", "desktop", "tablet"];

/// Who waits.
#[derive(Clone, Debug, PartialEq)]
struct Customer {
    /// Months.
    tenure: f64,
    contract: &'static str,
    internet: &'static str,
    streaming_tv: &'static str,
    tech_support: &'static str,
    /// Per month, in the currency's major unit.
    monthly_charges: f64,
    /// Personalization is withheld: requests do not carry the above.
    anonymous: bool,
}

/// When and where the page is looked at.
#[derive(Clone, Debug, PartialEq)]
struct Moment {
    phase: Phase,
    device: &'static str,
    /// Known only while the technician is near.
    eta_seconds: Option<f64>,
    map_viewed: f64,
}

/// What is shown.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    class: OfferClass,
    /// In the currency's major unit; `None` where nothing is sold.
    price: Option<f64>,
    /// How much there is to set up: 0 a click, 1 drilling.
    complexity: f64,
}

/// One showing of one offer, and its outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Showing {
    customer: Customer,
    moment: Moment,
    shown: Shown,
    /// The true probability that it converts.
    pub probability: f64,
    /// Whether it did.
    pub converted: bool,
}

/// An endless stream of showings, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Simulator {
    dice: Dice,
}

impl Simulator {
    /// A stream of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Simulator {
        Simulator {
            dice: Dice::new(seed),
        }
    }
}

impl Iterator for Simulator {
    type Item = Showing;

    fn next(&mut self) -> Option<Showing> {
        let dice = &mut self.dice;
        let (customer, moment, shown) = (customer(dice), moment(dice), shown(dice));
        let probability = probability(&customer, &moment, &shown);
        let converted = dice.chance(probability);
        Some(Showing {
            customer,
            moment,
            shown,
            probability,
            converted,
        })
    }
}

/// So many showings as examples, with the true probability of each.
#[must_use]
pub fn dataset(seed: u64, rows: usize) -> (Dataset, Vec<f64>) {
    let mut dataset = Dataset::new(features());
    let mut truth = Vec::with_capacity(rows);
    for showing in Simulator::new(seed).take(rows) {
        dataset.push(|feature| showing.value(feature), showing.converted);
        truth.push(showing.probability);
    }
    (dataset, truth)
}

/// What a model sees of a showing. The offer's value to the operator is not among it: customers do
/// not see it either, and the decision multiplies with it anyway.
#[must_use]
pub fn features() -> Vec<Feature> {
    let words = |words: &[&str]| Kind::Category(words.iter().map(|w| (*w).into()).collect());
    let all = [
        ("tenure", Source::Customer, Kind::Number),
        ("Contract", Source::Customer, words(&CONTRACTS)),
        ("InternetService", Source::Customer, words(&INTERNET)),
        ("StreamingTV", Source::Customer, words(&ADD_ON)),
        ("TechSupport", Source::Customer, words(&ADD_ON)),
        ("MonthlyCharges", Source::Customer, Kind::Number),
        ("phase", Source::Appointment, words(Phase::WORDS)),
        ("eta_seconds", Source::Appointment, Kind::Number),
        ("map_viewed.count", Source::Trigger, Kind::Number),
        ("device", Source::Context, words(&DEVICES)),
        ("offer.class", Source::Offer, words(OfferClass::WORDS)),
        ("offer.price", Source::Offer, Kind::Number),
        ("offer.complexity", Source::Offer, Kind::Number),
    ];
    all.map(|(name, source, kind)| Feature {
        name: name.into(),
        kind,
        source,
        missing: Missing::Nan,
    })
    .into()
}

impl Showing {
    /// The true probability that this customer in this moment goes for another offer.
    #[must_use]
    pub fn probability_of(&self, class: OfferClass, price: Option<f64>, complexity: f64) -> f64 {
        let shown = Shown {
            class,
            price,
            complexity,
        };
        probability(&self.customer, &self.moment, &shown)
    }

    /// What being who they are adds to the log-odds of an offer like that.
    #[must_use]
    pub fn liking(&self, class: OfferClass, price: Option<f64>, complexity: f64) -> f64 {
        let shown = Shown {
            class,
            price,
            complexity,
        };
        who(&self.customer, &shown)
    }

    /// The value of one of [`features`], as a request would carry it.
    #[must_use]
    pub fn value(&self, feature: &str) -> Value<'static> {
        let Showing {
            customer,
            moment,
            shown,
            ..
        } = self;
        let known = |value| {
            if customer.anonymous {
                Value::Missing
            } else {
                value
            }
        };
        let number = |value: Option<f64>| value.map_or(Value::Missing, Value::Number);
        match feature {
            "tenure" => known(Value::Number(customer.tenure)),
            "Contract" => known(Value::Text(customer.contract)),
            "InternetService" => known(Value::Text(customer.internet)),
            "StreamingTV" => known(Value::Text(customer.streaming_tv)),
            "TechSupport" => known(Value::Text(customer.tech_support)),
            "MonthlyCharges" => known(Value::Number(customer.monthly_charges)),
            "phase" => Value::Text(moment.phase.as_str()),
            "eta_seconds" => number(moment.eta_seconds),
            "map_viewed.count" => Value::Number(moment.map_viewed),
            "device" => Value::Text(moment.device),
            "offer.class" => Value::Text(shown.class.as_str()),
            "offer.price" => number(shown.price),
            "offer.complexity" => Value::Number(shown.complexity),
            _ => Value::Missing,
        }
    }
}

fn customer(dice: &mut Dice) -> Customer {
    let contract = dice.pick(&[0.55, 0.21, 0.24]);
    // Who is bound for longer has stayed for longer.
    let tenure = dice
        .between(0.0, 73.0)
        .powf([0.85, 0.95, 1.0][contract])
        .floor();
    let internet = dice.pick(&[0.34, 0.44, 0.22]);
    let add_on = |dice: &mut Dice, chance: f64| match (internet, dice.chance(chance)) {
        (2, _) => ADD_ON[2],
        (_, true) => ADD_ON[1],
        (_, false) => ADD_ON[0],
    };
    let streaming_tv = add_on(dice, 0.49);
    let tech_support = add_on(dice, 0.37);
    let extras = [streaming_tv, tech_support]
        .iter()
        .filter(|a| **a == ADD_ON[1])
        .count() as f64;
    let charges = [45.0, 75.0, 20.0][internet] + 8.0 * extras + dice.between(-4.0, 16.0);
    Customer {
        tenure,
        contract: CONTRACTS[contract],
        internet: INTERNET[internet],
        streaming_tv,
        tech_support,
        monthly_charges: (charges * 20.0).round() / 20.0,
        anonymous: dice.chance(0.08),
    }
}

fn moment(dice: &mut Dice) -> Moment {
    // Most looks at the page fall into the drive.
    let phase = Phase::ALL[dice.pick(&[0.10, 0.15, 0.34, 0.13, 0.10, 0.11, 0.07])];
    let eta_seconds = match phase {
        Phase::EnRoute => Some(dice.between(240.0, 3_600.0).floor()),
        Phase::Arriving => Some(dice.between(0.0, 300.0).floor()),
        _ => None,
    };
    // Each look at the map makes another one likelier than not, while there is a map.
    let mut map_viewed = 0.0;
    while eta_seconds.is_some() && map_viewed < 12.0 && dice.chance(0.62) {
        map_viewed += 1.0;
    }
    Moment {
        phase,
        device: DEVICES[dice.pick(&[0.72, 0.2, 0.08])],
        eta_seconds,
        map_viewed,
    }
}

fn shown(dice: &mut Dice) -> Shown {
    let class = OfferClass::ALL[dice.pick(&[0.12, 0.2, 0.38, 0.16, 0.14])];
    let (price, complexity) = match class {
        OfferClass::Care => (None, (0.0, 0.3)),
        OfferClass::Content => (None, (0.0, 0.15)),
        OfferClass::Service if dice.chance(0.5) => (None, (0.1, 0.9)),
        OfferClass::Service => (Some((2.0, 20.0)), (0.1, 0.9)),
        OfferClass::Upsell => (Some((3.0, 45.0)), (0.0, 0.8)),
        OfferClass::Partner => (Some((2.0, 30.0)), (0.1, 0.7)),
    };
    Shown {
        class,
        // As prices are: so many and ninety-nine.
        price: price.map(|(from, to)| dice.between(from, to).floor() - 0.01),
        complexity: (dice.between(complexity.0, complexity.1) * 100.0).round() / 100.0,
    }
}

/// Per phase, what it adds to the log-odds of care, service, upsell, partner and content.
const PHASE_BY_CLASS: [[f64; 5]; 7] = [
    [-0.2, 0.3, -0.4, -0.3, 0.3], // scheduled: time to prepare, no hurry to buy
    [0.0, 0.3, 0.0, 0.0, 0.2],    // day of
    [-0.1, 0.1, 0.6, 0.4, 0.4],   // en route: the highest attention
    [-0.2, 0.0, 0.1, -0.2, -0.4], // arriving: the door matters more
    [-0.1, 0.8, 0.3, -0.5, -0.7], // on site: someone is there to do it
    [0.4, -0.2, 0.2, 0.0, 0.0],   // completed
    [0.6, -0.4, -0.3, 0.1, 0.2],  // feedback
];
/// Log-odds of care, service, upsell, partner and content before anything else.
const CLASS: [f64; 5] = [-4.1, -3.8, -3.7, -4.1, -3.9];

/// What a phase adds to the log-odds of a class.
#[must_use]
pub fn phase_effect(phase: Phase, class: OfferClass) -> f64 {
    PHASE_BY_CLASS[phase as usize][class as usize]
}

/// The truth: how likely this showing is to convert.
fn probability(customer: &Customer, moment: &Moment, shown: &Shown) -> f64 {
    let log_odds = CLASS[shown.class as usize]
        + phase_effect(moment.phase, shown.class)
        + who(customer, shown)
        + when(moment, shown);
    let p = 1.0 / (1.0 + (-log_odds).exp());
    p.clamp(PROBABILITY_RANGE.0, PROBABILITY_RANGE.1)
}

/// What the customer adds to the log-odds.
fn who(customer: &Customer, shown: &Shown) -> f64 {
    let when = |condition: bool, effect: f64| if condition { effect } else { 0.0 };
    let settled = (customer.tenure / 36.0).min(1.0);
    let by_class = match shown.class {
        OfferClass::Care => when(customer.contract == CONTRACTS[0], 0.2) - 0.2 * settled,
        OfferClass::Service => {
            when(customer.tech_support == "No", 0.5) + when(customer.internet == "No", -0.8)
        }
        OfferClass::Upsell => {
            when(customer.streaming_tv == "Yes", 0.5)
                + when(customer.internet == "Fiber optic", 0.25)
                + when(customer.internet == "No", -0.5)
                + 0.5 * settled
        }
        OfferClass::Partner => when(customer.contract == CONTRACTS[2], 0.3) - 0.2 * settled,
        OfferClass::Content => when(customer.tenure < 6.0, 0.4),
    };
    // A small bill goes with a close look at prices.
    let thrift = 0.05 - 0.0003 * customer.monthly_charges;
    by_class - thrift * shown.price.unwrap_or(0.0)
}

/// What the moment adds to the log-odds, beyond its phase.
fn when(moment: &Moment, shown: &Shown) -> f64 {
    let attention = 0.1 * moment.map_viewed.min(5.0);
    let hurry = match moment.eta_seconds {
        Some(eta) if eta < 180.0 => -0.3,
        Some(eta) if (600.0..1_800.0).contains(&eta) => 0.25,
        _ => 0.0,
    };
    let effort = match (moment.phase, moment.device) {
        (Phase::OnSite, _) => 0.4,
        (_, "mobile") => -1.1,
        _ => -0.7,
    };
    attention + hurry + effort * shown.complexity
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_showings() {
        let first: Vec<Showing> = Simulator::new(7).take(50).collect();
        assert!(Simulator::new(7).take(50).eq(first.iter().cloned()));
        assert!(!Simulator::new(8).take(50).eq(first));
    }

    #[test]
    fn a_few_percent_convert_as_often_as_they_should() {
        let (dataset, truth) = dataset(1, 50_000);
        let (low, high) = PROBABILITY_RANGE;
        assert!(truth.iter().all(|p| (low..=high).contains(p)));
        let expected = truth.iter().sum::<f64>();
        let found = dataset.positives() as f64;
        // Five standard deviations of a sum of independent outcomes.
        let allowed = 5.0 * expected.sqrt();
        assert!((found - expected).abs() < allowed, "{found} of {expected}");
        let rate = expected / 50_000.0;
        assert!((0.012..0.035).contains(&rate), "{rate}");
        let inside = truth.iter().filter(|p| **p > low && **p < high).count();
        assert!(inside > 40_000, "the limits decide too much: {inside}");
    }

    #[test]
    fn every_feature_has_values_and_gaps_where_requests_have_them() {
        let (dataset, _) = dataset(2, 2_000);
        for (i, feature) in dataset.features.iter().enumerate() {
            let column: Vec<f64> = (0..2_000).map(|row| dataset.row(row)[i]).collect();
            let missing = column.iter().filter(|v| v.is_nan()).count();
            assert!(
                missing < 1_400,
                "{} is missing {missing} times",
                feature.name
            );
            let personal = feature.source == Source::Customer;
            assert!(
                !personal || missing > 100,
                "{} is always known",
                feature.name
            );
            let first = column.iter().find(|v| !v.is_nan());
            assert!(
                column.iter().any(|v| !v.is_nan() && Some(v) != first),
                "{}",
                feature.name
            );
        }
    }

    #[test]
    fn what_is_best_depends_on_the_moment() {
        let customer = Customer {
            tenure: 24.0,
            contract: "One year",
            internet: "DSL",
            streaming_tv: "No",
            tech_support: "No",
            monthly_charges: 55.0,
            anonymous: false,
        };
        let at = |phase, class, complexity, price| {
            let moment = Moment {
                phase,
                device: "mobile",
                eta_seconds: None,
                map_viewed: 0.0,
            };
            probability(
                &customer,
                &moment,
                &Shown {
                    class,
                    price,
                    complexity,
                },
            )
        };
        let extender = |phase| at(phase, OfferClass::Service, 0.8, None);
        let sports = |phase| at(phase, OfferClass::Upsell, 0.05, Some(9.99));
        assert!(extender(Phase::OnSite) > 1.5 * sports(Phase::OnSite));
        assert!(sports(Phase::EnRoute) > 1.2 * extender(Phase::EnRoute));
    }
}
