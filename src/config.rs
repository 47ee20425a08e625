//! Configuration: one TOML file, one section per part, each declared next to its code.
//!
//! `offerd.toml` at the root of the repository lists every setting at its default; a test keeps it
//! true. Unknown keys are errors. The file says what the server is, flags say how this process runs.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::registry::ModelsConfig;
use crate::journal::JournalConfig;
use crate::journal::sink::RedisConfig;
use crate::ledger::LedgerConfig;
use crate::listener::ListenerConfig;
use crate::serve::DecisionConfig;
use crate::serve::admission::AdmissionConfig;
use crate::serve::auth::AuthConfig;
use crate::serve::deadline::DeadlineConfig;
use crate::serve::token::TokenConfig;

/// Everything that can be set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Who this process is.
    pub node: NodeConfig,
    /// The port that pages and servers call.
    pub public: PublicConfig,
    /// The port that operators call.
    pub admin: AdminConfig,
    /// Who may call.
    pub auth: AuthConfig,
    /// How much at once.
    pub admission: AdmissionConfig,
    /// Decisions.
    pub decisions: DecisionConfig,
    /// How long callers wait.
    pub deadlines: DeadlineConfig,
    /// Event tokens.
    pub tokens: TokenConfig,
    /// The catalog file.
    pub catalog: CatalogConfig,
    /// How pushed models are taken in and watched.
    pub models: ModelsConfig,
    /// The journal.
    pub journal: JournalConfig,
    /// Where the journal is shipped; nowhere without a `url`.
    pub redis: RedisConfig,
    /// Who has been shown what.
    pub ledger: LedgerConfig,
    /// What this process says about itself.
    pub log: LogConfig,
}

/// Who this process is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Part of this node's stream names: letters, digits, `-` and `_`, at most 32. Each node of a
    /// fleet has its own, and keeps it.
    pub id: String,
    /// Folder of the journal, the keys, and every catalog and model that ever served.
    pub data: PathBuf,
    /// Threads that answer requests; 0 for one per processor.
    pub threads: usize,
}

/// The public port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PublicConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it tolerates.
    pub limits: ListenerConfig,
}

/// The operators' port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it tolerates.
    pub limits: ListenerConfig,
}

/// The catalog file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogConfig {
    /// Read at start and again whenever it changes; empty for the shipped demo operator.
    pub file: PathBuf,
    /// How often to look whether it changed, in milliseconds.
    pub poll_ms: u64,
}

/// What this process says about itself, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives per part such as `offerd::journal=debug`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            id: "a".into(),
            data: "data".into(),
            threads: 0,
        }
    }
}

impl Default for PublicConfig {
    fn default() -> PublicConfig {
        PublicConfig {
            address: loopback(8080),
            limits: ListenerConfig::default(),
        }
    }
}

impl Default for AdminConfig {
    fn default() -> AdminConfig {
        // A model push takes its time; its size is limited by the handler.
        let limits = ListenerConfig {
            body_ms: 60_000,
            ..ListenerConfig::default()
        };
        AdminConfig {
            address: loopback(8081),
            limits,
        }
    }
}

impl Default for CatalogConfig {
    fn default() -> CatalogConfig {
        CatalogConfig {
            file: PathBuf::new(),
            poll_ms: 1_000,
        }
    }
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            filter: "info".into(),
            json: false,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("failed to read {path}: {cause}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is not of its form; the message names line and key.
    #[error("{path}: {message}")]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// A setting is outside its range.
    #[error("{key}: {message}")]
    Setting {
        /// Such as `node.id`.
        key: &'static str,
        /// What it must be.
        message: String,
    },
}

impl Config {
    /// Reads a file, or gives the defaults without one.
    ///
    /// # Errors
    /// When the file cannot be read, has a key that is none, or a value outside its range.
    pub fn read(path: Option<&Path>) -> Result<Config, ConfigError> {
        let Some(path) = path else {
            return Ok(Config::default());
        };
        let text = fs::read_to_string(path).map_err(|cause| ConfigError::Read {
            path: path.into(),
            cause,
        })?;
        toml::from_str(&text).map_err(|e| ConfigError::Form {
            path: path.into(),
            message: e.to_string(),
        })
    }

    /// Looks at what the types cannot say.
    ///
    /// # Errors
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let id = &self.node.id;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
            return Err(ConfigError::Setting {
                key: "node.id",
                message: format!("expected 1 to 32 letters, digits, - and _, found {id:?}"),
            });
        }
        for (key, limits) in [
            ("public.limits", &self.public.limits),
            ("admin.limits", &self.admin.limits),
        ] {
            limits.check().map_err(|e| ConfigError::Setting {
                key,
                message: e.to_string(),
            })?;
        }
        Ok(())
    }
}
