//! What is learnt over each model that may answer: live, canary, shadow, the offers' priors.
//!
//! Each has layers of its own: terms are what a model gets wrong, and the next model gets other things wrong. A
//! model's layers begin with what was learnt over the one before it, as unsure as if they were new; a shadow's or a canary's
//! have then learnt for themselves before it is live.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::decide::posterior::PRIOR;
use crate::domain::OfferClass;
use crate::model::online::{self, Memory, Row, layers};

/// Models that are remembered; of more, the one that has taught nothing for longest is forgotten.
pub const MODELS_MAX: usize = 6;

/// Levels of classes are admitted to have moved in steps of so long: often enough that no step is seen.
const LOOSEN_MS: i64 = 10 * 60_000;

/// What is learnt over one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layers {
    /// `name@version`.
    pub label: String,
    /// The number of the last lesson.
    pub taught: u64,
    /// Its level, its classes and its offers, by hash of the offer's id.
    pub terms: online::Layers,
}

impl Layers {
    /// The layers of a model that is new, after those of `before`.
    #[must_use]
    pub fn after(label: &str, before: Option<&Layers>, width: usize) -> Layers {
        let new = || online::Layers::new(OfferClass::ALL.len(), width);
        Layers {
            label: label.to_owned(),
            taught: 0,
            terms: before.map_or_else(new, |before| online::Layers::after(&before.terms)),
        }
    }

    /// Whether they are the priors', which follow nobody and are followed by nobody.
    #[must_use]
    pub fn is_prior(&self) -> bool {
        self.label == PRIOR
    }
}

/// The rows that each model's layers are fitted to again, by its label: only the learner looks at them.
pub type Memories = BTreeMap<String, Memory>;

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

    /// Learns a label, counting `weight` times, of a showing that the model scored.
    pub fn learn(
        &mut self,
        memories: &mut Memories,
        (label, row): (&str, &Row<'_>),
        lesson: (f64, f64),
        width: usize,
    ) {
        if !memories.contains_key(label) {
            memories.retain(|label, _| self.find(label).is_some());
            memories.insert(label.to_owned(), Memory::default());
        }
        let layers = self.of(label, width);
        if let Some(memory) = memories.get_mut(label) {
            layers.terms.learn(memory, row, lesson, width);
        }
    }

    /// Takes back or adds a part of a label.
    pub fn correct(
        &mut self,
        memories: &mut Memories,
        (label, row): (&str, &Row<'_>),
        change: f64,
        width: usize,
    ) {
        let known = self.layers.iter_mut().find(|l| l.label == label);
        if let Some((layers, memory)) = known.zip(memories.get_mut(label)) {
            self.lessons += 1;
            layers.terms.correct(memory, row, change, width);
        }
    }

    /// The layers that the next lesson of that model goes to.
    fn of(&mut self, label: &str, width: usize) -> &mut Layers {
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
        for layers in &mut self.layers {
            layers.terms.loosen(variance);
        }
    }
}
