//! What operators do with versions: push, stage, roll back, look.

use std::sync::Arc;

use serde::Serialize;

use super::apart::apart;
use super::gate::{Entry, Insist};
use super::listing::ModelInfo;
use super::signature::verify;
use super::trial::{self, Objection};
use super::watch::Watch;
use super::{Signature, Stage, Stages, Trial};
use crate::control::plane::{Control, ControlError, Inner, Models, build_or_prior, list, load};
use crate::control::state::ModelRef;
use crate::control::store::{Folder, Pushed};
use crate::domain::Millis;
use crate::model::Model;

/// A model on its way in.
#[derive(Clone, Copy, Debug)]
pub struct Push<'a> {
    /// Must be the manifest's.
    pub name: &'a str,
    /// Must be the manifest's.
    pub version: &'a str,
    /// JSON.
    pub manifest: &'a str,
    /// As the trainer's library wrote it.
    pub artifact: &'a [u8],
    /// Who vouches for it.
    pub signature: Option<&'a Signature>,
    /// What it should do; the configured stage where nothing is said.
    pub stage: Option<Stage>,
    /// Of a hundred customers, where it becomes the canary; the configured share where nothing is said.
    pub percent: Option<f64>,
    /// Who pushes it, and how much they insist.
    pub insist: Insist<'a>,
}

/// What became of a version.
#[derive(Clone, Debug, Serialize)]
pub struct Staged {
    /// The version, or the one that serves now where one was taken back.
    pub model: ModelInfo,
    /// The snapshot from which on it is so.
    pub epoch: u64,
    /// What the trial measured, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// What the gate said, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Entry>,
}

impl<D: Folder> Control<D> {
    /// Proves a model, stores it and stages it.
    ///
    /// In this order: signature, size, manifest, digest, structure, golden rows, fit with the catalog,
    /// and a trial on recent requests; then it is stored; then, where it is to decide for most customers, judged on
    /// the log of the one that does; and then staged.
    ///
    /// # Errors
    /// Why it was refused, or [`ControlError::Held`] where it is stored and waits for confirmation, or
    /// [`ControlError::Gate`] where it is stored and did not show enough.
    /// What serves goes on serving.
    pub fn push(&self, push: &Push<'_>, now: Millis) -> Result<Staged, ControlError> {
        let path = named(push.name, push.version)?;
        let stage = push.stage.unwrap_or_else(|| self.settings.models.stage());
        let (model, trial, objection) = apart(|| self.prove_and_keep(push, &path, now))??;
        if let Some(objection) =
            objection.filter(|_| stage != Stage::Stored && !push.insist.confirmed)
        {
            return Err(self.hold(&path, &objection, now)?);
        }
        let entering = (stage, push.percent);
        let gate = self.pass_gate(&path, &model, entering, push.insist, now)?;
        let epoch = self.enter(&path, &model, stage, push.percent, now)?;
        Ok(Staged {
            model: self.info_of(&path, &model),
            epoch,
            gate,
            trial: Some(trial).filter(|t| t.requests > 0),
        })
    }

    /// Everything before the change of stage, to be done [`apart`].
    fn prove_and_keep(
        &self,
        push: &Push<'_>,
        path: &ModelRef,
        now: Millis,
    ) -> Result<(Arc<Model>, Trial, Option<Objection>), ControlError> {
        verify(
            &self.settings.models,
            push.name,
            push.version,
            push.manifest,
            push.signature,
        )?;
        let model = Arc::new(crate::model::load(push.manifest, push.artifact)?);
        self.named_rightly(&model, path)?;
        let trial = self.try_out(&model, now)?;
        let objection = trial.objection(&self.settings.models);
        if let Some(useless @ Objection::Useless) = objection {
            return Err(ControlError::Useless(useless.to_string()));
        }
        let pushed = Pushed {
            by: push.insist.by.to_owned(),
            at: now.0,
            signature: push.signature.cloned(),
        };
        self.make_room(path)?;
        let manifest = push.manifest.as_bytes();
        (self.store).keep_model(path, manifest, push.artifact, &pushed)?;
        Ok((model, trial, objection))
    }

