//! Makes decisions again from their records, with the catalog and the model of their epoch.
//!
//! Every catalog and model that ever served is kept, and the salt never changes, so a record is all
//! it takes. A difference means that a file was changed, or that deciding is not as pure as promised.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::plane::{Shipped, load_model};
use super::state::State;
use super::store::Store;
use super::{ControlError, bind, catalog};
use crate::decide::budget::Spent;
use crate::decide::record::{DecisionRecord, ReplayError};
use crate::decide::snapshot::{LiveModel, Snapshot};
use crate::decide::{self, Scratch};
use crate::domain::record::{ReadError, read};

/// What became of a decision that was made again.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The decision's id.
    pub decision_id: String,
    /// Whether every exclusion, probability and propensity and the slate came out the same.
    pub same: bool,
    /// The placements as they come out now.
    pub placements: serde_json::Value,
}

/// Why a decision could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFailure {
    /// It is no record of this form.
    #[error("not a decision's record: {0}")]
    Form(#[from] ReadError),
    /// The record does not hold what is needed.
    #[error(transparent)]
    Record(#[from] ReplayError),
    /// Its catalog or model is not stored here, or no longer loads.
    #[error(transparent)]
    Snapshot(#[from] ControlError),
    /// Nothing ever served from this folder.
    #[error("nothing ever served from this folder")]
    Empty,
}

/// Makes decisions again.
pub struct Replayer {
    store: Store,
    salt: u64,
    shipped: Shipped,
    snapshots: HashMap<(String, String), Arc<Snapshot>>,
    scratch: Scratch,
}

impl Replayer {
    /// Reads from the folder that a server uses, or used.
    ///
    /// # Errors
    /// When nothing ever served from it.
    pub fn open(dir: PathBuf, shipped: Shipped) -> Result<Replayer, ReplayFailure> {
        let store = Store::open(dir).map_err(ControlError::from)?;
        let state: State = store
            .state()
            .map_err(ControlError::from)?
            .ok_or(ReplayFailure::Empty)?;
        let (snapshots, scratch) = (HashMap::new(), Scratch::default());
        Ok(Replayer {
            store,
            salt: state.salt,
            shipped,
            snapshots,
            scratch,
        })
    }

    /// Decides a record again.
    ///
    /// # Errors
    /// When the record, its catalog or its model cannot be used.
    pub fn replay(
        &mut self,
        record: &(impl AsRef<[u8]> + ?Sized),
    ) -> Result<Replayed, ReplayFailure> {
        let record: DecisionRecord<'_> = read(record)?;
        let snapshot = self.snapshot(&record)?;
        let request = record.request()?;
        let facts = record.facts()?;
        let beliefs = record.beliefs(&snapshot.catalog)?;
        let snapshot = Snapshot {
            posterior: beliefs.map(Arc::new),
            spent: record.spent()?,
            ..(*snapshot).clone()
        };
        let decision = decide::decide(&snapshot, &request, &facts, &mut self.scratch);
        let again = DecisionRecord::new(&snapshot, &request, &facts, decision, 0.0);
        Ok(Replayed {
            decision_id: record.id.clone(),
            same: record.same_outcome(&again),
            placements: serde_json::to_value(&again.placements).map_err(ReadError::from)?,
        })
    }

    fn snapshot(&mut self, record: &DecisionRecord<'_>) -> Result<Arc<Snapshot>, ReplayFailure> {
        let key = (record.catalog.to_string(), record.model.to_string());
        if let Some(snapshot) = self.snapshots.get(&key) {
            return Ok(Arc::clone(snapshot));
        }
        let text = self
            .store
            .catalog(&record.catalog)
            .map_err(ControlError::from)?;
        let catalog = catalog::read(&text).map_err(ControlError::from)?;
        let model = match load_model(&self.store, &record.model, self.shipped)? {
            Some(model) => bind::bind(&model, &catalog).map_err(ControlError::from)?,
            None => LiveModel::prior(&catalog),
        };
        let snapshot = Arc::new(Snapshot {
            epoch: record.epoch,
            salt: self.salt,
            catalog,
            model: Arc::new(model),
            canary: None,
            shadow: None,
            posterior: None,
            spent: Spent::NOTHING,
        });
        self.snapshots.insert(key, Arc::clone(&snapshot));
        Ok(snapshot)
    }
}
