//! Why a pushed model was refused, for the person who pushed it.

/// A mistake in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("manifest, {field}: {problem}")]
pub struct ManifestError {
    /// Where, such as `features[3].categories`.
    pub field: String,
    /// What was found, and what is allowed.
    pub problem: String,
}

impl ManifestError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> ManifestError {
        ManifestError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// A mistake in an artifact: the file with the trained numbers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("artifact, {at}: {problem}")]
pub struct ArtifactError {
    /// Where, such as `trees[3].threshold[17]`.
    pub at: String,
    /// What was found, and what is allowed.
    pub problem: String,
}

impl ArtifactError {
    pub(super) fn new(at: impl Into<String>, problem: impl Into<String>) -> ArtifactError {
        ArtifactError {
            at: at.into(),
            problem: problem.into(),
        }
    }

    /// The same mistake, seen from further out: `threshold[2]` within `trees[1]`.
    pub(super) fn within(self, outer: &str) -> ArtifactError {
        ArtifactError {
            at: format!("{outer}.{}", self.at),
            ..self
        }
    }
}

/// Why a model was not loaded. The one that serves is untouched.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The artifact is larger than any model should be.
    #[error("artifact: {bytes} bytes, allowed are 1 to {max}")]
    Size {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The artifact is not the one the manifest was written for.
    #[error("manifest, sha256: the artifact's digest is {found}, the manifest says {expected}")]
    Digest {
        /// What the manifest says.
        expected: String,
        /// What the bytes give.
        found: String,
    },
    /// The artifact is not a sound model of the manifest's format.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The model does not give the numbers that its trainer wrote down.
    #[error(
        "golden[{row}].probability: the model gives {found} (raw {raw}), the manifest says {expected}; \
         allowed is a difference of {tolerance}"
    )]
    Golden {
        /// The row, from 0.
        row: usize,
        /// The manifest's probability.
        expected: f64,
        /// The model's probability.
        found: f64,
        /// The model's raw score.
        raw: f64,
        /// How far apart they may be.
        tolerance: f64,
    },
}

impl LoadError {
    /// The field to name in an answer: a manifest path, or `artifact`.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            LoadError::Manifest(error) => error.field.clone(),
            LoadError::Size { .. } => "artifact".into(),
            LoadError::Digest { .. } => "sha256".into(),
            LoadError::Artifact(error) => format!("artifact.{}", error.at),
            LoadError::Golden { row, .. } => format!("golden[{row}].probability"),
        }
    }
}