    /// Deletes the oldest pushes that are in no stage and cannot be rolled back to, until another version
    /// fits in: whoever trains every night must not find pushing closed one morning.
    fn make_room(&self, newcomer: &ModelRef) -> Result<(), ControlError> {
        // Held throughout: a version must not enter a stage while it is being deleted.
        let inner = self.lock();
        let stages = &inner.state.stages;
        let versions = self.store.models()?;
        let most = self.settings.models.stored_max as usize;
        if versions.contains(newcomer) || versions.len() < most {
            return Ok(());
        }
        let mut idle: Vec<(i64, &ModelRef)> = (versions.iter())
            .filter(|v| {
                stages.of(v) == Stage::Stored && !stages.before.contains(&Some((*v).clone()))
            })
            .map(|v| (self.store.pushed(v).at, v))
            .collect();
        idle.sort_by(|a, b| (a.0, &a.1.version).cmp(&(b.0, &b.1.version)));
        for (_, version) in idle.iter().take(versions.len() + 1 - most) {
            self.store.forget_model(version)?;
            tracing::info!(model = %version, most, "oldest stored model deleted to make room");
        }
        Ok(())
    }

    /// Puts a stored version into a stage; whoever was in it is stored.
    ///
    /// # Errors
    /// When there is no such version, it cannot serve, it is held, it did not show enough to decide for most
    /// customers, or the change makes no sense.
    pub fn stage(
        &self,
        name: &str,
        version: &str,
        stage: Stage,
        percent: Option<f64>,
        insist: Insist<'_>,
        now: Millis,
    ) -> Result<Staged, ControlError> {
        let path = named(name, version)?;
        if !self.store.has_model(&path) {
            return Err(ControlError::Unknown(path.to_string()));
        }
        let at_hand = self.lock().models.find(&path);
        let decides = matches!(stage, Stage::Canary | Stage::Live);
        let (model, trial) = match at_hand {
            // It decides already, or did just before: going there and back takes no time.
            Some(model) if !decides || self.has_decided(&path) => (model, Trial::default()),
            at_hand => apart(|| {
                let model = at_hand.map_or_else(|| load(&self.store, &path), Ok)?;
                let trial = match decides {
                    true => self.try_out(&model, now)?,
                    false => Trial::default(),
                };
                Ok::<_, ControlError>((model, trial))
            })??,
        };
        if let Some(objection) = trial
            .objection(&self.settings.models)
            .filter(|_| !insist.confirmed)
        {
            return Err(self.hold(&path, &objection, now)?);
        }
        let gate = self.pass_gate(&path, &model, (stage, percent), insist, now)?;
        let epoch = self.enter(&path, &model, stage, percent, now)?;
        Ok(Staged {
            model: self.info_of(&path, &model),
            epoch,
            gate,
            trial: Some(trial).filter(|t| t.requests > 0),
        })
    }

    /// Makes live what was live before the version of that name that is; where a canary has the name
    /// and the live model has not, takes the canary back.
    ///
    /// # Errors
    /// When neither has the name, or nothing was live before.
    pub fn roll_back(&self, name: &str, now: Millis) -> Result<Staged, ControlError> {
        let mut inner = self.lock();
        let epoch = self.go_back(&mut inner, name, now)?;
        let model = Arc::clone(&inner.models.live);
        let live = inner.state.stages.live.clone();
        drop(inner);
        self.note_snapshot(now);
        tracing::info!(epoch, model = model.manifest.label(), "rolled back");
        let live = live.unwrap_or_else(|| reference(&model));
        Ok(Staged {
            model: self.info_of(&live, &model),
            epoch,
            trial: None,
            gate: None,
        })
    }

