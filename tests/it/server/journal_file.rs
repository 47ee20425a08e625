//! A journal read from its folder, as `offerd export` does, whoever may be writing it.

use std::collections::HashMap;
use std::path::Path;

use offerd::app::SHIPPED;
use offerd::control::replay::Replayer;
use offerd::domain::{Entry, EntryKind};
use offerd::journal::{Position, read_folder};

/// Every record of the data folder `data`, in order.
pub fn entries(data: &Path) -> Vec<(Position, Entry)> {
    let mut entries = Vec::new();
    read_folder(&data.join("journal"), &mut |position, entry| {
        entries.push((position, entry.clone()));
    })
    .unwrap();
    entries
}

/// How many records there are of each kind.
pub fn counts(data: &Path) -> HashMap<&'static str, u64> {
    let mut counts = HashMap::new();
    for (_, entry) in entries(data) {
        *counts.entry(entry.kind().unwrap().as_str()).or_default() += 1;
    }
    counts
}

/// Makes every decision on record again and expects the same; how many there were.
pub fn replay_all(data: &Path) -> usize {
    let mut replayer = Replayer::open(data.join("control"), SHIPPED).unwrap();
    let mut same = 0;
    for (_, entry) in entries(data) {
        if entry.kind() == Some(EntryKind::Decision) {
            let replayed = replayer.replay(&entry.record);
            let replayed = replayed.unwrap_or_else(|e| panic!("{e}: {}", entry.record));
            assert!(replayed.same, "{}\n{}", entry.record, replayed.placements);
            same += 1;
        }
    }
    same
}
