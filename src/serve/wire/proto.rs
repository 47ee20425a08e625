//! The gRPC door: proto messages moved into the wire types that JSON is read into.
//!
//! An empty string or list of a proto message is an absent field, as the `.proto` files say.

use std::borrow::Cow;

use offerd_proto::{Timestamp, v1};

use super::parse::Object;
use super::{
    Appointment, Care, Consent, Customer, DecisionRequest, Event, EventBatch, Features, Instant,
    Malformed, Money, PlacementAsk, Scalar, Technician, Text, Trigger, Whole,
};
use crate::domain::{Channel, EventType, Phase};

impl TryFrom<v1::DecideRequest> for DecisionRequest<'static> {
    type Error = Malformed;

    /// Moves every string. Fails only where a timestamp is no instant.
    fn try_from(message: v1::DecideRequest) -> Result<Self, Malformed> {
        let appointment = message.appointment.map(Appointment::try_from).transpose();
        Ok(DecisionRequest {
            request_id: text(message.request_id),
            channel: word(message.channel, Channel::WORDS),
            locale: text(message.locale),
            device: text(message.device),
            deadline_ms: message.deadline_ms.map(Whole::from),
            explain: text(message.explain),
            test: Some(message.test),
            appointment: appointment
                .map_err(|e| e.within("appointment"))?
                .map(Object),
            customer: message.customer.map(|c| Object(c.into())),
            triggers: Some(each(message.triggers)),
            placements: Some(each(message.placements)),
            context_token: text(message.context_token),
        })
    }
}

impl TryFrom<v1::Appointment> for Appointment<'static> {
    type Error = Malformed;

    fn try_from(message: v1::Appointment) -> Result<Self, Malformed> {
        Ok(Appointment {
            id: text(message.id),
            phase: word(message.phase, Phase::WORDS),
            job_type: text(message.job_type),
            window_start: instant("window_start", message.window_start)?,
            window_end: instant("window_end", message.window_end)?,
            eta_seconds: message.eta_seconds.map(Whole::from),
            delay_seconds: message.delay_seconds.map(|s| Whole(s.into())),
            reschedules: message.reschedules.map(Whole::from),
            technician: message.technician.map(|t| Object(t.into())),
        })
    }
}

impl From<v1::Technician> for Technician<'static> {
    fn from(message: v1::Technician) -> Self {
        Technician {
            skills: Some(texts(message.skills)),
            stock: Some(texts(message.stock)),
            slack_minutes: message.slack_minutes.map(Whole::from),
        }
    }
}

impl From<v1::Customer> for Customer<'static> {
    fn from(message: v1::Customer) -> Self {
        let features = message.features.into_iter();
        Customer {
            id: text(message.id),
            features: Some(Features(
                features.map(|(name, v)| (name.into(), scalar(v))).collect(),
            )),
            segments: Some(texts(message.segments)),
            products: Some(texts(message.products)),
            consent: message.consent.map(|c| {
                Object(Consent {
                    personalization: c.personalization,
                    marketing: c.marketing,
                    measurement: c.measurement,
                })
            }),
            care: message.care.map(|c| {
                Object(Care {
                    open_issue: c.open_issue,
                    payment_hardship: c.payment_hardship,
                    last_rating: c.last_rating.map(Whole::from),
                })
            }),
        }
    }
}

impl From<v1::Trigger> for Trigger<'static> {
    fn from(message: v1::Trigger) -> Self {
        Trigger {
            name: text(Some(message.name)),
            count: message.count.map(Whole::from),
            age_ms: message.age_ms.map(Whole::from),
        }
    }
}

impl From<v1::PlacementAsk> for PlacementAsk<'static> {
    fn from(message: v1::PlacementAsk) -> Self {
        PlacementAsk {
            id: text(Some(message.id)),
            count: message.count.map(Whole::from),
            exclude_offers: Some(texts(message.exclude_offers)),
        }
    }
}

impl From<v1::RecordRequest> for EventBatch<'static> {
    /// An event whose timestamp is no instant becomes a malformed item; the others stand.
    fn from(message: v1::RecordRequest) -> Self {
        let events = message.events.into_iter().map(Event::try_from);
        EventBatch(events.collect())
    }
}

