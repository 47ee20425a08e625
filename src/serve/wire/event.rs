//! Events: what customers did, one by one, each accepted or rejected on its own.
//!
//! A page sends what it gathered in one beacon and never looks at the answer, so one bad item must
//! not cost the others. A batch that parses whole is borrowed from the body; only a batch with a
//! mistyped item is taken apart value by value.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::check::{Budget, missing, range, string, word};
use super::parse::{Object, parse, thoroughly};
use super::quick::quick_objects;
use super::scalar::{Instant, Text, Whole};
use super::{Malformed, Money, Problem, Refusal, limits, schema};
use crate::domain::{
    self, Ack, Class, Currency, EventType, Millis, Phase, UnknownWord, vocabulary,
};
use crate::serve::token::TokenError;
use offerd_proto::v1;

/// A batch of events.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct EventRequest<'a> {
    /// The events. An item that is not as described is rejected by itself; the others stand.
    #[serde(borrow)]
    #[schema(schema_with = schema::events, required)]
    pub events: Option<Vec<Object<Event<'a>>>>,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, ToSchema)]
pub struct Event<'a> {
    /// The sender's own id, unique among its events; the same id is counted once. Required where no
    /// token makes the event unique.
    #[serde(borrow)]
    #[schema(schema_with = schema::id)]
    pub id: Option<Text<'a>>,
    /// What happened.
    #[serde(rename = "type")]
    #[schema(schema_with = schema::event_type, required)]
    pub kind: Option<Text<'a>>,
    /// The token of the offer it is about; required for events about offers, optional for an element, which may be one
    /// of an offer, and of no use elsewhere.
    #[schema(schema_with = schema::token)]
    pub token: Option<Text<'a>>,
    /// When it happened, at most 35 days ago and at most a minute ahead; now if absent.
    #[schema(schema_with = schema::instant)]
    pub at: Option<Instant>,
    /// What an order, conversion or reversal was worth; the catalog's value if absent.
    #[schema(value_type = Option<Money>)]
    pub value: Option<Object<Money<'a>>>,
    /// The visit it belongs to, for events that are not about an offer.
    #[schema(schema_with = schema::id)]
    pub appointment_id: Option<Text<'a>>,
    /// Where the visit stood; required for a phase view.
    #[schema(schema_with = schema::phase)]
    pub phase: Option<Text<'a>>,
    /// How long a phase was looked at.
    #[schema(schema_with = schema::span_ms)]
    pub dwell_ms: Option<Whole>,
    /// The element that was used; required for an element event.
    #[schema(schema_with = schema::word)]
    pub element: Option<Text<'a>>,
    /// The rating; required for feedback.
    #[schema(schema_with = schema::rating)]
    pub rating: Option<Whole>,
}

quick_objects! {
    EventRequest<'a> { events }
    Event<'a> {
        id, kind = "type", token, at, value, appointment_id, phase, dwell_ms, element, rating,
    }
}

/// A batch as read: each item an event, or why it is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventBatch<'a>(pub Vec<Result<Event<'a>, Malformed>>);

/// An event that keeps every rule but those of its token, which only its signer can check.
#[derive(Clone, Debug, PartialEq)]
pub struct Sent<'a> {
    /// What happened.
    pub kind: EventType,
    /// The sender's own id.
    pub id: Option<&'a str>,
    /// The token; always there for events about offers, and there for elements of one.
    pub token: Option<&'a str>,
    /// When it happened; not after the server's own now.
    pub at: Millis,
    /// What it was worth.
    pub value: Option<domain::Money>,
    /// The visit it belongs to.
    pub appointment_id: Option<&'a str>,
    /// Where the visit stood.
    pub phase: Option<Phase>,
    /// How long a phase was looked at.
    pub dwell_ms: Option<u64>,
    /// The element that was used.
    pub element: Option<&'a str>,
    /// 1 to 5.
    pub rating: Option<u8>,
}

vocabulary! {
    /// Why an event was not accepted.
    RejectionCode {
        /// A field is missing, mistyped or outside its range.
        Malformed = "malformed",
        /// The type is not one of ours.
        UnknownType = "unknown_type",
        /// The token is not one at all.
        TokenMalformed = "token_malformed",
        /// The token was not signed by this server.
        TokenForged = "token_forged",
        /// The token is too old.
        TokenExpired = "token_expired",
        /// The token was made for something else.
        TokenWrongKind = "token_wrong_kind",
        /// The journal cannot take it now; send it again later.
        Unavailable = "unavailable",
        /// The customer withholds measurement: nothing about them is recorded.
        NoConsent = "no_consent",
        /// The token is from the future: a clock is wrong.
        TokenNotYetValid = "token_not_yet_valid",
    }
}

