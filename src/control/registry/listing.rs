//! What operators are told about versions.

use serde::Serialize;

use super::push::reference;
use super::summaries::Summary;
use super::{Drift, Stage};
use crate::control::plane::{Control, ControlError};
use crate::control::state::ModelRef;
use crate::control::store::Folder;
use crate::domain::{Millis, Oddity};
use crate::model::Model;
use crate::telemetry::tally::OddCount;

/// The stage of a version that no longer reads.
const UNUSABLE: &str = "unusable";

/// A version that is known here.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ModelInfo {
    /// Such as `propensity`.
    pub name: String,
    /// Such as `2026-11-20.1`.
    pub version: String,
    /// `smartcore`, `linear`.
    pub format: String,
    /// SHA-256 of the artifact.
    pub sha256: String,
    /// `live`, `canary`, `shadow`, `stored`, or `unusable` for a stored one that no longer reads.
    pub stage: &'static str,
    /// Of a hundred customers, where it is the canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// What the manifest says about it.
    pub note: String,
    /// When it was trained, as the manifest says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_at: Option<String>,
    /// Who pushed it, as they said; empty for the one that came with the program.
    pub pushed_by: String,
    /// When, RFC 3339; empty likewise.
    pub pushed_at: String,
    /// Why it is not in the stage that somebody wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it did since it was staged or the process began, where it decides or scores alongside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// What a version did. `test` decisions and unmeasured ones are not counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Decisions it made or, as shadow, scored alongside.
    pub decisions: u64,
    /// Those in which it failed and the priors answered.
    pub failures: u64,
    /// Offers shown.
    pub choices: u64,
    /// Conversions expected of those, as was believed after what has been learnt over it.
    pub predicted: f64,
    /// Conversions there were, less reversals.
    pub conversions: i64,
    /// What they were worth, in minor units.
    pub value_minor: i64,
    /// 99 of 100 decisions took less, in microseconds; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide_p99_us: Option<u64>,
    /// Inputs that it could not be told in some decisions, in the model's order.
    pub odd_inputs: Vec<OddInputs>,
    /// How far what it is asked is from what was asked before; absent before the first look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
}

/// In how many decisions a model could not be told an input, by why. The manifest's rule for missing
/// values took over each time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OddInputs {
    /// The manifest's name for it.
    pub feature: String,
    /// The request did not carry it, or the customer withheld it.
    pub missing: u64,
    /// It was words where the model takes a number, or the other way round.
    pub mistyped: u64,
    /// It was a category that is not in the manifest's list.
    pub unknown: u64,
}

impl From<&OddCount> for OddInputs {
    fn from(odd: &OddCount) -> OddInputs {
        OddInputs {
            feature: odd.feature.to_string(),
            missing: odd.of(Oddity::Missing),
            mistyped: odd.of(Oddity::Mistyped),
            unknown: odd.of(Oddity::Unknown),
        }
    }
}

impl<D: Folder> Control<D> {
    /// Every version that is known here: by stage, the newest push first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<ModelInfo>, ControlError> {
        let mut list = Vec::new();
        if self.lock().state.stages.live.is_none() {
            list.push(self.info_of(&reference(&self.shipped), &self.shipped));
        }
        for (version, summary) in self.summaries.refresh(&self.store)? {
            // A version that no longer reads is still there to be seen, and says so.
            list.push(summary.map_or_else(
                |problem| ModelInfo {
                    name: version.name.clone(),
                    version: version.version.clone(),
                    stage: UNUSABLE,
                    note: problem.clone(),
                    problem: Some(problem),
                    ..ModelInfo::default()
                },
                |summary| self.info(&version, &summary),
            ));
        }
        let rank = |info: &ModelInfo| info.stage.parse::<Stage>().ok();
        list.sort_by(|a, b| (rank(b), &b.pushed_at).cmp(&(rank(a), &a.pushed_at)));
        Ok(list)
    }

    pub(super) fn info_of(&self, version: &ModelRef, model: &Model) -> ModelInfo {
        let pushed = self.store.pushed(version);
        self.info(version, &Summary::new(&model.manifest, pushed))
    }

    fn info(&self, version: &ModelRef, summary: &Summary) -> ModelInfo {
        let stages = self.lock().state.stages.clone();
        let shipped = stages.live.is_none() && *version == reference(&self.shipped);
        let stage = if shipped {
            Stage::Live
        } else {
            stages.of(version)
        };
        let pushed = &summary.pushed;
        let mut notes = stages.notes.iter();
        let scores = stage != Stage::Stored;
        let label = version.to_string();
        let counts = scores.then(|| self.settings.tallies.read(&label)).flatten();
        ModelInfo {
            name: version.name.clone(),
            version: version.version.clone(),
            format: summary.format.clone(),
            sha256: summary.sha256.clone(),
            stage: stage.as_str(),
            percent: (stages.canary.as_ref())
                .filter(|_| stage == Stage::Canary)
                .map(|tried| tried.percent),
            note: summary.note.clone(),
            trained_at: summary.trained_at.clone(),
            pushed_at: if pushed.at == 0 {
                String::new()
            } else {
                crate::decide::record::rfc3339(Millis(pushed.at))
            },
            pushed_by: pushed.by.clone(),
            problem: notes
                .find(|note| note.model == *version)
                .map(|note| note.why.clone()),
            health: counts.map(|counts| Health {
                decisions: counts.decisions,
                failures: counts.failures,
                choices: counts.choices,
                predicted: counts.believed.expected,
                conversions: counts.conversions,
                value_minor: counts.value,
                decide_p99_us: counts.p99().map(|p99| p99.as_micros() as u64),
                odd_inputs: (self.settings.tallies.odd(&label).iter())
                    .map(OddInputs::from)
                    .collect(),
                drift: self.drifts.of(&label),
            }),
        }
    }
}
