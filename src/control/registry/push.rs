//! What operators do with versions: push, stage, roll back, look.

use std::sync::Arc;

use serde::Serialize;

use super::signature::verify;
use super::trial::{self, Objection};
use super::watch::Watch;
use super::{Signature, Stage, Stages, Trial};
use crate::control::bind;
use crate::control::plane::{Control, ControlError, Inner, Models, build_or_prior, load};
use crate::control::state::ModelRef;
use crate::control::store::{Folder, Pushed};
use crate::decide::snapshot::Snapshot;
use crate::domain::Millis;
use crate::model::{Manifest, Model};

/// What happened that nobody asked for is told by `/readyz`; more than this nobody reads.
const ALARMS_MAX: usize = 16;

/// The stage of a version that no longer reads.
const UNUSABLE: &str = "unusable";

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
    /// Who pushes it, for people.
    pub by: &'a str,
    /// What it should do; the configured stage where nothing is said.
    pub stage: Option<Stage>,
    /// Of a hundred customers, where it becomes the canary; the configured share where nothing is said.
    pub percent: Option<f64>,
    /// Stage it although the trial objects.
    pub confirmed: bool,
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
}

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
    /// What it did since it was staged or the process began, where it decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// What a version did. `test` decisions and unmeasured ones are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Health {
    /// Decisions it made.
    pub decisions: u64,
    /// Those in which it failed and the priors answered.
    pub failures: u64,
    /// Offers shown.
    pub choices: u64,
    /// Conversions that it predicted of those.
    pub predicted: f64,
    /// Conversions there were, less reversals.
    pub conversions: i64,
    /// What they were worth, in minor units.
    pub value_minor: i64,
    /// 99 of 100 decisions took less, in microseconds; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decide_p99_us: Option<u64>,
}

impl<D: Folder> Control<D> {
    /// Proves a model, stores it and stages it.
    ///
    /// In this order: signature, size, manifest, digest, structure, golden rows, fit with the catalog,
    /// and a trial on recent requests; then it is stored, and then staged.
    ///
    /// # Errors
    /// Why it was refused, or [`ControlError::Held`] where it is stored and waits for confirmation.
    /// What serves goes on serving.
    pub fn push(&self, push: &Push<'_>, now: Millis) -> Result<Staged, ControlError> {
        let path = named(push.name, push.version)?;
        verify(
            &self.settings.models,
            push.name,
            push.version,
            push.manifest,
            push.signature,
        )?;
        let stage = push.stage.unwrap_or_else(|| self.settings.models.stage());
        let (model, trial) = apart(|| {
            let model = Arc::new(crate::model::load(push.manifest, push.artifact)?);
            self.named_rightly(&model, &path)?;
            let trial = self.try_out(&model, now)?;
            Ok::<_, ControlError>((model, trial))
        })??;
        let objection = trial.objection(&self.settings.models);
        if let Some(useless @ Objection::Useless) = objection {
            return Err(ControlError::Useless(useless.to_string()));
        }
        let pushed = Pushed {
            by: push.by.to_owned(),
            at: now.0,
            signature: push.signature.cloned(),
        };
        self.store
            .keep_model(&path, push.manifest.as_bytes(), push.artifact, &pushed)?;
        if let Some(objection) = objection.filter(|_| stage != Stage::Stored && !push.confirmed) {
            return Err(self.hold(&path, &objection, now)?);
        }
        let epoch = self.enter(&path, &model, stage, push.percent, now)?;
        Ok(Staged {
            model: self.info_of(&path, &model),
            epoch,
            trial: Some(trial).filter(|t| t.requests > 0),
        })
    }

