//! From the records of decisions and events to examples: one per offer that was shown and seen.
//!
//! An offer that nobody saw did not fail, so it teaches nothing; neither do `test` requests, customers
//! who withhold measurement, and answers that a deadline or a failure cut short. (`prior_only` is no such
//! failure: a first model can only be trained on what was shown without one.) The label is a conversion
//! that was not reversed. Inputs are what the scorer would have been given, through the same code, with
//! the catalog of the decision's time.
//!
//! What is shown was chosen by a policy, and a model trained on it as it is learns the policy's habits.
//! So each row weighs the inverse of its logged propensity (Horvitz and Thompson 1952), up to a limit:
//! beyond it a few rare rows would be all that matters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use super::dataset::{Dataset, Part};
use super::heard::{Head, Showing, is_event};
use crate::decide::condition::{Attr, Key};
use crate::decide::inputs::{Clock, Vocabulary, look};
use crate::decide::offer_inputs;
use crate::decide::record::{ChoiceRecord, DecisionRecord};
use crate::decide::snapshot::{Catalog, OfferFeature};
use crate::domain::record::read;
use crate::domain::{DecisionId, EventType, NameHash, Request};
use crate::model::{Feature, Kind, Source};

/// Categories that a column without a list of its own may gather; later ones are missing. A word that
/// has more values is not a category but an id.
pub const OPEN_CATEGORIES_MAX: usize = 64;

/// How rows are assigned to training, calibration and measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// The oldest three fifths train, the newest fifth measures: as the model will be used.
    Time,
    /// By a hash of the decision, so that all parts are from the same days.
    Hash,
}

/// What to make of a log.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The largest weight of a row, at least 1.
    pub weight_max: f64,
    /// The most examples; what comes later is only counted.
    pub examples_max: usize,
    /// How rows are split.
    pub split: Split,
}

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Decisions read.
    pub decisions: u64,
    /// Records that are none, or of a newer form.
    pub unreadable: u64,
    /// Decisions that were read before.
    pub repeated: u64,
    /// Decisions of `test` requests.
    pub test: u64,
    /// Decisions whose customer withheld measurement.
    pub unmeasured: u64,
    /// Decisions whose answer was cut short.
    pub degraded: u64,
    /// Decisions whose catalog is not at hand.
    pub no_catalog: u64,
    /// Offers shown in the decisions left.
    pub shown: u64,
    /// Of these, offers that nobody saw.
    pub unseen: u64,
    /// Of these, offers that the catalog at hand does not have.
    pub unknown_offer: u64,
    /// Examples beyond the limit.
    pub over_limit: u64,
    /// Examples made.
    pub examples: u64,
    /// Of these, converted.
    pub conversions: u64,
    /// Conversions that were taken back.
    pub reversed: u64,
    /// Examples whose weight was limited.
    pub clipped: u64,
    /// How many unweighted examples would tell as much: `(sum w)^2 / sum w^2`.
    pub effective_examples: f64,
}

/// What happened to every offer shown, gathered before the decisions are read, because events may come
/// in any order.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    of: HashMap<Showing, Outcome>,
    /// When the newest decision was made, as it says itself, and the digest of its catalog.
    newest: (String, String),
}

#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    seen: bool,
    converted: bool,
    reversed: bool,
}

impl Outcomes {
    /// The digest of the newest decision's catalog, if there is any decision.
    #[must_use]
    pub fn newest_catalog(&self) -> Option<&str> {
        Some(self.newest.1.as_str()).filter(|digest| !digest.is_empty())
    }

    /// Takes note of a record; those of no use here are ignored.
    pub fn hear(&mut self, record: &(impl AsRef<[u8]> + ?Sized)) {
        let Some(event) = Head::of(record) else {
            return;
        };
        if let (Some(at), Some(catalog)) = (&event.at, &event.catalog)
            && **at >= *self.newest.0
        {
            self.newest = (at.to_string(), catalog.to_string());
        }
        let Some(showing) = event.showing() else {
            return;
        };
        let outcome = self.of.entry(showing).or_default();
        match event.kind.parse() {
            Ok(EventType::Impression | EventType::Viewable) => outcome.seen = true,
            // Whoever bought it has seen it, whatever became of the impression.
            Ok(EventType::Conversion) => (outcome.seen, outcome.converted) = (true, true),
            Ok(EventType::Reversal) => outcome.reversed = true,
            _ => {}
        }
    }
}

/// Finds a catalog by its digest.
type Find<'a> = dyn FnMut(&str) -> Option<Arc<Catalog>> + 'a;

