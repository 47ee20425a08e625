//! The limits as JSON Schema: each function here says what `validate` checks, from the same constants.

use std::ops::RangeInclusive;

use serde_json::Value;

use utoipa::openapi::schema::{
    AnyOfBuilder, Array, ArrayBuilder, ArrayItems, KnownFormat, Object, ObjectBuilder, Ref, Schema,
    SchemaFormat, SchemaType, Type,
};

use super::limits;
use super::{Refusal, RejectionCode};
use crate::decide::snapshot::ActionKind;
use crate::domain::{Channel, EventType, Exclusion, OfferClass, Phase};

/// No control characters: what [`char::is_control`] refuses.
const PRINTABLE: &str = r"^[^\u0000-\u001F\u007F-\u009F]*$";

/// Whether an explicit `null` is allowed, as it is wherever a field may be absent.
#[derive(Clone, Copy, PartialEq)]
enum Null {
    Allowed,
    Refused,
}

fn kind(of: Type, null: Null) -> SchemaType {
    match null {
        Null::Allowed => SchemaType::Array(vec![of, Type::Null]),
        Null::Refused => SchemaType::Type(of),
    }
}

fn string(chars: RangeInclusive<usize>, null: Null) -> Object {
    ObjectBuilder::new()
        .schema_type(kind(Type::String, null))
        .min_length(Some(*chars.start()))
        .max_length(Some(*chars.end()))
        .pattern(Some(PRINTABLE))
        .build()
}

fn whole(range: RangeInclusive<i64>, null: Null) -> Object {
    ObjectBuilder::new()
        .schema_type(kind(Type::Integer, null))
        .minimum(Some(*range.start()))
        .maximum(Some(*range.end()))
        .build()
}

fn one_of(words: &[&str], null: Null) -> Object {
    let mut values: Vec<Value> = words.iter().map(|&w| Value::from(w)).collect();
    if null == Null::Allowed {
        values.push(Value::Null);
    }
    ObjectBuilder::new()
        .schema_type(kind(Type::String, null))
        .enum_values(Some(values))
        .build()
}

fn date_time() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .build()
}

fn list(items: impl Into<ArrayItems>, entries: RangeInclusive<usize>, null: Null) -> Array {
    let least = Some(*entries.start()).filter(|&least| least > 0);
    ArrayBuilder::new()
        .schema_type(kind(Type::Array, null))
        .items(items)
        .min_items(least)
        .max_items(Some(*entries.end()))
        .build()
}

pub(super) fn id() -> Object {
    string(limits::ID_CHARS, Null::Allowed)
}

pub(super) fn id_required() -> Object {
    string(limits::ID_CHARS, Null::Refused)
}

pub(super) fn word() -> Object {
    string(limits::WORD_CHARS, Null::Allowed)
}

pub(super) fn word_required() -> Object {
    string(limits::WORD_CHARS, Null::Refused)
}

pub(super) fn words() -> Array {
    list(word_required(), 0..=limits::LIST_MAX, Null::Allowed)
}

pub(super) fn ids() -> Array {
    list(id_required(), 0..=limits::LIST_MAX, Null::Allowed)
}

pub(super) fn context_token() -> Object {
    string(limits::CONTEXT_TOKEN_CHARS, Null::Allowed)
}

pub(super) fn context_token_required() -> Object {
    let mut schema = string(limits::CONTEXT_TOKEN_CHARS, Null::Refused);
    schema.description = Some("For the `context_token` of decisions.".to_owned());
    schema
}

pub(super) fn token() -> Object {
    string(limits::TOKEN_CHARS, Null::Allowed)
}

pub(super) fn channel() -> Object {
    one_of(Channel::WORDS, Null::Allowed)
}

pub(super) fn phase() -> Object {
    one_of(Phase::WORDS, Null::Allowed)
}

pub(super) fn phase_required() -> Object {
    one_of(Phase::WORDS, Null::Refused)
}

pub(super) fn explain() -> Object {
    one_of(&["none"], Null::Allowed)
}

pub(super) fn event_type() -> Object {
    one_of(EventType::WORDS, Null::Refused)
}

pub(super) fn rejection_code() -> Object {
    one_of(RejectionCode::WORDS, Null::Refused)
}

pub(super) fn offer_class() -> Object {
    one_of(OfferClass::WORDS, Null::Refused)
}