    /// Puts a stored version into a stage; whoever was in it is stored.
    ///
    /// # Errors
    /// When there is no such version, it cannot serve, it is held, or the change makes no sense.
    pub fn stage(
        &self,
        name: &str,
        version: &str,
        stage: Stage,
        percent: Option<f64>,
        confirmed: bool,
        now: Millis,
    ) -> Result<Staged, ControlError> {
        let path = named(name, version)?;
        if self.store.manifest(&path).is_err() {
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
            .filter(|_| !confirmed)
        {
            return Err(self.hold(&path, &objection, now)?);
        }
        let epoch = self.enter(&path, &model, stage, percent, now)?;
        Ok(Staged {
            model: self.info_of(&path, &model),
            epoch,
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
        })
    }

    /// Every version that is known here: by stage, the newest push first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<ModelInfo>, ControlError> {
        let mut list = Vec::new();
        if self.lock().state.stages.live.is_none() {
            list.push(self.info_of(&reference(&self.shipped), &self.shipped));
        }
        for version in self.store.models()? {
            // A version that no longer reads is still there to be seen, and says so.
            list.push(self.intact(&version).map_or_else(
                |problem| ModelInfo {
                    name: version.name.clone(),
                    version: version.version.clone(),
                    stage: UNUSABLE,
                    note: problem.clone(),
                    problem: Some(problem),
                    ..ModelInfo::default()
                },
                |manifest| self.info(&version, &manifest),
            ));
        }
        let rank = |info: &ModelInfo| info.stage.parse::<Stage>().ok();
        list.sort_by(|a, b| (rank(b), &b.pushed_at).cmp(&(rank(a), &a.pushed_at)));
        Ok(list)
    }

    /// The manifest of a stored version whose files are still those that were proven, or what is wrong.
    fn intact(&self, version: &ModelRef) -> Result<Manifest, String> {
        let (manifest, artifact) = self.store.model(version).map_err(|e| e.to_string())?;
        let manifest = Manifest::parse(&manifest).map_err(|e| e.to_string())?;
        match &manifest.sha256 {
            Some(digest) if *digest == crate::model::digest(&artifact) => Ok(manifest),
            _ => Err("the artifact is not the one that was pushed".into()),
        }
    }

