//! What a catalog says once: the operator, consent, care, caps, exploration.

use super::explorer::{EXPLORER_DEFAULT, explorer};
use super::learning::LearningEntry;
use super::words::{FeatureEntry, features, groups, triggers};
use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::{CAP_COUNT_MAX, CAP_HOURS_MAX, CAPS_MAX, NAME_CHARS_MAX};
use crate::control::catalog::mistake::{Notes, Placed};
use crate::control::catalog::tree::Value;
use crate::decide::budget::Budgets;
use crate::decide::condition::Groups;
use crate::decide::explore::Policy;
use crate::decide::snapshot::{Cap, CarePolicy};
use crate::domain::{Consent, Currency};

/// Everything but placements and offers.
pub struct Settings {
    /// `[operator]`.
    pub operator: Operator,
    /// `[consent]`.
    pub consent: Consent,
    /// `[care]`.
    pub care: CarePolicy,
    /// `[caps]`.
    pub selling_caps: Vec<Cap>,
    /// `[explorer]`.
    pub explorer: Policy,
    /// What exploring may cost a day.
    pub exploring: Budgets,
    /// `[learning]`.
    pub learning: LearningEntry,
    /// `[features]`.
    pub features: Vec<FeatureEntry>,
    /// `[groups]`.
    pub groups: Groups,
    /// `[triggers]`.
    pub triggers: Vec<Placed<Box<str>>>,
}

/// `[operator]`: whose catalog it is.
pub struct Operator {
    /// What every amount is in.
    pub currency: Currency,
    /// Where hours and dates without a zone are told.
    pub time_zone: jiff::tz::TimeZone,
    /// The locale that every offer has words in.
    pub default_locale: Box<str>,
}

/// A cap's `per`: hours of a sliding window.
const PERIODS: [(&str, i64); 5] = [
    ("hour", 1),
    ("day", 24),
    ("week", 7 * 24),
    ("month", 30 * 24),
    ("year", 365 * 24),
];

const MS_PER_HOUR: i64 = 3_600_000;

impl Settings {
    pub(super) fn read(fields: &mut Fields<'_>, notes: &Notes) -> Settings {
        let operator = fields.need("operator", "a table with currency and time_zone");
        let operator = operator.and_then(Fields::open);
        let (explorer, exploring) = fields
            .take("explorer")
            .and_then(explorer)
            .unwrap_or((EXPLORER_DEFAULT, Budgets::default()));
        Settings {
            operator: Operator::read(operator),
            consent: consent(fields.table("consent")),
            care: care(fields.table("care")),
            selling_caps: selling_caps(fields.table("caps")),
            explorer,
            exploring,
            learning: LearningEntry::read(fields.table("learning")),
            features: features(fields.table("features"), notes),
            groups: groups(fields.table("groups"), notes),
            triggers: triggers(fields.table("triggers"), notes),
        }
    }
}

impl Operator {
    fn read(fields: Option<Fields<'_>>) -> Operator {
        let mut operator = Operator {
            currency: Currency::new("XXX").expect("three capitals"),
            time_zone: jiff::tz::TimeZone::UTC,
            default_locale: "en".into(),
        };
        let Some(mut fields) = fields else {
            return operator;
        };
        fields
            .take("name")
            .and_then(|item| item.text(NAME_CHARS_MAX));
        let currency = fields.need("currency", "an ISO 4217 code such as \"USD\"");
        let expected = "an ISO 4217 code of three capitals such as \"USD\"";
        if let Some(currency) = currency.and_then(|item| item.parsed(expected, Currency::new)) {
            operator.currency = currency;
        }
        let zone = fields.need("time_zone", "an IANA name such as \"America/Denver\"");
        let expected = "an IANA time zone such as \"America/Denver\"";
        if let Some(zone) = zone.and_then(|item| item.parsed(expected, time_zone)) {
            operator.time_zone = zone;
        }
        if let Some(item) = fields.take("default_locale")
            && let Some(tag) = locale(&item)
        {
            operator.default_locale = tag;
        }
        fields.close();
        operator
    }
}

