//! What is learnt over each model: its level, and the terms of everybody, of its classes and of its offers, which add up.
//!
//! Every model that may answer (live, canary, shadow, the offers' priors) has layers of its own: terms are what a
//! model gets wrong, and the next model gets other things wrong. A model's layers begin with what was learnt over the one
//! before it, as unsure as if they were new; a shadow's or a canary's have then learnt for themselves before it is live.
//!
//! Updates are sequential: the order of lessons matters, and those of two nodes do not add up.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::posterior::{INTERCEPT, PRIOR};
use crate::domain::OfferClass;
use crate::model::online::layers::{self, Prior};
use crate::model::online::{BayesLogistic, FULL_MAX, Feature, OnlinePlatt};

/// Models that are remembered; of more, the one that has taught nothing for longest is forgotten.
pub const MODELS_MAX: usize = 6;

/// Bytes that the terms of one model's offers may have: ten thousand offers of 57 columns. Offers beyond have none of
/// their own, and are believed to be like their class.
pub const TERMS_BYTES_MAX: usize = 256 << 20;

/// Levels of classes are admitted to have moved in steps of so long: often enough that no step is seen.
const LOOSEN_MS: i64 = 10 * 60_000;

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
    pub fn around(mean: &[f64], prior: Prior) -> Terms {
        let mut precisions = vec![prior.weight.powi(-2); mean.len()];
        if let Some(level) = precisions.get_mut(usize::from(INTERCEPT)) {
            *level = prior.intercept.powi(-2);
        }
        let terms = BayesLogistic::with_prior(mean.to_vec(), &precisions);
        Terms(Arc::new(terms))
    }

    /// That were told nothing.
    #[must_use]
    pub fn new(width: usize, prior: Prior) -> Terms {
        Terms(Arc::new(prior.start(width)))
    }

    fn loosened(&self, prior: Prior) -> Terms {
        Terms::around(self.0.mean(), prior)
    }

    /// To learn in, and wide enough.
    fn open(&mut self, width: usize, prior: Prior) -> &mut BayesLogistic {
        let terms = Arc::make_mut(&mut self.0);
        terms.widen(width, prior.weight.powi(-2));
        terms
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
    /// What everybody does with every offer.
    pub everybody: Terms,
    /// How each class differs from that.
    pub classes: Vec<Terms>,
    /// How each offer differs from its class, by hash of the offer's id.
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
        let new = |prior| Terms::new(width, prior);
        let (everybody, classes, offers) = match before {
            None => (
                new(Prior::EVERYBODY),
                vec![new(Prior::CLASS); OfferClass::ALL.len()],
                BTreeMap::new(),
            ),
            Some(before) => {
                let classes = before.classes.iter().map(|c| c.loosened(Prior::CLASS));
                let offers = before.offers.iter();
                let offers = offers.map(|(id, o)| (*id, o.loosened(Prior::OFFER)));
                let everybody = before.everybody.loosened(Prior::EVERYBODY);
                (everybody, classes.collect(), offers.collect())
            }
        };
        Layers {
            label: label.to_owned(),
            taught: 0,
            platt: OnlinePlatt::default(),
            everybody,
            classes,
            offers,
        }
    }

    /// Whether they are the priors', which follow nobody and are followed by nobody.
    #[must_use]
    pub fn is_prior(&self) -> bool {
        self.label == PRIOR
    }

    /// Learns a label.
    pub fn learn(&mut self, row: &Row<'_>, label: f64, weight: f64, width: usize) {
        let offset = self.platt.logit(row.base);
        self.admit(row.offer, width);
        layers::learn(&mut self.of(row, width), row.x, offset, label, weight);
        self.platt.learn(row.base, label, weight);
    }

    /// Takes back or adds a part of a label.
    pub fn correct(&mut self, row: &Row<'_>, change: f64, width: usize) {
        layers::correct(&mut self.of(row, width), row.x, change);
        self.platt.correct(row.base, change);
    }

    /// Gives an offer terms of its own, where there is room.
    fn admit(&mut self, offer: u64, width: usize) {
        let bytes = 8 * width * width.min(FULL_MAX);
        if !self.offers.contains_key(&offer) && (self.offers.len() + 1) * bytes <= TERMS_BYTES_MAX {
            self.offers.insert(offer, Terms::new(width, Prior::OFFER));
        }
    }

    /// The layers that the row is about.
    fn of(&mut self, row: &Row<'_>, width: usize) -> Vec<&mut BayesLogistic> {
        let mut all = vec![self.everybody.open(width, Prior::EVERYBODY)];
        let class = self.classes.get_mut(usize::from(row.class));
        all.extend(class.map(|class| class.open(width, Prior::CLASS)));
        let offer = self.offers.get_mut(&row.offer);
        all.extend(offer.map(|offer| offer.open(width, Prior::OFFER)));
        all
    }
}

/// The layers of every model that is remembered, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// The number of lessons so far.
    pub lessons: u64,
    /// One per model.
    pub layers: Vec<Layers>,
    /// Until when classes have been loosened.
    loosened: i64,
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

    /// Lets time pass, by the journal's clock: the levels of classes may have moved meanwhile, so that one that was
    /// given up is tried again.
    pub fn pass(&mut self, now: i64) {
        let step = now - now.rem_euclid(LOOSEN_MS);
        let elapsed = step - self.loosened;
        if elapsed <= 0 {
            return;
        }
        // Nothing was known before the first record.
        let since = std::mem::replace(&mut self.loosened, step);
        if since == 0 || self.layers.is_empty() {
            return;
        }
        self.lessons += 1;
        let variance = layers::drift(elapsed.unsigned_abs());
        for class in self.layers.iter_mut().flat_map(|l| &mut l.classes) {
            Arc::make_mut(&mut class.0).loosen(INTERCEPT, variance);
        }
    }
}