impl Serialize for RejectionCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<TokenError> for RejectionCode {
    fn from(error: TokenError) -> RejectionCode {
        match error {
            TokenError::Malformed => RejectionCode::TokenMalformed,
            TokenError::Forged => RejectionCode::TokenForged,
            TokenError::Expired => RejectionCode::TokenExpired,
            TokenError::WrongKind => RejectionCode::TokenWrongKind,
            TokenError::NotYetValid => RejectionCode::TokenNotYetValid,
        }
    }
}

/// One event that was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventRejection {
    /// Its place in the batch, from 0.
    pub index: u32,
    /// Why.
    #[schema(schema_with = schema::rejection_code)]
    pub code: RejectionCode,
    /// The same for people, naming the field and the allowed range.
    pub detail: String,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct EventResponse {
    /// How many the journal holds now, duplicates not among them.
    pub accepted: u32,
    /// How many had been counted before.
    pub duplicates: u32,
    /// Those that were not accepted.
    pub rejected: Vec<EventRejection>,
}

impl From<EventResponse> for v1::RecordResponse {
    fn from(response: EventResponse) -> v1::RecordResponse {
        let rejected = response.rejected.into_iter();
        v1::RecordResponse {
            accepted: response.accepted,
            duplicates: response.duplicates,
            rejected: rejected
                .map(|r| v1::Rejection {
                    index: r.index,
                    code: r.code as i32 + 1,
                    detail: r.detail,
                })
                .collect(),
        }
    }
}

/// Reads the body of `POST /v1/events`.
///
/// # Errors
///
/// Where the body is not a batch at all; a bad item is in the batch as such.
pub fn read_events(body: &[u8]) -> Result<EventBatch<'_>, Problem> {
    match parse::<EventRequest<'_>>(body) {
        Ok(request) => {
            let events = request.events.unwrap_or_default().into_iter();
            Ok(EventBatch(events.map(|event| Ok(event.0)).collect()))
        }
        Err(problem) if problem.refusal == Refusal::Malformed => read_apart(body),
        Err(problem) => Err(problem),
    }
}

/// Reads a batch item by item.
fn read_apart(body: &[u8]) -> Result<EventBatch<'static>, Problem> {
    #[derive(Deserialize)]
    struct Apart {
        events: Option<Vec<serde_json::Value>>,
    }
    let items = thoroughly::<Apart>(body)?.events.unwrap_or_default();
    Ok(EventBatch(items.into_iter().map(read_one).collect()))
}

fn read_one(item: serde_json::Value) -> Result<Event<'static>, Malformed> {
    match serde_path_to_error::deserialize::<_, Object<Event<'static>>>(item) {
        Ok(event) => Ok(event.0),
        Err(error) => {
            let path = error.path().to_string();
            let field = if path == "." { "event" } else { &path };
            let detail: String = error.inner().to_string().chars().take(256).collect();
            Err(Malformed::new(field, detail))
        }
    }
}

impl<'a> Sent<'a> {
    /// What a tracking URL tells: no more than that it was followed.
    #[must_use]
    pub fn tracked(kind: EventType, id: &'a str, at: Millis) -> Sent<'a> {
        Sent {
            kind,
            id: Some(id),
            token: None,
            at,
            value: None,
            appointment_id: None,
            phase: None,
            dwell_ms: None,
            element: None,
            rating: None,
        }
    }
}

impl EventBatch<'_> {
    /// Who goes first: a batch is as important as the most important event in it.
    #[must_use]
    pub fn class(&self) -> Class {
        let class = |event: &Event<'_>| {
            let kind = event.kind.as_ref()?.as_str().parse::<EventType>().ok()?;
            Some(match kind {
                _ if kind.ack() == Ack::Durable => Class::Conversion,
                _ if kind.about_offer() => Class::Click,
                _ => Class::Report,
            })
        };
        let classes = self.0.iter().flatten().filter_map(class);
        // What is of no known type is answered with a list of mistakes, whenever there is time.
        classes.min().unwrap_or(Class::Report)
    }

    /// Checks every item against `now`.
    ///
    /// # Errors
    ///
    /// Where the batch is empty or too long; a bad item is in the list as such, by its index.
    pub fn validate(
        &self,
        now: Millis,
    ) -> Result<Vec<Result<Sent<'_>, EventRejection>>, Malformed> {
        let got = self.0.len();
        if !limits::EVENTS.contains(&got) {
            let (least, most) = (limits::EVENTS.start(), limits::EVENTS.end());
            return Err(Malformed::new(
                "events",
                format_args!("must be {least} to {most} entries, got {got}"),
            ));
        }
        let items = (0..).zip(&self.0).map(|(index, item)| {
            let checked = match item {
                Ok(event) => event.check(now),
                Err(malformed) => Err((RejectionCode::Malformed, malformed.to_string())),
            };
            checked.map_err(|(code, detail)| EventRejection {
                index,
                code,
                detail,
            })
        });
        Ok(items.collect())
    }
}