    fn go_back(&self, inner: &mut Inner, name: &str, now: Millis) -> Result<u64, ControlError> {
        let mut stages = inner.state.stages.clone();
        let live_name = inner.models.live.manifest.name.clone();
        stages.roll_back(name, &live_name)?;
        loop {
            match self.serve(inner, stages.clone(), None, now) {
                Ok(epoch) => {
                    inner.watches.live = None;
                    return Ok(epoch);
                }
                // A disk that cannot be written stays so for older versions too.
                Err(error @ ControlError::Store(_)) if stages.live.is_none() => return Err(error),
                Err(error) => {
                    let Some(passed_over) = stages.live.clone() else {
                        return Err(error);
                    };
                    tracing::error!(%error, model = %passed_over, "stored model passed over");
                    stages.note(&passed_over, error.to_string(), now.0);
                    stages.live = stages.before.pop().flatten();
                }
            }
        }
    }

    /// Whether a version is live or canary, or was live just before.
    fn has_decided(&self, version: &ModelRef) -> bool {
        let inner = self.lock();
        let stages = &inner.state.stages;
        let before = stages.before.last().and_then(Option::as_ref);
        matches!(stages.of(version), Stage::Live | Stage::Canary) || before == Some(version)
    }

    /// The manifest's name is the path's, and not that of the model that came with the program.
    fn named_rightly(&self, model: &Model, path: &ModelRef) -> Result<(), ControlError> {
        let said = reference(model);
        if said != *path {
            return Err(ControlError::Name {
                manifest: said.to_string(),
                path: path.to_string(),
            });
        }
        let same = model.manifest == self.shipped.manifest;
        if said == reference(&self.shipped) && !same {
            return Err(ControlError::VersionTaken(path.to_string()));
        }
        Ok(())
    }

    /// Binds a model to the catalog and has it decide recent requests.
    fn try_out(&self, model: &Arc<Model>, now: Millis) -> Result<Trial, ControlError> {
        let [new, champion] = self.side_by_side(model)?;
        let count = self.settings.models.trial_requests;
        let records = trial::recent(&self.journal, now, count).unwrap_or_else(|error| {
            tracing::warn!(%error, "failed to read recent requests: the model is not tried on them");
            Vec::new()
        });
        Ok(trial::run(&champion, &new, &records))
    }

    fn hold(
        &self,
        model: &ModelRef,
        objection: &Objection,
        now: Millis,
    ) -> Result<ControlError, ControlError> {
        let why = objection.to_string();
        self.note(model, why.clone(), now)?;
        let model = model.to_string();
        Ok(ControlError::Held { model, why })
    }

    /// Remembers why a version is not in the stage that somebody wanted.
    pub(super) fn note(
        &self,
        model: &ModelRef,
        why: String,
        now: Millis,
    ) -> Result<(), ControlError> {
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        state.stages.note(model, why, now.0);
        self.store.save(&state)?;
        inner.state = state;
        Ok(())
    }

    fn enter(
        &self,
        path: &ModelRef,
        model: &Arc<Model>,
        stage: Stage,
        percent: Option<f64>,
        now: Millis,
    ) -> Result<u64, ControlError> {
        let mut inner = self.lock();
        let mut stages = inner.state.stages.clone();
        let before = stages.of(path);
        if stage == Stage::Stored && before == Stage::Stored {
            return Ok(inner.state.epoch);
        }
        if stage != Stage::Stored && !self.store.has_model(path) {
            return Err(ControlError::Unknown(path.to_string()));
        }
        let champion = self.live.load().model.label.to_string();
        stages.enter(
            path,
            stage,
            percent.unwrap_or(self.settings.models.canary_percent),
        )?;
        let epoch = self.serve(&mut inner, stages, Some(model), now)?;
        let watch = |inner: &mut Inner| match stage {
            Stage::Live => {
                inner.watches.live = Some(Watch::instead_of(&champion, path.clone(), now));
            }
            Stage::Canary => {
                let watch = Watch::beside(&champion, path.clone(), now, &self.settings.tallies);
                inner.watches.canary = Some(watch);
            }
            Stage::Shadow | Stage::Stored => {}
        };
        if before != stage {
            watch(&mut inner);
        }
        drop(inner);
        self.note_snapshot(now);
        tracing::info!(epoch, model = %path, %stage, "model staged");
        Ok(epoch)
    }

