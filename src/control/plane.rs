//! The writing end of the snapshot pointer: what is put, checked, stored, and made live.
//!
//! Everything a decision may look at is built here as one new [`Snapshot`], checked, stored, and only
//! then made live by one pointer swap. When a check fails the old snapshot goes on serving.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::budget::ExploringBudget;
use super::catalog::{CatalogDiff, Mistakes};
use super::registry::{
    Drifts, Level, ModelsConfig, SignatureError, Stage, StageError, Stages, Summaries, Watches,
};
use super::state::{ModelRef, State};
use super::store::{Folder, Store, StoreError};
use super::{bind, budget, catalog};
use crate::decide::posterior::Posterior;
use crate::decide::snapshot::{Canary, Catalog, LiveModel, Shadow, Snapshot};
use crate::domain::{Entry, EntryKind, Millis};
use crate::journal::Journal;
use crate::journal::disk::RealDisk;
use crate::learn::learner::{self, Learnt};
use crate::learn::ope::gate::Verdict;
use crate::model::Model;
use crate::telemetry;
use crate::telemetry::tally::Tallies;

/// The pointer that every request loads once.
pub type Live = Arc<ArcSwap<Snapshot>>;

/// A catalog and a model that come with the program, for a start without any other.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// The demo operator.
    pub catalog: &'static str,
    /// The manifest of the model trained on it.
    pub manifest: &'static str,
    /// Its artifact.
    pub artifact: &'static str,
}

