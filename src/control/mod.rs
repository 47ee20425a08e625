//! The control plane: prepares what the data path reads.
//!
//! A refusal says what is wrong and where, and never disturbs what serves. The data path is handed the
//! reading end of one pointer and never sees this room.

pub mod bind;
pub mod budget;
pub mod catalog;
mod plane;
pub mod registry;
pub mod replay;
mod state;
mod store;

pub use plane::{CatalogOutcome, Control, ControlError, Live, Settings, Shipped};
pub use state::ModelRef;
pub use store::StoreError;

use std::path::PathBuf;
use std::sync::Arc;

use crate::decide::snapshot::Catalog;

/// Finds the catalogs that ever served from a control plane's folder, by digest.
pub fn stored_catalogs(dir: PathBuf) -> impl FnMut(&str) -> Option<Arc<Catalog>> + Send {
    move |digest| {
        // Digests come from records, which may come from elsewhere.
        let plain = digest.bytes().all(|b| b.is_ascii_alphanumeric());
        let path = dir.join("catalogs").join(digest);
        let text = std::fs::read_to_string(path).ok().filter(|_| plain)?;
        catalog::read(&text).ok()
    }
}