/// Makes examples of decisions.
pub struct Examples<'a> {
    outcomes: Outcomes,
    limits: Limits,
    find: Box<Find<'a>>,
    catalogs: HashMap<String, Option<Bound>>,
    columns: Vec<Column>,
    read: HashSet<u128>,
    data: Dataset,
    /// Per row, when it was decided and by which decision.
    origins: Vec<(i64, DecisionId)>,
    counts: Counts,
}

/// A feature, and its categories as they are found.
struct Column {
    feature: Feature,
    places: HashMap<Box<str>, f64>,
    /// Whether words that are not in the list may join it.
    open: bool,
}

/// A catalog, and where in a request the columns are.
struct Bound {
    catalog: Arc<Catalog>,
    vocabulary: Vocabulary,
    /// `None` for inputs of the offer.
    keys: Vec<Option<Key>>,
}

impl<'a> Examples<'a> {
    /// Examples with these features; a category without a list gathers its own.
    pub fn new(
        outcomes: Outcomes,
        features: Vec<Feature>,
        limits: Limits,
        find: impl FnMut(&str) -> Option<Arc<Catalog>> + 'a,
    ) -> Examples<'a> {
        Examples {
            outcomes,
            limits,
            find: Box::new(find),
            catalogs: HashMap::new(),
            columns: features.iter().cloned().map(Column::new).collect(),
            read: HashSet::new(),
            data: Dataset::new(features),
            origins: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes a record; those that are no decision are ignored.
    pub fn add(&mut self, record: &(impl AsRef<[u8]> + ?Sized)) {
        if is_event(record) {
            return;
        }
        self.counts.decisions += 1;
        let Ok(record) = read::<DecisionRecord<'_>>(record) else {
            self.counts.unreadable += 1;
            return;
        };
        let counter = if record.test {
            &mut self.counts.test
        } else if !record.measured {
            &mut self.counts.unmeasured
        } else if record.is_cut_short() {
            &mut self.counts.degraded
        } else if let Ok(request) = record.request() {
            if self.read.insert(request.decision.0) {
                return self.add_decision(&record, &request);
            }
            &mut self.counts.repeated
        } else {
            &mut self.counts.unreadable
        };
        *counter += 1;
    }

    fn add_decision(&mut self, record: &DecisionRecord<'_>, request: &Request<'_>) {
        let (columns, find) = (&self.columns, &mut self.find);
        let bound = self
            .catalogs
            .entry(record.catalog.to_string())
            .or_insert_with(|| find(&record.catalog).map(|catalog| Bound::new(catalog, columns)));
        let Some(bound) = bound else {
            self.counts.no_catalog += 1;
            return;
        };
        for (slot, placement) in (0_u8..).zip(&record.placements) {
            let mut shared = None;
            for choice in &placement.slate {
                self.counts.shown += 1;
                let showing = (request.decision.0, slot, choice.rank);
                let outcome = self.outcomes.of.get(&showing).copied().unwrap_or_default();
                let counter = if !outcome.seen {
                    &mut self.counts.unseen
                } else if self.data.rows() >= self.limits.examples_max {
                    &mut self.counts.over_limit
                } else {
                    let columns = &mut self.columns;
                    let shared =
                        shared.get_or_insert_with(|| bound.shared(columns, request, &placement.id));
                    match bound.row(columns, shared, &choice.offer) {
                        Some(row) => {
                            let weight = (1.0 / choice.propensity).min(self.limits.weight_max);
                            self.counts.count(outcome, choice, weight);
                            self.data
                                .push_row(&row, outcome.converted && !outcome.reversed);
                            self.origins.push((request.at.0, request.decision));
                            if let Some(last) = self.data.weights.last_mut() {
                                *last = weight;
                            }
                            continue;
                        }
                        None => &mut self.counts.unknown_offer,
                    }
                };
                *counter += 1;
            }
        }
    }

    /// More that happened.
    pub fn hear(&mut self, outcomes: Outcomes) {
        self.outcomes.of.extend(outcomes.of);
    }

    /// The examples, without features that never vary.
    #[must_use]
    pub fn finish(self) -> (Dataset, Counts) {
        let (data, counts) = self.finish_as_they_are();
        (data.varying(), counts)
    }

    /// The examples with every feature.
    #[must_use]
    pub fn finish_as_they_are(mut self) -> (Dataset, Counts) {
        for (feature, column) in self.data.features.iter_mut().zip(self.columns) {
            feature.kind = column.feature.kind;
        }
        self.data.parts = parts(&self.origins, self.limits.split);
        let sum: f64 = self.data.weights.iter().sum();
        let squares: f64 = self.data.weights.iter().map(|w| w * w).sum();
        self.counts.effective_examples = if squares > 0.0 {
            sum * sum / squares
        } else {
            0.0
        };
        (self.data, self.counts)
    }
}

