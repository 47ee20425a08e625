//! The control plane: prepares what the data path reads.
//!
//! A refusal says what is wrong and where, and never disturbs what serves. The data path is handed the
//! reading end of one pointer and never sees this room.

pub mod bind;
pub mod catalog;
mod plane;
pub mod registry;
pub mod replay;
mod state;
mod store;

pub use plane::{CatalogOutcome, Control, ControlError, Live, Settings, Shipped};
pub use state::ModelRef;
pub use store::StoreError;