impl TryFrom<v1::Event> for Event<'static> {
    type Error = Malformed;

    fn try_from(message: v1::Event) -> Result<Self, Malformed> {
        Ok(Event {
            id: text(message.id),
            kind: word(message.r#type, EventType::WORDS),
            token: text(message.token),
            at: instant("at", message.at)?,
            value: message.value.map(|m| {
                Object(Money {
                    amount_minor: Some(Whole(m.amount_minor)),
                    currency: text(Some(m.currency)),
                })
            }),
            appointment_id: text(message.appointment_id),
            phase: word(message.phase, Phase::WORDS),
            dwell_ms: message.dwell_ms.map(Whole::from),
            element: text(message.element),
            rating: message.rating.map(Whole::from),
        })
    }
}

/// A text that counts as absent where it is empty.
pub(super) fn text<'a>(field: Option<impl AsRef<str> + Into<Text<'a>>>) -> Option<Text<'a>> {
    field
        .filter(|text| !text.as_ref().is_empty())
        .map(Into::into)
}

fn texts(list: Vec<String>) -> Vec<Text<'static>> {
    list.into_iter().map(Text::from).collect()
}

fn each<M, T: From<M>>(list: Vec<M>) -> Vec<Object<T>> {
    list.into_iter().map(|m| Object(m.into())).collect()
}

/// The word of an enum's value. Proto enums count from 1, as 0 is "not told"; a number of a newer
/// release stays a number, which `validate` refuses together with the list of words.
pub(super) fn word(value: i32, words: &'static [&'static str]) -> Option<Text<'static>> {
    let index = usize::try_from(value).ok().map(|v| v.checked_sub(1));
    match index {
        Some(None) => None,
        Some(Some(i)) if i < words.len() => Some(Text::from(words[i])),
        _ => Some(Text(Cow::Owned(value.to_string()))),
    }
}

fn scalar(message: v1::FeatureValue) -> Option<Scalar<'static>> {
    Some(match message.value? {
        v1::feature_value::Value::Number(number) => Scalar::Number(number),
        v1::feature_value::Value::Text(text) => Scalar::Text(text.into()),
        v1::feature_value::Value::Flag(flag) => Scalar::Flag(flag),
    })
}

pub(super) fn instant(field: &str, stamp: Option<Timestamp>) -> Result<Option<Instant>, Malformed> {
    let read = stamp.map(Instant::try_from).transpose();
    read.map_err(|detail| Malformed::new(field, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Exclusion, OfferClass};

    /// The words of a proto enum, without the prefix and the zero.
    fn proto_words(count: usize, prefix: &str, name: impl Fn(i32) -> &'static str) -> Vec<String> {
        (1..=i32::try_from(count).unwrap())
            .map(|i| name(i).strip_prefix(prefix).unwrap().to_lowercase())
            .collect()
    }

    #[test]
    fn proto_enums_and_words_agree() {
        macro_rules! agrees {
            ($proto:ty, $prefix:literal, $words:expr) => {
                let words: &[&str] = $words;
                let name = |i| <$proto>::try_from(i).unwrap().as_str_name();
                assert_eq!(proto_words(words.len(), $prefix, name), words);
                let more = i32::try_from(words.len()).unwrap() + 1;
                assert!(<$proto>::try_from(more).is_err(), "more than the words");
            };
        }
        agrees!(v1::Phase, "PHASE_", Phase::WORDS);
        agrees!(v1::Channel, "CHANNEL_", Channel::WORDS);
        agrees!(v1::EventType, "EVENT_TYPE_", EventType::WORDS);
        agrees!(v1::OfferClass, "OFFER_CLASS_", OfferClass::WORDS);
        agrees!(v1::ExclusionReason, "EXCLUSION_REASON_", Exclusion::WORDS);
        agrees!(
            v1::ActionKind,
            "ACTION_KIND_",
            crate::decide::snapshot::ActionKind::WORDS
        );
        agrees!(
            v1::RejectionCode,
            "REJECTION_CODE_",
            crate::serve::wire::RejectionCode::WORDS
        );
    }
}
