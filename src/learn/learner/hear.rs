//! Records → showings and events. What must not teach is left out here, and counted.

use std::sync::Arc;

use super::report::DayCosts;
use super::told::{Told, Unreadable};
use super::{DAYS_MAX, Learner};
use crate::decide::inputs::look;
use crate::decide::posterior::{Columns, PRIOR};
use crate::decide::record::is_cut_short;
use crate::decide::snapshot::Catalog;
use crate::domain::record::read;
use crate::domain::{Channel, Effort, Entry, EntryKind, EventType, NameHash, Request};
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
        let Ok(told) = read::<Told<'_>>(&entry.record) else {
            heard.unreadable += 1;
            return;
        };
        let Some(bound) = self.catalog(&told.catalog) else {
            self.state.heard.no_catalog += shown;
            return;
        };
        self.cost(&bound.catalog, &told, entry.at);
        let heard = &mut self.state.heard;
        if !told.measured {
            heard.unmeasured += shown;
        } else if is_cut_short(&told.degraded) {
            heard.degraded += shown;
        } else if !bound.catalog.learning.enabled {
            heard.learning_off += shown;
        } else if self.show(&bound, &told).is_err() {
            self.state.heard.unreadable += 1;
        }
    }

    /// The catalog of that digest.
    fn catalog(&mut self, digest: &str) -> Option<Arc<Bound>> {
        if let Some(known) = self.catalogs.get(digest) {
            // Columns that were admitted since are of other catalogs.
            return known.clone();
        }
        let found = (self.find)(digest).map(|catalog| {
            self.state.space.admit(&catalog);
            let columns = self.state.space.columns(&catalog);
            Arc::new(Bound { catalog, columns })
        });
        self.catalogs.insert(digest.to_owned(), found.clone());
        found
    }

    fn show(&mut self, bound: &Bound, told: &Told<'_>) -> Result<(), Unreadable> {
        let made = told.made()?;
        if !bound.columns.look_at_customers() {
            return self.show_to(bound, told, &told.brief(made)?);
        }
        let record = told.request.read()?;
        let request = record.request(made.decision, made.at, None, false, Effort::Full)?;
        self.show_to(bound, told, &request)
    }

    fn show_to(
        &mut self,
        bound: &Bound,
        told: &Told<'_>,
        request: &Request<'_>,
    ) -> Result<(), Unreadable> {
        let model = self.label(&told.model);
        let shadow = told.shadow.as_ref().map(|s| self.label(&s.model));
        let clock = self.today.clock(&bound.catalog.time_zone, request.at);
        let mut x = Vec::new();
        for (slot, placement) in (0_u8..).zip(&told.placements) {
            let Some((ix, _)) = bound.catalog.placement(&placement.id) else {
                continue;
            };
            let vocabulary = &bound.catalog.vocabulary;
            look(vocabulary, clock, request, &placement.id, |view| {
                bound.columns.fill(request, view, ix, &mut x);
            });
            for choice in &placement.slate {
                let Some(offer) = bound.catalog.offer_by_hash(NameHash::of(&choice.offer)) else {
                    self.state.heard.unknown_offer += 1;
                    continue;
                };
                let features = x.iter().copied();
                let features = features.chain(bound.columns.lower_rank(choice.rank));
                let said = told.shadow_said(slot, placement, choice)?;
                let shown = Shown {
                    key: (request.decision.0, slot, choice.rank),
                    decided_at: request.at.0,
                    placement: &placement.id,
                    has_screen: matches!(request.channel, Channel::Web | Channel::App),
                    class: offer.class,
                    learning: &bound.catalog.learning,
                    offer: offer.hash.0,
                    model,
                    base: logit(placement.base(choice)?),
                    believed: choice.probability,
                    shadow: shadow.zip(said.map(logit)),
                    features: features.map(|(i, v)| (i, v as f32)).collect(),
                };
                let (now, limits) = (self.state.now, self.limits);
                self.state.attribution.shown(shown, now, limits);
            }
        }
        Ok(())
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
    fn cost(&mut self, catalog: &Catalog, told: &Told<'_>, at: i64) {
        let day = self.today.day(&catalog.time_zone, at);
        let all = &mut self.state.costs;
        if !all.contains_key(day) {
            all.insert(day.to_owned(), DayCosts::default());
        }
        let costs = all.get_mut(day).expect("it was just put there");
        for choice in told.placements.iter().flat_map(|p| &p.slate) {
            if let Some(offer) = catalog.offer_by_hash(NameHash::of(&choice.offer)) {
                costs.add(offer.class, choice, &catalog.exploring, at);
            }
        }
        while self.state.costs.len() > DAYS_MAX {
            self.state.costs.pop_first();
        }
    }
}
