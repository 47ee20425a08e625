//! `[[offer]]`: something that can be shown.

use super::creative::CreativeEntry;
use super::settings::caps;
use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::{
    CREATIVES_MAX, LEVER, LIST_MAX, MINOR_MAX, NAME_CHARS_MAX, OFFER_FEATURES_MAX, PRIOR,
};
use crate::control::catalog::mistake::{Place, Placed};
use crate::control::catalog::tree::{Node, Value};
use crate::decide::snapshot::{Cap, Daypart, OfferFeature, Requires};
use crate::domain::{OfferClass, Phase, Tier};

/// An offer, as written.
pub struct OfferEntry<'a> {
    /// What reports and tokens call it.
    pub id: Placed<Box<str>>,
    /// For people.
    pub name: Box<str>,
    /// What it is for.
    pub class: Placed<OfferClass>,
    /// Which tier it competes in.
    pub tier: Tier,
    /// What a conversion is worth.
    pub value_minor: i64,
    /// What it costs the customer.
    pub price_minor: Option<i64>,
    /// The operator's multiplier.
    pub lever: f64,
    /// Probability of a conversion before any model.
    pub prior: f64,
    /// Placements it competes in; `None` is every one that takes its class.
    pub placements: Option<Vec<Placed<Box<str>>>>,
    /// Phases it may be shown in; `None` is all.
    pub phases: Option<Vec<Placed<Phase>>>,
    /// Triggers it waits for.
    pub triggers: Vec<TriggerEntry>,
    /// Whom it is for.
    pub when: Option<Placed<&'a Node>>,
    /// When it runs.
    pub flight: (Option<FlightEnd>, Option<FlightEnd>),
    /// At which hours it runs.
    pub daypart: Option<Daypart>,
    /// How often one customer may see it.
    pub caps: Vec<Cap>,
    /// What the technician must have.
    pub requires: Option<Requires>,
    /// The last phase its price holds in.
    pub valid_while: Option<Placed<Phase>>,
    /// Products that make it pointless.
    pub owned: Vec<Box<str>>,
    /// Offers that share one are not shown together.
    pub labels: Vec<Placed<Box<str>>>,
    /// Its own model inputs.
    pub features: Vec<(Box<str>, OfferFeature)>,
    /// Its words.
    pub creatives: Vec<CreativeEntry>,
    /// Where it is.
    pub place: Place,
}

/// A trigger that an offer waits for.
pub struct TriggerEntry {
    /// Its name.
    pub name: Placed<Box<str>>,
    /// At least so many times.
    pub count_min: u32,
    /// The last time at most so long ago.
    pub age_ms_max: Option<u64>,
}

/// An end of a flight: an instant, or a local time that the operator's zone makes one.
pub enum FlightEnd {
    /// With an offset.
    Instant(Placed<jiff::Timestamp>),
    /// Without.
    Local(Placed<jiff::civil::DateTime>),
}

/// Days of the week as bits of a daypart.
const WEEKDAYS: [(&str, u8); 7] = [
    ("mon", 1),
    ("tue", 1 << 1),
    ("wed", 1 << 2),
    ("thu", 1 << 3),
    ("fri", 1 << 4),
    ("sat", 1 << 5),
    ("sun", 1 << 6),
];

const MINUTES_PER_DAY: u16 = 24 * 60;

