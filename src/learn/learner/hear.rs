//! Records → showings and events. What must not teach is left out here, and counted.

use std::sync::Arc;

use super::report::day;
use super::{DAYS_MAX, Learner};
use crate::decide::inputs::look;
use crate::decide::posterior::{Columns, PRIOR};
use crate::decide::record::{ChoiceRecord, DecisionRecord, PlacementRecord};
use crate::decide::snapshot::Catalog;
use crate::domain::record::read;
use crate::domain::{Channel, Entry, EntryKind, EventType, NameHash, Request};
use crate::learn::attribution::Shown;
use crate::learn::heard::Head;
use crate::model::online::logit;

/// A catalog, and where its columns are.
pub(super) struct Bound {
    catalog: Arc<Catalog>,
    columns: Columns,
}

impl Learner {
    /// Takes a record.
    pub(super) fn take(&mut self, entry: &Entry) {
        match entry.kind() {
            Some(EntryKind::Decision) => self.take_decision(entry),
            Some(EntryKind::Snapshot) | None => {}
            Some(kind) => {
                // Events follow decisions in the same order.
                let event = EventType::from_index(kind as u8 - 1);
                if let Some(event) = event.filter(|_| !entry.test) {
                    self.take_event(event, entry);
                }
            }
        }
    }

    fn take_event(&mut self, event: EventType, entry: &Entry) {
        let Some(head) = Head::of(&entry.record) else {
            return;
        };
        // Nothing that was shown can take credit for what is about the visit.
        let Some(showing) = head.showing() else {
            return;
        };
        let at = head.at_ms().unwrap_or(entry.at);
        let now = self.state.now;
        self.teach(|attribution, teach| {
            attribution.happened(showing, event, at, now, teach);
        });
    }

    fn take_decision(&mut self, entry: &Entry) {
        let shown = entry.shown.len() as u64;
        let heard = &mut self.state.heard;
        heard.decisions += 1;
        heard.shown += shown;
        if shown == 0 {
            return;
        }
        if entry.test {
            heard.test += shown;
            return;
        }
        let Ok(record) = read::<DecisionRecord<'_>>(&entry.record) else {
            heard.unreadable += 1;
            return;
        };
        let Some(bound) = self.catalog(&record.catalog) else {
            self.state.heard.no_catalog += shown;
            return;
        };
        self.cost(&bound.catalog, &record, entry.at);
        let heard = &mut self.state.heard;
        if !record.measured {
            heard.unmeasured += shown;
        } else if record.is_cut_short() {
            heard.degraded += shown;
        } else if !bound.catalog.learning.enabled {
            heard.learning_off += shown;
        } else if let Ok(request) = record.request() {
            self.show(&bound, &record, &request);
        } else {
            heard.unreadable += 1;
        }
        self.catalogs
            .insert(record.catalog.to_string(), Some(bound));
    }

    /// The catalog of that digest, taken out of the map: put it back.
    fn catalog(&mut self, digest: &str) -> Option<Bound> {
        if let Some(known) = self.catalogs.get_mut(digest) {
            // Columns that were admitted since are of other catalogs.
            return known.take();
        }
        let found = (self.find)(digest);
        let Some(catalog) = found else {
            self.catalogs.insert(digest.to_owned(), None);
            return None;
        };
        self.state.space.admit(&catalog);
        let columns = self.state.space.columns(&catalog);
        Some(Bound { catalog, columns })
    }

    fn show(&mut self, bound: &Bound, record: &DecisionRecord<'_>, request: &Request<'_>) {
        let model = self.label(&record.model);
        let shadow = record.shadow.as_ref().map(|s| self.label(&s.model));
        for (slot, placement) in (0_u8..).zip(&record.placements) {
            let Some((ix, _)) = bound.catalog.placement(&placement.id) else {
                continue;
            };
            let mut x = Vec::new();
            let zone = &bound.catalog.time_zone;
            look(
                &bound.catalog.vocabulary,
                zone,
                request,
                &placement.id,
                |view| {
                    bound.columns.fill(request, view, ix, &mut x);
                },
            );
            for choice in &placement.slate {
                let Some(offer) = bound.catalog.offer_by_hash(NameHash::of(&choice.offer)) else {
                    self.state.heard.unknown_offer += 1;
                    continue;
                };
                let features = x.iter().copied();
                let features = features.chain(bound.columns.lower_rank(choice.rank));
                let said = said(record, slot, placement, choice);
                let shown = Shown {
                    key: (request.decision.0, slot, choice.rank),
                    decided_at: request.at.0,
                    placement: &placement.id,
                    has_screen: matches!(request.channel, Channel::Web | Channel::App),
                    class: offer.class,
                    learning: &bound.catalog.learning,
                    offer: offer.hash.0,
                    model,
                    base: logit(base(placement, choice)),
                    believed: choice.probability,
                    shadow: shadow.zip(said.map(logit)),
                    features: features.map(|(i, v)| (i, v as f32)).collect(),
                };
                let (now, limits) = (self.state.now, self.limits);
                self.state.attribution.shown(shown, now, limits);
            }
        }
    }

    /// The number of a model. Answers without one have the priors' layers, whatever the record calls them.
    fn label(&mut self, label: &str) -> u16 {
        let label = if label.starts_with("prior@") {
            PRIOR
        } else {
            label
        };
        let labels = &mut self.state.labels;
        let at = labels.iter().position(|l| l == label).unwrap_or_else(|| {
            labels.push(label.to_owned());
            labels.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// Books what exploring cost, on the classes of the offers shown.
    fn cost(&mut self, catalog: &Catalog, record: &DecisionRecord<'_>, at: i64) {
        let costs = self.state.costs.entry(day(&catalog.time_zone, at));
        let costs = costs.or_default();
        for choice in record.placements.iter().flat_map(|p| &p.slate) {
            if let Some(offer) = catalog.offer_by_hash(NameHash::of(&choice.offer)) {
                costs.add(offer.class, choice, &catalog.exploring, at);
            }
        }
        while self.state.costs.len() > DAYS_MAX {
            self.state.costs.pop_first();
        }
    }
}

/// What the model said about the offer shown: `base` beside a posterior, else what was believed.
fn base(placement: &PlacementRecord<'_>, choice: &ChoiceRecord<'_>) -> f64 {
    let mut candidates = placement.candidates.iter();
    let candidate = candidates.find(|c| c.offer == choice.offer);
    candidate.and_then(|c| c.base).unwrap_or(choice.probability)
}

/// What the shadow said about the offer shown.
fn said(
    record: &DecisionRecord<'_>,
    slot: u8,
    placement: &PlacementRecord<'_>,
    choice: &ChoiceRecord<'_>,
) -> Option<f64> {
    let shadow = record.shadow.as_ref()?;
    let answers = shadow.probabilities.get(usize::from(slot))?;
    let eligible = placement.candidates.iter().filter(|c| c.excluded.is_none());
    let mut answered = eligible.zip(answers);
    let (_, probability) = answered.find(|(c, _)| c.offer == choice.offer)?;
    *probability
}
