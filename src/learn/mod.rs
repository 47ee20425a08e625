//! Learning: where training data comes from, and how models are made of it.

pub mod attribution;
pub mod bandit;
pub mod choose;
pub mod dataset;
mod dice;
mod forest;
pub mod heard;
mod isotonic;
pub mod learner;
pub mod log;
mod logistic;
pub mod metrics;
pub mod ope;
mod platt;
pub mod plot;
pub mod rates;
pub mod simulate;
pub mod simulation;
pub mod train;

pub use dice::Dice;
