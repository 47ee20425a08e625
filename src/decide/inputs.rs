//! What conditions, placeholders and models may look at, by name, and where it is in a request.
//!
//! A name is resolved once, when a snapshot is compiled; a request then only indexes. Feature names
//! are the customer's own; everything else has a fixed name:
//! `phase`, `job_type`, `eta_seconds`, `delay_seconds`, `reschedules`, `slack_minutes`, `skills`,
//! `stock`, `segments`, `products`, `open_issue`, `payment_hardship`, `last_rating`, `channel`,
//! `device`, `locale`, `placement`, `hour`, `weekday`, `NAME.count` and `NAME.age_ms` of a trigger.
//! The same with `appointment.`, `customer.`, `trigger.` or `context.` in front means the same.

mod encode;

pub use encode::{Input, InputKind, InputSource};

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::condition::{Attr, Attributes, Key};
use super::words::Words;
use crate::domain::{FeatureValue, Millis, Request};
use crate::model::Source;

/// Where an attribute comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// One of the customer's named features, by its slot.
    Feature(u16),
    /// How often a trigger happened; 0 where it did not.
    TriggerCount(Box<str>),
    /// How long ago a trigger happened last; missing where it did not.
    TriggerAge(Box<str>),
    /// Anything with a fixed name.
    Fixed(Fixed),
}

crate::domain::vocabulary! {
    /// Attributes with a fixed name.
    Fixed {
        /// The appointment's phase.
        Phase = "phase",
        /// Such as `install`.
        JobType = "job_type",
        /// Seconds until arrival.
        EtaSeconds = "eta_seconds",
        /// Seconds behind the promise.
        DelaySeconds = "delay_seconds",
        /// How often the visit was moved.
        Reschedules = "reschedules",
        /// The technician's minutes to spare.
        SlackMinutes = "slack_minutes",
        /// The technician's skills.
        Skills = "skills",
        /// Parts on the van.
        Stock = "stock",
        /// The customer's segments.
        Segments = "segments",
        /// The customer's products.
        Products = "products",
        /// Whether a ticket is open.
        OpenIssue = "open_issue",
        /// Whether paying is hard.
        PaymentHardship = "payment_hardship",
        /// The last rating, 1 to 5.
        LastRating = "last_rating",
        /// Where the offer is read.
        Channel = "channel",
        /// The caller's word for the device.
        Device = "device",
        /// The request's locale.
        Locale = "locale",
        /// The placement asked for.
        Placement = "placement",
        /// Hour of the day in the operator's time zone, 0 to 23.
        Hour = "hour",
        /// Day of the week in the operator's time zone, 1 (Monday) to 7.
        Weekday = "weekday",
    }
}

/// What an attribute's values are, as far as a model cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Numbers or flags.
    Numbers,
    /// Strings.
    Words,
    /// Lists, which are no model inputs.
    Lists,
    /// Whatever the customer's feature holds.
    Any,
}

impl Attribute {
    /// What a manifest must say about its source, and what its values are.
    #[must_use]
    pub fn described(&self) -> (Source, Values) {
        match self {
            Attribute::Feature(_) => (Source::Customer, Values::Any),
            Attribute::TriggerCount(_) | Attribute::TriggerAge(_) => {
                (Source::Trigger, Values::Numbers)
            }
            Attribute::Fixed(fixed) => match fixed {
                Fixed::Phase | Fixed::JobType => (Source::Appointment, Values::Words),
                Fixed::EtaSeconds
                | Fixed::DelaySeconds
                | Fixed::Reschedules
                | Fixed::SlackMinutes => (Source::Appointment, Values::Numbers),
                Fixed::Skills | Fixed::Stock => (Source::Appointment, Values::Lists),
                Fixed::Segments | Fixed::Products => (Source::Customer, Values::Lists),
                Fixed::OpenIssue | Fixed::PaymentHardship | Fixed::LastRating => {
                    (Source::Customer, Values::Numbers)
                }
                Fixed::Channel | Fixed::Device | Fixed::Locale | Fixed::Placement => {
                    (Source::Context, Values::Words)
                }
                Fixed::Hour | Fixed::Weekday => (Source::Context, Values::Numbers),
            },
        }
    }

