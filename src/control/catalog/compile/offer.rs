//! One offer, compiled: its words, its rules, its place among the others.

use std::collections::HashMap;

use super::names::Names;
use super::{Ids, reach, set, text, when};
use crate::control::catalog::file::{CreativeEntry, FlightEnd, OfferEntry};
use crate::control::catalog::limits::{CREATIVES_MAX, LABELS_MAX};
use crate::control::catalog::mistake::{Notes, Placed};
use crate::decide::inputs::Vocabulary;
use crate::decide::snapshot::{ActionKind, Catalog, Creative, Offer, Set, TriggerRule};
use crate::domain::{Channel, Millis, Money, OfferClass, OfferIx};

/// Compiles every offer into `catalog`, whose placements take `classes`.
pub(super) fn add_all(
    catalog: &mut Catalog,
    entries: Vec<OfferEntry<'_>>,
    names: &Names,
    classes: &[Vec<OfferClass>],
    notes: &Notes,
) {
    let mut ids = Ids::default();
    let mut creative_ids = Ids::default();
    let mut labels = Labels::default();
    for (i, mut entry) in entries.into_iter().enumerate() {
        let ix = OfferIx(u32::try_from(i).expect("OFFERS_MAX fits"));
        let hash = ids.add(&entry.id, "offer", notes);
        let creatives = std::mem::take(&mut entry.creatives);
        let vocabulary = &mut catalog.vocabulary;
        let when = entry
            .when
            .as_ref()
            .map(|w| when::compile(w, names, vocabulary, notes));
        let personal = when.as_ref().is_some_and(|(_, personal)| *personal);
        check_care(&entry, personal, notes);
        let creatives = creatives
            .into_iter()
            .map(|c| creative(c, &entry, names, vocabulary, &mut creative_ids, notes))
            .collect::<Vec<_>>();
        check_locale(&entry, &creatives, &catalog.default_locale, notes);
        let offer = Offer {
            id: entry.id.value.clone(),
            hash,
            name: entry.name.clone(),
            class: entry.class.value,
            tier: entry.tier,
            value_minor: entry.value_minor,
            price: entry.price_minor.map(|amount_minor| Money {
                amount_minor,
                currency: catalog.currency,
            }),
            lever: entry.lever,
            prior: entry.prior,
            phases: set(entry.phases.as_deref(), |phase| phase as u8),
            triggers: triggers(&mut entry, names, notes),
            when: when.map(|(condition, _)| condition),
            personal,
            flight: flight(&entry, &catalog.time_zone, notes),
            daypart: entry.daypart,
            caps: entry.caps.clone(),
            requires: entry.requires.clone(),
            valid_while: entry.valid_while.as_ref().map(|phase| phase.value),
            owned: entry.owned.clone(),
            labels: labels.bits(&entry.labels, notes),
            features: entry.features.clone(),
            creatives,
        };
        for placement in reach::placements(catalog, &entry, &offer, classes, notes) {
            catalog.placements[placement].offers.push(ix);
        }
        catalog.offer_index.insert(hash, ix);
        catalog.offers.push(offer);
    }
}

/// Help must reach those who withhold their data too.
fn check_care(entry: &OfferEntry<'_>, personal: bool, notes: &Notes) {
    if let (OfferClass::Care, true, Some(when)) = (entry.class.value, personal, &entry.when) {
        notes.add(
            &when.place,
            "expected a care offer to look at nothing personal (features, segments, products): \
             customers who withhold personalization must get help too",
        );
    }
}

fn creative(
    entry: CreativeEntry,
    offer: &OfferEntry<'_>,
    names: &Names,
    vocabulary: &mut Vocabulary,
    ids: &mut Ids,
    notes: &Notes,
) -> Creative {
    let id = entry.id.unwrap_or_else(|| {
        let offer = &offer.id.value;
        let value = match &entry.locale {
            Some(locale) => format!("{offer}.{locale}").into(),
            None => offer.clone(),
        };
        Placed {
            value,
            place: entry.place,
        }
    });
    ids.add(&id, "creative", notes);
    if entry.action.value.kind == ActionKind::Order && offer.price_minor.is_none() {
        let message =
            "expected the offer to have `price_minor` (0 if free), because this button orders it";
        notes.add(&entry.action.place, message);
    }
    let mut compile = |words| text::compile(words, names, vocabulary, notes);
    Creative {
        id: id.value,
        channels: set(entry.channels.as_deref(), |channel| channel as u8),
        locale: entry.locale,
        title: compile(entry.title),
        body: compile(entry.body),
        image_url: entry.image_url,
        cta: compile(entry.cta),
        action: entry.action.value,
    }
}

