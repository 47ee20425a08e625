//! What the learner tells people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::curve::Curve;
use super::told::Choice;
use super::{Heard, Learner, class};
use crate::decide::budget::Budgets;
use crate::domain::OfferClass;
use crate::journal::Position;
use crate::learn::attribution::Counts;
use crate::learn::rates::{Rate, SPANS};

/// What exploring cost one class on one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Offers of the class shown.
    pub showings: u64,
    /// Of these, where another had the higher score.
    pub explored: u64,
    /// Minor units of expected value given up by showing them instead of the best.
    pub cost_minor: f64,
    /// What the odds made this cost in expectation, whichever offer was drawn.
    pub expected_minor: f64,
    /// Since when the budget of the catalog is spent, milliseconds since the Unix epoch: the decision that
    /// spent the last of it.
    pub spent_at_ms: Option<i64>,
}

/// One day, by class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayCosts(BTreeMap<u8, Cost>);

impl DayCosts {
    pub(super) fn add(
        &mut self,
        class: OfferClass,
        choice: &Choice<'_>,
        budgets: &Budgets,
        at: i64,
    ) {
        let cost = self.0.entry(class as u8).or_default();
        cost.showings += 1;
        cost.explored += u64::from(choice.explored);
        cost.cost_minor += choice.behind;
        cost.expected_minor += choice.gap;
        if budgets.is_spent(class, cost.cost_minor) {
            cost.spent_at_ms.get_or_insert(at);
        } else {
            // Another catalog gave it more.
            cost.spent_at_ms = None;
        }
    }

    /// What it cost that class.
    #[must_use]
    pub fn of(&self, class: OfferClass) -> Cost {
        self.0.get(&(class as u8)).copied().unwrap_or_default()
    }

    /// By the class's word.
    #[must_use]
    pub fn by_class(&self) -> BTreeMap<&'static str, Cost> {
        let costs = self.0.iter();
        costs
            .map(|(ix, cost)| (class(*ix).as_str(), *cost))
            .collect()
    }
}

/// The day of a moment in milliseconds since the Unix epoch, as costs are booked.
#[must_use]
pub fn day(zone: &jiff::tz::TimeZone, at: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(at).unwrap_or_default();
    zone.to_datetime(at).date().to_string()
}

/// One offer's success rate, honest about what is still on its way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfferReport {
    /// Hash of the offer's id, hexadecimal; the admin port puts the id beside it.
    pub offer: String,
    /// The estimate.
    #[serde(flatten)]
    pub rate: Rate,
}

/// What the learner tells people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The posterior's version: lessons learnt.
    pub version: u64,
    /// The last record heard, by where it came from.
    pub positions: BTreeMap<String, Position>,
    /// The time of the last record, milliseconds since the Unix epoch.
    pub until_ms: i64,
    /// Columns that terms are learnt on.
    pub columns: usize,
    /// Models with layers, and how many offers have terms of their own over each.
    pub models: BTreeMap<String, usize>,
    /// Showings remembered.
    pub remembered: usize,
    /// What became of decisions.
    pub decisions: Heard,
    /// What became of showings and events.
    pub events: Counts,
    /// How well beliefs foretold outcomes, beside the model alone.
    pub curve: Curve,
    /// By day in the operator's time zone and class, what exploring cost.
    pub learning_cost: BTreeMap<String, BTreeMap<&'static str, Cost>>,
    /// Success rates by offer.
    pub offers: Vec<OfferReport>,
}

impl Learner {
    /// What it tells people.
    #[must_use]
    pub fn report(&self) -> Report {
        let state = &self.state;
        let longest = SPANS[SPANS.len() - 1];
        let offers = state.attribution.rates_at(state.now).into_iter();
        let layers = state.models.layers.iter();
        let days = state.costs.iter();
        Report {
            version: self.version(),
            positions: state.positions.clone(),
            until_ms: state.now,
            columns: state.space.width(),
            models: layers
                .map(|l| (l.label.clone(), l.terms.offers.len()))
                .collect(),
            remembered: state.attribution.remembered(),
            decisions: state.heard.clone(),
            events: state.attribution.counts.clone(),
            curve: state.curve.clone(),
            learning_cost: days.map(|(day, c)| (day.clone(), c.by_class())).collect(),
            offers: offers
                .map(|(offer, rates)| OfferReport {
                    offer: format!("{offer:016x}"),
                    rate: rates.rate(longest),
                })
                .collect(),
        }
    }
}
