//! Who looks at the page: the features that a learner sees, and how much each wants of each line.
//!
//! Appetites come from somewhere real where there is a table of the IBM Telco data set: for each of its
//! eight add-ons a logistic regression of who has it, so that who wants what depends on many features at
//! once and not on a rule that somebody thought of. Without the table they come from the made-up operator
//! that the shipped models are trained on.

use std::collections::BTreeSet;

use crate::domain::OfferClass;
use crate::learn::Dice;
use crate::learn::dataset::Value;
use crate::learn::simulate::Simulator;
use crate::model::online::{BayesLogistic, Context, Feature};

/// Product lines: what the offers of one class have in common.
pub const LINES: usize = 8;

/// An appetite is the chance to have the add-on, over its mean, to this power: those who do not have it
/// yet are told apart a little more sharply than those who do.
const SHARPNESS: f64 = 1.3;

/// The simulated customers, one list entry for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Customers {
    /// What a learner sees of them: values of the features from 0 on, none of them 0.
    pub features: Vec<Vec<Feature>>,
    /// The factor by which each line converts better or worse with them; its mean over customers is near 1.
    pub appetites: Vec<[f64; LINES]>,
    /// How many features there are.
    pub width: u16,
}

/// Why a table is not one of customers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// A column is not there.
    #[error("no column `{0}`: expected the columns of the IBM Telco customer churn table")]
    NoColumn(&'static str),
    /// A cell is no number.
    #[error("row {row}, `tenure`: expected a number of months, found `{found}`")]
    Tenure {
        /// From 1, without the header.
        row: usize,
        /// What is there.
        found: String,
    },
    /// There are too few to fit anything to.
    #[error("{0} customers are too few: expected at least {CUSTOMERS_MIN}")]
    TooFew(usize),
}

/// Eight regressions of a dozen weights need so many rows to be about customers and not about chance.
pub const CUSTOMERS_MIN: usize = 500;

/// The columns that say who somebody is, category by category.
const ABOUT: [&str; 8] = [
    "gender",
    "SeniorCitizen",
    "Partner",
    "Dependents",
    "PaymentMethod",
    "Contract",
    "InternetService",
    "Churn",
];

/// The columns that say who has what: `Yes` or anything else.
const ADD_ONS: [&str; LINES] = [
    "MultipleLines",
    "OnlineSecurity",
    "OnlineBackup",
    "DeviceProtection",
    "TechSupport",
    "StreamingTV",
    "StreamingMovies",
    "PaperlessBilling",
];

impl Customers {
    /// Those of a table with the columns of the IBM Telco customer churn data set.
    ///
    /// `MonthlyCharges` and `TotalCharges` are no features: they are made of the add-ons.
    ///
    /// # Errors
    /// If a column is missing, a tenure is no number, or there are too few rows.
    pub fn of_telco(header: &[String], rows: &[Vec<String>]) -> Result<Customers, TableError> {
        let column = |name: &'static str| {
            let at = header.iter().position(|h| h == name);
            at.ok_or(TableError::NoColumn(name))
        };
        let tenure = column("tenure")?;
        let about = ABOUT.iter().map(|name| column(name));
        let about = about.collect::<Result<Vec<_>, _>>()?;
        let add_ons = ADD_ONS.iter().map(|name| column(name));
        let add_ons = add_ons.collect::<Result<Vec<_>, _>>()?;
        if rows.len() < CUSTOMERS_MIN {
            return Err(TableError::TooFew(rows.len()));
        }
        let months = rows.iter().enumerate().map(|(i, row)| {
            row[tenure].trim().parse().map_err(|_| TableError::Tenure {
                row: i + 1,
                found: row[tenure].clone(),
            })
        });
        let months = months.collect::<Result<Vec<f64>, _>>()?;
        let words = about
            .iter()
            .map(|&at| rows.iter().map(move |row| row[at].as_str()).collect());
        let (features, width) = encode(&months, &words.collect::<Vec<Vec<&str>>>());
        let has = |at: usize| rows.iter().map(move |row| row[at] == "Yes");
        let chances: Vec<Vec<f64>> = (add_ons.iter())
            .map(|&at| chances(&features, width, has(at)))
            .collect();
        Ok(Customers {
            appetites: appetites(&chances),
            features,
            width,
        })
    }

    /// Made-up ones, the same for the same seed; `offerd train --from simulator` knows the same operator.
    #[must_use]
    pub fn made_up(seed: u64, count: usize) -> Customers {
        let mut dice = Dice::new(seed);
        let showings: Vec<_> = Simulator::new(dice.bits()).take(count).collect();
        let number = |i: usize, name: &str| match showings[i].value(name) {
            Value::Number(value) => value,
            _ => 0.0,
        };
        let word = |name: &'static str| {
            let of = showings
                .iter()
                .map(move |showing| match showing.value(name) {
                    Value::Text(word) => word,
                    _ => "",
                });
            of.collect::<Vec<&str>>()
        };
        let months: Vec<f64> = (0..count).map(|i| number(i, "tenure")).collect();
        let words = [
            "Contract",
            "InternetService",
            "StreamingTV",
            "TechSupport",
            "device",
        ]
        .map(word);
        let (features, width) = encode(&months, &words);
        let chances: Vec<Vec<f64>> = (MADE_UP_LINES.iter())
            .map(|&(class, price, complexity)| {
                let of = showings.iter();
                of.map(|s| s.liking(class, price, complexity).exp())
                    .collect()
            })
            .collect();
        Customers {
            appetites: appetites(&chances),
            features,
            width,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}

