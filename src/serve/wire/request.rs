//! What a caller sends to have a decision made, as both doors bring it.
//!
//! Every field is optional here: what is required, and which values are allowed, `validate` says in
//! one place with one kind of error.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parse::Object;
use super::quick::{Cursor, Quick, quick_objects};
use super::scalar::{Instant, Scalar, Text, Whole};
use super::schema;

/// Asks what a customer should see here and now.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct DecisionRequest<'a> {
    /// The caller's own id, echoed in the answer.
    #[serde(borrow)]
    #[schema(schema_with = schema::id)]
    pub request_id: Option<Text<'a>>,
    /// Where the offer would be read; the web if absent.
    #[schema(schema_with = schema::channel)]
    pub channel: Option<Text<'a>>,
    /// A BCP 47 tag such as `en-US`; the catalog's default locale if absent.
    #[schema(schema_with = schema::word)]
    pub locale: Option<Text<'a>>,
    /// The caller's word for the device, such as `mobile`.
    #[schema(schema_with = schema::word)]
    pub device: Option<Text<'a>>,
    /// How long the caller waits.
    #[schema(schema_with = schema::deadline_ms)]
    pub deadline_ms: Option<Whole>,
    /// How much to explain; `none` is the only value that this version answers.
    #[schema(schema_with = schema::explain)]
    pub explain: Option<Text<'a>>,
    /// Decide as usual, but keep the record apart and never count or learn from it.
    pub test: Option<bool>,
    /// The visit.
    #[schema(value_type = Appointment, required)]
    pub appointment: Option<Object<Appointment<'a>>>,
    /// Who waits.
    #[schema(value_type = Option<Customer>)]
    pub customer: Option<Object<Customer<'a>>>,
    /// What the page saw the customer do. A name told twice counts as the sum of both.
    #[schema(schema_with = schema::triggers)]
    pub triggers: Option<Vec<Object<Trigger<'a>>>>,
    /// Where offers are asked for.
    #[schema(schema_with = schema::placements, required)]
    pub placements: Option<Vec<Object<PlacementAsk<'a>>>>,
    /// A context token signed by `POST /v1/context`.
    #[schema(schema_with = schema::context_token)]
    pub context_token: Option<Text<'a>>,
}

/// The visit that the customer waits for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct Appointment<'a> {
    /// The operator's id.
    #[serde(borrow)]
    #[schema(schema_with = schema::id)]
    pub id: Option<Text<'a>>,
    /// Where the visit stands.
    #[schema(schema_with = schema::phase_required, required)]
    pub phase: Option<Text<'a>>,
    /// Such as `install` or `repair`.
    #[schema(schema_with = schema::word)]
    pub job_type: Option<Text<'a>>,
    /// Promised arrival, from.
    #[schema(schema_with = schema::instant)]
    pub window_start: Option<Instant>,
    /// Promised arrival, to; not before `window_start`.
    #[schema(schema_with = schema::instant)]
    pub window_end: Option<Instant>,
    /// Seconds until the technician arrives.
    #[schema(schema_with = schema::eta_seconds)]
    pub eta_seconds: Option<Whole>,
    /// Seconds behind the promise, negative when early.
    #[schema(schema_with = schema::delay_seconds)]
    pub delay_seconds: Option<Whole>,
    /// How often the visit was moved; never if absent.
    #[schema(schema_with = schema::reschedules)]
    pub reschedules: Option<Whole>,
    /// Who comes, and with what.
    #[schema(value_type = Option<Technician>)]
    pub technician: Option<Object<Technician<'a>>>,
}

/// What the visiting technician can do and has along.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Technician<'a> {
    /// Such as `wifi`.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::words)]
    pub skills: Option<Vec<Text<'a>>>,
    /// Parts on the van.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::words)]
    pub stock: Option<Vec<Text<'a>>>,
    /// Minutes to spare on the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::slack_minutes)]
    pub slack_minutes: Option<Whole>,
}

