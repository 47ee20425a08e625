//! `offerd export`: the journal as others read it, without a server and without Redis.

mod choices;
mod dsjson;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::domain::EntryKind;
use crate::journal::{OpenError, read_folder};

/// Write the journal's records to standard output.
///
/// `ndjson` has every record, one a line. `dsjson` and `csv` have a line for each choice that may teach (not test, measured,
/// not cut short), with its reward, 1 where it converted for good: Vowpal Wabbit trains on the one
/// (--dsjson --cb_explore_adf), `offerd evaluate --log` and obp judge policies on the other. The folder
/// may belong to a running server: nothing is locked or changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: offerd export --data ./data --type conversion | head\n         \
                  offerd export --data ./data --format dsjson > log.dsjson && vw --dsjson --cb_explore_adf -d log.dsjson"
)]
pub struct Args {
    /// The server's data folder.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// What to write: `ndjson`, `dsjson` or `csv`.
    #[arg(long, default_value = "ndjson", value_parser = str::parse::<Format>)]
    format: Format,
    /// Only records of these types (repeat for several); of `ndjson` only.
    #[arg(long = "type", value_parser = parse_kind)]
    kinds: Vec<EntryKind>,
    /// Also records of `test` requests.
    #[arg(long)]
    test: bool,
    /// Print how many records there are of each type instead of the records.
    #[arg(long)]
    count: bool,
}

crate::domain::vocabulary! {
    /// How the journal is written down.
    Format {
        /// Every record, one a line.
        Ndjson = "ndjson",
        /// Choices, as Vowpal Wabbit reads them.
        Dsjson = "dsjson",
        /// Choices, as a table.
        Csv = "csv",
    }
}

fn parse_kind(word: &str) -> Result<EntryKind, String> {
    word.parse()
        .map_err(|e: crate::domain::UnknownWord| e.to_string())
}

/// Why nothing could be exported.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The output.
    #[error("failed to write: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
/// When the journal cannot be read or the output not be written.
pub fn run(args: &Args) -> Result<(), Error> {
    let mut out = BufWriter::new(io::stdout().lock());
    let written = match args.format {
        Format::Ndjson => return records(args, &mut out),
        Format::Dsjson => dsjson::write(&args.data, &mut out),
        Format::Csv => choices::write_csv(&args.data, &mut out),
    };
    match written.and_then(|()| Ok(out.flush()?)) {
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn records(args: &Args, out: &mut impl Write) -> Result<(), Error> {
    let mut counts = vec![0u64; EntryKind::ALL.len()];
    let mut written = Ok(());
    read_folder(&args.data.join("journal"), &mut |_, entry| {
        let Some(kind) = entry.kind().filter(|kind| args.wants(*kind, entry.test)) else {
            return;
        };
        counts[kind as usize] += 1;
        if !args.count && written.is_ok() {
            written = writeln!(out, "{}", entry.record);
        }
    })?;
    // A reader that has seen enough (`head`) closes the pipe: that is no failure.
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        written => written?,
    }
    if args.count {
        for (kind, n) in EntryKind::ALL.iter().zip(counts).filter(|(_, n)| *n > 0) {
            writeln!(out, "{kind} {n}")?;
        }
    }
    Ok(out.flush()?)
}

impl Args {
    fn wants(&self, kind: EntryKind, test: bool) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && (self.test || !test)
    }
}