/// What the made-up operator's lines are: class, price and how much there is to set up.
const MADE_UP_LINES: [(OfferClass, Option<f64>, f64); LINES] = [
    (OfferClass::Upsell, Some(9.99), 0.05),
    (OfferClass::Service, None, 0.8),
    (OfferClass::Service, Some(4.99), 0.3),
    (OfferClass::Partner, Some(12.99), 0.4),
    (OfferClass::Service, Some(14.99), 0.6),
    (OfferClass::Upsell, Some(19.99), 0.2),
    (OfferClass::Upsell, Some(29.99), 0.6),
    (OfferClass::Content, None, 0.1),
];

/// The tenure, standardised, and each category but the first of its column as a feature of its own.
fn encode(months: &[f64], columns: &[Vec<&str>]) -> (Vec<Vec<Feature>>, u16) {
    let n = months.len() as f64;
    let mean = months.iter().sum::<f64>() / n;
    let variance = months.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / n;
    let scale = variance.sqrt().max(f64::MIN_POSITIVE);
    let mut features: Vec<Vec<Feature>> = months
        .iter()
        .map(|m| vec![(0, (m - mean) / scale)])
        .collect();
    let mut next: u16 = 1;
    for column in columns {
        let words: BTreeSet<&str> = column.iter().copied().collect();
        for word in words.iter().skip(1) {
            for (customer, _) in column.iter().enumerate().filter(|(_, w)| *w == word) {
                features[customer].push((next, 1.0));
            }
            next += 1;
        }
    }
    (features, next)
}

/// The chance of each customer to be one of those who have it.
fn chances(features: &[Vec<Feature>], width: u16, has: impl Iterator<Item = bool>) -> Vec<f64> {
    let mut context = Context::default();
    let mut with_intercept = |x: &[Feature], see: &mut dyn FnMut(&Context)| {
        context.fill(|features| {
            features.extend_from_slice(x);
            features.push((width, 1.0));
        });
        see(&context);
    };
    let mut fit = BayesLogistic::new(usize::from(width) + 1, 0.01);
    for (x, has) in features.iter().zip(has) {
        with_intercept(x, &mut |x| {
            fit.learn(x, 0.0, f64::from(u8::from(has)), 1.0);
        });
    }
    let mut chances = Vec::with_capacity(features.len());
    for x in features {
        with_intercept(x, &mut |x| chances.push(fit.believe(x, 0.0).probability()));
    }
    chances
}

/// Each line's chances over their mean, sharpened.
fn appetites(chances: &[Vec<f64>]) -> Vec<[f64; LINES]> {
    let mut appetites = vec![[1.0; LINES]; chances[0].len()];
    for (line, chances) in chances.iter().enumerate() {
        let mean = chances.iter().sum::<f64>() / chances.len() as f64;
        for (appetite, chance) in appetites.iter_mut().zip(chances) {
            appetite[line] = (chance / mean).powf(SHARPNESS);
        }
    }
    appetites
}