/// Who waits for the technician.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Customer<'a> {
    /// The operator's id; only a keyed hash of it is ever stored.
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::id)]
    pub id: Option<Text<'a>>,
    /// Named values: numbers, strings or booleans.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::features)]
    pub features: Option<Features<'a>>,
    /// Such as `new_mover`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::words)]
    pub segments: Option<Vec<Text<'a>>>,
    /// Products that the customer has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::words)]
    pub products: Option<Vec<Text<'a>>>,
    /// What the customer has agreed to; the catalog's default where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Consent>)]
    pub consent: Option<Object<Consent>>,
    /// What weighs on the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Care>)]
    pub care: Option<Object<Care>>,
}

/// What the customer has agreed to; the catalog's default where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Consent {
    /// Use of features, segments and history.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personalization: Option<bool>,
    /// Being sold to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing: Option<bool>,
    /// Being counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement: Option<bool>,
}

/// Signs that this customer wants help, not offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Care {
    /// A ticket or complaint is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_issue: Option<bool>,
    /// The customer has said that paying is hard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_hardship: Option<bool>,
    /// The last rating given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = schema::rating)]
    pub last_rating: Option<Whole>,
}

/// Something the page saw the customer do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct Trigger<'a> {
    /// Such as `map_viewed`; names that the catalog does not know are ignored.
    #[serde(borrow)]
    #[schema(schema_with = schema::word_required, required)]
    pub name: Option<Text<'a>>,
    /// How often; once if absent.
    #[schema(schema_with = schema::trigger_count)]
    pub count: Option<Whole>,
    /// How long ago the last time was; just now if absent.
    #[schema(schema_with = schema::span_ms)]
    pub age_ms: Option<Whole>,
}

/// One place on the page, and how many offers fit there.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct PlacementAsk<'a> {
    /// The placement's id; one that the catalog does not know is answered with a reason.
    #[serde(borrow)]
    #[schema(schema_with = schema::id_required, required)]
    pub id: Option<Text<'a>>,
    /// How many offers are wanted; 1 if absent.
    #[schema(schema_with = schema::count)]
    pub count: Option<Whole>,
    /// Offers that are on the page already or were waved away.
    #[schema(schema_with = schema::ids)]
    pub exclude_offers: Option<Vec<Text<'a>>>,
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, ToSchema)]
pub struct Money<'a> {
    /// Minor units (cents); negative for a cost.
    #[schema(schema_with = schema::amount_minor, required)]
    pub amount_minor: Option<Whole>,
    /// An ISO 4217 code such as `USD`.
    #[serde(borrow)]
    #[schema(schema_with = schema::currency, required)]
    pub currency: Option<Text<'a>>,
}

/// Named values in the order of the message, with what is told twice: a plain map would lose it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Features<'a>(pub Vec<(Text<'a>, Option<Scalar<'a>>)>);

/// Room for as many features as most senders have; more only costs a copy. A few more than these would take
/// the kilobyte up to which glibc's allocator has blocks at hand.
pub(super) const FEATURES_USUAL: usize = 21;

impl Serialize for Features<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Features<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Features<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of named values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut features = Vec::with_capacity(FEATURES_USUAL);
                while let Some(feature) = map.next_entry()? {
                    features.push(feature);
                }
                Ok(Features(features))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

impl<'a> Quick<'a> for Features<'a> {
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        let mut features = Vec::with_capacity(FEATURES_USUAL);
        from.pairs(&mut features)?;
        Some(Features(features))
    }
}

quick_objects! {
    DecisionRequest<'a> {
        request_id, channel, locale, device, deadline_ms, explain, test, appointment, customer, triggers,
        placements, context_token,
    }
    Appointment<'a> {
        id, phase, job_type, window_start, window_end, eta_seconds, delay_seconds, reschedules, technician,
    }
    Technician<'a> { skills, stock, slack_minutes }
    Customer<'a> { id, features, segments, products, consent, care }
    Consent { personalization, marketing, measurement }
    Care { open_issue, payment_hardship, last_rating }
    Trigger<'a> { name, count, age_ms }
    PlacementAsk<'a> { id, count, exclude_offers }
    Money<'a> { amount_minor, currency }
}

impl DecisionRequest<'_> {
    /// How long the caller waits, if it said so within the allowed range; `validate` refuses the rest.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let told = self.deadline_ms?.0;
        super::limits::DEADLINE_MS
            .contains(&told)
            .then(|| told.unsigned_abs())
    }
}
