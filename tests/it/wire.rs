//! What crosses the wire: limits, errors, both doors alike, answers, and the description of it all.

mod answers;
mod hostile;
mod limits;

use std::collections::HashMap;

use offerd::domain::{Consent, DecisionId, Effort, Millis, Phase, SubjectKey};
use offerd::serve::wire::{
    Arrival, DecisionRequest, Malformed, Problem, openapi, parse, read_events, validate,
};
use offerd_proto::{Timestamp, v1};
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
    // Trouble is believed: it keeps things from being sold, and never sells any.
    let only_care = [false, false, false, true, false];
    left(Value::Null, page, customer, only_care);
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
fn the_description_says_who_may_and_what_else_may_come_back() {
    let api = serde_json::to_value(openapi()).expect("serializes");
    for (path, method, keyed, answers) in [
        (
            "/v1/decisions",
            "post",
            true,
            "200 400 401 403 405 413 415 503 504",
        ),
        (
            "/v1/context",
            "post",
            true,
            "200 400 401 403 405 413 415 503 504",
        ),
        ("/v1/events", "post", false, "200 400 405 413 415 503 504"),
        ("/v1/t/{token}", "get", false, "200 204 302 404 405 503"),
        ("/readyz", "get", false, "200 405 503"),
    ] {
        let operation = &api["paths"][path][method];
        assert_eq!(operation["security"].is_array(), keyed, "{path}");
        let responses = operation["responses"].as_object().expect("answers");
        let mut told: Vec<_> = responses.keys().map(String::as_str).collect();
        told.sort_unstable();
        assert_eq!(told.join(" "), answers, "{path}");
    }
    let kinds = &api["paths"]["/v1/events"]["post"]["requestBody"]["content"];
    assert!(kinds["text/plain"].is_object(), "what a beacon sends");
}

#[test]
fn the_description_says_what_is_checked() {
    let api = serde_json::to_value(openapi()).expect("serializes");
    assert_eq!(api["openapi"], "3.1.0");
    let schema = |name: &str| api["components"]["schemas"][name]["properties"].clone();
    let request = schema("DecisionRequest");
    assert_eq!(request["deadline_ms"]["maximum"], json!(60_000));
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
