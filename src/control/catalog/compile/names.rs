//! The names that a catalog's conditions and texts may use: attributes, features, triggers, groups.

use std::collections::HashMap;

use crate::control::catalog::file::{FeatureEntry, FeatureKind};
use crate::control::catalog::mistake::{Notes, Placed, did_you_mean};
use crate::decide::condition::Groups;
use crate::decide::inputs::{Fixed, canonical};
use crate::domain::{Channel, Phase};

/// Triggers that every tracker page sends.
pub(super) const TRIGGERS: [&str; 11] = [
    "page_viewed",
    "calendar_added",
    "technician_viewed",
    "chat_opened",
    "call_tapped",
    "reschedule_tapped",
    "map_viewed",
    "eta_viewed",
    "summary_downloaded",
    "feedback_given",
    "social_shared",
];

/// What may be named.
pub(super) struct Names {
    /// Every page's triggers, then the catalog's own.
    pub triggers: Vec<Box<str>>,
    /// Lists for `$inGroup`.
    pub groups: Groups,
    features: HashMap<Box<str>, FeatureKind>,
    phase: FeatureKind,
    channel: FeatureKind,
}

impl Names {
    pub fn new(
        features: Vec<FeatureEntry>,
        triggers: Vec<Placed<Box<str>>>,
        groups: Groups,
        notes: &Notes,
    ) -> Names {
        let words =
            |words: &[&str]| FeatureKind::Category(words.iter().map(|&w| w.into()).collect());
        let mut names = Names {
            triggers: TRIGGERS.map(Box::from).to_vec(),
            groups,
            features: features.into_iter().map(|f| (f.name, f.kind)).collect(),
            phase: words(Phase::WORDS),
            channel: words(Channel::WORDS),
        };
        for Placed { value, place } in triggers {
            if names.triggers.contains(&value) {
                let message = "expected a name of your own; every page sends this trigger already";
                notes.add(&place, message);
            } else {
                names.triggers.push(value);
            }
        }
        names
    }

    /// Whether an attribute of that name exists; else what was expected.
    pub fn attribute(&self, name: &str) -> Result<(), String> {
        let name = canonical(name);
        if let Some(trigger) = name
            .strip_suffix(".count")
            .or_else(|| name.strip_suffix(".age_ms"))
        {
            return self.trigger(trigger);
        }
        if self.features.contains_key(name) || name.parse::<Fixed>().is_ok() {
            return Ok(());
        }
        let known = self.features.keys().map(AsRef::as_ref);
        let near = did_you_mean(name, known.chain(Fixed::WORDS.iter().copied()));
        Err(format!(
            "expected a feature declared in [features] or an attribute, found `{name}`{near}"
        ))
    }

    /// Whether pages may send a trigger of that name; else what was expected.
    pub fn trigger(&self, name: &str) -> Result<(), String> {
        if self.triggers.iter().any(|t| **t == *name) {
            return Ok(());
        }
        let near = did_you_mean(name, self.triggers.iter().map(AsRef::as_ref));
        Err(format!(
            "expected a trigger that pages send or [triggers] declares, found `{name}`{near}"
        ))
    }

    /// What an attribute's values are, where that is known.
    pub fn kind(&self, name: &str) -> Option<&FeatureKind> {
        match canonical(name) {
            "phase" => Some(&self.phase),
            "channel" => Some(&self.channel),
            feature => self.features.get(feature),
        }
    }
}