impl Counts {
    fn count(&mut self, outcome: Outcome, choice: &ChoiceRecord<'_>, weight: f64) {
        let converted = outcome.converted && !outcome.reversed;
        self.examples += 1;
        self.conversions += u64::from(converted);
        self.reversed += u64::from(outcome.converted && outcome.reversed);
        self.clipped += u64::from(weight * choice.propensity < 1.0 - 1e-9);
    }
}

fn parts(origins: &[(i64, DecisionId)], split: Split) -> Vec<Part> {
    let mut order = origins.to_vec();
    order.sort_unstable_by_key(|(at, id)| (*at, id.0));
    let cut = |fifths: usize| {
        order
            .get(order.len() * fifths / 5)
            .map(|(at, id)| (*at, id.0))
    };
    let (calibrate, held_out) = (cut(3), cut(4));
    let part = |(at, id): &(i64, DecisionId)| match split {
        Split::Hash => Part::of(id.hash64()),
        Split::Time if Some((*at, id.0)) < calibrate => Part::Train,
        Split::Time if Some((*at, id.0)) < held_out => Part::Calibrate,
        Split::Time => Part::HeldOut,
    };
    origins.iter().map(part).collect()
}

impl Bound {
    fn new(catalog: Arc<Catalog>, columns: &[Column]) -> Bound {
        let mut vocabulary = catalog.vocabulary.clone();
        let keys = (columns.iter())
            .map(|column| match column.feature.source {
                Source::Offer => None,
                _ => Some(vocabulary.key(&column.feature.name)),
            })
            .collect();
        Bound {
            catalog,
            vocabulary,
            keys,
        }
    }

    /// The inputs that all candidates of a placement share; NaN at the others' places.
    fn shared(&self, columns: &mut [Column], request: &Request<'_>, placement: &str) -> Vec<f64> {
        let zone = &self.catalog.time_zone;
        let clock = Clock::at(request.at, zone);
        look(&self.vocabulary, clock, request, placement, |view| {
            let keys = columns.iter_mut().zip(&self.keys);
            keys.map(|(column, key)| match key {
                Some(key) => column.encode(view.attribute(self.vocabulary.attribute(*key))),
                None => f64::NAN,
            })
            .collect()
        })
    }

    /// The inputs of one offer; `None` where the catalog does not have it.
    fn row(&self, columns: &mut [Column], shared: &[f64], offer: &str) -> Option<Vec<f64>> {
        let offers = &self.catalog.offers;
        let index = self.catalog.offer_index.get(&NameHash::of(offer))?;
        let offer = &offers[index.0 as usize];
        let mut row = shared.to_vec();
        for ((value, column), key) in row.iter_mut().zip(columns).zip(&self.keys) {
            if key.is_none() {
                let name = column.feature.name.trim_start_matches("offer.");
                *value = match &offer_inputs::value(offers, offer, name) {
                    None => f64::NAN,
                    Some(OfferFeature::Number(number)) => column.encode(Attr::Number(*number)),
                    Some(OfferFeature::Text(text)) => column.encode(Attr::Text(text)),
                    Some(OfferFeature::Flag(flag)) => column.encode(Attr::Flag(*flag)),
                };
            }
        }
        Some(row)
    }
}

impl Column {
    fn new(feature: Feature) -> Column {
        let categories = match &feature.kind {
            Kind::Number => &[][..],
            Kind::Category(categories) => categories,
        };
        let places = categories.iter().map(|c| c.as_str().into());
        Column {
            places: places.zip((0..).map(f64::from)).collect(),
            open: categories.is_empty(),
            feature,
        }
    }

    /// What `decide::inputs::Input::encode` gives, once the list is complete.
    fn encode(&mut self, value: Attr<'_>) -> f64 {
        match (&mut self.feature.kind, value) {
            (Kind::Number, Attr::Number(number)) => number,
            (Kind::Number, Attr::Flag(flag)) => f64::from(u8::from(flag)),
            (Kind::Category(categories), Attr::Text(text)) => match self.places.get(text) {
                Some(place) => *place,
                None if self.open && categories.len() < OPEN_CATEGORIES_MAX => {
                    let place = categories.len() as f64;
                    categories.push(text.into());
                    self.places.insert(text.into(), place);
                    place
                }
                None => f64::NAN,
            },
            _ => f64::NAN,
        }
    }
}
