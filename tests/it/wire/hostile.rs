//! What nobody should send: bombs, mutated bodies, any value anywhere. Nothing may crash or hang, and
//! every error names a field.

use offerd::serve::wire::read_events;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ARRIVAL, NOW, example, read, with};

#[test]
fn bombs_are_refused_at_once() {
    let deep = format!("{}1{}", "[".repeat(30_000), "]".repeat(30_000));
    let keys: String = (0..5_000).map(|i| format!(r#""{i}":1,"#)).collect();
    let bombs = [
        deep,
        format!(r#"{{"customer":{{"features":{{{keys}"x":1}}}}}}"#),
        format!(r#"{{"deadline_ms": {}}}"#, "9".repeat(60_000)),
        r#"{"deadline_ms": 1e400}"#.into(),
        r#"{"request_id": "\ud800"}"#.into(),
        "{\"request_id\": \"\u{0}\"}".into(),
        "x".repeat(65_537),
    ];
    for bomb in bombs {
        let read = read(bomb.as_bytes(), &ARRIVAL);
        let brief: String = bomb.chars().take(60).collect();
        assert!(read.is_err(), "{brief}");
    }
    assert!(
        read(b"{\"request_id\": \"\xff\"}", &ARRIVAL).is_err(),
        "not UTF-8"
    );
}

/// A body that was the example once.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let cut = (
        any::<proptest::sample::Index>(),
        any::<proptest::sample::Index>(),
    );
    (cut, any::<u8>(), "[\\[\\]{}:,\"0-9a-z\\\\-]{0,12}").prop_map(|((a, b), byte, insert)| {
        let mut body = example().to_string().into_bytes();
        let at = a.index(body.len());
        match byte % 3 {
            0 => body[at] = byte,
            1 => {
                let end = at + b.index(body.len() - at);
                body.drain(at..end);
            }
            _ => drop(body.splice(at..at, insert.into_bytes())),
        }
        body
    })
}

/// Any JSON value.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        "\\PC{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,12}", inner, 0..4)
                .prop_map(|m| m.into_iter().collect()),
        ]
    })
}

const FIELDS: [&str; 16] = [
    "request_id",
    "channel",
    "deadline_ms",
    "explain",
    "test",
    "appointment",
    "appointment/phase",
    "appointment/window_end",
    "appointment/technician",
    "customer",
    "customer/features",
    "customer/features/tenure",
    "customer/care/last_rating",
    "triggers/0",
    "placements",
    "placements/0/exclude_offers",
];

/// Reads `body` as both kinds of message; what matters is that both come back.
fn read_as_anything(body: &[u8]) -> bool {
    let decision = read(body, &ARRIVAL).is_ok();
    let events = read_events(body).map(|batch| batch.validate(NOW).is_ok());
    decision || events.is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        // Only an object is read, and random bytes are none.
        prop_assume!(serde_json::from_slice::<Value>(&bytes).is_err());
        prop_assert!(!read_as_anything(&bytes));
    }

    #[test]
    fn a_mutated_request_is_read_or_its_error_names_a_field(body in mutated()) {
        read_as_anything(&body);
        if let Err((field, detail)) = read(&body, &ARRIVAL) {
            prop_assert!(!field.is_empty() && !detail.is_empty());
        }
    }

    #[test]
    fn any_value_anywhere_is_read_or_named(at in 0..FIELDS.len(), value in anything()) {
        let pointer = FIELDS[at];
        let body = with(pointer, value).to_string();
        if let Err((field, _)) = read(body.as_bytes(), &ARRIVAL) {
            let top = pointer.split('/').next().expect("not empty");
            prop_assert!(field.starts_with(top), "{field} for {pointer}");
        }
    }

    #[test]
    fn any_item_in_a_batch_is_counted(item in anything()) {
        let body = json!({"events": [item]}).to_string();
        let batch = read_events(body.as_bytes()).expect("a batch");
        prop_assert_eq!(batch.validate(NOW).expect("one item").len(), 1);
    }
}
