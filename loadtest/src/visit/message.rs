//! What is said and heard, whichever door it goes through.
//!
//! These are the contract's messages as far as a drive uses them, in the JSON door's own words;
//! `client::grpc` turns them into the generated ones.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer};

/// The phases of a visit, in order.
pub const PHASES: [&str; 7] = [
    "scheduled",
    "day_of",
    "en_route",
    "arriving",
    "on_site",
    "completed",
    "feedback",
];

/// Events in one request: what the server takes, and what the SDK sends.
pub const BATCH_EVENTS_MAX: usize = 100;

/// A feature's value.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// Finite.
    Number(f64),
    /// Anything else.
    Text(String),
}

/// A request for a decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ask<'a> {
    pub request_id: String,
    pub channel: &'a str,
    pub locale: &'a str,
    pub device: &'a str,
    pub appointment: Appointment<'a>,
    pub customer: Person<'a>,
    pub triggers: &'a [Trigger],
    pub placements: Vec<PlacementAsk<'a>>,
    /// The browser sends `Sec-GPC: 1`; a header, not part of the message.
    #[serde(skip)]
    pub gpc: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Appointment<'a> {
    pub id: &'a str,
    pub phase: &'a str,
    pub job_type: &'a str,
    pub eta_seconds: Option<u32>,
    pub delay_seconds: i32,
    pub reschedules: u32,
    pub technician: &'a Technician,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Technician {
    pub skills: Vec<String>,
    pub stock: Vec<String>,
    pub slack_minutes: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Person<'a> {
    pub id: &'a str,
    pub features: &'a BTreeMap<String, Value>,
    pub segments: &'a [String],
    pub products: &'a [String],
    /// What is absent takes the catalog's default.
    pub consent: Consent,
    pub care: Care,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Consent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personalization: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marketing: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measurement: Option<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Care {
    pub open_issue: bool,
    pub payment_hardship: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rating: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trigger {
    pub name: &'static str,
    pub count: u32,
    pub age_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlacementAsk<'a> {
    pub id: &'a str,
    pub count: u32,
    pub exclude_offers: &'a [String],
}

/// A decision.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Answer {
    pub decision_id: String,
    /// The question's own id.
    #[serde(default)]
    pub request_id: Option<String>,
    /// What scored, as `name@version`.
    #[serde(default)]
    pub model: String,
    pub placements: Vec<Placement>,
    #[serde(default)]
    pub degraded: Vec<String>,
}

impl Answer {
    /// Whether the server says that this decision is not on record.
    pub fn unlogged(&self) -> bool {
        self.degraded.iter().any(|word| word == "unlogged")
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Placement {
    pub id: String,
    pub offers: Vec<Offer>,
    pub no_offer_reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Offer {
    pub offer_id: String,
    pub class: String,
    pub rank: u32,
    pub price: Option<Money>,
    pub token: String,
    /// Absent where the caller may not see it.
    #[serde(default)]
    pub propensity: Option<f64>,
    pub content: Content,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Content {
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Action {
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Money {
    pub amount_minor: i64,
    pub currency: String,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Event {
    /// The same for every attempt to send it.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(serialize_with = "rfc3339")]
    pub at: Instant,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appointment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dwell_ms: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<u32>,
    /// The decision that its token is of; known here and not sent.
    #[serde(skip)]
    pub decision: Option<String>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Receipt {
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: Vec<Rejection>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Rejection {
    pub index: usize,
    pub code: String,
    pub detail: String,
}

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub u64);

impl Instant {
    /// The wall clock's.
    pub fn now() -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Instant(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl std::fmt::Display for Instant {
    /// RFC 3339. Days to a date as in Hinnant, "chrono-compatible low-level date algorithms".
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, ms) = (self.0 / 1000, self.0 % 1000);
        let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
        )
    }
}

fn rfc3339<S: Serializer>(at: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_rfc_3339() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_007, "2000-03-01T00:00:00.007Z"),
            (1_795_305_599_999, "2026-11-21T23:59:59.999Z"),
            (1_798_761_599_999, "2026-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Instant(ms).to_string(), text);
        }
    }

    #[test]
    fn an_event_is_what_the_contract_says() {
        let event = Event {
            id: "e-1".into(),
            kind: "conversion",
            token: Some("t".into()),
            value: Some(Money {
                amount_minor: 999,
                currency: "USD".into(),
            }),
            decision: Some("d".into()),
            ..Event::default()
        };
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"id":"e-1","type":"conversion","at":"1970-01-01T00:00:00.000Z","token":"t","value":{"amount_minor":999,"currency":"USD"}}"#
        );
    }
}