    /// Whether it may only be looked at where the customer allows personalization.
    #[must_use]
    pub fn personal(&self) -> bool {
        match self {
            Attribute::Feature(_) => true,
            Attribute::Fixed(fixed) => matches!(fixed, Fixed::Segments | Fixed::Products),
            Attribute::TriggerCount(_) | Attribute::TriggerAge(_) => false,
        }
    }
}

/// Every attribute that a catalog and its model look at, each with a key; and the slots of features.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    attributes: Vec<Attribute>,
    keys: HashMap<Box<str>, Key>,
    slots: HashMap<Box<str>, u16, BuildHasherDefault<NameHasher>>,
}

/// Hashes names of features. Only the catalog's and the model's are ever put into a table, so nobody can
/// fill it with names that collide, and the default hasher's defence is not needed: it takes four
/// times as long, for every feature of every request.
#[derive(Clone, Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u8(&mut self, end: u8) {
        // What ends a string: there is one string to a hash.
        self.0 ^= u64::from(end);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Vocabulary {
    /// The key of the attribute of that name, made if new.
    pub fn key(&mut self, name: &str) -> Key {
        let name = canonical(name);
        if let Some(&key) = self.keys.get(name) {
            return key;
        }
        let attribute = if let Ok(fixed) = name.parse() {
            Attribute::Fixed(fixed)
        } else if let Some(trigger) = name.strip_suffix(".count") {
            Attribute::TriggerCount(trigger.into())
        } else if let Some(trigger) = name.strip_suffix(".age_ms") {
            Attribute::TriggerAge(trigger.into())
        } else {
            let next = u16::try_from(self.slots.len()).expect("catalogs hold fewer names");
            Attribute::Feature(*self.slots.entry(name.into()).or_insert(next))
        };
        let key = Key(u32::try_from(self.attributes.len()).expect("catalogs hold fewer names"));
        self.attributes.push(attribute);
        self.keys.insert(name.into(), key);
        key
    }

    /// Where the attribute of that key comes from.
    #[must_use]
    pub fn attribute(&self, key: Key) -> &Attribute {
        &self.attributes[key.0 as usize]
    }

    /// The slot of a customer feature, if anything looks at it.
    #[must_use]
    pub fn slot(&self, feature: &str) -> Option<u16> {
        self.slots.get(feature).copied()
    }

    /// The features' names, slot by slot, as requests are bound to them.
    #[must_use]
    pub fn features(&self) -> Words {
        let mut names: Vec<(u16, &str)> = (self.slots.iter())
            .map(|(name, &slot)| (slot, &**name))
            .collect();
        names.sort_unstable();
        Words::new(names.into_iter().map(|(_, name)| name))
    }

    /// How many feature slots there are.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}

/// The name without the prefix that says where it is from.
#[must_use]
pub fn canonical(name: &str) -> &str {
    const PREFIXES: [&str; 5] = [
        "appointment.",
        "customer.",
        "trigger.",
        "triggers.",
        "context.",
    ];
    PREFIXES
        .iter()
        .find_map(|p| name.strip_prefix(p))
        .unwrap_or(name)
}

/// A request as conditions, placeholders and models look at it.
pub struct View<'a> {
    request: &'a Request<'a>,
    vocabulary: &'a Vocabulary,
    /// For each feature slot, the index into the request's features, or [`NO_FEATURE`].
    slots: &'a [u16],
    placement: &'a str,
    clock: Clock,
}

/// The slot of a feature that the request does not carry.
pub(super) const NO_FEATURE: u16 = u16::MAX;

/// The operator's wall clock at the time of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// 1 (Monday) to 7.
    pub weekday: u8,
    /// Minutes since midnight, 0 to 1439.
    pub minute: u16,
}

impl Clock {
    /// What a clock in `zone` shows at `at`; midnight on a Monday for instants outside the calendar.
    #[must_use]
    pub fn at(at: Millis, zone: &jiff::tz::TimeZone) -> Clock {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.0) else {
            return Clock {
                weekday: 1,
                minute: 0,
            };
        };
        let local = zone.to_datetime(instant);
        Clock {
            weekday: local.weekday().to_monday_one_offset() as u8,
            minute: local.hour() as u16 * 60 + local.minute() as u16,
        }
    }
}

/// Finds the slot of every feature of the request, once per request; `names` has each slot's.
pub fn bind_slots(names: &Words, request: &Request<'_>, slots: &mut Vec<u16>) {
    slots.clear();
    slots.resize(names.len(), NO_FEATURE);
    for (i, (name, _)) in request.customer.features.iter().enumerate() {
        if let Some(slot) = names.place(name) {
            slots[slot as usize] = u16::try_from(i).unwrap_or(NO_FEATURE);
        }
    }
}