    /// Makes those stages the ones that serve.
    pub(super) fn serve(
        &self,
        inner: &mut Inner,
        stages: Stages,
        fresh: Option<&Arc<Model>>,
        now: Millis,
    ) -> Result<u64, ControlError> {
        let models = self.models_of(inner, &stages, fresh)?;
        let mut state = inner.state.clone();
        let old = std::mem::replace(&mut state.stages, stages);
        state.epoch += 1;
        state.run.renew();
        let snapshot = build_or_prior(&inner.catalog, &models, &state, &self.settings.models)?;
        let stages = &state.stages;
        let tried = |s: &Stages| s.canary.as_ref().map(|c| c.model.clone());
        let newly_tried = tried(stages).filter(|_| tried(stages) != tried(&old));
        // A canary that becomes live goes on counting.
        let newly_live = (stages.live.clone())
            .filter(|m| old.live.as_ref() != Some(m) && tried(&old).as_ref() != Some(m));
        let newly_watched = (stages.shadow.clone()).filter(|m| old.shadow.as_ref() != Some(m));
        let news = [newly_tried, newly_live, newly_watched];
        for label in news.into_iter().flatten().map(|model| model.to_string()) {
            if let Some(model) = snapshot.models().find(|model| *model.label == *label) {
                list(&self.settings.tallies, model);
            }
        }
        if tried(stages) != tried(&old) {
            inner.watches.canary = None;
        }
        let epoch = state.epoch;
        self.swap(inner, snapshot, state)?;
        let old = std::mem::replace(&mut inner.models, models);
        inner.retire_models(&old);
        inner.since = now;
        Ok(epoch)
    }

    /// The models of those stages: those at hand, the others from the store.
    fn models_of(
        &self,
        inner: &Inner,
        stages: &Stages,
        fresh: Option<&Arc<Model>>,
    ) -> Result<Models, ControlError> {
        let fresh = |wanted: &ModelRef| fresh.filter(|model| reference(model) == *wanted).cloned();
        let find = |wanted: &ModelRef| {
            let at_hand = fresh(wanted).or_else(|| inner.models.find(wanted));
            at_hand.map_or_else(|| apart(|| load(&self.store, wanted))?, Ok)
        };
        let live = match &stages.live {
            Some(live) => find(live)?,
            None => Arc::clone(&self.shipped),
        };
        let canary = stages.canary.as_ref().map(|tried| find(&tried.model));
        let changed = !Arc::ptr_eq(&live, &inner.models.live);
        let old = Some(&inner.models.live).filter(|_| changed);
        Ok(Models {
            live,
            before: old.or(inner.models.before.as_ref()).cloned(),
            canary: canary.transpose()?,
            shadow: stages.shadow.as_ref().map(find).transpose()?,
        })
    }
}

impl Models {
    /// The model of that version, if it is at hand.
    fn find(&self, wanted: &ModelRef) -> Option<Arc<Model>> {
        let all = [Some(&self.live), self.before.as_ref(), self.canary.as_ref()];
        let mut all = all.into_iter().chain([self.shadow.as_ref()]).flatten();
        all.find(|model| reference(model) == *wanted).cloned()
    }
}

/// A version's name and number, which become names of folders: nothing but what a manifest may have.
fn named(name: &str, version: &str) -> Result<ModelRef, ControlError> {
    let model = ModelRef {
        name: name.into(),
        version: version.into(),
    };
    if crate::model::is_identifier(name) && crate::model::is_identifier(version) {
        Ok(model)
    } else {
        Err(ControlError::Identifier(model.to_string()))
    }
}

pub(super) fn reference(model: &Model) -> ModelRef {
    ModelRef {
        name: model.manifest.name.clone(),
        version: model.manifest.version.clone(),
    }
}
