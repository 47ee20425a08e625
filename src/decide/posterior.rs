//! What has been learnt since the model was pushed, frozen for reading.
//!
//! The model's probability becomes log-odds; Platt's two numbers put them on the level of today; the terms of
//! the offer's class and of the offer add what is particular to them, with how sure that is. The prior, which answers where no model
//! does, is a base probability like any other and has layers of its own.
//!
//! A posterior is bound to one catalog and replaced every second or so without a new epoch: it has a version
//! of its own, and what it believed about each candidate goes into the record, so that a decision is made again from
//! its record without the posterior of that second.

use std::collections::HashMap;

use super::inputs::View;
use super::learning::{Learning, LearningKind};
use super::snapshot::Catalog;
use crate::domain::{OfferClass, OfferIx, Phase, PlacementIx, Request};
use crate::model::online::{self, Context, Feature, OnlinePlatt, Terms, logit};

use super::condition::{Attr, Attributes, Key};

/// The label of the layers over the offers' priors.
pub const PRIOR: &str = "prior@0";

/// What is believed about a candidate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Belief {
    /// Probability of a success.
    pub probability: f64,
    /// Standard deviation of its logarithm.
    pub spread: f64,
}

const NOTHING: online::Belief = online::Belief {
    mean: 0.0,
    deviation: 0.0,
};

/// What has been learnt, for the catalog of one snapshot.
pub struct Posterior {
    /// Counts what has been learnt; the same number is the same posterior.
    pub version: u64,
    source: Source,
}

enum Source {
    Learnt(Learnt),
    /// By placement asked for and offer: what a record says was believed.
    Recorded(HashMap<(u8, OfferIx), Belief>),
}

/// The layers of every model that may answer.
pub struct Learnt {
    /// Where in a request the terms' features are.
    pub columns: Columns,
    /// One per model.
    pub layers: Vec<Layers>,
}

/// What has been learnt over one model.
pub struct Layers {
    /// `name@version`, or [`PRIOR`].
    pub label: Box<str>,
    /// The model's level.
    pub platt: OnlinePlatt,
    /// How each class differs from the model, by [`OfferClass`].
    pub classes: Vec<Terms>,
    /// How each offer differs from its class, by [`OfferIx`].
    pub offers: Vec<Terms>,
}

/// A posterior that is about to be asked about the candidates of one placement.
pub(super) enum Asked<'p> {
    /// The layers, and what each class believes.
    Learnt(&'p Layers, [online::Belief; OfferClass::ALL.len()]),
    Nothing,
    Recorded(&'p HashMap<(u8, OfferIx), Belief>, u8),
}

impl Posterior {
    /// What has been learnt.
    #[must_use]
    pub fn learnt(version: u64, learnt: Learnt) -> Posterior {
        Posterior {
            version,
            source: Source::Learnt(learnt),
        }
    }

    /// What a record says was believed, by placement asked for and offer.
    #[must_use]
    pub fn recorded(version: u64, beliefs: HashMap<(u8, OfferIx), Belief>) -> Posterior {
        Posterior {
            version,
            source: Source::Recorded(beliefs),
        }
    }

    /// Prepares for the candidates of a placement, whose base probabilities come from the model of that
    /// label; `x` is a buffer for what they share.
    pub(super) fn ask(
        &self,
        label: &str,
        request: &Request<'_>,
        view: &View<'_>,
        (ask, placement): (u8, PlacementIx),
        x: &mut Context,
    ) -> Asked<'_> {
        match &self.source {
            Source::Recorded(beliefs) => Asked::Recorded(beliefs, ask),
            Source::Learnt(learnt) => {
                let Some(layers) = learnt.layers.iter().find(|l| *l.label == *label) else {
                    return Asked::Nothing;
                };
                x.fill(|x| learnt.columns.fill(request, view, placement, x));
                let mut classes = [NOTHING; OfferClass::ALL.len()];
                for (belief, class) in classes.iter_mut().zip(&layers.classes) {
                    *belief = class.believe(x, 0.0);
                }
                Asked::Learnt(layers, classes)
            }
        }
    }
}

impl Asked<'_> {
    /// What is believed about an offer of that class whose base probability is `base`.
    ///
    /// The deviation is that of the class and the offer: what the level is says nothing about which offer is
    /// best, so an explorer has nothing to gain from doubts about it.
    pub fn believe(&self, (offer, class): (OfferIx, OfferClass), base: f64, x: &Context) -> Belief {
        let as_it_is = Belief {
            probability: base,
            spread: 0.0,
        };
        match self {
            Asked::Recorded(beliefs, ask) => {
                beliefs.get(&(*ask, offer)).copied().unwrap_or(as_it_is)
            }
            Asked::Nothing => as_it_is,
            Asked::Learnt(layers, classes) => {
                let level = layers.platt.logit(logit(base));
                let own = &layers.offers[offer.0 as usize];
                let belief = classes[class as usize].and(own, x, level);
                Belief {
                    probability: belief.probability(),
                    spread: belief.spread(),
                }
            }
        }
    }
}

/// Where in a request the features of the terms are, for one catalog.
///
/// A column has a name and keeps its number for as long as anything is learnt; what has no number yet is
/// not looked at.
pub struct Columns {
    phases: [Option<u16>; Phase::ALL.len()],
    placements: Vec<Option<u16>>,
    ranks: [Option<u16>; 2],
    inputs: Vec<Column>,
    segments: Vec<(Box<str>, u16)>,
}

