//! Every limit just below, at and just above it, with the field that the error names.

use offerd_proto::{Timestamp, v1};
use serde_json::{Value, json};

use super::{ARRIVAL, check, example_proto, read, read_proto};

#[test]
fn what_is_required_is_named() {
    let missing = "is required";
    check("appointment", Value::Null, Err(("appointment", missing)));
    check(
        "appointment/phase",
        Value::Null,
        Err(("appointment.phase", missing)),
    );
    check(
        "triggers/0/name",
        Value::Null,
        Err(("triggers[0].name", missing)),
    );
    check(
        "placements/0/id",
        Value::Null,
        Err(("placements[0].id", missing)),
    );
    check(
        "placements",
        Value::Null,
        Err(("placements", "must be 1 to 8 entries, got 0")),
    );
}

#[test]
fn numbers_stop_where_their_range_says() {
    let ranges = [
        ("deadline_ms", "deadline_ms", 1, 60_000),
        (
            "appointment/eta_seconds",
            "appointment.eta_seconds",
            0,
            31_536_000,
        ),
        (
            "appointment/delay_seconds",
            "appointment.delay_seconds",
            -31_536_000,
            31_536_000,
        ),
        (
            "appointment/reschedules",
            "appointment.reschedules",
            0,
            1_000,
        ),
        (
            "appointment/technician/slack_minutes",
            "appointment.technician.slack_minutes",
            0,
            10_080,
        ),
        (
            "customer/care/last_rating",
            "customer.care.last_rating",
            1,
            5,
        ),
        ("triggers/0/count", "triggers[0].count", 1, 1_000_000),
        (
            "triggers/0/age_ms",
            "triggers[0].age_ms",
            0,
            31_536_000_000_i64,
        ),
        ("placements/0/count", "placements[0].count", 1, 20),
    ];
    for (pointer, field, least, most) in ranges {
        let told = format!("must be {least} to {most}, got ");
        for fine in [least, least + 1, most - 1, most] {
            check(pointer, json!(fine), Ok(()));
        }
        for outside in [least - 1, most + 1, i64::MIN, i64::MAX] {
            check(pointer, json!(outside), Err((field, &told)));
        }
        check(pointer, json!(1.5), Err((field, "expected a whole number")));
        check(pointer, json!("1"), Err((field, "expected a whole number")));
    }
}

#[test]
fn strings_stop_where_their_length_says() {
    let lengths = [
        ("request_id", "request_id", 128),
        ("locale", "locale", 64),
        ("device", "device", 64),
        ("appointment/id", "appointment.id", 128),
        ("appointment/job_type", "appointment.job_type", 64),
        (
            "appointment/technician/skills/0",
            "appointment.technician.skills[0]",
            64,
        ),
        (
            "appointment/technician/stock/0",
            "appointment.technician.stock[0]",
            64,
        ),
        ("customer/id", "customer.id", 128),
        ("customer/segments/0", "customer.segments[0]", 64),
        ("customer/products/0", "customer.products[0]", 64),
        ("triggers/0/name", "triggers[0].name", 64),
        ("placements/0/id", "placements[0].id", 128),
    ];
    for (pointer, field, most) in lengths {
        // Characters count, whatever they take: a schema on the caller's side counts the same.
        for letter in ["x", "é", "😀"] {
            check(pointer, json!(letter.repeat(most - 1)), Ok(()));
            check(pointer, json!(letter.repeat(most)), Ok(()));
            let told = format!("must be at most {most} characters, got {}", most + 1);
            check(pointer, json!(letter.repeat(most + 1)), Err((field, &told)));
        }
        check(pointer, json!(""), Err((field, "must not be empty")));
        check(
            pointer,
            json!("a\u{0}b"),
            Err((field, "no control characters")),
        );
        check(pointer, json!(7), Err((field, "expected a string")));
    }
    check("context_token", json!("x".repeat(4096)), Ok(()));
    check(
        "context_token",
        json!("x".repeat(4097)),
        Err(("context_token", "at most 4096")),
    );
}

#[test]
fn lists_stop_where_their_length_says() {
    let lists = [
        (
            "appointment/technician/skills",
            "appointment.technician.skills",
        ),
        (
            "appointment/technician/stock",
            "appointment.technician.stock",
        ),
        ("customer/segments", "customer.segments"),
        ("customer/products", "customer.products"),
        (
            "placements/0/exclude_offers",
            "placements[0].exclude_offers",
        ),
    ];
    for (pointer, field) in lists {
        for fine in [0, 255, 256] {
            check(pointer, json!(vec!["x"; fine]), Ok(()));
        }
        let told = "must be at most 256 entries, got 257";
        check(pointer, json!(vec!["x"; 257]), Err((field, told)));
    }
    let triggers = |n: usize| json!(vec![json!({"name": "map_viewed"}); n]);
    check("triggers", triggers(31), Ok(()));
    check("triggers", triggers(32), Ok(()));
    check(
        "triggers",
        triggers(33),
        Err(("triggers", "at most 32 entries, got 33")),
    );
    let placements = |n: usize| json!(vec![json!({"id": "p"}); n]);
    check(
        "placements",
        placements(0),
        Err(("placements", "must be 1 to 8 entries, got 0")),
    );
    for fine in [1, 7, 8] {
        check("placements", placements(fine), Ok(()));
    }
    check(
        "placements",
        placements(9),
        Err(("placements", "must be 1 to 8 entries, got 9")),
    );
}

