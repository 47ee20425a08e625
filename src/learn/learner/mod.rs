//! The learner: every record once, in order, and from them what decisions may believe.
//!
//! [`Learner`] is a function of the records that it has heard: it has no clock, no dice and no order of its own, so the same
//! records make the same posterior, bit for bit, and its state is saved together with the place of the last record in
//! it (`saved`). Whoever is killed between two savings hears the records in between again, as if for the first
//! time. [`run`](run::Embedded) feeds it a node's journal.

mod bind;
mod curve;
mod hear;
mod layers;
mod report;
pub mod run;
mod saved;
mod space;
pub mod streams;
mod today;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::attribution::{Attribution, Lesson, Limits, Showing};
use crate::decide::snapshot::Catalog;
use crate::domain::{Entry, OfferClass};
use crate::journal::Position;
use crate::model::online::{Context, Row};

pub use bind::bind;
pub use curve::{Curve, Point};
pub use layers::Models;
pub use report::{Cost, DayCosts, OfferReport, Report, day};
pub use saved::{Saved, digest};
pub use space::Space;

use hear::Bound;
use layers::Memories;
use today::Today;

/// Finds a catalog by its digest.
pub type Find = Box<dyn FnMut(&str) -> Option<Arc<Catalog>> + Send>;

/// Days whose costs are kept.
const DAYS_MAX: usize = 32;

/// Everything that a learner knows; what is saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The last record heard, by where it came from; a node's own journal is `journal`.
    pub positions: BTreeMap<String, Position>,
    /// The latest of them, which is the time.
    pub now: i64,
    space: Space,
    /// Models by the numbers that showings have.
    labels: Vec<String>,
    models: Models,
    memories: Memories,
    attribution: Attribution,
    curve: Curve,
    heard: Heard,
    /// By day in the operator's time zone, what exploring cost each class.
    costs: BTreeMap<String, DayCosts>,
}

/// What became of the records of decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    /// Records of any kind.
    pub records: u64,
    /// Decisions.
    pub decisions: u64,
    /// Offers shown in them.
    pub shown: u64,
    /// Dropped: decisions that cannot be read.
    pub unreadable: u64,
    /// Dropped: offers shown by `test` requests.
    pub test: u64,
    /// Dropped: offers shown to customers who withhold measurement.
    pub unmeasured: u64,
    /// Dropped: offers shown by answers that were cut short.
    pub degraded: u64,
    /// Dropped: offers shown under a catalog that is not at hand.
    pub no_catalog: u64,
    /// Dropped: offers shown under a catalog that learns nothing.
    pub learning_off: u64,
    /// Dropped: offers that the catalog does not have.
    pub unknown_offer: u64,
    /// Records that came after later ones of other nodes had been heard.
    pub out_of_order: u64,
}

/// What decisions may believe, as of some record. Cheap to clone and to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learnt {
    /// Counts lessons: the same number is the same posterior.
    pub version: u64,
    /// Counts lessons and offers shown: the same number is the same in all.
    pub edition: u64,
    /// The time of the last record, milliseconds since the Unix epoch.
    pub until: i64,
    space: Space,
    models: Models,
    costs: BTreeMap<String, DayCosts>,
}

impl Learnt {
    /// What exploring cost that class on that [`day`].
    #[must_use]
    pub fn cost(&self, day: &str, class: OfferClass) -> Cost {
        self.costs
            .get(day)
            .map_or_else(Cost::default, |c| c.of(class))
    }
}

/// Learns from records.
pub struct Learner {
    state: State,
    limits: Limits,
    find: Find,
    catalogs: HashMap<String, Option<Arc<Bound>>>,
    today: Today,
    x: Context,
}

impl Learner {
    /// One that knows nothing yet, or what `state` says.
    #[must_use]
    pub fn new(state: State, limits: Limits, find: Find) -> Learner {
        Learner {
            state,
            limits,
            find,
            catalogs: HashMap::new(),
            today: Today::default(),
            x: Context::default(),
        }
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The last record heard from there.
    #[must_use]
    pub fn position(&self, source: &str) -> Position {
        let position = self.state.positions.get(source);
        position.copied().unwrap_or(Position::START)
    }

    /// Counts lessons: while it stays, so does the posterior.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.state.models.lessons
    }

    /// Counts lessons and offers shown: while it stays, so does all that decisions are told.
    #[must_use]
    pub fn edition(&self) -> u64 {
        self.version() + self.state.heard.shown
    }

    /// Learns from a record, once: one that stands at or before the last one heard from there is passed over.
    pub fn hear(&mut self, source: &str, position: Position, entry: &Entry) {
        if position <= self.position(source) {
            return;
        }
        match self.state.positions.get_mut(source) {
            Some(known) => *known = position,
            None => {
                self.state.positions.insert(source.to_owned(), position);
            }
        }
        self.state.heard.records += 1;
        self.state.heard.out_of_order += u64::from(position.ms < self.state.now);
        self.state.now = self.state.now.max(position.ms);
        let now = self.state.now;
        self.teach(|attribution, teach| attribution.advance(now, teach));
        self.state.models.pass(now);
        self.take(entry);
    }

    /// What decisions may believe now.
    #[must_use]
    pub fn learnt(&self) -> Learnt {
        Learnt {
            version: self.version(),
            edition: self.edition(),
            until: self.state.now,
            space: self.state.space.clone(),
            models: self.state.models.clone(),
            costs: self.state.costs.clone(),
        }
    }

    /// Has the attribution give its lessons to the layers.
    fn teach(&mut self, give: impl FnOnce(&mut Attribution, &mut super::attribution::Teach<'_>)) {
        let State {
            attribution,
            models,
            memories,
            curve,
            labels,
            space,
            ..
        } = &mut self.state;
        let (x, width) = (&mut self.x, space.width());
        give(attribution, &mut |lesson| match lesson {
            Lesson::Learn {
                showing,
                label,
                weight,
                number,
            } => {
                for (model, row) in rows(showing, number, labels, x) {
                    models.learn(memories, (model, &row), (label, weight), width);
                }
                // The extra failure of a dismissal is no showing of its own.
                if number > 0 {
                    curve.learn(f64::from(showing.believed), showing.base, label);
                }
            }
            Lesson::Correct { showing, change } => {
                for (model, row) in rows(showing, showing.lesson, labels, x) {
                    models.correct(memories, (model, &row), change, width);
                }
                curve.correct(f64::from(showing.believed), showing.base, change);
            }
        });
    }
}

/// What a showing tells about the model that scored it, and about the shadow beside it.
fn rows<'a>(
    showing: &'a Showing,
    number: u64,
    labels: &'a [String],
    x: &'a mut Context,
) -> impl Iterator<Item = (&'a str, Row<'a>)> {
    let features = showing.features.iter();
    x.fill(|x| x.extend(features.map(|&(i, v)| (i, f64::from(v)))));
    let x = &*x;
    let all = std::iter::once((showing.model, showing.base)).chain(showing.shadow);
    all.filter_map(move |(model, base)| {
        let row = Row {
            number,
            offer: showing.offer,
            class: usize::from(showing.class),
            base,
            x,
        };
        Some((labels.get(usize::from(model))?.as_str(), row))
    })
}

/// The class whose index that is.
fn class(index: u8) -> OfferClass {
    OfferClass::from_index(index).unwrap_or(OfferClass::Content)
}
