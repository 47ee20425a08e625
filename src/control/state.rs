//! What the control plane remembers between runs.

use std::fmt;

use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::registry::{Run, Stages};

/// A model by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ModelRef {
    /// Such as `propensity`.
    pub name: String,
    /// Such as `2026-11-20.1`.
    pub version: String,
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// One small file, replaced as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The number of the last snapshot.
    pub epoch: u64,
    /// Mixed into every draw; the same for all epochs, so that a record replays.
    pub salt: u64,
    /// Digest of the catalog that serves.
    pub catalog: Option<String>,
    /// Digest of the catalog file when it was last read: a change of the file wins over the API.
    pub file_digest: Option<String>,
    /// Which model versions serve, and how.
    #[serde(default)]
    pub stages: Stages,
    /// How the last run went.
    #[serde(default)]
    pub run: Run,
}

impl State {
    /// The state of a new folder, with a salt nobody can guess.
    pub fn fresh() -> State {
        let mut salt = [0u8; 8];
        ring::rand::SystemRandom::new()
            .fill(&mut salt)
            .expect("the operating system gives random numbers");
        State {
            epoch: 0,
            salt: u64::from_le_bytes(salt),
            catalog: None,
            file_digest: None,
            stages: Stages::default(),
            run: Run::default(),
        }
    }
}
