//! The quick reader beside serde.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::serve::wire::parse::thoroughly;
use crate::serve::wire::{ContextRequest, DecisionRequest, EventRequest, Object};

/// Whether the quick reader read it; what it read is what serde reads.
#[track_caller]
fn check<'a, T>(body: &'a str) -> bool
where
    T: serde::Deserialize<'a> + PartialEq + std::fmt::Debug,
    Object<T>: Quick<'a>,
{
    let Some(quick) = read::<Object<T>>(body) else {
        return false;
    };
    // Debug tells a negative zero from zero.
    let thorough = thoroughly::<T>(body.as_bytes()).map(|told| format!("{told:?}"));
    assert_eq!(Ok(format!("{:?}", quick.0)), thorough, "{body}");
    true
}

#[track_caller]
fn decision(body: &str, read: bool) {
    assert_eq!(check::<DecisionRequest<'_>>(body), read, "{body}");
}

#[test]
fn what_senders_send_is_read_quickly() {
    decision(
        include_str!("../../../../benches/example/request.json"),
        true,
    );
    decision("{}", true);
    decision(" {\t} \r\n", true);
    decision(
        r#"{"channel": null, "customer": {"features": {"a": null}}}"#,
        true,
    );
    decision(
        r#"{"locale": "\u00e4\"ö", "customer": {"features": {"\n": "\\"}}}"#,
        true,
    );
    decision(r#"{"newer": [{"x": [1e3, "}"]}], "test": true}"#, true);
    decision(
        r#"{"deadline_ms": 20.00, "customer": {"features": {"a": -0.0, "b": 1e-7}}}"#,
        true,
    );
    check::<EventRequest<'_>>(r#"{"events": [{"id": "e-1", "type": "click"}]}"#)
        .then_some(())
        .expect("events");
    check::<ContextRequest<'_>>(r#"{"customer": {"id": "c"}, "ttl_seconds": 60}"#)
        .then_some(())
        .expect("a context");
}

#[test]
fn what_is_odd_is_left_to_serde() {
    for body in [
        "",
        "[]",
        "{} {}",
        r#"{"test": true,}"#,
        r#"{"test": true "#,
        r#"{"test": tru"#,
        r#"{"test": true, "test": true}"#,
        r#"{"test": null, "test": null}"#,
        r#"{"channel": "a	b"}"#,
        r#"{"channel": "\ud800"}"#,
        r#"{"deadline_ms": 1.5}"#,
        r#"{"deadline_ms": 012}"#,
        r#"{"deadline_ms": 1.}"#,
        r#"{"deadline_ms": -}"#,
        r#"{"newer": 1x}"#,
        r#"{"appointment": {"window_start": "soon"}}"#,
        r#"{"customer": {"features": {"a": 1e400}}}"#,
        r#"{"customer": {"features": {"a": [1]}}}"#,
        r#"{"triggers": [null]}"#,
    ] {
        decision(body, false);
    }
    let deep = |n: usize| format!("{{\"newer\": {}{}}}", "[".repeat(n), "]".repeat(n));
    decision(&deep(DEPTH_MAX - 1), true);
    decision(&deep(DEPTH_MAX), false);
}

/// Numbers of every form, and some that are none.
fn number() -> impl Strategy<Value = String> {
    let whole = prop_oneof![any::<i64>().prop_map(|n| n.to_string()), "-?[0-9]{1,20}"];
    let written = any::<f64>().prop_map(|n| n.to_string());
    prop_oneof![
        whole,
        written,
        "-?[0-9]{0,9}\\.[0-9]{0,12}",
        "-?[0-9][.0-9eE+-]{0,6}"
    ]
}

fn text() -> impl Strategy<Value = String> {
    let known = select(&["en_route", "2026-11-21T13:00:00Z", "wifi", "none", ""][..]);
    prop_oneof![
        known.prop_map(|text| format!("\"{text}\"")),
        r#""[a-z é"{\[]{0,20}""#,
        r#""[a-z]{0,9}\\[nu"\\/d8][0-9a-f]{0,5}[a-z]{0,9}""#,
    ]
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "channel",
        "deadline_ms",
        "test",
        "appointment",
        "phase",
        "window_end",
        "technician",
        "skills",
        "customer",
        "features",
        "segments",
        "consent",
        "marketing",
        "care",
        "last_rating",
        "triggers",
        "name",
        "count",
        "placements",
        "id",
        "exclude_offers",
        "events",
        "type",
        "at",
        "value",
        "amount_minor",
        "ttl_seconds",
    ];
    prop_oneof![
        9 => select(known.to_vec()).prop_map(|name| format!("\"{name}\"")),
        1 => text(),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let words = select(&["true", "false", "null", "nul", ""][..]).prop_map(String::from);
    let leaf = prop_oneof![4 => words, 4 => text(), 4 => number()];
    let space = || select(&["", "", "", " ", "\n\t"][..]);
    leaf.prop_recursive(5, 48, 6, move |inner| {
        let list = (space(), prop::collection::vec(inner.clone(), 0..4));
        let object = prop::collection::vec((space(), name(), space(), inner), 0..6);
        prop_oneof![
            1 => list.prop_map(|(space, list)| format!("[{}]", list.join(&format!(",{space}")))),
            3 => object.prop_map(|fields| {
                let fields = fields.into_iter().map(|(a, name, b, value)| format!("{a}{name}{b}:{a}{value}{b}"));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_reads_what_serde_reads(body in value()) {
        check::<DecisionRequest<'_>>(&body);
        check::<EventRequest<'_>>(&body);
        check::<ContextRequest<'_>>(&body);
    }

    #[test]
    fn numbers_are_those_that_serde_reads(number in number()) {
        let features = format!(r#"{{"customer": {{"features": {{"a": {number}}}}}}}"#);
        check::<DecisionRequest<'_>>(&features);
        check::<DecisionRequest<'_>>(&format!(r#"{{"deadline_ms": {number}}}"#));
    }

    #[test]
    fn texts_are_those_that_serde_reads(text in text()) {
        let features = format!(r#"{{"customer": {{"features": {{{text}: {text}}}}}}}"#);
        check::<DecisionRequest<'_>>(&features);
    }
}
