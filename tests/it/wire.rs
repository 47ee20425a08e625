//! What crosses the wire: limits, errors, both doors alike, answers, and the description of it all.

mod answers;

use std::collections::HashMap;

use offerd::domain::{Consent, DecisionId, Effort, Millis, Phase, SubjectKey};
use offerd::serve::wire::{
    Arrival, DecisionRequest, Malformed, Problem, limits, openapi, parse, read_events, validate,
};
use offerd_proto::{Timestamp, v1};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Millis = Millis(1_763_730_000_000);

const ARRIVAL: Arrival = Arrival {
    decision: DecisionId(7),
    at: NOW,
    effort: Effort::Full,
    consent_default: Consent {
        personalization: true,
        marketing: true,
        measurement: true,
    },
    gpc: false,
    trusted: true,
};

/// The request of the contract, every field told.
fn example() -> Value {
    json!({ "request_id": "r-81", "channel": "web", "locale": "en-US", "device": "mobile", "deadline_ms": 20,
      "explain": "none", "test": false,
      "appointment": { "id": "apt-7731", "phase": "en_route", "job_type": "install",
        "window_start": "2026-11-21T13:00:00Z", "window_end": "2026-11-21T15:00:00Z",
        "eta_seconds": 1260, "delay_seconds": 0, "reschedules": 0,
        "technician": { "skills": ["wifi"], "stock": ["wifi6_extender"], "slack_minutes": 25 } },
      "customer": { "id": "c-18f2", "features": { "tenure": 14, "contract": "Month-to-month", "has_tv": false },
        "segments": ["new_mover"], "products": ["internet_500"],
        "consent": { "personalization": true, "marketing": true, "measurement": true },
        "care": { "open_issue": false, "payment_hardship": false, "last_rating": 4 } },
      "triggers": [ { "name": "map_viewed", "count": 3, "age_ms": 4200 } ],
      "placements": [ { "id": "tracker_hero", "count": 1, "exclude_offers": [] } ] })
}

/// The same as a proto message.
fn example_proto() -> v1::DecideRequest {
    use v1::feature_value::Value::{Flag, Number, Text};
    let feature = |value| v1::FeatureValue { value: Some(value) };
    let at = |seconds| Timestamp { seconds, nanos: 0 };
    v1::DecideRequest {
        request_id: Some("r-81".into()),
        channel: v1::Channel::Web.into(),
        locale: Some("en-US".into()),
        device: Some("mobile".into()),
        deadline_ms: Some(20),
        explain: Some("none".into()),
        test: false,
        appointment: Some(v1::Appointment {
            id: Some("apt-7731".into()),
            phase: v1::Phase::EnRoute.into(),
            job_type: Some("install".into()),
            window_start: Some(at(1_795_266_000)),
            window_end: Some(at(1_795_273_200)),
            eta_seconds: Some(1260),
            delay_seconds: Some(0),
            reschedules: Some(0),
            technician: Some(v1::Technician {
                skills: vec!["wifi".into()],
                stock: vec!["wifi6_extender".into()],
                slack_minutes: Some(25),
            }),
        }),
        customer: Some(v1::Customer {
            id: Some("c-18f2".into()),
            features: HashMap::from([
                ("tenure".into(), feature(Number(14.0))),
                ("contract".into(), feature(Text("Month-to-month".into()))),
                ("has_tv".into(), feature(Flag(false))),
            ]),
            segments: vec!["new_mover".into()],
            products: vec!["internet_500".into()],
            consent: Some(v1::Consent {
                personalization: Some(true),
                marketing: Some(true),
                measurement: Some(true),
            }),
            care: Some(v1::Care {
                open_issue: Some(false),
                payment_hardship: Some(false),
                last_rating: Some(4),
            }),
        }),
        triggers: vec![v1::Trigger {
            name: "map_viewed".into(),
            count: Some(3),
            age_ms: Some(4200),
        }],
        placements: vec![v1::PlacementAsk {
            id: "tracker_hero".into(),
            count: Some(1),
            exclude_offers: Vec::new(),
        }],
        context_token: None,
    }
}

fn subject_of(kind: &str, id: &str) -> SubjectKey {
    let sum = kind.bytes().chain(id.bytes()).map(u128::from).sum();
    SubjectKey(sum)
}

/// What a body becomes, as text, or the field and the sentence of its error.
fn read(body: &[u8], arrival: &Arrival) -> Result<String, (String, String)> {
    let named = |p: Problem| (p.field.unwrap_or_default(), p.detail.unwrap_or_default());
    let wire: DecisionRequest<'_> = parse(body).map_err(named)?;
    let request = validate(&wire, arrival, subject_of);
    request
        .map(|r| format!("{r:?}"))
        .map_err(|e| (e.field, e.detail))
}