/// Why a catalog, a model or the stored state was not taken. What served before goes on serving.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The catalog has mistakes; every one is listed.
    #[error("catalog refused: {0}")]
    Catalog(#[from] Mistakes),
    /// The model does not load or does not reproduce its golden rows.
    #[error("model refused: {0}")]
    Model(#[from] crate::model::LoadError),
    /// The model and the catalog do not fit.
    #[error("model does not fit the catalog: {0}")]
    Bind(#[from] bind::BindError),
    /// The name or version in the path is not the manifest's.
    #[error("the manifest says {manifest}, the path {path}")]
    Name {
        /// From the manifest.
        manifest: String,
        /// From the path.
        path: String,
    },
    /// The version is stored already, with other bytes: versions never change.
    #[error("version {0} exists already with other content; push it under a new version")]
    VersionTaken(String),
    /// Nobody vouches for the model, and somebody must.
    #[error("signature: {0}")]
    Signature(#[from] SignatureError),
    /// It cannot be the name and version of any model.
    #[error("{0}: name and version must each match [a-z0-9][a-z0-9._-]{{0,63}}")]
    Identifier(String),
    /// There is no such version.
    #[error("no version {0} is stored here")]
    Unknown(String),
    /// The version is stored, and not in the stage that was asked for, until somebody confirms it.
    #[error("{model} is held: {why}; it is stored, and confirming it stages it all the same")]
    Held {
        /// Which version.
        model: String,
        /// What speaks against it.
        why: String,
    },
    /// The version is stored, and the log does not show that it would earn as much as the live one.
    #[error("{model} is not staged: {verdict}")]
    Gate {
        /// Which version.
        model: String,
        /// What the log says.
        verdict: Box<Verdict>,
    },
    /// Somebody forces without saying why.
    #[error("to force a version past the gate give a reason, at most {0} characters")]
    Reason(usize),
    /// The log could not be read, so nothing can be judged.
    #[error("failed to read the log to judge the model on: {0}")]
    Log(std::io::Error),
    /// The model never gives a probability, or reading it panicked.
    #[error("{0}")]
    Useless(String),
    /// A change of stage that makes no sense.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a catalog that was put.
#[derive(Debug, Serialize)]
pub struct CatalogOutcome {
    /// The snapshot that serves it; the one that served before where nothing was swapped.
    pub epoch: u64,
    /// SHA-256 of the text.
    pub digest: String,
    /// Whether it serves now: false for a dry run or an unchanged catalog.
    pub live: bool,
    /// What differs from the catalog that served before.
    pub diff: CatalogDiff,
}

/// What the control plane keeps to.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What the ledger remembers: no catalog is taken whose caps count more.
    pub memory: catalog::Memory,
    /// How models are taken in.
    pub models: ModelsConfig,
    /// Where the data path counts what models do.
    pub tallies: Arc<Tallies>,
}

/// The writing end of the snapshot pointer.
pub struct Control<D: Folder = RealDisk> {
    pub(super) live: Live,
    pub(super) store: Store<D>,
    pub(super) journal: Journal,
    pub(super) settings: Settings,
    pub(super) shipped: Arc<Model>,
    pub(super) summaries: Summaries,
    pub(super) drifts: Drifts,
    inner: Mutex<Inner>,
}

/// What the next snapshot is built from.
pub(super) struct Inner {
    pub catalog: Arc<Catalog>,
    pub models: Models,
    pub state: State,
    /// What was learnt last; nothing where nobody learns.
    pub learnt: Option<Learnt>,
    /// Versions that are new.
    pub watches: Watches,
    /// When the models began to serve, or the process to run.
    pub since: Millis,
    /// What happened that nobody asked for, newest last.
    pub alarms: Vec<String>,
    /// Snapshots that requests may still be reading, and models that were in them. They are freed from here,
    /// not by the request that happens to be last: freeing a large model takes milliseconds.
    pub retired: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Inner {
    /// Keeps models that are no longer at hand until they can be freed without anybody waiting.
    pub fn retire_models(&mut self, old: &Models) {
        let gone = (old.all()).filter(|model| !self.models.all().any(|m| Arc::ptr_eq(m, model)));
        self.retired
            .extend(gone.map(|model| Arc::clone(model) as _));
    }
}

impl Models {
    /// All of them, each once or more often.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Model>> {
        let beside = [&self.before, &self.canary, &self.shadow];
        let beside = beside.into_iter().filter_map(Option::as_ref);
        std::iter::once(&self.live).chain(beside)
    }
}

/// The models of every stage.
#[derive(Clone)]
pub(super) struct Models {
    pub live: Arc<Model>,
    /// What was live before, so that going back takes no reading.
    pub before: Option<Arc<Model>>,
    pub canary: Option<Arc<Model>>,
    pub shadow: Option<Arc<Model>>,
}

impl Control {
    /// Finds what should serve and makes it live.
    ///
    /// The catalog: `file`'s text where it is new since the last run, else the one last put over the
    /// API, else `file`, else the shipped one. The models: those last staged. What no longer loads, and
    /// a new file that the models do not fit, is reported and passed over; where that is the live
    /// model, what was live before it serves, and at last the shipped one.
    ///
    /// # Errors
    /// When nothing can serve, or the folder cannot be used.
    pub fn start(
        dir: PathBuf,
        file: Option<&str>,
        shipped: Shipped,
        journal: Journal,
        settings: Settings,
        now: Millis,
    ) -> Result<Control, ControlError> {
        let store = Store::open(dir)?;
        Control::on(store, file, shipped, journal, settings, now)
    }
}

impl<D: Folder> Control<D> {
    /// As [`Control::start`], with the store given.
    pub(super) fn on(
        store: Store<D>,
        file: Option<&str>,
        shipped: Shipped,
        journal: Journal,
        settings: Settings,
        now: Millis,
    ) -> Result<Control<D>, ControlError> {
        let mut state = store.state()?.unwrap_or_else(State::fresh);
        let before = state.clone();
        let (mut catalog, last) = choose_catalog(&store, &mut state, file, shipped.catalog)?;
        catalog::check_horizon(&catalog, settings.memory)?;
        let shipped = crate::model::load(shipped.manifest, shipped.artifact.as_bytes())?;
        let shipped = Arc::new(shipped);
        state.epoch += 1;
        after_crashes(&mut state, &settings.models, now);
        let mut models = boot(&store, None, &shipped, &mut state, now);
        let mut built = build_or_prior(&catalog, &models, &state, &settings.models);
        if let (Err(error @ ControlError::Bind(_)), Some(last)) = (&built, last)
            && last.digest != catalog.digest
        {
            tracing::error!(%error, kept = last.digest, "catalog file refused");
            catalog = last;
            (state.catalog, state.file_digest) = (before.catalog, before.file_digest);
            built = build_or_prior(&catalog, &models, &state, &settings.models);
        }
        if matches!(built, Err(ControlError::Bind(_))) {
            models = boot(&store, Some(&catalog), &shipped, &mut state, now);
            built = build_or_prior(&catalog, &models, &state, &settings.models);
        }
        let snapshot = built?;
        let new_notes = state.stages.notes.iter().filter(|note| note.at == now.0);
        let alarms = new_notes
            .map(|note| format!("{} does not serve: {}", note.model, note.why))
            .collect();
        store.keep_catalog(&catalog)?;
        store.save(&state)?;
        for model in [
            Some(&snapshot.model),
            snapshot.canary.as_ref().map(|c| &c.model),
            snapshot.shadow.as_ref().map(|s| &s.model),
        ] {
            model.into_iter().for_each(|m| list(&settings.tallies, m));
        }
        let live = Arc::new(ArcSwap::from_pointee(snapshot));
        let inner = Mutex::new(Inner {
            catalog,
            models,
            state,
            learnt: None,
            watches: Watches::default(),
            since: now,
            alarms,
            retired: Vec::new(),
        });
        let control = Control {
            live,
            store,
            journal,
            settings,
            shipped,
            summaries: Summaries::default(),
            drifts: Drifts::default(),
            inner,
        };
        control.note_snapshot(now);
        Ok(control)
    }

    /// The reading end.
    #[must_use]
    pub fn live(&self) -> Live {
        Arc::clone(&self.live)
    }

    /// The text and the digest of the catalog that serves.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.lock().catalog)
    }

    /// Checks a catalog (TOML or JSON) and, unless `dry_run`, makes it live.
    ///
    /// # Errors
    /// Every mistake in the text, or that the model does not fit it. The old one serves on.
    pub fn put_catalog(
        &self,
        text: &str,
        dry_run: bool,
        from_file: bool,
        now: Millis,
    ) -> Result<CatalogOutcome, ControlError> {
        let new = catalog::read(text)?;
        catalog::check_horizon(&new, self.settings.memory)?;
        let mut inner = self.lock();
        let diff = catalog::diff(&inner.catalog, &new);
        let unchanged = new.digest == inner.catalog.digest;
        let mut state = inner.state.clone();
        if from_file {
            state.file_digest = Some(new.digest.clone());
        }
        if dry_run || unchanged {
            build_or_prior(&new, &inner.models, &state, &self.settings.models)?;
            let epoch = inner.state.epoch;
            if !dry_run {
                self.store.save(&state)?;
                inner.state = state;
            }
            return Ok(CatalogOutcome {
                epoch,
                digest: new.digest.clone(),
                live: false,
                diff,
            });
        }
        state.catalog = Some(new.digest.clone());
        state.epoch += 1;
        let snapshot = build_or_prior(&new, &inner.models, &state, &self.settings.models)?;
        self.store.keep_catalog(&new)?;
        self.swap(&mut inner, snapshot, state)?;
        inner.catalog = Arc::clone(&new);
        let epoch = inner.state.epoch;
        drop(inner);
        self.note_snapshot(now);
        Ok(CatalogOutcome {
            epoch,
            digest: new.digest.clone(),
            live: true,
            diff,
        })
    }

    /// Has decisions believe what was learnt, without a new epoch: the posterior has a version of its own, and
    /// records tell what was believed. With it comes who has spent what exploring may cost, which is on record too.
    pub fn publish(&self, learnt: Learnt) {
        let mut inner = self.lock();
        let live = self.live.load_full();
        let spent = budget::spent(Some(&learnt), &live.catalog);
        let before = inner.learnt.replace(learnt);
        let (before, after) = (before.as_ref(), inner.learnt.as_ref());
        // Between lessons only costs are counted, and most of them change nothing.
        let same = before.map(|l| l.version) == after.map(|l| l.version);
        if same && spent == live.spent {
            return;
        }
        let posterior = if same {
            live.posterior.clone()
        } else {
            posterior(&inner, &live)
        };
        let snapshot = Snapshot {
            posterior,
            spent,
            ..(*live).clone()
        };
        drop(live);
        self.make_live(&mut inner, snapshot);
    }

    /// What every class that has a budget for exploring has spent of it today.
    #[must_use]
    pub fn exploring(&self, now: Millis) -> BTreeMap<&'static str, ExploringBudget> {
        let inner = self.lock();
        budget::report(inner.learnt.as_ref(), &inner.catalog, now)
    }

    /// The pointer swap. Whoever reads the snapshot before goes on with it.
    fn make_live(&self, inner: &mut Inner, snapshot: Snapshot) {
        inner.retired.push(self.live.swap(Arc::new(snapshot)));
        inner.retired.retain(|old| Arc::strong_count(old) > 1);
    }

    /// The state first, then the pointer: after a crash in between the new snapshot serves.
    pub(super) fn swap(
        &self,
        inner: &mut Inner,
        mut snapshot: Snapshot,
        state: State,
    ) -> Result<(), ControlError> {
        self.store.save(&state)?;
        inner.state = state;
        snapshot.posterior = posterior(inner, &snapshot);
        snapshot.spent = budget::spent(inner.learnt.as_ref(), &snapshot.catalog);
        self.make_live(inner, snapshot);
        Ok(())
    }

    /// Writes into the journal what decides from here on.
    pub(super) fn note_snapshot(&self, now: Millis) {
        let snapshot = self.live.load();
        let json = serde_json::json!({
            "v": 1,
            "type": EntryKind::Snapshot.as_str(),
            "epoch": snapshot.epoch,
            "catalog": snapshot.catalog.digest,
            "model": &*snapshot.model.label,
            "canary": snapshot.canary.as_ref().map(|c| {
                serde_json::json!({ "model": &*c.model.label, "percent": c.percent })
            }),
            "shadow": snapshot.shadow.as_ref().map(|s| &*s.model.label),
        });
        let entry = Entry {
            kind: EntryKind::Snapshot as u8,
            id: snapshot.epoch.to_string(),
            at: now.0,
            model: Some(snapshot.model.label.to_string()),
            record: json.to_string().into(),
            ..Entry::empty()
        };
        if !self.journal.record(entry) {
            tracing::warn!(epoch = snapshot.epoch, "snapshot not noted in the journal");
        }
    }

    /// What the models in the stages do, as Prometheus reads it.
    #[must_use]
    pub fn model_metrics(&self) -> String {
        let snapshot = self.live.load();
        let staged: Vec<(&str, &str)> = [
            (Stage::Live, Some(&snapshot.model)),
            (Stage::Canary, snapshot.canary.as_ref().map(|c| &c.model)),
            (Stage::Shadow, snapshot.shadow.as_ref().map(|s| &s.model)),
        ]
        .into_iter()
        .filter_map(|(stage, model)| Some((stage.as_str(), &*model?.label)))
        .collect();
        let drifts: Vec<telemetry::models::Drift> = (staged.iter())
            .filter_map(|(stage, label)| {
                let drift = self.drifts.of(label)?;
                let far = drift.features.iter().filter(|f| f.level >= Level::Watch);
                Some(telemetry::models::Drift {
                    stage,
                    model: (*label).to_owned(),
                    rows: drift.rows,
                    largest: drift.largest,
                    features: far.map(|f| (f.feature.clone(), f.psi)).collect(),
                })
            })
            .collect();
        telemetry::models::page(&self.settings.tallies, &staged)
            + &telemetry::models::drifts(&drifts)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked left the last complete state: it is replaced as a whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins to count what a version does.
pub(super) fn list(tallies: &Tallies, model: &LiveModel) {
    tallies.list(&model.label, model.inputs.iter().map(|input| &*input.name));
}

/// What was learnt, for a snapshot's catalog and models.
pub(super) fn posterior(inner: &Inner, snapshot: &Snapshot) -> Option<Arc<Posterior>> {
    let learnt = inner.learnt.as_ref()?;
    if !snapshot.catalog.learning.enabled {
        return None;
    }
    let tried = snapshot.canary.iter().map(|c| &c.model);
    let tried = tried.chain(snapshot.shadow.iter().map(|s| &s.model));
    let all = std::iter::once(&snapshot.model).chain(tried);
    let labels: Vec<&str> = all.map(|model| &*model.label).collect();
    Some(Arc::new(learner::bind(learnt, &snapshot.catalog, &labels)))
}

/// A snapshot with that live model, and the canary and the shadow beside it.
fn trials(
    catalog: &Arc<Catalog>,
    models: &Models,
    state: &State,
    config: &ModelsConfig,
    model: Arc<LiveModel>,
) -> Result<Snapshot, ControlError> {
    let bound = |model: &Arc<Model>| Ok::<_, ControlError>(Arc::new(bind::bind(model, catalog)?));
    let canary = match (&models.canary, &state.stages.canary) {
        (Some(model), Some(tried)) => Some(Canary {
            percent: tried.percent,
            model: bound(model)?,
        }),
        _ => None,
    };
    let shadow = match &models.shadow {
        Some(model) => Some(Shadow {
            share: config.shadow_share,
            model: bound(model)?,
        }),
        None => None,
    };
    Ok(Snapshot {
        epoch: state.epoch,
        salt: state.salt,
        catalog: Arc::clone(catalog),
        model,
        canary,
        shadow,
        posterior: None,
        spent: budget::spent(None, catalog),
    })
}

/// The shipped model was trained for the demo operator: where it does not fit another's catalog, the
/// offers' priors score until a model is pushed. A model that somebody pushed is not given up so
/// easily: then the catalog is refused.
pub(super) fn build_or_prior(
    catalog: &Arc<Catalog>,
    models: &Models,
    state: &State,
    config: &ModelsConfig,
) -> Result<Snapshot, ControlError> {
    let prior = |error| {
        tracing::warn!(%error, "the shipped model does not fit this catalog; priors score");
        Arc::new(LiveModel::prior(catalog))
    };
    match bind::bind(&models.live, catalog) {
        Err(error) if state.stages.live.is_none() => {
            trials(catalog, models, state, config, prior(error))
        }
        Err(error) => Err(error.into()),
        Ok(model) => trials(catalog, models, state, config, Arc::new(model)),
    }
}

/// Leaves the newest models out after a crash loop.
fn after_crashes(state: &mut State, config: &ModelsConfig, now: Millis) {
    if !state.run.begin() || config.crash_loop_s == 0 {
        return;
    }
    let why = format!(
        "the process ended within {} s of its start twice in a row",
        config.crash_loop_s
    );
    for model in state.stages.leave_out() {
        tracing::error!(%model, why, "crash loop: model left out");
        state.stages.note(&model, why.clone(), now.0);
    }
}

/// The models of the state's stages, going back where one does not load or does not fit the catalog.
fn boot<D: Folder>(
    store: &Store<D>,
    catalog: Option<&Catalog>,
    shipped: &Arc<Model>,
    state: &mut State,
    now: Millis,
) -> Models {
    let fits = |model: &ModelRef| {
        let model = load(store, model)?;
        if let Some(catalog) = catalog {
            bind::bind(&model, catalog)?;
        }
        Ok::<_, ControlError>(model)
    };
    let passed_over = |stages: &mut Stages, model: &ModelRef, error: ControlError| {
        tracing::error!(%error, %model, "stored model passed over");
        stages.note(model, error.to_string(), now.0);
    };
    let stages = &mut state.stages;
    let live = loop {
        let Some(reference) = stages.live.clone() else {
            break Arc::clone(shipped);
        };
        match fits(&reference) {
            Ok(model) => break model,
            Err(error) => {
                passed_over(stages, &reference, error);
                stages.live = stages.before.pop().flatten();
            }
        }
    };
    let beside = |stages: &mut Stages, model: Option<ModelRef>| {
        let model = model?;
        fits(&model)
            .inspect_err(|_| stages.withdraw(&model))
            .map_err(|error| passed_over(stages, &model, error))
            .ok()
    };
    let canary = stages.canary.as_ref().map(|tried| tried.model.clone());
    let canary = beside(stages, canary);
    let shadow = stages.shadow.clone();
    let shadow = beside(stages, shadow);
    Models {
        live,
        before: None,
        canary,
        shadow,
    }
}

/// A stored version, read and proven again.
pub(super) fn load<D: Folder>(
    store: &Store<D>,
    model: &ModelRef,
) -> Result<Arc<Model>, ControlError> {
    let (manifest, artifact) = store.model(model)?;
    Ok(Arc::new(crate::model::load(&manifest, &artifact)?))
}

/// The catalog to serve, and the one that served last, if it still reads.
fn choose_catalog<D: Folder>(
    store: &Store<D>,
    state: &mut State,
    file: Option<&str>,
    shipped: &str,
) -> Result<(Arc<Catalog>, Option<Arc<Catalog>>), ControlError> {
    let text = file.unwrap_or(shipped);
    let stored = state.catalog.as_deref().map(|digest| store.catalog(digest));
    let last = match stored {
        Some(Ok(text)) => catalog::read(&text)
            .inspect_err(|error| tracing::error!(%error, "stored catalog no longer reads"))
            .ok(),
        Some(Err(error)) => {
            tracing::error!(%error, "stored catalog is gone");
            None
        }
        None => None,
    };
    match (catalog::read(text), last) {
        (Ok(new), last) => {
            let changed = state.file_digest.as_deref() != Some(&new.digest);
            let chosen = match &last {
                Some(last) if !changed => Arc::clone(last),
                _ => Arc::clone(&new),
            };
            state.file_digest = Some(new.digest.clone());
            state.catalog = Some(chosen.digest.clone());
            Ok((chosen, last))
        }
        (Err(error), Some(last)) => {
            tracing::error!(%error, kept = last.digest, "catalog file refused");
            Ok((Arc::clone(&last), Some(last)))
        }
        (Err(error), None) => Err(error.into()),
    }
}

/// The model of that label, stored or shipped; `None` for the prior.
pub(super) fn load_model(
    store: &Store,
    label: &str,
    shipped: Shipped,
) -> Result<Option<Model>, ControlError> {
    let Some((name, version)) = label.split_once('@').filter(|(name, _)| *name != "prior") else {
        return Ok(None);
    };
    let reference = ModelRef {
        name: name.into(),
        version: version.into(),
    };
    let own = crate::model::load(shipped.manifest, shipped.artifact.as_bytes())?;
    if own.manifest.name == name && own.manifest.version == version {
        return Ok(Some(own));
    }
    let (manifest, artifact) = store.model(&reference)?;
    Ok(Some(crate::model::load(&manifest, &artifact)?))
}
