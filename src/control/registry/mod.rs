//! Model versions: how they come in, which stage they are in, and how they leave it.
//!
//! A version is pushed, proven (digest, signature, structure, golden rows, a trial on recent requests)
//! and stored; then it has a stage. One version is `live`, at most one is tried as `canary` on a share
//! of the customers, and at most one scores alongside as `shadow`. Every change is written to the state
//! file before the pointer is swapped, so that a crash at any step leaves the old or the new.
//!
//! Nothing here runs on the threads that answer customers: models are read and freed on threads of their own
//! that make way for all others.

mod apart;
mod breaker;
pub mod config;
mod drift;
pub mod gate;
pub mod health;
mod listing;
mod push;
mod signature;
pub(super) mod stages;
mod summaries;
#[cfg(test)]
mod tests;
mod trial;
mod upkeep;
mod watch;

pub use breaker::Run;
pub use config::{ModelsConfig, ModelsConfigError};
pub(super) use drift::Drifts;
pub use drift::{Drift, FeatureDrift, Level};
pub use gate::{GateConfig, Insist};
pub use listing::{Health, ModelInfo, OddInputs};
pub use push::{Push, Staged};
pub use signature::{Signature, SignatureError, message};
pub use stages::{StageError, Stages};
pub(super) use summaries::Summaries;
pub use trial::Trial;
pub(super) use watch::Watches;

crate::domain::vocabulary! {
    /// What a version does.
    Stage {
        /// Nothing: it is kept.
        Stored = "stored",
        /// It scores alongside; its scores are put on record and never shown.
        Shadow = "shadow",
        /// It decides for a share of the customers.
        Canary = "canary",
        /// It decides for everybody else.
        Live = "live",
    }
}
