//! Which version is in which stage: pure transitions on a value that the state file holds.

use serde::{Deserialize, Serialize};

use super::super::state::ModelRef;
use super::Stage;

/// Versions that were live before, kept for rolling back.
const BEFORE_MAX: usize = 16;
/// Notes on versions; the oldest are forgotten.
const NOTES_MAX: usize = 64;

/// Who is in which stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stages {
    /// The pushed version that is live; `None` for the one that came with the program.
    pub live: Option<ModelRef>,
    /// Those that were live before it, newest last; `None` likewise.
    pub before: Vec<Option<ModelRef>>,
    /// What is tried on some customers.
    pub canary: Option<Tried>,
    /// What scores alongside.
    pub shadow: Option<ModelRef>,
    /// Why versions are not in the stage that somebody wanted, newest last.
    pub notes: Vec<Note>,
}

/// The canary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Which version.
    pub model: ModelRef,
    /// Of a hundred customers.
    pub percent: f64,
}

/// What befell a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Which version.
    pub model: ModelRef,
    /// Why it is not in the stage that somebody wanted.
    pub why: String,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
}

/// A change of stage that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// The live version cannot be anything else while no other is live.
    #[error("{0} is live: make another version live, or roll back")]
    Live(ModelRef),
    /// A model of another name is live.
    #[error("the live model is not a version of {0}, and no canary is")]
    Name(String),
    /// Nothing was live before.
    #[error("nothing was live before {0}")]
    First(String),
    /// The percentage is none.
    #[error("percent: expected 0 to 100, found {0}")]
    Percent(String),
}

impl Stages {
    /// The stage of a pushed version.
    #[must_use]
    pub fn of(&self, model: &ModelRef) -> Stage {
        let tried = self.canary.as_ref().map(|c| &c.model);
        if self.live.as_ref() == Some(model) {
            Stage::Live
        } else if tried == Some(model) {
            Stage::Canary
        } else if self.shadow.as_ref() == Some(model) {
            Stage::Shadow
        } else {
            Stage::Stored
        }
    }