impl<'a> OfferEntry<'a> {
    pub(super) fn read(item: Item<'a>) -> Option<OfferEntry<'a>> {
        let mut fields = Fields::open(item)?;
        let place = fields.place.clone();
        let id = fields
            .need("id", "what reports and orders call the offer")
            .and_then(|item| item.id().map(|id| item.placed(Box::<str>::from(id))));
        let name = fields
            .take("name")
            .and_then(|item| item.text(NAME_CHARS_MAX));
        let class = fields
            .need("class", "care, service, upsell, partner or content")
            .and_then(|item| item.word().map(|class| item.placed(class)));
        let tier = fields.take("tier").and_then(|item| item.word());
        let value_minor = fields
            .need(
                "value_minor",
                "what a conversion is worth in minor units (0 if nothing)",
            )
            .and_then(|item| item.integer(0..=MINOR_MAX));
        let price_minor = fields
            .take("price_minor")
            .and_then(|item| item.integer(0..=MINOR_MAX));
        let lever = fields.take("lever").and_then(|item| item.number(LEVER));
        let prior = fields.take("prior").and_then(|item| item.number(PRIOR));
        let placements = fields.take("placements").map(|item| item.some_ids());
        let phases = fields.take("phases").map(|item| item.words());
        let triggers = fields.list("triggers", LIST_MAX);
        let triggers = triggers.into_iter().filter_map(trigger).collect();
        let when = fields.take("when").map(|item| {
            let node = item.node;
            item.placed(node)
        });
        let flight = fields.table("flight").map_or((None, None), flight);
        let daypart = fields.table("daypart").and_then(daypart);
        let caps = caps(&mut fields, "caps");
        let requires = fields.table("requires").map(requires);
        let valid_while = fields
            .take("valid_while")
            .and_then(|item| item.word().map(|phase| item.placed(phase)));
        let owned = fields
            .take("owned")
            .map_or_else(Vec::new, |item| item.ids());
        let labels = fields
            .take("labels")
            .map_or_else(Vec::new, |item| item.ids());
        let features = fields.table("features").map_or_else(Vec::new, features);
        let creatives = fields
            .need(
                "creatives",
                "what the customer reads, as [[offer.creatives]]",
            )
            .map_or_else(Vec::new, |item| item.list(CREATIVES_MAX));
        let creatives = creatives
            .into_iter()
            .filter_map(CreativeEntry::read)
            .collect();
        for planned in ["budget", "goal"] {
            fields.refuse(planned);
        }
        fields.close();
        let id = id?;
        Some(OfferEntry {
            name: name.unwrap_or(&id.value).into(),
            id,
            class: class?,
            tier: tier.unwrap_or(Tier::Auction),
            value_minor: value_minor.unwrap_or(0),
            price_minor,
            lever: lever.unwrap_or(1.0),
            prior: prior.unwrap_or(0.02),
            placements,
            phases,
            triggers,
            when,
            flight,
            daypart,
            caps,
            requires,
            valid_while,
            owned: owned.into_iter().map(|id| id.value).collect(),
            labels,
            features,
            creatives,
            place,
        })
    }
}

/// A trigger's name, or a table with it.
fn trigger(item: Item<'_>) -> Option<TriggerEntry> {
    if matches!(item.node.value, Value::Text(_)) {
        let name = item.id()?.into();
        return Some(TriggerEntry {
            name: item.placed(name),
            count_min: 1,
            age_ms_max: None,
        });
    }
    let mut fields = Fields::open(item)?;
    let name = fields
        .need("name", "a trigger such as \"map_viewed\"")
        .and_then(|item| item.id().map(|id| item.placed(id.into())));
    let count_min = fields
        .take("count_min")
        .and_then(|item| item.small(1..=1_000));
    let age_seconds_max: Option<u64> = fields
        .take("age_seconds_max")
        .and_then(|item| item.small(1..=86_400));
    fields.close();
    Some(TriggerEntry {
        name: name?,
        count_min: count_min.unwrap_or(1),
        age_ms_max: age_seconds_max.map(|seconds| seconds * 1_000),
    })
}

fn flight(mut fields: Fields<'_>) -> (Option<FlightEnd>, Option<FlightEnd>) {
    let start = fields.take("start").and_then(flight_end);
    let end = fields.take("end").and_then(flight_end);
    fields.close();
    (start, end)
}

fn flight_end(item: Item<'_>) -> Option<FlightEnd> {
    let text = item.time_text().unwrap_or_default();
    if let Ok(instant) = text.parse() {
        return Some(FlightEnd::Instant(item.placed(instant)));
    }
    if let Ok(local) = text.parse() {
        return Some(FlightEnd::Local(item.placed(local)));
    }
    item.note(format!(
        "expected a date such as 2026-12-01, a local time such as 2026-12-01T18:00:00, \
         or one with an offset such as 2026-12-01T18:00:00Z; found {}",
        item.node
    ));
    None
}

fn daypart(mut fields: Fields<'_>) -> Option<Daypart> {
    let weekdays = fields
        .take("weekdays")
        .map_or(0b111_1111, |item| weekdays(&item));
    let from = fields
        .take("from")
        .map_or(Some(0), |item| minute_of_day(&item));
    let until = fields
        .take("until")
        .map_or(Some(MINUTES_PER_DAY), |item| minute_of_day(&item));
    fields.close();
    Some(Daypart {
        weekdays,
        from_minute: from?,
        until_minute: until?,
    })
}

fn weekdays(item: &Item<'_>) -> u8 {
    let days = item.some(WEEKDAYS.len());
    let bits = days.iter().filter_map(|day| day.one_of(&WEEKDAYS));
    bits.fold(0, |all, day| all | day)
}

/// `17:30`, quoted or not; `24:00` is the end of the day.
fn minute_of_day(item: &Item<'_>) -> Option<u16> {
    let text = item.time_text().unwrap_or_default();
    if text == "24:00" {
        return Some(MINUTES_PER_DAY);
    }
    match text.parse::<jiff::civil::Time>() {
        Ok(time) if time.second() == 0 && time.subsec_nanosecond() == 0 => {
            let minutes = i32::from(time.hour()) * 60 + i32::from(time.minute());
            u16::try_from(minutes).ok()
        }
        _ => {
            let found = item.node;
            item.note(format!(
                "expected a time of day such as \"17:30\", up to \"24:00\"; found {found}"
            ));
            None
        }
    }
}

fn requires(mut fields: Fields<'_>) -> Requires {
    let mut names = |key| {
        let ids = fields.take(key).map_or_else(Vec::new, |item| item.ids());
        ids.into_iter().map(|id| id.value).collect()
    };
    let (skills, stock) = (names("skills"), names("stock"));
    let slack = fields
        .take("slack_minutes")
        .and_then(|item| item.small(0..=600));
    fields.close();
    Requires {
        skills,
        stock,
        slack_minutes: slack.unwrap_or(0),
    }
}

fn features(mut fields: Fields<'_>) -> Vec<(Box<str>, OfferFeature)> {
    let mut entries = fields.take_all();
    if entries.len() > OFFER_FEATURES_MAX {
        let found = entries.len();
        fields.note(format!(
            "expected at most {OFFER_FEATURES_MAX} entries, found {found}"
        ));
        entries.truncate(OFFER_FEATURES_MAX);
    }
    let features = entries.into_iter().filter_map(|(name, item)| {
        let value = match &item.node.value {
            Value::Flag(flag) => OfferFeature::Flag(*flag),
            Value::Text(_) => OfferFeature::Text(item.text(NAME_CHARS_MAX)?.into()),
            _ => OfferFeature::Number(item.number(f64::MIN..=f64::MAX)?),
        };
        Some((name.into(), value))
    });
    features.collect()
}