/// The zone from the tables inside the program: a decision replays the same on any machine.
fn time_zone(name: &str) -> Option<jiff::tz::TimeZone> {
    jiff::tz::TimeZoneDatabase::bundled().get(name).ok()
}

/// A BCP 47 tag by its shape: `en`, `en-US`, `zh-Hant-TW`.
pub(super) fn locale(item: &Item<'_>) -> Option<Box<str>> {
    let tag = item.text(35)?;
    let mut parts = tag.split('-');
    let language = parts
        .next()
        .is_some_and(|p| (2..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphabetic()));
    let rest =
        parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
    if language && rest {
        return Some(tag.into());
    }
    item.note(format!(
        "expected a language tag such as \"en\" or \"en-US\", found {tag:?}"
    ));
    None
}

/// Nobody is presumed to have agreed.
fn consent(fields: Option<Fields<'_>>) -> Consent {
    let mut consent = Consent {
        personalization: false,
        marketing: false,
        measurement: false,
    };
    if let Some(mut fields) = fields {
        let mut read = |key, flag: &mut bool| {
            if let Some(value) = fields.take(key).and_then(|item| item.flag()) {
                *flag = value;
            }
        };
        read("personalization", &mut consent.personalization);
        read("marketing", &mut consent.marketing);
        read("measurement", &mut consent.measurement);
        fields.close();
    }
    consent
}

/// Service comes before selling unless the catalog says otherwise, sign by sign.
fn care(fields: Option<Fields<'_>>) -> CarePolicy {
    let mut care = CarePolicy {
        open_issue: true,
        payment_hardship: true,
        rating_max: Some(2),
        delay_seconds_min: Some(30 * 60),
        reschedules_min: Some(2),
    };
    let Some(mut fields) = fields else {
        return care;
    };
    if let Some(flag) = fields.take("open_issue").and_then(|item| item.flag()) {
        care.open_issue = flag;
    }
    if let Some(flag) = fields.take("payment_hardship").and_then(|item| item.flag()) {
        care.payment_hardship = flag;
    }
    if let Some(item) = fields.take("rating_max") {
        care.rating_max = unless_false(&item, 1..=4);
    }
    if let Some(item) = fields.take("delay_seconds_min") {
        care.delay_seconds_min = unless_false(&item, 1..=86_400);
    }
    if let Some(item) = fields.take("reschedules_min") {
        care.reschedules_min = unless_false(&item, 1..=100);
    }
    fields.close();
    care
}

/// A threshold, or `false` where the sign shall not count.
fn unless_false<T: TryFrom<i64>>(
    item: &Item<'_>,
    range: std::ops::RangeInclusive<i64>,
) -> Option<T> {
    match item.node.value {
        Value::Flag(false) => None,
        Value::Integer(_) => item.small(range),
        _ => {
            let (from, to) = (range.start(), range.end());
            let found = item.node;
            item.note(format!(
                "expected a whole number from {from} to {to}, or false; found {found}"
            ));
            None
        }
    }
}

fn selling_caps(fields: Option<Fields<'_>>) -> Vec<Cap> {
    let Some(mut fields) = fields else {
        return Vec::new();
    };
    let caps = caps(&mut fields, "selling");
    fields.close();
    caps
}

/// A list of `{ count, per }` or `{ count, window_hours }`.
pub(super) fn caps(fields: &mut Fields<'_>, key: &'static str) -> Vec<Cap> {
    let items = fields.list(key, CAPS_MAX);
    items.into_iter().filter_map(cap).collect()
}

fn cap(item: Item<'_>) -> Option<Cap> {
    let mut fields = Fields::open(item.clone())?;
    let count = fields
        .need("count", "how many showings are allowed")
        .and_then(|item| item.small(1..=CAP_COUNT_MAX));
    let per = fields.take("per");
    let hours = fields.take("window_hours");
    let window = match (per, hours) {
        (Some(per), None) => per.one_of(&PERIODS),
        (None, Some(hours)) => hours.integer(1..=CAP_HOURS_MAX),
        _ => {
            item.note("expected either `per` (hour, day, week, month, year) or `window_hours`");
            None
        }
    };
    fields.close();
    Some(Cap {
        count: count?,
        window_ms: window? * MS_PER_HOUR,
    })
}
