//! `offerd replay`: makes every decision of a journal again and compares, bit for bit.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::app::SHIPPED;
use crate::control::replay::{ReplayFailure, Replayed, Replayer};
use crate::domain::EntryKind;
use crate::journal::{OpenError, read_folder};

/// Make the decisions of a journal again, with the catalog and model of their time, and compare.
///
/// The folder may belong to a running server: nothing is locked or changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offerd replay --data ./data --json")]
pub struct Args {
    /// The server's data folder.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, serde::Serialize)]
struct Figures {
    /// Decisions that came out the same.
    same: u64,
    /// Decisions that did not, by id; at most a hundred.
    different: Vec<String>,
    /// How many did not.
    different_total: u64,
    /// Decisions that cannot be made again, by reason.
    not_replayable: std::collections::BTreeMap<String, u64>,
}

impl Figures {
    fn count(&mut self, replayed: Result<Replayed, ReplayFailure>) {
        match replayed {
            Ok(replayed) if replayed.same => self.same += 1,
            Ok(replayed) => {
                self.different_total += 1;
                if self.different.len() < 100 {
                    self.different.push(replayed.decision_id);
                }
            }
            Err(error) => *self.not_replayable.entry(error.to_string()).or_default() += 1,
        }
    }
}

/// Why nothing could be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Catalogs and models.
    #[error(transparent)]
    Folder(#[from] ReplayFailure),
}

/// Runs the command: success where every decision that can be made again came out the same.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(args: &Args) -> Result<ExitCode, Error> {
    let mut replayer = Replayer::open(args.data.join("control"), SHIPPED)?;
    let mut figures = Figures::default();
    read_folder(&args.data.join("journal"), &mut |_, entry| {
        if entry.kind() == Some(EntryKind::Decision) {
            figures.count(replayer.replay(&entry.record));
        }
    })?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&figures).expect("plain data")
        );
    } else {
        println!(
            "{} the same, {} different",
            figures.same, figures.different_total
        );
        for id in &figures.different {
            println!("  different: {id}");
        }
        for (why, n) in &figures.not_replayable {
            println!("  {n} not replayable: {why}");
        }
    }
    Ok(if figures.different_total == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
