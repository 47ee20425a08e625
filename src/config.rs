//! Configuration: one TOML file, one section per part, each declared next to its code.
//!
//! `offerd.toml` at the root of the repository lists every setting at its default; a test keeps it
//! true. Unknown keys are errors. The file says what the server is, flags say how this process runs.

use std::fmt::Display;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::control::registry::ModelsConfig;
use crate::journal::JournalConfig;
use crate::journal::sink::RedisConfig;
use crate::learn::learner::run::{LearnerConfig, Source};
use crate::ledger::LedgerConfig;
use crate::listener::ListenerConfig;
use crate::serve::DecisionConfig;
use crate::serve::admission::AdmissionConfig;
use crate::serve::auth::{AuthConfig, Port};
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
    /// What is learnt from events.
    pub learner: LearnerConfig,
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
    /// After SIGTERM, milliseconds of saying "not ready" and answering all the same, for a load
    /// balancer to look elsewhere: a little more than the time between two of its probes, such as
    /// 5000. 0, the default, is for where nobody balances; at most 60000.
    pub unready_ms: u64,
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
            unready_ms: 0,
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
    /// A setting is outside its range, or two do not go together.
    /// The message begins with the setting's full path, such as `node.id`.
    #[error("{0}")]
    Setting(String),
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
            message: told(&e, &text),
        })
    }

    /// Looks at what the types cannot say: every part's own check, then what one part asks of another.
    ///
    /// # Errors
    /// The first setting that is outside its range, by its full path.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.node.check()?;
        part("public.limits.", self.public.limits.check())?;
        part("admin.limits.", self.admin.limits.check())?;
        part("auth.", self.auth.check())?;
        part("admission.", self.admission.check())?;
        part("decisions.", self.decisions.check())?;
        part("deadlines.", self.deadlines.check())?;
        part("tokens.", self.tokens.check())?;
        part("models.", self.models.check())?;
        part("", self.journal.check())?;
        part("", self.redis.check())?;
        part("ledger.", self.ledger.check())?;
        part("learner.", self.learner.check())?;
        self.catalog.check()?;
        self.log.check()?;
        self.check_memory()?;
        self.check_learner()?;
        self.check_ports()
    }

    /// A start rebuilds the ledger from the journal: what is no longer there would not count.
    fn check_memory(&self) -> Result<(), ConfigError> {
        let (ledger, journal) = (self.ledger.horizon_days, self.journal.retain_days);
        if ledger <= journal {
            return Ok(());
        }
        let message = format!("is {ledger}; it must be at most journal.retain_days, {journal}");
        Err(setting("ledger.horizon_days", message))
    }

    fn check_learner(&self) -> Result<(), ConfigError> {
        if self.learner.source == Source::Journal || !self.redis.url.is_empty() {
            return Ok(());
        }
        let message: String =
            "is \"redis\"; it must be \"journal\" where redis.url is empty".into();
        Err(setting("learner.source", message))
    }

    /// Ports that strangers reach are guarded, and the two are two.
    fn check_ports(&self) -> Result<(), ConfigError> {
        let (public, admin) = (self.public.address, self.admin.address);
        for (key, port, address) in [
            ("public.address", Port::Public, public),
            ("admin.address", Port::Admin, admin),
        ] {
            let bound = self.auth.check_binding(port, address);
            bound.map_err(|error| setting(key, error))?;
        }
        // Port 0 is whichever is free.
        if public == admin && public.port() != 0 {
            let message = format!("is {admin}, which is public.address; choose another port");
            return Err(setting("admin.address", message));
        }
        Ok(())
    }
}

impl NodeConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let id = &self.id;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > 32 || !id.bytes().all(plain) {
            let message = format!("expected 1 to 32 letters, digits, - and _, found {id:?}");
            return Err(setting("node.id", message));
        }
        if self.data.as_os_str().is_empty() {
            return Err(setting("node.data", "expected a folder, found none"));
        }
        range("node.unready_ms", self.unready_ms, 0, 60_000)?;
        range("node.threads", self.threads as u64, 0, THREADS_MAX)
    }
}

impl CatalogConfig {
    fn check(&self) -> Result<(), ConfigError> {
        range("catalog.poll_ms", self.poll_ms, 10, 3_600_000)
    }
}

impl LogConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.filter);
        filter.map(|_| ()).map_err(|error| {
            let found = &self.filter;
            let message = format!("expected a level or directives, found {found:?}: {error}");
            setting("log.filter", message)
        })
    }
}

/// More threads than any machine has processors are a typing error.
const THREADS_MAX: u64 = 1_024;

/// Where the mistake is and what is wrong, without the value itself: people paste keys where digests
/// belong, and a start's output ends up in logs.
fn told(error: &toml::de::Error, text: &str) -> String {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = text.as_bytes()[..at]
        .iter()
        .filter(|b| **b == b'\n')
        .count();
    let written = text.lines().nth(line).unwrap_or_default();
    let key = written.split_once('=').map_or(written, |(key, _)| key);
    format!("line {}: {}: {}", line + 1, key.trim(), error.message())
}

fn setting(key: &str, message: impl Display) -> ConfigError {
    ConfigError::Setting(format!("{key}: {message}"))
}

fn range(key: &str, found: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(setting(
        key,
        format!("expected {min} to {max}, found {found}"),
    ))
}

/// What a part says about its own section. Parts begin with the setting's name; the journal and the
/// sink, which can be opened without this file, with its full path.
fn part<E: Display>(path: &str, checked: Result<(), E>) -> Result<(), ConfigError> {
    checked.map_err(|error| ConfigError::Setting(format!("{path}{error}")))
}
