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
use crate::learn::learner::{Learner, Report, Saved, State, digest};

/// Learn from a journal: catch up with what a server's learner knew last, or rebuild it and compare.
///
/// Without `--rebuild` the server must not be running; with it nothing is locked or changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offerd learn --data ./data --rebuild --json")]
pub struct Args {
    /// The server's data folder.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Learn everything again from the journal's start, and compare with what is saved, bit for bit.
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
    let figures = if args.rebuild {
        rebuild(args)?
    } else {
        catch_up(args)?
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

fn rebuild(args: &Args) -> Result<Figures, Error> {
    let dir = folder(&args.data);
    let saved = Saved::on(RealDisk::existing(&dir)).load()?;
    let saved = saved.ok_or(Error::Nothing(dir))?;
    let until = saved.positions.get(JOURNAL).copied().unwrap_or_default();
    let mut learner = learner(args, State::default());
    let mut first = None;
    read_folder(&args.data.join("journal"), &mut |position, entry| {
        first.get_or_insert(position);
        if position <= until {
            learner.hear(JOURNAL, position, entry);
        }
    })?;
    let digest = digest(learner.state())?;
    Ok(Figures {
        same: Some(digest == crate::learn::learner::digest(&saved)?),
        digest,
        first,
        report: learner.report(),
    })
}
