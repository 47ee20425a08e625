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

/// Declares the names, each with the constant it goes by here.
macro_rules! names {
    ($($variant:ident = $word:literal,)+) => {
        /// A name that records have, so that one byte tells it: its place.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Name { $(#[doc = concat!("`", $word, "`.")] $variant,)+ }

        /// The text of every [`Name`], in their order.
        pub(super) const NAMES: &[&str] = &[$($word,)+];
    };
}

// Journals hold the places: names are added at the end and never moved or removed. A name that is missing
// here costs its length, and nothing else.
names! {
    // A decision.
    V = "v",
    Type = "type",
    Id = "id",
    At = "at",
    RequestId = "request_id",
    Epoch = "epoch",
    Model = "model",
    Posterior = "posterior",
    Catalog = "catalog",
    Test = "test",
    Measured = "measured",
    Effort = "effort",
    Request = "request",
    Exposures = "exposures",
    Placements = "placements",
    Degraded = "degraded",
    Shadow = "shadow",
    DecideUs = "decide_us",
    Probabilities = "probabilities",
    // Its request.
    Channel = "channel",
    Locale = "locale",
    Device = "device",
    Phase = "phase",
    JobType = "job_type",
    WindowStart = "window_start",
    WindowEnd = "window_end",
    EtaSeconds = "eta_seconds",
    DelaySeconds = "delay_seconds",
    Reschedules = "reschedules",
    Technician = "technician",
    Subject = "subject",
    Features = "features",
    Segments = "segments",
    Products = "products",
    Consent = "consent",
    Care = "care",
    Triggers = "triggers",
    Skills = "skills",
    Stock = "stock",
    SlackMinutes = "slack_minutes",
    // Its outcome.
    Offer = "offer",
    Sells = "sells",
    Confirmed = "confirmed",
    NoOfferReason = "no_offer_reason",
    Policy = "policy",
    BudgetSpent = "budget_spent",
    JointPropensity = "joint_propensity",
    Candidates = "candidates",
    Withheld = "withheld",
    Excluded = "excluded",
    Slate = "slate",
    Base = "base",
    Probability = "probability",
    Spread = "spread",
    Score = "score",
    Odds = "odds",
    Creative = "creative",
    Rank = "rank",
    Propensity = "propensity",
    Explored = "explored",
    Gap = "gap",
    Behind = "behind",
    // An event.
    ReceivedAt = "received_at",
    Decision = "decision",
    Placement = "placement",
    Slot = "slot",
    Appointment = "appointment",
    Value = "value",
    AmountMinor = "amount_minor",
    Currency = "currency",
    DwellMs = "dwell_ms",
    Element = "element",
    Rating = "rating",
}

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