fn read_proto(message: v1::DecideRequest) -> Result<String, Malformed> {
    let wire = DecisionRequest::try_from(message)?;
    validate(&wire, &ARRIVAL, subject_of).map(|r| format!("{r:?}"))
}

/// The example with the value at `pointer` set, `appointment/phase` style, objects made on the way.
fn with(pointer: &str, value: Value) -> Value {
    let mut request = example();
    let mut at = &mut request;
    for step in pointer.split('/') {
        at = match step.parse::<usize>() {
            Ok(index) => &mut at[index],
            Err(_) => &mut at[step],
        };
    }
    *at = value;
    request
}

/// Whether the example with `value` at `pointer` is accepted; if not, the error must name `field`
/// and say `detail`.
#[track_caller]
fn check(pointer: &str, value: Value, expected: Result<(), (&str, &str)>) {
    let body = with(pointer, value).to_string();
    let brief: String = body.chars().take(1_000).collect();
    match (read(body.as_bytes(), &ARRIVAL), expected) {
        (Ok(_), Ok(())) => {}
        (Err((field, detail)), Err((named, told))) => {
            assert_eq!(field, named, "{brief}");
            assert!(detail.contains(told), "{brief}: {detail}");
        }
        (got, _) => panic!("{pointer}: {got:?} for {brief}"),
    }
}

#[test]
fn the_contracts_example_is_read_the_same_through_both_doors() {
    let json = read(example().to_string().as_bytes(), &ARRIVAL).expect("the contract's own");
    let proto = read_proto(example_proto()).expect("the contract's own");
    assert_eq!(json, proto);
    for told in [
        "EnRoute",
        "1795266000000",
        "slack_minutes: Some(25)",
        "4200",
    ] {
        assert!(json.contains(told), "{told} is in {json}");
    }
}