    /// Puts a version into a stage; whoever was there is stored.
    ///
    /// # Errors
    /// When the version is live and should be something else, or `percent` is outside 0 to 100.
    pub fn enter(
        &mut self,
        model: &ModelRef,
        stage: Stage,
        percent: f64,
    ) -> Result<(), StageError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(StageError::Percent(percent.to_string()));
        }
        let is_live = self.live.as_ref() == Some(model);
        if is_live && stage != Stage::Live {
            return Err(StageError::Live(model.clone()));
        }
        self.withdraw(model);
        match stage {
            Stage::Stored => {}
            Stage::Shadow => self.shadow = Some(model.clone()),
            Stage::Canary => {
                self.canary = Some(Tried {
                    model: model.clone(),
                    percent,
                });
            }
            Stage::Live if is_live => {}
            Stage::Live => {
                self.before.push(self.live.replace(model.clone()));
                let extra = self.before.len().saturating_sub(BEFORE_MAX);
                self.before.drain(..extra);
            }
        }
        self.notes.retain(|note| note.model != *model);
        Ok(())
    }

    /// Takes a version out of canary and shadow.
    pub fn withdraw(&mut self, model: &ModelRef) {
        self.canary.take_if(|tried| tried.model == *model);
        self.shadow.take_if(|shadow| shadow == model);
    }

    /// Back to what was live before a version of that name, or takes a canary of that name back.
    ///
    /// # Errors
    /// When no version of that name is live or canary, or nothing was live before.
    pub fn roll_back(&mut self, name: &str, live_name: &str) -> Result<(), StageError> {
        if name != live_name {
            let tried = self.canary.take_if(|tried| tried.model.name == name);
            return tried.map(drop).ok_or_else(|| StageError::Name(name.into()));
        }
        let before = self.before.pop();
        self.live = before.ok_or_else(|| StageError::First(name.into()))?;
        if let Some(live) = self.live.clone() {
            self.withdraw(&live);
        }
        Ok(())
    }

    /// Leaves the newest out after a crash loop: what is tried or watched, else what is live. Gives
    /// what was left out.
    pub fn leave_out(&mut self) -> Vec<ModelRef> {
        let tried = self.canary.take().map(|tried| tried.model);
        let newest: Vec<ModelRef> = tried.into_iter().chain(self.shadow.take()).collect();
        if !newest.is_empty() {
            return newest;
        }
        match (self.live.take(), self.before.pop()) {
            (Some(live), Some(before)) => {
                self.live = before;
                vec![live]
            }
            (live, _) => {
                self.live = live;
                Vec::new()
            }
        }
    }

    /// Remembers why a version is not where somebody wanted it.
    pub fn note(&mut self, model: &ModelRef, why: String, at: i64) {
        self.notes.retain(|note| note.model != *model);
        let model = model.clone();
        self.notes.push(Note { model, why, at });
        let extra = self.notes.len().saturating_sub(NOTES_MAX);
        self.notes.drain(..extra);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: &str) -> ModelRef {
        ModelRef {
            name: "m".into(),
            version: version.into(),
        }
    }

    /// Runs `v:stage` steps, `back` and `out`; the outcome is `live/canary/shadow`.
    #[track_caller]
    fn check(steps: &str, expected: &str) {
        let mut stages = Stages::default();
        for step in steps.split(' ') {
            match step.split_once(':') {
                Some((v, stage)) => {
                    let stage = stage.parse().unwrap();
                    stages.enter(&version(v), stage, 10.0).unwrap();
                }
                None if step == "back" => stages.roll_back("m", "m").unwrap(),
                None => drop(stages.leave_out()),
            }
        }
        let told = |model: Option<&ModelRef>| model.map_or("-", |m| &m.version).to_owned();
        let tried = stages.canary.as_ref().map(|c| &c.model);
        let found = [stages.live.as_ref(), tried, stages.shadow.as_ref()].map(told);
        assert_eq!(found.join("/"), expected, "{steps}");
    }

    #[test]
    fn versions_move_between_stages() {
        check("1:live", "1/-/-");
        check("1:shadow 1:canary 1:live", "1/-/-");
        check("1:live 2:canary 3:shadow", "1/2/3");
        check("1:live 2:canary 3:canary", "1/3/-");
        check("1:live 2:canary 2:shadow", "1/-/2");
        check("1:live 2:shadow 2:stored", "1/-/-");
    }

    #[test]
    fn rolling_back_goes_on_going_back() {
        check("1:live back", "-/-/-");
        check("1:live 2:live back", "1/-/-");
        check("1:live 2:live 3:live back back", "1/-/-");
        check("1:live 2:live 1:canary back", "1/-/-");
        check("1:live 1:live back", "-/-/-");
        let refused = Stages::default().roll_back("m", "m");
        assert_eq!(refused, Err(StageError::First("m".into())));
        let refused = Stages::default().roll_back("n", "m");
        assert_eq!(refused, Err(StageError::Name("n".into())));
    }

    #[test]
    fn a_crash_loop_costs_the_newest_first() {
        check("1:live 2:canary 3:shadow out", "1/-/-");
        check("1:live 2:live 3:shadow out out", "1/-/-");
        check("1:live 2:live out out", "-/-/-");
        check("1:live out out out", "-/-/-");
    }

    #[test]
    fn the_live_version_stays_until_another_is() {
        let mut stages = Stages::default();
        stages.enter(&version("1"), Stage::Live, 0.0).unwrap();
        for stage in [Stage::Stored, Stage::Shadow, Stage::Canary] {
            let refused = stages.enter(&version("1"), stage, 10.0);
            assert_eq!(refused, Err(StageError::Live(version("1"))));
        }
        let refused = stages.enter(&version("2"), Stage::Canary, f64::NAN);
        assert_eq!(refused, Err(StageError::Percent("NaN".into())));
        for n in 0..40 {
            stages
                .enter(&version(&n.to_string()), Stage::Live, 0.0)
                .unwrap();
            stages.note(&version(&n.to_string()), "why".into(), n);
        }
        assert_eq!(stages.before.len(), BEFORE_MAX);
        assert!(stages.notes.len() <= NOTES_MAX);
    }
}
