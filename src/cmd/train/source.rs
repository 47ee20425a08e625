//! Where examples come from. A log is read twice: what happened first, then what was decided.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use super::Args;
use super::table::{self, TableError};
use crate::control::catalog::{self, Mistakes, declared_features};
use crate::decide::snapshot::Catalog;
use crate::domain::EntryKind;
use crate::journal::{OpenError, read_folder};
use crate::learn::choose::{self, NoInput};
use crate::learn::dataset::Dataset;
use crate::learn::log::{Counts, Examples, Limits, Outcomes};
use crate::learn::simulate;

/// Bytes of one line; the journal takes no larger record.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// Entries of a stream that are asked for at once.
const PAGE_ENTRIES: usize = 500;
/// The longest wait for Redis: to connect, and for each page.
const REDIS_PATIENCE: Duration = Duration::from_secs(10);
/// Examples of the simulator, and the most of a log, unless told otherwise.
const SIMULATED_ROWS: u32 = 60_000;
const LOG_ROWS: u32 = 1_000_000;

/// Where examples come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// The project's own simulated operator.
    Simulator,
    /// The data folder of a server.
    Data(PathBuf),
    /// The streams of a fleet.
    Redis(String),
    /// Records, one a line, as `offerd export` prints them.
    Records(PathBuf),
    /// A table.
    Table(PathBuf),
}

/// Why there are no examples.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file.
    #[error("failed to read {path}: {problem}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Redis; the message names no password.
    #[error("failed to read the streams: {0}")]
    Redis(#[from] redis::RedisError),
    /// A catalog.
    #[error("{path}: {mistakes}")]
    Catalog {
        /// Which.
        path: PathBuf,
        /// All of them.
        mistakes: Mistakes,
    },
    /// A table.
    #[error("{path} {problem}")]
    Table {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: TableError,
    },
    /// Logs are about conversions.
    #[error("--target must be conversion for a log, found `{0}`; only a CSV has other columns")]
    Target(String),
    /// Nothing was decided.
    #[error("there is no decision in the log")]
    NoDecision,
    /// What offers are is not known.
    #[error("the catalog {0} of the newest decision is not at hand: give one with --catalog")]
    NoCatalog(String),
    /// A feature that was asked for.
    #[error("--feature: {0}")]
    Feature(#[from] NoInput),
}

/// Examples, and what became of the log they are from.
pub(super) struct Found {
    pub data: Dataset,
    pub counts: Option<Counts>,
}

/// How many examples to make at most.
pub(super) fn rows(args: &Args) -> u32 {
    args.rows.unwrap_or(match args.from {
        From::Simulator => SIMULATED_ROWS,
        _ => LOG_ROWS,
    })
}

impl From {
    /// Reads the argument. A name without a known ending is a folder.
    pub fn parse(text: &str) -> Result<From, String> {
        let extension = Path::new(text).extension().and_then(|e| e.to_str());
        Ok(match extension.map(str::to_ascii_lowercase).as_deref() {
            _ if text == "simulator" => From::Simulator,
            _ if text.starts_with("redis://") || text.starts_with("redis+unix://") => {
                From::Redis(text.into())
            }
            _ if text.contains("://") => {
                return Err("expected redis://HOST:PORT, a folder or a file".into());
            }
            Some("csv") => From::Table(text.into()),
            Some("ndjson" | "jsonl") => From::Records(text.into()),
            _ if Path::new(text).is_file() => {
                return Err("expected a file ending in .ndjson, .jsonl or .csv".into());
            }
            _ => From::Data(text.into()),
        })
    }

    /// The kind, for notes that travel with a model: no path, no address.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            From::Simulator => "simulator",
            From::Data(_) => "JOURNAL",
            From::Redis(_) => "REDIS",
            From::Records(_) => "FILE.ndjson",
            From::Table(_) => "FILE.csv",
        }
    }
}

/// Makes the examples.
pub(super) fn examples(args: &Args, bar: &ProgressBar) -> Result<Found, SourceError> {
    let rows = rows(args) as usize;
    match &args.from {
        From::Simulator => {
            bar.set_message("simulating");
            let (data, _) = simulate::dataset(args.seed, rows);
            Ok(Found { data, counts: None })
        }
        From::Table(path) => {
            bar.set_message("reading");
            let found = table::examples(&text(path)?, &args.target, &args.without, rows);
            let data = found.map_err(|problem| SourceError::Table {
                path: path.clone(),
                problem,
            })?;
            Ok(Found { data, counts: None })
        }
        log => from_log(log, args, bar),
    }
}