impl Event<'_> {
    fn check(&self, now: Millis) -> Result<Sent<'_>, (RejectionCode, String)> {
        let malformed = |e: Malformed| (RejectionCode::Malformed, e.to_string());
        let kind = self
            .kind
            .as_ref()
            .ok_or_else(|| malformed(missing("type")))?;
        let kind = kind.as_str().parse();
        let kind =
            kind.map_err(|e: UnknownWord| (RejectionCode::UnknownType, format!("type: {e}")))?;
        let sent = self.sent(kind, now).map_err(malformed)?;
        complete(&sent).map_err(malformed)?;
        Ok(sent)
    }

    /// The event with every field within its range.
    fn sent(&self, kind: EventType, now: Millis) -> Result<Sent<'_>, Malformed> {
        let mut budget = Budget::default();
        string("token", self.token.as_ref(), limits::TOKEN_CHARS)?;
        Ok(Sent {
            kind,
            id: budget.id("id", &self.id)?,
            token: self.token.as_ref().map(Text::as_str),
            at: moment(self.at, now)?,
            value: match &self.value {
                Some(told) => Some(money(told).map_err(|e| e.within("value"))?),
                None => None,
            },
            appointment_id: budget.id("appointment_id", &self.appointment_id)?,
            phase: word("phase", &self.phase)?,
            dwell_ms: range("dwell_ms", self.dwell_ms, limits::SPAN_MS)?.map(i64::unsigned_abs),
            element: budget.word("element", &self.element)?,
            rating: range("rating", self.rating, limits::RATING)?
                .map(|r| u8::try_from(r).expect("1 to 5")),
        })
    }
}

/// What each type cannot do without.
fn complete(sent: &Sent<'_>) -> Result<(), Malformed> {
    let required = |there: bool, field: &str| if there { Ok(()) } else { Err(missing(field)) };
    if sent.kind.about_offer() {
        return required(sent.token.is_some(), "token");
    }
    required(sent.id.is_some(), "id")?;
    match sent.kind {
        EventType::PhaseView => required(sent.phase.is_some(), "phase"),
        EventType::Element => required(sent.element.is_some(), "element"),
        EventType::Feedback => required(sent.rating.is_some(), "rating"),
        _ => Ok(()),
    }
}

/// When it happened. A sender's clock may run a little ahead; what it says then counts as now.
fn moment(told: Option<Instant>, now: Millis) -> Result<Millis, Malformed> {
    let Some(Instant(at)) = told else {
        return Ok(now);
    };
    let allowed = -limits::EVENT_AHEAD_MS_MAX..=limits::EVENT_AGE_MS_MAX;
    if !allowed.contains(&now.since(at)) {
        return Err(Malformed::new(
            "at",
            "must be at most 35 days ago and at most 60 seconds ahead",
        ));
    }
    Ok(at.min(now))
}

