//! From two pushed files to a model that may serve, or the reason why not.
//!
//! The order is cheap before dear and outside before inside: size, digest, manifest, text, structure,
//! and last the golden rows, which prove that this program computes what the trainer's did.

use std::sync::Arc;

use super::manifest::limits::GOLDEN_ROWS_MIN;
use super::{
    Batch, GoldenRow, LoadError, Manifest, ManifestError, Predictor, ScorerScratch, Source, import,
};

/// The largest artifact: some two million nodes.
pub const ARTIFACT_BYTES_MAX: usize = 64 << 20;
/// The largest manifest: golden rows are most of it, and a thousand prove as much as more.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// How far a golden row's probability may be off: rounding, not another decision in a tree.
pub const GOLDEN_TOLERANCE: f64 = 1e-6;

/// A model with the manifest it came with.
#[derive(Clone, Debug)]
pub struct Model {
    /// What its inputs are and how it was proven.
    pub manifest: Arc<Manifest>,
    /// What scores. An `Arc<dyn Scorer>` for whoever does not want to know more.
    pub scorer: Arc<Predictor>,
}

/// Loads a model that may serve.
///
/// # Errors
/// The first reason to refuse it, naming field, node or row.
pub fn load(manifest: &str, artifact: &[u8]) -> Result<Model, LoadError> {
    let manifest = parse(manifest)?;
    if manifest.sha256.is_none() {
        return Err(ManifestError::new("sha256", "is required").into());
    }
    if manifest.golden.len() < GOLDEN_ROWS_MIN {
        let problem = format!(
            "has {} rows, at least {GOLDEN_ROWS_MIN} must prove the model",
            manifest.golden.len()
        );
        return Err(ManifestError::new("golden", problem).into());
    }
    assemble(manifest, artifact)
}

/// Loads a model to look at or to score rows with; it need not bring golden rows or a digest, but
/// those it brings must be right.
///
/// # Errors
/// As [`load`].
pub fn load_unproven(manifest: &str, artifact: &[u8]) -> Result<Model, LoadError> {
    assemble(parse(manifest)?, artifact)
}

/// SHA-256 in lowercase hexadecimal digits.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

impl Model {
    /// The raw score and probability of one row: a value per feature, `None` where missing.
    ///
    /// For golden rows and people; it allocates.
    ///
    /// # Panics
    /// If the row has not one value per feature.
    #[must_use]
    pub fn score_row(&self, row: &[Option<f64>]) -> (f64, f64) {
        assert_eq!(
            row.len(),
            self.manifest.features.len(),
            "one value per feature"
        );
        let shared: Vec<f64> = (self.manifest.features.iter().zip(row))
            .map(|(feature, value)| feature.input(*value))
            .collect();
        let batch = Batch {
            shared: &shared,
            own_inputs: &[],
            own: &[],
        };
        let mut raw = [0.0];
        self.scorer
            .raw(&batch, &mut ScorerScratch::default(), &mut raw);
        (raw[0], self.scorer.probability(raw[0]))
    }
}

fn parse(manifest: &str) -> Result<Manifest, LoadError> {
    if manifest.len() > MANIFEST_BYTES_MAX {
        let problem = format!("{} bytes, allowed are {MANIFEST_BYTES_MAX}", manifest.len());
        return Err(ManifestError::new("manifest", problem).into());
    }
    Ok(Manifest::parse(manifest)?)
}

fn assemble(manifest: Manifest, artifact: &[u8]) -> Result<Model, LoadError> {
    check_bytes(&manifest, artifact)?;
    let function = import::read(manifest.format, artifact, &manifest.features)?;
    let own_inputs: Vec<u16> = (0..)
        .zip(&manifest.features)
        .filter(|(_, feature)| feature.source == Source::Offer)
        .map(|(input, _)| input)
        .collect();
    let scorer = Predictor::new(function, manifest.calibration.clone(), &own_inputs);
    let model = Model {
        manifest: Arc::new(manifest),
        scorer: Arc::new(scorer),
    };
    for (row, golden) in model.manifest.golden.iter().enumerate() {
        check_golden(&model, row, golden)?;
    }
    Ok(model)
}

fn check_bytes(manifest: &Manifest, artifact: &[u8]) -> Result<(), LoadError> {
    if !(1..=ARTIFACT_BYTES_MAX).contains(&artifact.len()) {
        return Err(LoadError::Size {
            bytes: artifact.len(),
            max: ARTIFACT_BYTES_MAX,
        });
    }
    if let Some(expected) = &manifest.sha256 {
        let found = digest(artifact);
        if found != *expected {
            return Err(LoadError::Digest {
                expected: expected.clone(),
                found,
            });
        }
    }
    Ok(())
}

fn check_golden(model: &Model, row: usize, golden: &GoldenRow) -> Result<(), LoadError> {
    let (raw, found) = model.score_row(&golden.features);
    let near = (found - golden.probability).abs() <= GOLDEN_TOLERANCE;
    if near {
        return Ok(());
    }
    // Also where `found` is NaN.
    Err(LoadError::Golden {
        row,
        expected: golden.probability,
        found,
        raw,
        tolerance: GOLDEN_TOLERANCE,
    })
}