pub(super) fn action_kind() -> Object {
    one_of(ActionKind::WORDS, Null::Refused)
}

pub(super) fn no_offer_reason() -> Object {
    one_of(Exclusion::WORDS, Null::Allowed)
}

pub(super) fn refresh_on() -> Array {
    list(
        one_of(&["phase", "eta_slip"], Null::Refused),
        0..=2,
        Null::Refused,
    )
}

pub(super) fn degraded() -> Array {
    let words = [
        "model_deadline",
        "overload",
        "model_failed",
        "prior_only",
        "unlogged",
    ];
    list(
        one_of(&words, Null::Refused),
        0..=words.len(),
        Null::Refused,
    )
}

pub(super) fn problem_type() -> Object {
    let types = Refusal::ALL.iter().map(|r| r.problem().kind);
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(types))
        .description(Some("Names the kind of problem for programs."))
        .build()
}

pub(super) fn status() -> Object {
    let mut schema = whole(400..=599, Null::Refused);
    schema.description = Some("The HTTP status.".to_owned());
    schema
}

pub(super) fn deadline_ms() -> Object {
    whole(limits::DEADLINE_MS, Null::Allowed)
}

pub(super) fn eta_seconds() -> Object {
    whole(limits::ETA_SECONDS, Null::Allowed)
}

pub(super) fn delay_seconds() -> Object {
    whole(limits::DELAY_SECONDS, Null::Allowed)
}

pub(super) fn reschedules() -> Object {
    whole(limits::RESCHEDULES, Null::Allowed)
}

pub(super) fn slack_minutes() -> Object {
    whole(limits::SLACK_MINUTES, Null::Allowed)
}

pub(super) fn rating() -> Object {
    whole(limits::RATING, Null::Allowed)
}

pub(super) fn count() -> Object {
    whole(limits::COUNT, Null::Allowed)
}

pub(super) fn trigger_count() -> Object {
    whole(limits::TRIGGER_COUNT, Null::Allowed)
}

pub(super) fn span_ms() -> Object {
    whole(limits::SPAN_MS, Null::Allowed)
}

pub(super) fn ttl_seconds() -> Object {
    let mut schema = whole(limits::CONTEXT_TTL_SECONDS, Null::Allowed);
    schema.description = Some("For how long the token holds; 900 if absent.".to_owned());
    schema
}

pub(super) fn amount_minor() -> Object {
    whole(limits::AMOUNT_MINOR, Null::Refused)
}

pub(super) fn currency() -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[A-Z]{3}$"))
        .build()
}

/// Two types instead of a list of two, because many tools look at a format only beside one type.
pub(super) fn instant() -> Schema {
    let either = AnyOfBuilder::new()
        .item(date_time())
        .item(ObjectBuilder::new().schema_type(Type::Null));
    Schema::AnyOf(either.build())
}

pub(super) fn instant_required() -> Object {
    date_time()
}

pub(super) fn triggers() -> Array {
    let items = Ref::from_schema_name("Trigger");
    list(items, 0..=limits::TRIGGERS_MAX, Null::Allowed)
}

pub(super) fn placements() -> Array {
    let items = Ref::from_schema_name("PlacementAsk");
    list(items, limits::PLACEMENTS, Null::Refused)
}

/// Anything is allowed as an item, since a bad one is answered by itself and not with an error.
pub(super) fn events() -> Array {
    let items = AnyOfBuilder::new()
        .item(Ref::from_schema_name("Event"))
        .item(utoipa::openapi::schema::empty())
        .description(Some(
            "An Event. Anything else is counted among the rejected.",
        ));
    let mut schema = list(items, limits::EVENTS, Null::Refused);
    schema.description = Some("An item that is not as described is rejected by itself.".to_owned());
    schema
}

pub(super) fn features() -> Object {
    let types = [Type::Number, Type::String, Type::Boolean, Type::Null];
    let value = ObjectBuilder::new()
        .schema_type(SchemaType::Array(types.to_vec()))
        .minimum(Some(-limits::NUMBER_MAX))
        .maximum(Some(limits::NUMBER_MAX))
        .max_length(Some(limits::TEXT_CHARS_MAX))
        .build();
    ObjectBuilder::new()
        .schema_type(kind(Type::Object, Null::Allowed))
        .max_properties(Some(limits::FEATURES_MAX))
        .property_names(Some(word_required()))
        .additional_properties(Some(Schema::Object(value)))
        .build()
}