/// On every channel that an offer has words for, some must be in the operator's own locale: they
/// are what a customer with any other locale reads.
fn check_locale(entry: &OfferEntry<'_>, creatives: &[Creative], default: &str, notes: &Notes) {
    if creatives.is_empty() {
        notes.add(
            &entry.place,
            format!("expected 1 to {CREATIVES_MAX} creatives, found none"),
        );
        return;
    }
    let union = |fits: &dyn Fn(&Creative) -> bool| {
        let fitting = creatives.iter().filter(|c| fits(c));
        fitting.fold(Set::default(), |all, c| Set(all.0 | c.channels.0))
    };
    let (all, fitting) = (union(&|_| true), union(&|c| speaks(c, default)));
    let missing: Vec<&str> = Channel::ALL
        .iter()
        .filter(|&&channel| all.has_channel(channel) && !fitting.has_channel(channel))
        .map(|channel| channel.as_str())
        .collect();
    if !missing.is_empty() {
        let channels = missing.join(", ");
        let message = format!(
            "expected a creative in the default locale {default:?} on {channels}; found none"
        );
        notes.add(&entry.place, message);
    }
}

/// Whether a creative is in `locale`: the same tag, a language that it is a kind of, or any.
fn speaks(creative: &Creative, locale: &str) -> bool {
    creative.locale.as_deref().is_none_or(|own| {
        locale.eq_ignore_ascii_case(own)
            || locale
                .split_once('-')
                .is_some_and(|(language, _)| language.eq_ignore_ascii_case(own))
    })
}

fn triggers(entry: &mut OfferEntry<'_>, names: &Names, notes: &Notes) -> Vec<TriggerRule> {
    let rules = std::mem::take(&mut entry.triggers).into_iter().map(|rule| {
        if let Err(message) = names.trigger(&rule.name.value) {
            notes.add(&rule.name.place, message);
        }
        TriggerRule {
            name: rule.name.value,
            count_min: rule.count_min,
            age_ms_max: rule.age_ms_max,
        }
    });
    rules.collect()
}

fn flight(
    entry: &OfferEntry<'_>,
    zone: &jiff::tz::TimeZone,
    notes: &Notes,
) -> (Option<Millis>, Option<Millis>) {
    let instant = |end: &FlightEnd| match end {
        FlightEnd::Instant(instant) => Some(Millis(instant.value.as_millisecond())),
        FlightEnd::Local(local) => match zone.to_timestamp(local.value) {
            Ok(instant) => Some(Millis(instant.as_millisecond())),
            Err(error) => {
                notes.add(
                    &local.place,
                    format!("expected a time that exists: {error}"),
                );
                None
            }
        },
    };
    let start = entry.flight.0.as_ref().and_then(instant);
    let end = entry.flight.1.as_ref().and_then(instant);
    if let (Some(from), Some(until), Some(written)) = (start, end, &entry.flight.1)
        && until <= from
    {
        let place = match written {
            FlightEnd::Instant(instant) => &instant.place,
            FlightEnd::Local(local) => &local.place,
        };
        notes.add(
            place,
            "expected the end after the start; the flight is empty",
        );
    }
    (start, end)
}

/// Labels as bits, in the order in which they first appear.
#[derive(Default)]
struct Labels(HashMap<Box<str>, u32>);

impl Labels {
    fn bits(&mut self, labels: &[Placed<Box<str>>], notes: &Notes) -> u64 {
        let mut bits = 0;
        for label in labels {
            let next = self.0.len() as u32;
            let bit = *self.0.entry(label.value.clone()).or_insert(next);
            match 1u64.checked_shl(bit) {
                Some(one) => bits |= one,
                None => notes.add(
                    &label.place,
                    format!("expected at most {LABELS_MAX} different labels in a catalog, found one more"),
                ),
            }
        }
        bits
    }
}
