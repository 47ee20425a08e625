//! The writing end of the snapshot pointer: what is put, checked, stored, and made live.
//!
//! Everything a decision may look at is built here as one new [`Snapshot`], checked, stored, and only
//! then made live by one pointer swap. When a check fails the old snapshot goes on serving.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use serde::Serialize;

use super::catalog::{CatalogDiff, Mistakes};
use super::state::{ModelRef, State};
use super::store::{Store, StoreError};
use super::{bind, catalog};
use crate::decide::snapshot::{Catalog, LiveModel, Snapshot};
use crate::domain::{Entry, EntryKind, Millis};
use crate::journal::Journal;
use crate::model::Model;

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

/// A model version that is known here.
#[derive(Clone, Debug, Serialize)]
pub struct ModelInfo {
    /// Such as `propensity`.
    pub name: String,
    /// Such as `2026-11-20.1`.
    pub version: String,
    /// `smartcore`, `linear`.
    pub format: String,
    /// SHA-256 of the artifact.
    pub sha256: String,
    /// `live` or `stored`.
    pub stage: &'static str,
    /// What the manifest says about it.
    pub note: String,
}

/// The writing end of the snapshot pointer.
pub struct Control {
    live: Live,
    store: Store,
    journal: Journal,
    inner: Mutex<Inner>,
}

/// What the next snapshot is built from.
struct Inner {
    catalog: Arc<Catalog>,
    model: Option<Arc<Model>>,
    state: State,
}

