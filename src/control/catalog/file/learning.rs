//! `[learning]`: what is learnt from events, and what counts as success.

use std::ops::RangeInclusive;

use crate::control::catalog::fields::{Fields, Item};
use crate::control::catalog::limits::WINDOW_HOURS;
use crate::control::catalog::mistake::Placed;
use crate::decide::learning::{HOLD_MINUTES_MAX, Learning, Rewards, Seen};
use crate::domain::{EventType, OfferClass};

/// `[learning]`, as written.
pub struct LearningEntry {
    /// Everything but the features, which `compile` holds against `[features]`.
    pub learning: Learning,
    /// Attributes to learn on.
    pub features: Vec<Placed<Box<str>>>,
}

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Event types that have a window.
const WINDOWS: [(&str, EventType); 7] = [
    ("impression", EventType::Impression),
    ("click", EventType::Click),
    ("dismiss", EventType::Dismiss),
    ("order", EventType::Order),
    ("conversion", EventType::Conversion),
    ("reversal", EventType::Reversal),
    ("element", EventType::Element),
];

/// Event types that may be a success, or part of one.
const SUCCESSES: [(&str, EventType); 4] = [
    ("conversion", EventType::Conversion),
    ("order", EventType::Order),
    ("click", EventType::Click),
    ("element", EventType::Element),
];

/// The share of a success.
const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// The weight of the extra failure that a dismissal is.
const DISMISS: RangeInclusive<f64> = -1.0..=0.0;

impl LearningEntry {
    pub(super) fn read(fields: Option<Fields<'_>>) -> LearningEntry {
        let mut entry = LearningEntry {
            learning: Learning::default(),
            features: Vec::new(),
        };
        let Some(mut fields) = fields else {
            return entry;
        };
        let learning = &mut entry.learning;
        if let Some(flag) = fields.take("enabled").and_then(|item| item.flag()) {
            learning.enabled = flag;
        }
        if let Some(item) = fields.take("features") {
            entry.features = item.ids();
        }
        if let Some(item) = fields.take("segments") {
            let ids = item.ids().into_iter();
            learning.segments = ids.map(|id| id.value).collect();
        }
        if let Some(seen) = fields.take("seen").and_then(|item| item.word::<Seen>()) {
            learning.seen = seen;
        }
        if let Some(minutes) = fields.take("hold_minutes").and_then(|item| hold(&item)) {
            learning.hold_ms = minutes * MINUTE_MS;
        }
        if let Some(table) = fields.table("windows") {
            windows(table, learning);
        }
        if let Some(table) = fields.table("rewards") {
            rewards(table, learning);
        }
        fields.close();
        entry
    }
}

/// Says why there is a maximum: who asks for more wants the failures to be learnt when the window closes.
fn hold(item: &Item<'_>) -> Option<i64> {
    use crate::control::catalog::tree::Value;
    if let Value::Integer(found) = item.node.value
        && found > HOLD_MINUTES_MAX
    {
        item.note(format!(
            "expected at most {HOLD_MINUTES_MAX} minutes, found {found}: a failure is learnt minutes after \
             the offer was seen and taken back when it sells; learnt much later than sales, it would make \
             every offer look better than it is"
        ));
        return None;
    }
    item.integer(0..=HOLD_MINUTES_MAX)
}

fn windows(mut fields: Fields<'_>, learning: &mut Learning) {
    for (word, event) in WINDOWS {
        if let Some(hours) = fields.take(word).and_then(|i| i.integer(WINDOW_HOURS)) {
            learning.windows_ms[event as usize] = hours * HOUR_MS;
        }
    }
    // Both are ways of being seen.
    let impression = learning.window_ms(EventType::Impression);
    learning.windows_ms[EventType::Viewable as usize] = impression;
    fields.close();
}

fn rewards(mut fields: Fields<'_>, learning: &mut Learning) {
    let place = fields.place.clone();
    let mut all = Rewards::conversions();
    shares(&mut fields, &mut all);
    learning.rewards = [all; OfferClass::ALL.len()];
    for class in OfferClass::ALL {
        let Some(mut own) = fields.table(class.as_str()) else {
            continue;
        };
        shares(&mut own, &mut learning.rewards[*class as usize]);
        own.close();
    }
    for class in OfferClass::ALL {
        let rewards = learning.rewards_of(*class);
        if SUCCESSES.iter().all(|(_, event)| rewards.of(*event) <= 0.0) {
            fields.notes().add(
                &place,
                format!(
                    "expected something to be a success for the class {class}: \
                     with every share at 0 all its offers would only ever fail"
                ),
            );
        }
    }
    fields.close();
}

fn shares(fields: &mut Fields<'_>, rewards: &mut Rewards) {
    for (word, event) in SUCCESSES {
        if let Some(share) = fields.take(word).and_then(|item| item.number(SHARE)) {
            rewards.shares[event as usize] = share;
        }
    }
    if let Some(weight) = fields.take("dismiss").and_then(|i| i.number(DISMISS)) {
        rewards.shares[EventType::Dismiss as usize] = weight;
    }
    for (word, why) in [
        (
            "impression",
            "being seen is no success; `seen` says what proves it",
        ),
        (
            "viewable",
            "being seen is no success; `seen` says what proves it",
        ),
        (
            "reversal",
            "a reversal takes back the conversion, whatever that was worth",
        ),
    ] {
        if let Some(item) = fields.take(word) {
            item.note(format!("expected no share for {word}: {why}"));
        }
    }
}