struct Column {
    key: Key,
    values: Values,
}

enum Values {
    /// As -1 to 1 between two bounds.
    Number(u16, f64, f64),
    Words(HashMap<Box<str>, u16>),
}

/// The column that is always 1.
pub const INTERCEPT: u16 = 0;
/// Its name.
pub const INTERCEPT_NAME: &str = "1";

impl Columns {
    /// The names of every column that a catalog's terms look at, in a fixed order.
    pub fn names(catalog: &Catalog, mut name: impl FnMut(&str)) {
        let Learning {
            inputs, segments, ..
        } = &catalog.learning;
        name(INTERCEPT_NAME);
        Phase::WORDS.iter().for_each(|w| name(&phase(w)));
        RANKS.iter().for_each(|rank| name(rank));
        (catalog.placements.iter()).for_each(|p| name(&placement(&p.id)));
        for input in inputs {
            match &input.kind {
                LearningKind::Number(from, to) => name(&number(&input.name, *from, *to)),
                LearningKind::Words(words) => {
                    words.iter().for_each(|w| name(&word(&input.name, w)));
                }
            }
        }
        segments.iter().for_each(|s| name(&segment(s)));
    }

    /// The columns of a catalog whose names `find` gives numbers.
    #[must_use]
    pub fn new(catalog: &Catalog, find: impl Fn(&str) -> Option<u16>) -> Columns {
        let Learning {
            inputs, segments, ..
        } = &catalog.learning;
        let column = |input: &super::learning::LearningInput| {
            let values = match &input.kind {
                LearningKind::Number(from, to) => {
                    Values::Number(find(&number(&input.name, *from, *to))?, *from, *to)
                }
                LearningKind::Words(words) => {
                    let known = words
                        .iter()
                        .filter_map(|w| Some((w.clone(), find(&word(&input.name, w))?)));
                    Values::Words(known.collect())
                }
            };
            Some(Column {
                key: input.key,
                values,
            })
        };
        let mut phases = [None; Phase::ALL.len()];
        for (column, word) in phases.iter_mut().zip(Phase::WORDS) {
            *column = find(&phase(word));
        }
        Columns {
            phases,
            placements: (catalog.placements.iter())
                .map(|p| find(&placement(&p.id)))
                .collect(),
            ranks: RANKS.map(&find),
            inputs: inputs.iter().filter_map(column).collect(),
            segments: (segments.iter())
                .filter_map(|s| Some((s.clone(), find(&segment(s))?)))
                .collect(),
        }
    }

    /// Whether they look at more of a request than its phase and the placement.
    #[must_use]
    pub fn look_at_customers(&self) -> bool {
        !self.inputs.is_empty() || !self.segments.is_empty()
    }

    /// Writes what all candidates of a placement share, as at the first rank, into `x`.
    pub fn fill(
        &self,
        request: &Request<'_>,
        view: &View<'_>,
        placement: PlacementIx,
        x: &mut Vec<Feature>,
    ) {
        x.clear();
        x.push((INTERCEPT, 1.0));
        let phase = self.phases[request.appointment.phase as usize];
        let placement = self.placements[usize::from(placement.0)];
        x.extend(phase.into_iter().chain(placement).map(|c| (c, 1.0)));
        for column in &self.inputs {
            match (&column.values, view.get(column.key)) {
                (Values::Number(number, from, to), Attr::Number(value)) => {
                    x.push((*number, scaled(value, *from, *to)));
                }
                (Values::Number(number, from, to), Attr::Flag(flag)) => {
                    x.push((*number, scaled(f64::from(u8::from(flag)), *from, *to)));
                }
                (Values::Words(words), Attr::Text(text)) => {
                    x.extend(words.get(text).map(|&number| (number, 1.0)));
                }
                _ => {}
            }
        }
        for (segment, number) in &self.segments {
            if request.customer.segments.contains(&&**segment) {
                x.push((*number, 1.0));
            }
        }
    }

    /// What the same offer has beside that at a lower rank; nothing at the first. Only learning looks at it: what is
    /// asked when deciding is how good an offer is in the best place.
    #[must_use]
    pub fn lower_rank(&self, rank: u8) -> Option<Feature> {
        let column = match rank {
            0 | 1 => None,
            2 => self.ranks[0],
            _ => self.ranks[1],
        };
        column.map(|number| (number, 1.0))
    }
}

/// Names of the columns of lower ranks.
const RANKS: [&str; 2] = ["rank=2", "rank>2"];

fn phase(word: &str) -> String {
    format!("phase={word}")
}

fn placement(id: &str) -> String {
    format!("placement={id}")
}

fn segment(name: &str) -> String {
    format!("segment={name}")
}

fn word(input: &str, word: &str) -> String {
    format!("{input}={word}")
}

/// With its bounds: the same number on another scale is another feature.
fn number(input: &str, from: f64, to: f64) -> String {
    format!("{input}[{from},{to}]")
}

/// -1 at `from`, 1 at `to`; the nearer of the two beyond them, and 0 for what is no number.
fn scaled(value: f64, from: f64, to: f64) -> f64 {
    let share = (value.clamp(from, to) - from) / (to - from);
    if share.is_finite() {
        2.0 * share - 1.0
    } else {
        0.0
    }
}
