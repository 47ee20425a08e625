//! What is learnt over each model: its level, its classes' terms, its offers' terms.
//!
//! Every model that may answer (live, canary, shadow, the offers' priors) has layers of its own: terms are what a
//! model gets wrong, and the next model gets other things wrong. A model's layers begin with what was learnt over the one
//! before it, as unsure as if they were new; a shadow's or a canary's have then learnt for themselves before it is live.
//!
//! Updates are sequential: the order of lessons matters, and those of two nodes do not add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::space::{PRECISION, PRECISION_OF_LEVEL};
use crate::decide::posterior::{INTERCEPT, PRIOR};
use crate::domain::OfferClass;
use crate::model::online::{BayesLogistic, Feature, OnlinePlatt, sigmoid};

/// Models that are remembered; of more, the one that has taught nothing for longest is forgotten.
pub const MODELS_MAX: usize = 6;

/// Bytes that the terms of one model may have. Offers beyond have their class's terms: 256 MiB are ten thousand
/// offers of 80 columns divided by two, or all of them with 40.
pub const TERMS_BYTES_MAX: usize = 256 << 20;

/// Terms that many posteriors share until somebody learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms(pub Arc<BayesLogistic>);

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Terms, D::Error> {
        BayesLogistic::deserialize(deserializer).map(|terms| Terms(Arc::new(terms)))
    }
}

impl Terms {
    /// As unsure as new around those weights.
    #[must_use]
    pub fn around(mean: &[f64]) -> Terms {
        let precision = |i| {
            if i == usize::from(INTERCEPT) {
                PRECISION_OF_LEVEL
            } else {
                PRECISION
            }
        };
        let precisions: Vec<f64> = (0..mean.len()).map(precision).collect();
        Terms(Arc::new(BayesLogistic::with_prior(
            mean.to_vec(),
            &precisions,
        )))
    }

    fn learn(&mut self, x: &[Feature], offset: f64, label: f64, weight: f64) {
        Arc::make_mut(&mut self.0).learn(x, offset, label, weight);
    }

    fn correct(&mut self, x: &[Feature], change: f64) {
        Arc::make_mut(&mut self.0).correct(x, change);
    }

    fn widen(&mut self, width: usize) {
        if self.0.width() < width {
            Arc::make_mut(&mut self.0).widen(width, PRECISION);
        }
    }
}

/// What is learnt over one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// `name@version`.
    pub label: String,
    /// The number of the last lesson.
    pub taught: u64,
    /// Its level.
    pub platt: OnlinePlatt,
    /// By class.
    pub classes: Vec<Terms>,
    /// By hash of the offer's id.
    pub offers: BTreeMap<u64, Terms>,
}

/// One row of a lesson.
pub struct Row<'a> {
    /// Hash of the offer's id.
    pub offer: u64,
    /// Its class, by index.
    pub class: u8,
    /// Log-odds of the model's probability.
    pub base: f64,
    /// What the terms look at.
    pub x: &'a [Feature],
}

impl Layers {
    /// The layers of a model that is new, after those of `before`.
    #[must_use]
    pub fn after(label: &str, before: Option<&Layers>, width: usize) -> Layers {
        let fresh = Terms::around(&vec![0.0; width]);
        let loosened = |terms: &Terms| Terms::around(terms.0.mean());
        Layers {
            label: label.to_owned(),
            taught: 0,
            platt: OnlinePlatt::default(),
            classes: match before {
                Some(before) => before.classes.iter().map(loosened).collect(),
                None => vec![fresh; OfferClass::ALL.len()],
            },
            offers: before.map_or_else(BTreeMap::new, |before| {
                let offers = before.offers.iter();
                offers.map(|(id, terms)| (*id, loosened(terms))).collect()
            }),
        }
    }

    /// Whether they are the priors', which follow nobody and are followed by nobody.
    #[must_use]
    pub fn is_prior(&self) -> bool {
        self.label == PRIOR
    }

    /// The probability that they believe.
    #[must_use]
    pub fn believe(&self, row: &Row<'_>) -> f64 {
        let offset = self.platt.logit(row.base);
        let terms = self.offers.get(&row.offer);
        match terms.or_else(|| self.classes.get(usize::from(row.class))) {
            Some(terms) => terms.0.believe(row.x, offset).probability(),
            None => sigmoid(offset),
        }
    }

    /// Learns a label.
    pub fn learn(&mut self, row: &Row<'_>, label: f64, weight: f64, width: usize) {
        let offset = self.platt.logit(row.base);
        self.platt.learn(row.base, label, weight);
        // The offer's terms first: they must not begin with what its class learns from this very row.
        if let Some(terms) = self.terms_of(row, width) {
            terms.learn(row.x, offset, label, weight);
        }
        if let Some(terms) = self.classes.get_mut(usize::from(row.class)) {
            terms.widen(width);
            terms.learn(row.x, offset, label, weight);
        }
    }

    /// Takes back or adds a part of a label.
    pub fn correct(&mut self, row: &Row<'_>, change: f64) {
        self.platt.correct(row.base, change);
        if let Some(terms) = self.offers.get_mut(&row.offer) {
            terms.correct(row.x, change);
        }
        if let Some(terms) = self.classes.get_mut(usize::from(row.class)) {
            terms.correct(row.x, change);
        }
    }

    /// The offer's own terms, begun from its class's where it is new.
    fn terms_of(&mut self, row: &Row<'_>, width: usize) -> Option<&mut Terms> {
        if !self.offers.contains_key(&row.offer) {
            let class = self.classes.get(usize::from(row.class))?;
            let bytes = 8 * width * width.min(crate::model::online::FULL_MAX);
            if (self.offers.len() + 1) * bytes > TERMS_BYTES_MAX {
                return None;
            }
            let mut mean = class.0.mean().to_vec();
            mean.resize(width, 0.0);
            self.offers.insert(row.offer, Terms::around(&mean));
        }
        let terms = self.offers.get_mut(&row.offer)?;
        terms.widen(width);
        Some(terms)
    }
}

/// The layers of every model that is remembered, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// The number of lessons so far.
    pub lessons: u64,
    /// One per model.
    pub layers: Vec<Layers>,
}

impl Models {
    /// The layers of that model, if it has taught anything.
    #[must_use]
    pub fn find(&self, label: &str) -> Option<&Layers> {
        self.layers.iter().find(|l| l.label == label)
    }

    /// What the layers of a model that nothing is known of begin with.
    #[must_use]
    pub fn newcomer(&self, label: &str, width: usize) -> Layers {
        let last = self.layers.iter().filter(|l| !l.is_prior());
        let last = last.max_by_key(|l| l.taught).filter(|_| label != PRIOR);
        Layers::after(label, last, width)
    }

    /// The layers that the next lesson of that model goes to.
    pub fn of(&mut self, label: &str, width: usize) -> &mut Layers {
        self.lessons += 1;
        let at = self.layers.iter().position(|l| l.label == label);
        let at = at.unwrap_or_else(|| {
            let newcomer = self.newcomer(label, width);
            if self.layers.len() >= MODELS_MAX {
                let oldest = (0..self.layers.len()).min_by_key(|i| self.layers[*i].taught);
                self.layers.remove(oldest.unwrap_or(0));
            }
            self.layers.push(newcomer);
            self.layers.len() - 1
        });
        self.layers[at].taught = self.lessons;
        &mut self.layers[at]
    }

    /// The layers of that model, for a correction of what it taught.
    pub fn again(&mut self, label: &str) -> Option<&mut Layers> {
        let layers = self.layers.iter_mut().find(|l| l.label == label)?;
        self.lessons += 1;
        Some(layers)
    }
}
