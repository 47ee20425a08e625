//! The quick reader beside the generated code.

use proptest::collection::{hash_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::domain::{self, DecisionId, Effort, Millis, SubjectKey};
use crate::serve::wire::{Arrival, validate};
use offerd_proto::v1;

/// What both doors make of a message, or `None` where it breaks a rule.
fn checked(message: &DecisionRequest<'_>) -> Option<String> {
    let arrival = Arrival {
        decision: DecisionId(1),
        at: Millis(0),
        effort: Effort::Full,
        consent_default: domain::Consent {
            personalization: true,
            marketing: false,
            measurement: true,
        },
        gpc: false,
        trusted: true,
    };
    let subject = |_: &str, id: &str| SubjectKey(id.len() as u128);
    let request = validate(message, &arrival, subject).ok()?;
    let (wait, token) = (message.deadline_ms(), message.context_token());
    Some(format!("{request:?} {wait:?} {token:?}"))
}

/// Whether the quick reader read it; what it read is what the generated code reads.
#[track_caller]
fn check(bytes: &[u8]) -> bool {
    let Some(quick) = decide_request(bytes) else {
        return false;
    };
    let owned = v1::DecideRequest::decode(bytes).expect("the quick reader read it");
    let owned = DecisionRequest::try_from(owned).expect("the quick reader read it");
    assert_eq!(checked(&quick), checked(&owned), "{bytes:?}");
    true
}

fn text() -> impl Strategy<Value = String> {
    "[a-zé]{0,8}"
}

fn word() -> impl Strategy<Value = String> {
    "[a-zé]{1,8}"
}

fn appointment() -> impl Strategy<Value = v1::Appointment> {
    let stamp = || {
        (-10_i64..1 << 40, 0..1_000_000_000)
            .prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
    };
    let technician = (vec(word(), 0..3), vec(word(), 0..3), of(0..20_000_u32));
    let technician = technician.prop_map(|(skills, stock, slack_minutes)| v1::Technician {
        skills,
        stock,
        slack_minutes,
    });
    (
        (of(text()), 0..9, of(text()), of(stamp()), of(stamp())),
        (
            of(any::<u32>()),
            of(-9_000..9_000),
            of(0..9_u32),
            of(technician),
        ),
    )
        .prop_map(|(a, b)| v1::Appointment {
            id: a.0,
            phase: a.1,
            job_type: a.2,
            window_start: a.3,
            window_end: a.4,
            eta_seconds: b.0,
            delay_seconds: b.1,
            reschedules: b.2,
            technician: b.3,
        })
}

fn customer() -> impl Strategy<Value = v1::Customer> {
    use v1::feature_value::Value;
    let value = prop_oneof![
        any::<f64>().prop_map(Value::Number),
        text().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Flag),
    ];
    let value = of(value).prop_map(|value| v1::FeatureValue { value });
    let flag = || of(any::<bool>());
    let consent = (flag(), flag(), flag()).prop_map(|(personalization, marketing, measurement)| {
        v1::Consent {
            personalization,
            marketing,
            measurement,
        }
    });
    let care =
        (flag(), flag(), of(0..7_u32)).prop_map(|(open_issue, payment_hardship, last_rating)| {
            v1::Care {
                open_issue,
                payment_hardship,
                last_rating,
            }
        });
    (
        (of(text()), hash_map(word(), value, 0..6)),
        (vec(word(), 0..3), vec(word(), 0..3), of(consent), of(care)),
    )
        .prop_map(|(a, b)| v1::Customer {
            id: a.0,
            features: a.1,
            segments: b.0,
            products: b.1,
            consent: b.2,
            care: b.3,
        })
}

fn message() -> impl Strategy<Value = v1::DecideRequest> {
    let trigger = ("[a-z]{1,5}", of(0..9_u32), of(0..1_u64 << 40));
    let trigger = trigger.prop_map(|(name, count, age_ms)| v1::Trigger {
        name,
        count,
        age_ms,
    });
    let placement = ("[a-z]{1,5}", of(0..9_u32), vec(word(), 0..3));
    let placement = placement.prop_map(|(id, count, exclude_offers)| v1::PlacementAsk {
        id,
        count,
        exclude_offers,
    });
    (
        (of(text()), -1..8, of(text()), of(text()), of(1..60_000_u32)),
        (any::<bool>(), of(appointment()), of(customer()), of(text())),
        (vec(trigger, 0..3), vec(placement, 0..3)),
    )
        .prop_map(|(a, b, c)| v1::DecideRequest {
            request_id: a.0,
            channel: a.1,
            locale: a.2,
            device: a.3,
            deadline_ms: a.4,
            explain: None,
            test: b.0,
            appointment: b.1,
            customer: b.2,
            triggers: c.0,
            placements: c.1,
            context_token: b.3,
        })
}

#[test]
fn what_clients_send_is_read_quickly() {
    let name = |name: &str| v1::PlacementAsk {
        id: name.into(),
        ..Default::default()
    };
    let message = v1::DecideRequest {
        request_id: Some("r".into()),
        appointment: Some(v1::Appointment {
            phase: v1::Phase::EnRoute.into(),
            delay_seconds: Some(-60),
            ..Default::default()
        }),
        placements: vec![name("a"), name("b")],
        ..Default::default()
    };
    let bytes = message.encode_to_vec();
    assert!(check(&bytes));
    assert!(checked(&decide_request(&bytes).expect("plain")).is_some());
    // A field of a newer release, of each kind.
    for field in [&[0xf8, 0x01, 0x01][..], &[0xfa, 0x01, 0x01, 0x00]] {
        assert!(check(&[&bytes, field].concat()));
    }
    // Told twice, not whole, a group, a number that is none.
    for field in [
        &[0x0a, 0x00][..],
        &[0x0a, 0x09],
        &[0xfb, 0x01],
        &[0x00, 0x00],
    ] {
        assert!(!check(&[&bytes, field].concat()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_reads_what_the_generated_code_reads(message in message(), again in message()) {
        let negative = message.channel < 0;
        let bytes = message.encode_to_vec();
        // Only negative numbers are long.
        prop_assert!(check(&bytes) || negative || message.appointment.is_some());
        check(&[bytes, again.encode_to_vec()].concat());
    }

    #[test]
    fn bytes_that_were_changed_are_read_alike(
        message in message(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = message.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
    }
}