impl Control {
    /// Finds what should serve and makes it live.
    ///
    /// The catalog: `file`'s text where it is new since the last run, else the one last put over the
    /// API, else `file`, else the shipped one. The model: the one last live, else the shipped one. A
    /// stored model or catalog that no longer loads is reported and passed over.
    ///
    /// # Errors
    /// When nothing can serve, or the folder cannot be used.
    pub fn start(
        dir: PathBuf,
        file: Option<&str>,
        shipped: Shipped,
        journal: Journal,
        now: Millis,
    ) -> Result<Control, ControlError> {
        let store = Store::open(dir)?;
        let mut state = store.state()?.unwrap_or_else(State::fresh);
        let catalog = choose_catalog(&store, &mut state, file, shipped.catalog)?;
        let model = choose_model(&store, &mut state, shipped)?;
        state.epoch += 1;
        let snapshot = build_or_prior(&catalog, model.as_ref(), &state)?;
        store.keep_catalog(&catalog)?;
        store.save(&state)?;
        let live = Arc::new(ArcSwap::from_pointee(snapshot));
        let inner = Mutex::new(Inner {
            catalog,
            model,
            state,
        });
        let control = Control {
            live,
            store,
            journal,
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
        let mut inner = self.lock();
        let diff = catalog::diff(&inner.catalog, &new);
        let unchanged = new.digest == inner.catalog.digest;
        let mut state = inner.state.clone();
        if from_file {
            state.file_digest = Some(new.digest.clone());
        }
        if dry_run || unchanged {
            build_or_prior(&new, inner.model.as_ref(), &state)?;
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
        let snapshot = build_or_prior(&new, inner.model.as_ref(), &state)?;
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

    /// Checks a model and makes it live.
    ///
    /// # Errors
    /// Why it was refused. The old one serves on.
    pub fn put_model(
        &self,
        name: &str,
        version: &str,
        manifest: &str,
        artifact: &[u8],
        now: Millis,
    ) -> Result<(ModelInfo, u64), ControlError> {
        let model = Arc::new(crate::model::load(manifest, artifact)?);
        let said = ModelRef {
            name: model.manifest.name.clone(),
            version: model.manifest.version.clone(),
        };
        let path = ModelRef {
            name: name.into(),
            version: version.into(),
        };
        if said != path {
            return Err(ControlError::Name {
                manifest: said.to_string(),
                path: path.to_string(),
            });
        }
        let mut inner = self.lock();
        let mut state = inner.state.clone();
        state.model_before = state.model.replace(path.clone());
        state.epoch += 1;
        let snapshot = build(&inner.catalog, Some(&model), &state)?;
        self.store
            .keep_model(&path, manifest.as_bytes(), artifact)?;
        self.swap(&mut inner, snapshot, state)?;
        inner.model = Some(Arc::clone(&model));
        let epoch = inner.state.epoch;
        drop(inner);
        self.note_snapshot(now);
        Ok((info(&model, "live"), epoch))
    }

    /// Every version that is stored, and the one that serves.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn models(&self) -> Result<Vec<ModelInfo>, ControlError> {
        let live = self.lock().model.clone();
        let mut list: Vec<ModelInfo> = live.iter().map(|m| info(m, "live")).collect();
        for reference in self.store.models()? {
            let is_live = list.first().is_some_and(|l| {
                l.stage == "live" && l.name == reference.name && l.version == reference.version
            });
            if is_live {
                continue;
            }
            let (manifest, artifact) = self.store.model(&reference)?;
            // A version that no longer loads is still there to be seen, and says so.
            list.push(match crate::model::load(&manifest, &artifact) {
                Ok(model) => info(&model, "stored"),
                Err(error) => ModelInfo {
                    name: reference.name,
                    version: reference.version,
                    format: String::new(),
                    sha256: String::new(),
                    stage: "unusable",
                    note: error.to_string(),
                },
            });
        }
        Ok(list)
    }

    /// The state first, then the pointer: after a crash in between the new snapshot serves.
    fn swap(
        &self,
        inner: &mut Inner,
        snapshot: Snapshot,
        state: State,
    ) -> Result<(), ControlError> {
        self.store.save(&state)?;
        inner.state = state;
        self.live.store(Arc::new(snapshot));
        Ok(())
    }

    /// Writes into the journal what decides from here on.
    fn note_snapshot(&self, now: Millis) {
        let snapshot = self.live.load();
        let json = serde_json::json!({
            "v": 1,
            "type": EntryKind::Snapshot.as_str(),
            "epoch": snapshot.epoch,
            "catalog": snapshot.catalog.digest,
            "model": &*snapshot.model.label,
        });
        let entry = Entry {
            kind: EntryKind::Snapshot as u8,
            id: snapshot.epoch.to_string(),
            at: now.0,
            model: Some(snapshot.model.label.to_string()),
            json: json.to_string(),
            ..Entry::empty()
        };
        if !self.journal.record(entry) {
            tracing::warn!(epoch = snapshot.epoch, "snapshot not noted in the journal");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked left the last complete state: it is replaced as a whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn build(
    catalog: &Arc<Catalog>,
    model: Option<&Arc<Model>>,
    state: &State,
) -> Result<Snapshot, ControlError> {
    let model = match model {
        Some(model) => bind::bind(model, catalog)?,
        None => LiveModel::prior(catalog),
    };
    Ok(Snapshot {
        epoch: state.epoch,
        salt: state.salt,
        catalog: Arc::clone(catalog),
        model: Arc::new(model),
        canary: None,
        shadow: None,
    })
}

/// The shipped model was trained for the demo operator: where it does not fit another's catalog, the
/// offers' priors score until a model is pushed. A model that somebody pushed is not given up so
/// easily: then the catalog is refused.
fn build_or_prior(
    catalog: &Arc<Catalog>,
    model: Option<&Arc<Model>>,
    state: &State,
) -> Result<Snapshot, ControlError> {
    match build(catalog, model, state) {
        Err(ControlError::Bind(error)) if state.model.is_none() => {
            tracing::warn!(%error, "the shipped model does not fit this catalog; priors score");
            build(catalog, None, state)
        }
        built => built,
    }
}

fn info(model: &Model, stage: &'static str) -> ModelInfo {
    ModelInfo {
        name: model.manifest.name.clone(),
        version: model.manifest.version.clone(),
        format: model.manifest.format.to_string(),
        sha256: model.manifest.sha256.clone().unwrap_or_default(),
        stage,
        note: model.manifest.note.clone().unwrap_or_default(),
    }
}

fn choose_catalog(
    store: &Store,
    state: &mut State,
    file: Option<&str>,
    shipped: &str,
) -> Result<Arc<Catalog>, ControlError> {
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
            let chosen = match last {
                Some(last) if !changed => last,
                _ => new.clone(),
            };
            state.file_digest = Some(new.digest.clone());
            state.catalog = Some(chosen.digest.clone());
            Ok(chosen)
        }
        (Err(error), Some(last)) => {
            tracing::error!(%error, kept = last.digest, "catalog file refused");
            Ok(last)
        }
        (Err(error), None) => Err(error.into()),
    }
}

fn choose_model(
    store: &Store,
    state: &mut State,
    shipped: Shipped,
) -> Result<Option<Arc<Model>>, ControlError> {
    let candidates = [state.model.clone(), state.model_before.clone()];
    for reference in candidates.into_iter().flatten() {
        let loaded = store
            .model(&reference)
            .map_err(ControlError::from)
            .and_then(|(m, a)| Ok(crate::model::load(&m, &a)?));
        match loaded {
            Ok(model) => {
                state.model = Some(reference);
                return Ok(Some(Arc::new(model)));
            }
            Err(error) => tracing::error!(%error, model = %reference, "stored model passed over"),
        }
    }
    let model = crate::model::load(shipped.manifest, shipped.artifact.as_bytes())?;
    state.model = None;
    Ok(Some(Arc::new(model)))
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