#[test]
fn features_stop_where_their_limits_say() {
    let many = |n: usize| -> Value { (0..n).map(|i| (format!("f{i}"), json!(i))).collect() };
    for fine in [0, 63, 64] {
        check("customer/features", many(fine), Ok(()));
    }
    let told = "at most 64 entries, got 65";
    check(
        "customer/features",
        many(65),
        Err(("customer.features", told)),
    );

    let x = "customer.features.x";
    for fine in [
        json!(1e15),
        json!(-1e15),
        json!(-0.0),
        json!(999_999_999_999_999_i64),
    ] {
        check("customer/features", json!({"x": fine}), Ok(()));
    }
    for outside in [
        json!(1e15 + 1.0),
        json!(-1e15 - 1.0),
        json!(1e300),
        json!(u64::MAX),
    ] {
        check(
            "customer/features",
            json!({"x": outside}),
            Err((x, "from -1e15 to 1e15")),
        );
    }
    check("customer/features", json!({"x": "y".repeat(255)}), Ok(()));
    check("customer/features", json!({"x": "y".repeat(256)}), Ok(()));
    check(
        "customer/features",
        json!({"x": "y".repeat(257)}),
        Err((x, "must be at most 256 characters, got 257")),
    );
    for odd in [json!([1]), json!({"y": 1})] {
        let told = "expected a number, a string or a boolean";
        check("customer/features", json!({"x": odd}), Err((x, told)));
    }
    let named = |n: usize| json!({ "k".repeat(n): 1 });
    check("customer/features", named(63), Ok(()));
    check("customer/features", named(64), Ok(()));
    let field = format!("customer.features.{}", "k".repeat(64));
    check(
        "customer/features",
        named(65),
        Err((&field, "at most 64 characters")),
    );
    check(
        "customer/features",
        json!({"": 1}),
        Err(("customer.features.", "must not be empty")),
    );
}

#[test]
fn a_feature_told_twice_is_named() {
    let body = br#"{"appointment": {"phase": "on_site"}, "placements": [{"id": "p"}],
        "customer": {"features": {"tenure": 1, "b": 2, "tenure": 1}}}"#;
    let expected = (
        "customer.features.tenure".into(),
        "must be told only once".into(),
    );
    assert_eq!(read(body, &ARRIVAL), Err(expected));
}

#[test]
fn infinities_come_only_through_protos_and_are_refused() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut message = example_proto();
        let value = Some(v1::feature_value::Value::Number(number));
        let customer = message.customer.as_mut().expect("told");
        customer
            .features
            .insert("x".into(), v1::FeatureValue { value });
        let error = read_proto(message).expect_err("not finite");
        assert_eq!(error.field, "customer.features.x");
    }
}

#[test]
fn instants_are_instants_and_windows_have_a_direction() {
    let (start, end) = ("appointment/window_start", "appointment/window_end");
    check(start, json!("2026-11-21T14:00:00+01:00"), Ok(()));
    check(start, json!("2026-11-21T15:00:00Z"), Ok(()));
    check(
        start,
        json!("2026-11-21T15:00:01Z"),
        Err(("appointment.window_end", "must not be before window_start")),
    );
    for odd in [json!("tomorrow"), json!("2026-11-21"), json!(1_795_266_000)] {
        check(
            end,
            odd,
            Err(("appointment.window_end", "RFC 3339 instant")),
        );
    }
    let mut message = example_proto();
    let visit = message.appointment.as_mut().expect("told");
    visit.window_start = Some(Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    });
    let error = read_proto(message).expect_err("no such year");
    assert_eq!(error.field, "appointment.window_start");
}

#[test]
fn all_strings_together_stop_at_their_limit() {
    // 64 features with names of four bytes, a placement of one, and values to make up the sum.
    let body = |total: usize| {
        let mut values = vec!["x".repeat(256); 62];
        values.push("x".repeat(total - 64 * 4 - 1 - 62 * 256));
        values.push(String::new());
        let named = values.into_iter().enumerate();
        let features: Value = named.map(|(i, v)| (format!("{i:04}"), json!(v))).collect();
        json!({"appointment": {"phase": "on_site"}, "placements": [{"id": "p"}],
            "customer": {"features": features}})
    };
    for (total, fine) in [(16_383, true), (16_384, true), (16_385, false)] {
        let got = read(body(total).to_string().as_bytes(), &ARRIVAL);
        match got {
            Ok(_) => assert!(fine, "{total}"),
            Err((field, detail)) => {
                assert!(!fine, "{total}: {field} {detail}");
                assert!(detail.contains("at most 16384 bytes"), "{detail}");
            }
        }
    }
}