fn from_log(log: &From, args: &Args, bar: &ProgressBar) -> Result<Found, SourceError> {
    if args.target != "conversion" {
        return Err(SourceError::Target(args.target.clone()));
    }
    let mut outcomes = Outcomes::default();
    let mut read = 0_u64;
    each(log, &mut |record| {
        read += 1;
        if read.is_multiple_of(1_000) {
            bar.set_message(format!("reading events: {read} records"));
        }
        outcomes.hear(record);
    })?;
    let catalogs = Catalogs::of(log, args)?;
    let newest = outcomes.newest_catalog().ok_or(SourceError::NoDecision)?;
    let catalog = (catalogs.find(newest)).ok_or_else(|| SourceError::NoCatalog(newest.into()))?;
    let declared = declared_features(&catalog.source).map_err(|mistakes| SourceError::Catalog {
        path: newest.into(),
        mistakes,
    })?;
    let features = choose::features(&catalog, declared, &args.more, &args.without)?;
    let limits = Limits {
        weight_max: args.weight_max,
        examples_max: rows(args) as usize,
        split: args.split,
    };
    let mut examples = Examples::new(outcomes, features, limits, |digest| catalogs.find(digest));
    let mut made = 0_u64;
    each(log, &mut |record| {
        made += 1;
        if made.is_multiple_of(1_000) {
            bar.set_message(format!("reading decisions: {made} of {read} records"));
        }
        examples.add(record);
    })?;
    let (data, counts) = examples.finish();
    Ok(Found {
        data,
        counts: Some(counts),
    })
}

/// Where catalogs are found by digest.
struct Catalogs {
    /// A data folder's.
    folder: Option<PathBuf>,
    /// What stands for any other.
    given: Option<Arc<Catalog>>,
}

impl Catalogs {
    fn of(log: &From, args: &Args) -> Result<Catalogs, SourceError> {
        let given = args.catalog.as_ref().map(|path| {
            catalog::read(&text(path)?).map_err(|mistakes| SourceError::Catalog {
                path: path.clone(),
                mistakes,
            })
        });
        Ok(Catalogs {
            folder: match log {
                From::Data(data) => Some(data.join("control").join("catalogs")),
                _ => None,
            },
            given: given.transpose()?,
        })
    }

    /// One that no longer reads is none.
    fn find(&self, digest: &str) -> Option<Arc<Catalog>> {
        // A digest names a file: nothing else may.
        let plain = digest.bytes().all(|b| b.is_ascii_hexdigit());
        let kept = (self.folder.as_ref().filter(|_| plain))
            .and_then(|folder| fs::read_to_string(folder.join(digest)).ok())
            .and_then(|text| catalog::read(&text).ok());
        kept.or_else(|| self.given.clone())
    }
}

/// Tells of every record that is not a `test` request's, in the log's own order.
pub(in crate::cmd) fn each(log: &From, visit: &mut dyn FnMut(&[u8])) -> Result<(), SourceError> {
    match log {
        From::Data(data) => {
            read_folder(&data.join("journal"), &mut |_, entry| {
                if !entry.test && entry.kind() != Some(EntryKind::Snapshot) {
                    visit(entry.record.as_bytes());
                }
            })?;
            Ok(())
        }
        From::Records(path) => each_line(path, visit),
        From::Redis(url) => each_stream(url, visit),
        From::Simulator | From::Table(_) => Ok(()),
    }
}

fn each_line(path: &Path, visit: &mut dyn FnMut(&[u8])) -> Result<(), SourceError> {
    let failed = |error: io::Error| read_error(path, &error);
    let mut reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = String::new();
    loop {
        line.clear();
        let bytes = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line);
        if bytes.map_err(failed)? == 0 {
            return Ok(());
        }
        visit(line.trim_end().as_bytes());
    }
}

/// Over a connection of its own, page by page; what is appended meanwhile may or may not be seen.
fn each_stream(url: &str, visit: &mut dyn FnMut(&[u8])) -> Result<(), SourceError> {
    let client = redis::Client::open(url)?;
    let mut connection = client.get_connection_with_timeout(REDIS_PATIENCE)?;
    connection.set_read_timeout(Some(REDIS_PATIENCE))?;
    connection.set_write_timeout(Some(REDIS_PATIENCE))?;
    let mut streams: Vec<String> = redis::cmd("SMEMBERS")
        .arg("offerd:streams")
        .query(&mut connection)?;
    streams.sort();
    for stream in streams.iter().filter(|stream| !stream.contains(":test:")) {
        let mut from = "-".to_owned();
        loop {
            let page: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
                .arg(stream)
                .arg(&from)
                .arg("+")
                .arg("COUNT")
                .arg(PAGE_ENTRIES)
                .query(&mut connection)?;
            let records = page.iter().flat_map(|(_, fields)| fields);
            for (_, json) in records.filter(|(name, _)| name == "json") {
                visit(json.as_bytes());
            }
            match page.last() {
                Some((id, _)) if page.len() == PAGE_ENTRIES => from = format!("({id}"),
                _ => break,
            }
        }
    }
    Ok(())
}

fn text(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|error| read_error(path, &error))
}

fn read_error(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Read {
        path: path.into(),
        problem: error.to_string(),
    }
}
