//! Trained numbers from files: one file per format, each giving the same few functions.
//!
//! A reader takes hostile bytes. It counts before it keeps, checks what it keeps, names the place of
//! the first mistake, and never panics.

mod bounded;
mod lightgbm;
mod linear;
mod lines;
mod names;
mod single;
mod sklearn;
mod smartcore;
mod xgboost;

pub use smartcore::{Split, Tree};

use super::{ArtifactError, Feature, Format, Function};

/// Reads an artifact whose inputs are `features`.
pub(super) fn read(
    format: Format,
    artifact: &[u8],
    features: &[Feature],
) -> Result<Function, ArtifactError> {
    match format {
        Format::Linear => linear::read(artifact, features).map(Function::Linear),
        Format::Smartcore => smartcore::read(artifact, features).map(Function::Forest),
        Format::Xgboost => xgboost::read(artifact, features),
        Format::Sklearn => sklearn::read(artifact, features),
        Format::Lightgbm => lightgbm::read(artifact, features).map(Function::Forest),
    }
}

/// A linear model as an artifact whose inputs are `features`.
#[must_use]
pub fn write_linear(model: &super::Linear, features: &[Feature]) -> Vec<u8> {
    linear::write(model, features)
}

/// Trees as an artifact of the `smartcore` format.
#[must_use]
pub fn write_forest(trees: &[super::Tree]) -> Vec<u8> {
    smartcore::write(trees)
}

/// What serde_json says about a text, with its line and column.
fn json_error(error: &serde_json::Error) -> ArtifactError {
    ArtifactError::new("json", error.to_string())
}