/// Has `look` see a request as a model at `placement` would, by what the operator's clock showed: for whoever
/// learns from records. Decisions keep their buffers instead.
pub fn look<T>(
    vocabulary: &Vocabulary,
    clock: Clock,
    request: &Request<'_>,
    placement: &str,
    look: impl FnOnce(&View<'_>) -> T,
) -> T {
    let mut slots = vec![NO_FEATURE; vocabulary.slots()];
    for (i, (name, _)) in (0..).zip(&request.customer.features) {
        if let Some(slot) = vocabulary.slot(name) {
            slots[usize::from(slot)] = i;
        }
    }
    look(&View::new(request, vocabulary, &slots, placement, clock))
}

impl<'a> View<'a> {
    pub(super) fn new(
        request: &'a Request<'a>,
        vocabulary: &'a Vocabulary,
        slots: &'a [u16],
        placement: &'a str,
        clock: Clock,
    ) -> View<'a> {
        View {
            request,
            vocabulary,
            slots,
            placement,
            clock,
        }
    }

    /// The attribute's value.
    #[must_use]
    pub fn attribute(&self, attribute: &'a Attribute) -> Attr<'a> {
        match attribute {
            Attribute::Feature(slot) => self.feature(*slot),
            Attribute::TriggerCount(name) => Attr::Number(
                self.request
                    .trigger(name)
                    .map_or(0.0, |t| f64::from(t.count)),
            ),
            Attribute::TriggerAge(name) => {
                number(self.request.trigger(name).map(|t| t.age_ms as f64))
            }
            Attribute::Fixed(fixed) => self.fixed(*fixed),
        }
    }

    fn feature(&self, slot: u16) -> Attr<'a> {
        let index = self.slots[usize::from(slot)];
        match self.request.customer.features.get(usize::from(index)) {
            None => Attr::Missing,
            Some((_, FeatureValue::Number(n))) => Attr::Number(*n),
            Some((_, FeatureValue::Text(t))) => Attr::Text(t),
            Some((_, FeatureValue::Flag(f))) => Attr::Flag(*f),
        }
    }

    fn fixed(&self, fixed: Fixed) -> Attr<'a> {
        let visit = &self.request.appointment;
        let customer = &self.request.customer;
        let technician = visit.technician.as_ref();
        match fixed {
            Fixed::Phase => Attr::Text(visit.phase.as_str()),
            Fixed::JobType => text(visit.job_type),
            Fixed::EtaSeconds => number(visit.eta_seconds.map(f64::from)),
            Fixed::DelaySeconds => number(visit.delay_seconds.map(f64::from)),
            Fixed::Reschedules => Attr::Number(f64::from(visit.reschedules)),
            Fixed::SlackMinutes => number(technician.and_then(|t| t.slack_minutes).map(f64::from)),
            Fixed::Skills => technician.map_or(Attr::Missing, |t| Attr::List(&t.skills)),
            Fixed::Stock => technician.map_or(Attr::Missing, |t| Attr::List(&t.stock)),
            Fixed::Segments => Attr::List(&customer.segments),
            Fixed::Products => Attr::List(&customer.products),
            Fixed::OpenIssue => Attr::Flag(customer.care.open_issue),
            Fixed::PaymentHardship => Attr::Flag(customer.care.payment_hardship),
            Fixed::LastRating => number(customer.care.last_rating.map(f64::from)),
            Fixed::Channel => Attr::Text(self.request.channel.as_str()),
            Fixed::Device => text(self.request.device),
            Fixed::Locale => text(self.request.locale),
            Fixed::Placement => Attr::Text(self.placement),
            Fixed::Hour => Attr::Number(f64::from(self.clock.minute / 60)),
            Fixed::Weekday => Attr::Number(f64::from(self.clock.weekday)),
        }
    }
}

impl Attributes for View<'_> {
    fn get(&self, key: Key) -> Attr<'_> {
        self.attribute(self.vocabulary.attribute(key))
    }
}

fn number<'a>(value: Option<f64>) -> Attr<'a> {
    value.map_or(Attr::Missing, Attr::Number)
}

fn text(value: Option<&str>) -> Attr<'_> {
    value.map_or(Attr::Missing, Attr::Text)
}
