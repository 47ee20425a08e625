//! `offerd export`: the journal as NDJSON, one record a line, without a server and without Redis.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::domain::EntryKind;
use crate::journal::{self, Position};

/// Write the journal's records as NDJSON to standard output.
///
/// The folder may belong to a running server: nothing is locked or changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: offerd export --data ./data --type conversion | head")]
pub struct Args {
    /// The server's data folder.
    #[arg(long, default_value = "data")]
    data: PathBuf,
    /// Only records of these types (repeat for several).
    #[arg(long = "type", value_parser = parse_kind)]
    kinds: Vec<EntryKind>,
    /// Also records of `test` requests.
    #[arg(long)]
    test: bool,
    /// Print how many records there are of each type instead of the records.
    #[arg(long)]
    count: bool,
}

fn parse_kind(word: &str) -> Result<EntryKind, String> {
    word.parse().map_err(|e: crate::domain::UnknownWord| e.to_string())
}

/// Runs the command.
///
/// # Errors
/// When the journal cannot be read or the output not be written.
pub fn run(args: &Args) -> io::Result<()> {
    let mut reader = journal::read_folder(&args.data.join("journal"), Position::START)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut counts = vec![0u64; EntryKind::ALL.len()];
    loop {
        let batch = reader.next_batch(1_024, 4 << 20)?;
        if batch.is_empty() {
            break;
        }
        for (_, entry) in batch {
            let Some(kind) = entry.kind() else { continue };
            let wanted = args.kinds.is_empty() || args.kinds.contains(&kind);
            if !wanted || entry.test && !args.test {
                continue;
            }
            counts[kind as usize] += 1;
            if !args.count {
                writeln!(out, "{}", entry.json)?;
            }
        }
    }
    if args.count {
        for (kind, n) in EntryKind::ALL.iter().zip(counts).filter(|(_, n)| *n > 0) {
            writeln!(out, "{kind} {n}")?;
        }
    }
    out.flush()
}