#[test]
fn a_phase_and_a_placement_are_enough_through_both_doors() {
    let body = br#"{"appointment": {"phase": "on_site"}, "placements": [{"id": "p"}]}"#;
    let message = v1::DecideRequest {
        appointment: Some(v1::Appointment {
            phase: v1::Phase::OnSite.into(),
            ..Default::default()
        }),
        placements: vec![v1::PlacementAsk {
            id: "p".into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    assert_eq!(read(body, &ARRIVAL).ok(), read_proto(message).ok());
    assert!(read(body, &ARRIVAL).is_ok());
}

#[test]
fn null_is_absent_and_unknown_fields_are_nothing() {
    let least = r#""appointment": {"phase": "on_site", "id": null, "technician": null}"#;
    let told = format!(
        r#"{{{least}, "placements": [{{"id": "p", "count": null, "exclude_offers": null}}],
            "customer": {{"features": {{"a": null}}, "segments": null, "consent": {{"marketing": null}}}},
            "triggers": null, "channel": null, "test": null, "new_in_v2": {{"x": [1, 2]}}}}"#
    );
    let plain = br#"{"appointment": {"phase": "on_site"}, "placements": [{"id": "p"}]}"#;
    assert_eq!(read(told.as_bytes(), &ARRIVAL), read(plain, &ARRIVAL));
}

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
fn words_come_with_the_list_of_words() {
    let phases =
        "expected one of scheduled, day_of, en_route, arriving, on_site, completed, feedback";
    check(
        "appointment/phase",
        json!("enroute"),
        Err(("appointment.phase", phases)),
    );
    let channels = "expected one of web, app, sms, rcs, email, chat";
    check("channel", json!("fax"), Err(("channel", channels)));
    check("explain", json!("none"), Ok(()));
    check("explain", json!("full"), Err(("explain", "must be none")));
    let mut message = example_proto();
    message.channel = 99;
    let error = read_proto(message).expect_err("no such channel");
    assert_eq!(
        (error.field.as_str(), error.detail.as_str()),
        ("channel", channels)
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

#[test]
fn a_trigger_told_twice_counts_as_both() {
    let two = json!([{"name": "a", "count": 2, "age_ms": 900}, {"name": "b"},
        {"name": "a", "count": 3, "age_ms": 100}]);
    let body = with("triggers", two).to_string();
    let read = read(body.as_bytes(), &ARRIVAL).expect("allowed");
    assert!(
        read.contains(r#"Trigger { name: "a", count: 5, age_ms: 100 }"#),
        "{read}"
    );
}

/// What consent, `Sec-GPC` and trust leave of the example: the subject's kind, and which of features,
/// segments, products, care and technician are still there.
#[track_caller]
fn left(consent: Value, arrival: Arrival, subject: Option<(&str, &str)>, there: [bool; 5]) {
    let mut told = with("customer/care/open_issue", json!(true));
    told["customer"]["consent"] = consent.clone();
    let body = told.to_string();
    let wire: DecisionRequest<'_> = parse(body.as_bytes()).expect("well-formed");
    let request = validate(&wire, &arrival, subject_of).expect("valid");
    let customer = &request.customer;
    let found = [
        !customer.features.is_empty(),
        !customer.segments.is_empty(),
        !customer.products.is_empty(),
        customer.care.open_issue,
        request.appointment.technician.is_some(),
    ];
    assert_eq!(found, there, "{consent} {arrival:?}");
    let subject = subject.map(|(kind, id)| subject_of(kind, id));
    assert_eq!(customer.subject, subject, "{consent} {arrival:?}");
}

#[test]
fn what_is_withheld_does_not_come_through() {
    let customer = Some(("customer", "c-18f2"));
    let visit = Some(("appointment", "apt-7731"));
    let no = json!({"personalization": false});
    let anonymous = [false, false, true, true, true];
    left(Value::Null, ARRIVAL, customer, [true; 5]);
    left(no.clone(), ARRIVAL, visit, anonymous);
    let gpc = Arrival {
        gpc: true,
        ..ARRIVAL
    };
    left(json!({"personalization": true}), gpc, visit, anonymous);
    let mut opt_in = ARRIVAL;
    opt_in.consent_default.personalization = false;
    left(Value::Null, opt_in, visit, anonymous);
    left(
        json!({"personalization": true}),
        opt_in,
        customer,
        [true; 5],
    );
    left(json!({"measurement": false}), ARRIVAL, customer, [true; 5]);
    let page = Arrival {
        trusted: false,
        ..ARRIVAL
    };
    left(Value::Null, page, customer, [false; 5]);
}

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

#[test]
fn the_contracts_events_are_read() {
    let body = json!({ "events": [
        { "id": "e-1", "type": "impression", "token": "t", "at": "2025-11-21T13:00:00Z" },
        { "id": "o-9", "type": "conversion", "token": "t", "value": { "amount_minor": 999, "currency": "USD" } },
        { "id": "p-3", "type": "phase_view", "appointment_id": "apt-7731", "phase": "en_route", "dwell_ms": 8100 },
        { "id": "p-4", "type": "element", "appointment_id": "apt-7731", "phase": "en_route", "element": "live_map" } ] });
    let body = body.to_string();
    let batch = read_events(body.as_bytes()).expect("the contract's own");
    let items = batch.validate(NOW).expect("four");
    let sent: Vec<_> = items.into_iter().map(|i| i.expect("valid")).collect();
    assert_eq!(sent[1].value.map(|m| m.amount_minor), Some(999));
    assert_eq!(
        (sent[2].phase, sent[2].dwell_ms),
        (Some(Phase::EnRoute), Some(8100))
    );
    assert_eq!((sent[3].element, sent[3].at), (Some("live_map"), NOW));
}

#[test]
fn the_description_says_what_is_checked() {
    let api = serde_json::to_value(openapi()).expect("serializes");
    assert_eq!(api["openapi"], "3.1.0");
    let schema = |name: &str| api["components"]["schemas"][name]["properties"].clone();
    let request = schema("DecisionRequest");
    assert_eq!(
        request["deadline_ms"]["maximum"],
        json!(*limits::DEADLINE_MS.end())
    );
    assert_eq!(request["placements"]["maxItems"], json!(8));
    assert_eq!(request["request_id"]["maxLength"], json!(128));
    assert_eq!(schema("PlacementAsk")["count"]["maximum"], json!(20));
    assert_eq!(schema("Customer")["features"]["maxProperties"], json!(64));
    // Every field of the example is described, so none was renamed on one side only.
    for (name, value) in [
        ("DecisionRequest", example()),
        ("Appointment", example()["appointment"].clone()),
        ("Customer", example()["customer"].clone()),
        ("PlacementAsk", example()["placements"][0].clone()),
    ] {
        for field in value.as_object().expect("an object").keys() {
            assert!(schema(name).get(field).is_some(), "{name}.{field}");
        }
    }
    for (name, schema) in api["components"]["schemas"].as_object().expect("schemas") {
        for (field, property) in schema["properties"].as_object().expect("objects") {
            let told = |p: &Value| p["description"].is_string();
            let told = told(property)
                || property["oneOf"]
                    .as_array()
                    .is_some_and(|o| o.iter().any(told));
            let exempt = name == "ContextResponse" && field == "expires_at";
            assert!(told || exempt, "{name}.{field} is described");
        }
    }
    let text = api.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().expect("ends");
        assert!(
            api["components"]["schemas"].get(name).is_some(),
            "{name} is described"
        );
    }
}