fn money(told: &Money<'_>) -> Result<domain::Money, Malformed> {
    let amount = range("amount_minor", told.amount_minor, limits::AMOUNT_MINOR)?;
    let code = told.currency.as_ref().ok_or_else(|| missing("currency"))?;
    Ok(domain::Money {
        amount_minor: amount.ok_or_else(|| missing("amount_minor"))?,
        currency: Currency::new(code.as_str())
            .ok_or_else(|| Malformed::new("currency", "must be three capitals such as USD"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_763_730_000_000);

    #[track_caller]
    fn check(event: &str, expected: Result<EventType, (&str, &str)>) {
        let body = format!(r#"{{"events": [{event}]}}"#);
        let batch = read_events(body.as_bytes()).expect("a batch");
        let checked = batch.validate(NOW).expect("one item").remove(0);
        match (checked, expected) {
            (Ok(sent), Ok(kind)) => assert_eq!(sent.kind, kind, "{event}"),
            (Err(rejection), Err((code, detail))) => {
                assert_eq!(rejection.code.as_str(), code, "{event}");
                assert!(
                    rejection.detail.starts_with(detail),
                    "{event}: {rejection:?}"
                );
            }
            (checked, _) => panic!("{event}: {checked:?}"),
        }
    }

    #[test]
    fn each_type_needs_its_own() {
        check(r#"{"type": "click", "token": "t"}"#, Ok(EventType::Click));
        check(
            r#"{"type": "click", "id": "e"}"#,
            Err(("malformed", "token: is required")),
        );
        check(
            r#"{"id": "e", "type": "phase_view", "phase": "en_route", "dwell_ms": 8100}"#,
            Ok(EventType::PhaseView),
        );
        check(
            r#"{"id": "e", "type": "phase_view"}"#,
            Err(("malformed", "phase: is required")),
        );
        check(
            r#"{"id": "e", "type": "element"}"#,
            Err(("malformed", "element: is required")),
        );
        check(
            r#"{"id": "e", "type": "element", "element": "live_map"}"#,
            Ok(EventType::Element),
        );
        check(
            r#"{"id": "e", "type": "element", "element": "video", "token": "t"}"#,
            Ok(EventType::Element),
        );
        check(
            r#"{"type": "element", "element": "video", "token": "t"}"#,
            Err(("malformed", "id: is required")),
        );
        check(
            r#"{"id": "e", "type": "feedback"}"#,
            Err(("malformed", "rating: is required")),
        );
        check(
            r#"{"type": "feedback", "rating": 5}"#,
            Err(("malformed", "id: is required")),
        );
        check(
            r#"{"type": "look"}"#,
            Err(("unknown_type", "type: expected one of impression,")),
        );
        check("{}", Err(("malformed", "type: is required")));
        check("7", Err(("malformed", "event: ")));
    }

    #[test]
    fn ranges_are_named() {
        let rated = |r: &str| format!(r#"{{"id": "e", "type": "feedback", "rating": {r}}}"#);
        for rating in ["1", "5", "3.0"] {
            check(&rated(rating), Ok(EventType::Feedback));
        }
        for rating in ["0", "6"] {
            check(&rated(rating), Err(("malformed", "rating: must be 1 to 5")));
        }
        check(&rated("\"5\""), Err(("malformed", "rating: invalid type")));
        let worth = |v: &str| format!(r#"{{"type": "order", "token": "t", "value": {v}}}"#);
        check(
            &worth(r#"{"amount_minor": 999, "currency": "USD"}"#),
            Ok(EventType::Order),
        );
        check(
            &worth(r#"{"amount_minor": 999, "currency": "usd"}"#),
            Err(("malformed", "value.currency: must be three capitals")),
        );
        check(
            &worth(r#"{"currency": "USD"}"#),
            Err(("malformed", "value.amount_minor: is required")),
        );
    }

    #[test]
    fn clocks_may_be_a_little_wrong() {
        let at = |ms: i64| moment(Some(Instant(NOW.plus(ms))), NOW).ok();
        assert_eq!(at(-1_000), Some(NOW.plus(-1_000)));
        assert_eq!(at(60_000), Some(NOW));
        assert_eq!(at(60_001), None);
        assert_eq!(
            at(-limits::EVENT_AGE_MS_MAX),
            Some(NOW.plus(-limits::EVENT_AGE_MS_MAX))
        );
        assert_eq!(at(-limits::EVENT_AGE_MS_MAX - 1), None);
    }

    #[test]
    fn one_bad_item_costs_only_itself() {
        let body = br#"{"events": [{"type": "click", "token": "t"}, {"type": 3}, {"type": "dismiss", "token": "u"}]}"#;
        let batch = read_events(body).unwrap();
        let checked = batch.validate(NOW).unwrap();
        assert!(checked[0].is_ok() && checked[2].is_ok());
        assert_eq!(checked[1].as_ref().unwrap_err().index, 1);
    }

    #[test]
    fn batches_are_1_to_100() {
        for (count, fine) in [(0, false), (1, true), (99, true), (100, true), (101, false)] {
            let items = vec![r#"{"type":"click","token":"t"}"#; count].join(",");
            let body = format!(r#"{{"events":[{items}]}}"#);
            let batch = read_events(body.as_bytes()).unwrap();
            assert_eq!(batch.validate(NOW).is_ok(), fine, "{count}");
        }
        assert!(read_events(b"[]").is_err());
        assert!(read_events(b"{\"events\": 3}").is_err());
    }
}
