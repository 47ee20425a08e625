//! What the listing says of stored versions, read once.
//!
//! Saying whether a version would still serve takes its digest, and that takes reading all of it: with a
//! hundred versions of tens of megabytes a listing would be seconds of work. A version never changes, so what
//! was found is kept for as long as its files have the same sizes and times.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::control::state::ModelRef;
use crate::control::store::{Folder, Pushed, Stamp, Store, StoreError};
use crate::model::Manifest;

/// What is kept of one version.
#[derive(Clone, Debug)]
pub struct Summary {
    pub format: String,
    pub sha256: String,
    pub note: String,
    pub trained_at: Option<String>,
    pub pushed: Pushed,
}

impl Summary {
    pub fn new(manifest: &Manifest, pushed: Pushed) -> Summary {
        Summary {
            format: manifest.format.to_string(),
            sha256: manifest.sha256.clone().unwrap_or_default(),
            note: manifest.note.clone().unwrap_or_default(),
            trained_at: manifest.trained_at.clone(),
            pushed,
        }
    }
}

/// A version's summary, or what is wrong with its files.
type Found = Result<Summary, String>;

/// Every stored version's, as it was when it was listed last.
#[derive(Debug, Default)]
pub struct Summaries(Mutex<HashMap<ModelRef, (Stamp, Found)>>);

impl Summaries {
    /// Every stored version with its summary; reads those that are new or whose files changed.
    pub fn refresh<D: Folder>(
        &self,
        store: &Store<D>,
    ) -> Result<Vec<(ModelRef, Found)>, StoreError> {
        let versions = store.models()?;
        // Whoever panicked left a map of true summaries.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = HashMap::with_capacity(versions.len());
        let mut list = Vec::with_capacity(versions.len());
        for version in versions {
            let stamp = store.stamp(&version);
            let kept = known.remove(&version).filter(|(then, _)| *then == stamp);
            let (_, found) = kept.unwrap_or_else(|| (stamp, read(store, &version)));
            all.insert(version.clone(), (stamp, found.clone()));
            list.push((version, found));
        }
        *known = all;
        Ok(list)
    }
}

/// The summary of a stored version whose files are still those that were proven.
fn read<D: Folder>(store: &Store<D>, version: &ModelRef) -> Found {
    let (manifest, artifact) = store.model(version).map_err(|e| e.to_string())?;
    let manifest = Manifest::parse(&manifest).map_err(|e| e.to_string())?;
    match &manifest.sha256 {
        Some(digest) if *digest == crate::model::digest(&artifact) => {
            Ok(Summary::new(&manifest, store.pushed(version)))
        }
        _ => Err("the artifact is not the one that was pushed".into()),
    }
}
