//! `offerd learn`: what a server's learner does, over a journal that nobody serves from; or again from the start,
//! to compare.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;

use crate::control::stored_catalogs;
use crate::journal::disk::RealDisk;
use crate::journal::{OpenError, Position, read_folder};
use crate::learn::attribution::Limits;
use crate::learn::learner::run::{Folder, JOURNAL, StartError};
use crate::learn::learner::streams::Fleet;
use crate::learn::learner::{Learner, Report, Saved, State, digest};

/// Learn from a journal or from all nodes' streams: catch up with what a server's learner knew last, or rebuild it and compare.
///
/// Without `--rebuild` the server must not be running; with it nothing is locked or changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offerd learn --data ./data --rebuild --json")]
pub struct Args {
    /// The server's data folder.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Learn from the streams of all nodes instead of one node's journal, and publish to them, until it is
    /// interrupted. Catalogs and the state are in the data folder.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// With `--redis`: end when everything there has been heard.
    #[arg(long, requires = "redis")]
    once: bool,
    /// With `--redis`: records are heard once they are so old, milliseconds, so that nodes that ship a little late are
    /// heard in order.
    #[arg(long, value_name = "MS", default_value_t = 2_000, requires = "redis")]
    settle_ms: i64,
    /// Learn everything again from the start, and compare with what is saved, bit for bit.
    #[arg(long)]
    rebuild: bool,
    /// Save the state after so many records.
    #[arg(
        long,
        value_name = "RECORDS",
        default_value_t = 100_000,
        conflicts_with = "rebuild"
    )]
    save_every: u64,
    /// Showings remembered, as the server's `learner.showings_max`.
    #[arg(long, value_name = "SHOWINGS", default_value_t = Limits::default().showings_max)]
    showings_max: usize,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// Why nothing could be learnt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The learner's folder.
    #[error(transparent)]
    Folder(#[from] StartError),
    /// The state.
    #[error("the learner's state: {0}")]
    State(#[from] io::Error),
    /// The streams.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
    /// There is nothing to compare with.
    #[error("no state is saved in {0}")]
    Nothing(PathBuf),
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Figures {
    /// SHA-256 of everything that the learner knows.
    digest: String,
    /// Whether the state that was rebuilt is the one that was saved, bit for bit.
    #[serde(skip_serializing_if = "Option::is_none")]
    same: Option<bool>,
    /// The first record of the journal; a rebuild knows nothing of what was deleted before it.
    first: Option<Position>,
    /// What was learnt.
    #[serde(flatten)]
    report: Report,
}

/// Runs the command: success where everything was learnt, and a rebuild came out the same.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Error> {
    let figures = match &args.redis {
        Some(url) if !args.rebuild => fleet::run(args, url)?,
        _ if args.rebuild => rebuild(args)?,
        _ => catch_up(args)?,
    };
    if args.json {
        let json = serde_json::to_string_pretty(&figures).expect("plain data");
        println!("{json}");
    } else {
        print(&figures);
    }
    Ok(match figures.same {
        Some(false) => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

fn print(figures: &Figures) {
    let (report, events) = (&figures.report, &figures.report.events);
    println!("posterior {} {}", report.version, figures.digest);
    println!(
        "  {} showings learnt, {} never seen, {} corrected; {} of {} events used",
        events.learnt, events.unseen, events.corrected, events.used, events.events
    );
    if let Some(same) = figures.same {
        println!("  rebuilt: {}", if same { "the same" } else { "DIFFERENT" });
    }
}

fn learner(args: &Args, state: State) -> Learner {
    let limits = Limits {
        showings_max: args.showings_max,
    };
    let find = stored_catalogs(args.data.join("control"));
    Learner::new(state, limits, Box::new(find))
}

fn folder(data: &Path) -> PathBuf {
    data.join("learner")
}

fn catch_up(args: &Args) -> Result<Figures, Error> {
    let mut folder = Folder::open(&folder(&args.data))?;
    let mut learner = learner(args, std::mem::take(&mut folder.state));
    let (mut first, mut heard, mut failed) = (None, 0, None);
    read_folder(&args.data.join("journal"), &mut |position, entry| {
        first.get_or_insert(position);
        if failed.is_some() || position <= learner.position(JOURNAL) {
            return;
        }
        learner.hear(JOURNAL, position, entry);
        heard += 1;
        if heard % args.save_every.max(1) == 0 {
            failed = folder.save(learner.state()).err();
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    folder.save(learner.state())?;
    Ok(Figures {
        digest: digest(learner.state())?,
        same: None,
        first,
        report: learner.report(),
    })
}

/// One learner for all nodes.
mod fleet {
    use std::time::{Duration, Instant};

    use super::{Args, Error, Figures, Fleet, Folder, Learner, digest, folder, learner};

    /// How long a caught-up learner waits before it looks again.
    const IDLE: Duration = Duration::from_millis(200);
    /// Posteriors are at least so far apart.
    const PUBLISH: Duration = Duration::from_secs(1);
    /// States are saved at least so far apart.
    const SAVE: Duration = Duration::from_secs(10);

    /// Hears, publishes and saves, until there is nothing more where `once` is asked for.
    pub(super) fn run(args: &Args, url: &str) -> Result<Figures, Error> {
        let mut folder = Folder::open(&folder(&args.data))?;
        let mut learner = learner(args, std::mem::take(&mut folder.state));
        let mut saved_at = Instant::now();
        loop {
            let round = round(args, url, &mut learner);
            if args.once {
                round?;
                folder.save(learner.state())?;
                return Ok(Figures {
                    digest: digest(learner.state())?,
                    same: None,
                    first: None,
                    report: learner.report(),
                });
            }
            if let Err(error) = round {
                tracing::warn!(%error, "Redis is away; trying again");
                eprintln!("offerd learn: {error}; trying again");
            }
            if saved_at.elapsed() >= SAVE {
                folder.save(learner.state())?;
                saved_at = Instant::now();
            }
            std::thread::park_timeout(IDLE);
        }
    }

    /// Hears what there is, publishing on the way. Each round has a connection of its own: it costs a
    /// millisecond, and none of them is ever stale.
    fn round(args: &Args, url: &str, learner: &mut Learner) -> Result<(), redis::RedisError> {
        let (mut ears, mut voice) = (Fleet::connect(url)?, Fleet::connect(url)?);
        let until = if args.once {
            i64::MAX
        } else {
            crate::app::now().0 - args.settle_ms
        };
        let (mut published, mut at) = (learner.edition(), Instant::now());
        let mut refused = Ok(());
        ears.hear(learner, until, None, |learner| {
            if at.elapsed() >= PUBLISH && learner.edition() != published {
                (published, at) = (learner.edition(), Instant::now());
                refused = voice.publish(&learner.learnt());
            }
        })?;
        refused?;
        voice.publish(&learner.learnt())
    }
}

fn rebuild(args: &Args) -> Result<Figures, Error> {
    let dir = folder(&args.data);
    let saved = Saved::on(RealDisk::existing(&dir)).load()?;
    let saved = saved.ok_or(Error::Nothing(dir))?;
    let until = saved.positions.get(JOURNAL).copied().unwrap_or_default();
    let mut learner = learner(args, State::default());
    let mut first = None;
    if let Some(url) = &args.redis {
        let ends = Some(&saved.positions);
        Fleet::connect(url)?.hear(&mut learner, i64::MAX, ends, |_| {})?;
    } else {
        read_folder(&args.data.join("journal"), &mut |position, entry| {
            first.get_or_insert(position);
            if position <= until {
                learner.hear(JOURNAL, position, entry);
            }
        })?;
    }
    let digest = digest(learner.state())?;
    Ok(Figures {
        same: Some(digest == crate::learn::learner::digest(&saved)?),
        digest,
        first,
        report: learner.report(),
    })
}
