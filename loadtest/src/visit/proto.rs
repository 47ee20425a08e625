//! The same messages as the contract's generated ones, for the gRPC door.

use offerd_proto::v1;

use super::message::{
    Action, Answer, Ask, Content, Event, Instant, Money, Offer, Placement, Receipt, Rejection,
    Value,
};

/// The question as its generated message.
pub fn request(ask: &Ask<'_>) -> v1::DecideRequest {
    let text = |text: &str| Some(text.to_owned());
    let visit = &ask.appointment;
    let person = &ask.customer;
    let feature = |value: &Value| v1::FeatureValue {
        value: Some(match value {
            Value::Number(number) => v1::feature_value::Value::Number(*number),
            Value::Text(text) => v1::feature_value::Value::Text(text.clone()),
        }),
    };
    let features = person.features.iter();
    v1::DecideRequest {
        request_id: text(&ask.request_id),
        channel: number(v1::Channel::from_str_name, "CHANNEL_", ask.channel),
        locale: text(ask.locale),
        device: text(ask.device),
        appointment: Some(v1::Appointment {
            id: text(visit.id),
            phase: number(v1::Phase::from_str_name, "PHASE_", visit.phase),
            job_type: text(visit.job_type),
            eta_seconds: visit.eta_seconds,
            delay_seconds: Some(visit.delay_seconds),
            reschedules: Some(visit.reschedules),
            technician: Some(v1::Technician {
                skills: visit.technician.skills.clone(),
                stock: visit.technician.stock.clone(),
                slack_minutes: Some(visit.technician.slack_minutes),
            }),
            ..v1::Appointment::default()
        }),
        customer: Some(v1::Customer {
            id: text(person.id),
            features: features.map(|(n, v)| (n.clone(), feature(v))).collect(),
            segments: person.segments.to_vec(),
            products: person.products.to_vec(),
            consent: Some(v1::Consent {
                personalization: person.consent.personalization,
                marketing: person.consent.marketing,
                measurement: person.consent.measurement,
            }),
            care: Some(v1::Care {
                open_issue: Some(person.care.open_issue),
                payment_hardship: Some(person.care.payment_hardship),
                last_rating: person.care.last_rating,
            }),
        }),
        triggers: ask
            .triggers
            .iter()
            .map(|t| v1::Trigger {
                name: t.name.to_owned(),
                count: Some(t.count),
                age_ms: Some(t.age_ms),
            })
            .collect(),
        placements: ask
            .placements
            .iter()
            .map(|p| v1::PlacementAsk {
                id: p.id.to_owned(),
                count: Some(p.count),
                exclude_offers: p.exclude_offers.to_vec(),
            })
            .collect(),
        ..v1::DecideRequest::default()
    }
}

/// An event as its generated message.
pub fn event(event: &Event) -> v1::Event {
    let phase = event.phase.unwrap_or("unspecified");
    v1::Event {
        id: Some(event.id.clone()),
        r#type: number(v1::EventType::from_str_name, "EVENT_TYPE_", event.kind),
        token: event.token.as_deref().map(str::to_owned),
        at: Some(timestamp(event.at)),
        value: event.value.as_ref().map(|m| v1::Money {
            amount_minor: m.amount_minor,
            currency: m.currency.clone(),
        }),
        appointment_id: event.appointment_id.as_deref().map(str::to_owned),
        phase: number(v1::Phase::from_str_name, "PHASE_", phase),
        dwell_ms: event.dwell_ms.map(u64::from),
        element: event.element.map(str::to_owned),
        rating: event.rating,
    }
}

fn timestamp(at: Instant) -> offerd_proto::Timestamp {
    offerd_proto::Timestamp {
        seconds: i64::try_from(at.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(at.0 % 1000).expect("below 1000") * 1_000_000,
    }
}

/// The answer in the JSON door's words.
pub fn read_answer(answer: v1::DecideResponse) -> Answer {
    Answer {
        decision_id: answer.decision_id,
        request_id: answer.request_id,
        model: answer.model,
        degraded: answer
            .degraded
            .iter()
            .map(|&n| {
                word(
                    v1::Degradation::try_from(n).map(|d| d.as_str_name()),
                    "DEGRADATION_",
                )
            })
            .collect(),
        placements: answer.placements.into_iter().map(read_placement).collect(),
    }
}

fn read_placement(placement: v1::Placement) -> Placement {
    let told = placement.no_offer_reason != 0;
    let reason = v1::ExclusionReason::try_from(placement.no_offer_reason);
    Placement {
        id: placement.id,
        no_offer_reason: told.then(|| word(reason.map(|r| r.as_str_name()), "EXCLUSION_REASON_")),
        offers: placement.offers.into_iter().map(read_offer).collect(),
    }
}

fn read_offer(offer: v1::Offer) -> Offer {
    let class = v1::OfferClass::try_from(offer.class).map(|c| c.as_str_name());
    let kind = offer
        .content
        .and_then(|c| c.action)
        .unwrap_or_default()
        .kind;
    let kind = v1::ActionKind::try_from(kind).map(|k| k.as_str_name());
    Offer {
        offer_id: offer.offer_id,
        class: word(class, "OFFER_CLASS_"),
        rank: offer.rank,
        price: offer.price.map(|m| Money {
            amount_minor: m.amount_minor,
            currency: m.currency,
        }),
        token: offer.token,
        propensity: offer.propensity,
        content: Content {
            action: Action {
                kind: word(kind, "ACTION_KIND_"),
            },
        },
    }
}

/// The receipt in the JSON door's words.
pub fn read_receipt(receipt: v1::RecordResponse) -> Receipt {
    let code = |n: i32| v1::RejectionCode::try_from(n).map(|c| c.as_str_name());
    let rejected = receipt.rejected.into_iter();
    Receipt {
        accepted: receipt.accepted.into(),
        duplicates: receipt.duplicates.into(),
        rejected: rejected
            .map(|r| Rejection {
                index: r.index as usize,
                code: word(code(r.code), "REJECTION_CODE_"),
                detail: r.detail,
            })
            .collect(),
    }
}

/// The JSON door's word for an enum's name.
fn word<E>(name: Result<&'static str, E>, prefix: &str) -> String {
    let name = name.unwrap_or("unknown");
    name.strip_prefix(prefix)
        .unwrap_or(name)
        .to_ascii_lowercase()
}

/// The number of the JSON door's word.
fn number<E: Into<i32>>(from_name: fn(&str) -> Option<E>, prefix: &str, word: &str) -> i32 {
    from_name(&format!("{prefix}{}", word.to_ascii_uppercase())).map_or(0, Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visit::message::PHASES;

    #[test]
    fn words_and_numbers_are_the_same_thing() {
        for (phase, expected) in PHASES.iter().zip(1..) {
            let found = number(v1::Phase::from_str_name, "PHASE_", phase);
            assert_eq!(found, expected, "{phase}");
        }
        let reason = v1::ExclusionReason::CareOnly.as_str_name();
        assert_eq!(word(Ok::<_, ()>(reason), "EXCLUSION_REASON_"), "care_only");
        assert_eq!(word(Err(()), "EXCLUSION_REASON_"), "unknown");
    }

    #[test]
    fn instants_keep_their_milliseconds() {
        let at = timestamp(Instant(1_795_305_599_042));
        assert_eq!((at.seconds, at.nanos), (1_795_305_599, 42_000_000));
    }
}
