//! The packed form: JSON's values, each behind one byte that says what it is, and the names of fields once.
//!
//! ```text
//! record   form u8 (1) | value | shape … | where the shapes begin, u32
//! value    00–7F  an integer from 0 to 127      F0 null  F1 false  F2 true
//!          80–BF  text of 0 to 63 bytes         F3 f64
//!          C0–DF  object of the shape 0 to 31   F4 u16   F5 u64   F6 i64
//!          E0–EF  array of 0 to 15 values       F7 text  F8 array  F9 map: u32 length, then what is in it
//! shape    count u8, then for each field its place in NAMES, or FF | length u8 | name
//! ```
//!
//! Numbers are little-endian. An object is its shape's values in order: a hundred candidates with the
//! same fields are one shape, and each pays one byte for it. The shapes stand behind the values because
//! only then all are known. Nothing has to be known of a record to read it: fields may come and go as they
//! may in JSON.
//!
//! It is not MessagePack with its libraries because names are four tenths of a candidate there, and CBOR or BSON
//! repeat them too; and not the envelope's postcard, which cannot leave out a field or gain one.

/// The one packed form this release writes and reads.
pub(super) const FORM: u8 = 1;
/// Bytes of the form's tail: where the shapes begin.
pub(super) const TAIL_BYTES: usize = 4;
/// Values lie in each other at most so deep, as `serde_json` has it: reading takes stack.
pub(super) const DEPTH_MAX: u32 = 128;

/// Text up to this length has it in its first byte.
pub(super) const SHORT_TEXT_MAX: usize = 63;
/// An array up to this length likewise.
pub(super) const SHORT_ARRAY_MAX: usize = 15;
/// Shapes of one record; a record with more is written as text.
pub(super) const SHAPES_MAX: usize = 32;

/// The largest integer that is its own first byte.
pub(super) const SMALL_MAX: u8 = 0x7F;
pub(super) const TEXT: u8 = 0x80;
pub(super) const OBJECT: u8 = 0xC0;
pub(super) const ARRAY: u8 = 0xE0;
pub(super) const NULL: u8 = 0xF0;
pub(super) const FALSE: u8 = 0xF1;
pub(super) const TRUE: u8 = 0xF2;
pub(super) const F64: u8 = 0xF3;
pub(super) const U16: u8 = 0xF4;
pub(super) const U64: u8 = 0xF5;
pub(super) const I64: u8 = 0xF6;
pub(super) const LONG_TEXT: u8 = 0xF7;
pub(super) const LONG_ARRAY: u8 = 0xF8;
pub(super) const MAP: u8 = 0xF9;

/// In a shape: the name itself follows.
pub(super) const OTHER_NAME: u8 = 0xFF;

/// Names that records have, so that one byte tells them. Journals hold the places: names are added at the
/// end and never moved or removed. A name that is missing here costs its length, and nothing else.
pub(super) const NAMES: &[&str] = &[
    // A decision.
    "v",
    "type",
    "id",
    "at",
    "request_id",
    "epoch",
    "model",
    "posterior",
    "catalog",
    "test",
    "measured",
    "effort",
    "request",
    "exposures",
    "placements",
    "degraded",
    "shadow",
    "decide_us",
    "probabilities",
    // Its request.
    "channel",
    "locale",
    "device",
    "phase",
    "job_type",
    "window_start",
    "window_end",
    "eta_seconds",
    "delay_seconds",
    "reschedules",
    "technician",
    "subject",
    "features",
    "segments",
    "products",
    "consent",
    "care",
    "triggers",
    "skills",
    "stock",
    "slack_minutes",
    // Its outcome.
    "offer",
    "sells",
    "confirmed",
    "no_offer_reason",
    "policy",
    "budget_spent",
    "joint_propensity",
    "candidates",
    "withheld",
    "excluded",
    "slate",
    "base",
    "probability",
    "spread",
    "score",
    "odds",
    "creative",
    "rank",
    "propensity",
    "explored",
    "gap",
    "behind",
    // An event.
    "received_at",
    "decision",
    "placement",
    "slot",
    "appointment",
    "value",
    "amount_minor",
    "currency",
    "dwell_ms",
    "element",
    "rating",
];

/// Whether these bytes are a record in the packed form; else they are text, or nothing.
pub(super) fn is_packed(record: &[u8]) -> bool {
    record.first() == Some(&FORM)
}

/// Whether a name stands in JSON as it is, and may be one of a shape.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= usize::from(u8::MAX) && super::json::is_plain(name.as_bytes())
}

/// A name's place in [`NAMES`].
pub(super) fn place(name: &str) -> Option<u8> {
    let at = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(at).ok().filter(|at| *at < OTHER_NAME)
}
