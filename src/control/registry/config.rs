//! How pushed models are taken in and watched; a section of the configuration file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Stage;
use super::gate::GateConfig;
use super::health::Guardrails;

/// The section `[models]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelsConfig {
    /// The stage of a push that names none: `live`, `canary`, `shadow` or `stored`.
    pub push_stage: String,
    /// Of a hundred customers, how many a canary gets that is staged without saying, 0 to 100.
    pub canary_percent: f64,
    /// The share of decisions that a shadow scores too, 0 to 1. Its time is spent on the request's
    /// thread, so a slow one should see fewer.
    pub shadow_share: f64,
    /// Ed25519 public keys (32 bytes, base64), at most 32. With any, a push must be signed by one.
    pub signing_keys: Vec<String>,
    /// Versions that are kept, 20 to 10000. At a push that would make more, the oldest pushes that are in no stage
    /// and cannot be rolled back to are deleted; decisions of theirs can no longer be replayed here.
    pub stored_max: u32,
    /// Recent requests that a new model is tried on before it is staged, at most 10000; 0 for none.
    pub trial_requests: usize,
    /// A model that makes decisions so many times slower than the live one is held until confirmed.
    pub trial_slower_max: f64,
    /// ... unless a decision still takes less than so many microseconds.
    pub trial_fast_us: f64,
    /// Seconds that a process must live for its models to be trusted at the next start. After two in
    /// a row that did not, and did not stop cleanly, the newest is left out. 0 for never.
    pub crash_loop_s: u32,
    /// When a model may become live.
    pub gate: GateConfig,
    /// When a new model is taken back without anybody asking.
    pub guardrails: Guardrails,
}

impl Default for ModelsConfig {
    fn default() -> ModelsConfig {
        ModelsConfig {
            push_stage: Stage::Live.as_str().into(),
            canary_percent: 10.0,
            shadow_share: 1.0,
            signing_keys: Vec::new(),
            stored_max: 200,
            trial_requests: 1_000,
            trial_slower_max: 5.0,
            trial_fast_us: 100.0,
            crash_loop_s: 60,
            gate: GateConfig::default(),
            guardrails: Guardrails::default(),
        }
    }
}

/// More keys than any team has people who may push.
const SIGNING_KEYS_MAX: usize = 32;
const TRIAL_REQUESTS_MAX: usize = 10_000;
/// Enough for every stage and for all that can be rolled back to, so that there always is one to delete.
const STORED_MIN: u32 = 20;
const STORED_MAX: u32 = 10_000;

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ModelsConfigError {
    field: &'static str,
    problem: String,
}

impl ModelsConfig {
    /// Looks at what the types cannot say.
    ///
    /// # Errors
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), ModelsConfigError> {
        let wrong = |field, problem: String| Err(ModelsConfigError { field, problem });
        if let Err(unknown) = self.push_stage.parse::<Stage>() {
            return wrong(
                "push_stage",
                format!("{unknown}, found {:?}", self.push_stage),
            );
        }
        let ranges = [
            ("canary_percent", self.canary_percent, 0.0, 100.0),
            ("shadow_share", self.shadow_share, 0.0, 1.0),
            ("trial_slower_max", self.trial_slower_max, 1.0, 1e6),
            ("trial_fast_us", self.trial_fast_us, 0.0, 1e9),
        ];
        for (field, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return wrong(field, format!("expected {low} to {high}, found {value}"));
            }
        }
        if self.trial_requests > TRIAL_REQUESTS_MAX {
            let problem = format!(
                "expected 0 to {TRIAL_REQUESTS_MAX}, found {}",
                self.trial_requests
            );
            return wrong("trial_requests", problem);
        }
        if !(STORED_MIN..=STORED_MAX).contains(&self.stored_max) {
            let found = self.stored_max;
            let problem = format!("expected {STORED_MIN} to {STORED_MAX}, found {found}");
            return wrong("stored_max", problem);
        }
        if self.signing_keys.len() > SIGNING_KEYS_MAX {
            let problem = format!(
                "at most {SIGNING_KEYS_MAX}, found {}",
                self.signing_keys.len()
            );
            return wrong("signing_keys", problem);
        }
        if self.keys().any(|key| key.is_none()) {
            let problem = "each must be the 32 bytes of an Ed25519 public key in base64";
            return wrong("signing_keys", problem.into());
        }
        if let Some(problem) = self.gate.check() {
            return wrong("gate", problem);
        }
        let rails = &self.guardrails;
        let problem = rails.check();
        problem.map_or(Ok(()), |problem| wrong("guardrails", problem))
    }

    /// The stage of a push that names none.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.push_stage.parse().unwrap_or(Stage::Live)
    }

    /// The public keys; `None` for one that is none.
    pub(super) fn keys(&self) -> impl Iterator<Item = Option<Vec<u8>>> {
        let decoded = self
            .signing_keys
            .iter()
            .map(|key| STANDARD.decode(key).ok());
        decoded.map(|key| key.filter(|bytes| bytes.len() == 32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut ModelsConfig), names: &str) {
        let mut config = ModelsConfig::default();
        change(&mut config);
        let error = config.check().expect_err(names).to_string();
        assert!(error.starts_with(names), "{error}");
    }

    #[test]
    fn settings_outside_their_range_are_named() {
        assert_eq!(ModelsConfig::default().check(), Ok(()));
        check(|c| c.push_stage = "hot".into(), "push_stage");
        check(|c| c.canary_percent = 101.0, "canary_percent");
        check(|c| c.shadow_share = f64::NAN, "shadow_share");
        check(|c| c.trial_requests = 10_001, "trial_requests");
        check(|c| c.stored_max = 19, "stored_max");
        check(|c| c.signing_keys = vec!["AAAA".into()], "signing_keys");
        check(|c| c.guardrails.failed_share_max = 2.0, "guardrails");
    }
}