    /// What happened to models that nobody asked for, since the start.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        self.lock().alarms.clone()
    }

    /// Frees what no request reads any more, trusts what has lived, and takes back what breaks a
    /// guardrail. To be called every second.
    pub fn tick(&self, now: Millis) {
        let mut inner = self.lock();
        inner.retired.retain(|old| Arc::strong_count(old) > 1);
        self.trust(&mut inner, now);
        let rails = &self.settings.models.guardrails;
        let Some((model, breach)) = inner.watches.breach(&self.settings.tallies, rails, now) else {
            return;
        };
        let why = breach.to_string();
        match self.take_back(&mut inner, &model, &why, now) {
            Ok(epoch) => tracing::error!(%model, why, epoch, "guardrail: model taken back"),
            // It is tried again in a second.
            Err(error) => tracing::error!(%model, why, %error, "guardrail: failed to take back"),
        }
        drop(inner);
        self.note_snapshot(now);
    }

    /// Remembers that the process ended as it should.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub fn stop(&self) -> Result<(), ControlError> {
        let mut inner = self.lock();
        inner.state.run.end();
        Ok(self.store.save(&inner.state)?)
    }

    fn trust(&self, inner: &mut Inner, now: Millis) {
        let lived = now.since(inner.since) >= i64::from(self.settings.models.crash_loop_s) * 1_000;
        if !lived || inner.state.run.trusted {
            return;
        }
        inner.state.run.trusted = true;
        if let Err(error) = self.store.save(&inner.state) {
            inner.state.run.trusted = false;
            tracing::warn!(%error, "failed to remember that the models are sound");
        }
    }

    fn take_back(
        &self,
        inner: &mut Inner,
        model: &ModelRef,
        why: &str,
        now: Millis,
    ) -> Result<u64, ControlError> {
        let mut stages = inner.state.stages.clone();
        if stages.live.as_ref() == Some(model) {
            let live = inner.models.live.manifest.name.clone();
            stages.roll_back(&live, &live)?;
        } else {
            stages.withdraw(model);
        }
        stages.note(model, why.into(), now.0);
        let epoch = self.serve(inner, stages, None, now)?;
        inner.watches.live.take_if(|w| w.model == *model);
        inner.alarms.push(format!("{model} was taken back: {why}"));
        let extra = inner.alarms.len().saturating_sub(ALARMS_MAX);
        inner.alarms.drain(..extra);
        Ok(epoch)
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
        let live = self.live.load_full();
        let alone = |model| Snapshot {
            epoch: live.epoch,
            salt: live.salt,
            catalog: Arc::clone(&live.catalog),
            model,
            canary: None,
            shadow: None,
            posterior: None,
        };
        let new = alone(Arc::new(bind::bind(model, &live.catalog)?));
        let champion = alone(Arc::clone(&live.model));
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
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        state.stages.note(model, why.clone(), now.0);
        self.store.save(&state)?;
        inner.state = state;
        let model = model.to_string();
        Ok(ControlError::Held { model, why })
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
    fn serve(
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
        for model in [newly_tried, newly_live].into_iter().flatten() {
            self.settings.tallies.list(&model.to_string());
        }
        if tried(stages) != tried(&old) {
            inner.watches.canary = None;
        }
        let epoch = state.epoch;
        self.swap(inner, snapshot, state)?;
        inner.models = models;
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

    fn info_of(&self, version: &ModelRef, model: &Model) -> ModelInfo {
        self.info(version, &model.manifest)
    }

    fn info(&self, version: &ModelRef, manifest: &Manifest) -> ModelInfo {
        let stages = self.lock().state.stages.clone();
        let shipped = stages.live.is_none() && *version == reference(&self.shipped);
        let stage = if shipped {
            Stage::Live
        } else {
            stages.of(version)
        };
        let pushed = self.store.pushed(version);
        let mut notes = stages.notes.iter();
        let decides = matches!(stage, Stage::Live | Stage::Canary);
        let label = version.to_string();
        let counts = decides
            .then(|| self.settings.tallies.read(&label))
            .flatten();
        ModelInfo {
            name: version.name.clone(),
            version: version.version.clone(),
            format: manifest.format.to_string(),
            sha256: manifest.sha256.clone().unwrap_or_default(),
            stage: stage.as_str(),
            percent: (stages.canary.as_ref())
                .filter(|_| stage == Stage::Canary)
                .map(|tried| tried.percent),
            note: manifest.note.clone().unwrap_or_default(),
            trained_at: manifest.trained_at.clone(),
            pushed_at: if pushed.at == 0 {
                String::new()
            } else {
                crate::decide::record::rfc3339(Millis(pushed.at))
            },
            pushed_by: pushed.by,
            problem: notes
                .find(|note| note.model == *version)
                .map(|note| note.why.clone()),
            health: counts.map(|counts| Health {
                decisions: counts.decisions,
                failures: counts.failures,
                choices: counts.choices,
                predicted: counts.predicted,
                conversions: counts.conversions,
                value_minor: counts.value,
                decide_p99_us: counts.p99().map(|p99| p99.as_micros() as u64),
            }),
        }
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

fn reference(model: &Model) -> ModelRef {
    ModelRef {
        name: model.manifest.name.clone(),
        version: model.manifest.version.clone(),
    }
}

/// Does heavy work on a thread of its own at the lowest priority, and waits for it.
///
/// Building a model takes milliseconds to seconds of processor time. On a thread that also answers
/// customers, or at their priority, that is what everybody behind it waits; the pointer swap is free.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ControlError> {
    let panicked = || ControlError::Useless("reading the model panicked".into());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("model-build".into());
        let spawned = thread.spawn_scoped(scope, || {
            // On Linux a nice value is the thread's own. Without it the work is done all the same.
            let _ = rustix::process::nice(19);
            work()
        });
        match spawned {
            Ok(handle) => handle.join().map_err(|_| panicked()),
            Err(error) => Err(ControlError::Useless(format!(
                "no thread to read the model on: {error}"
            ))),
        }
    })
}
