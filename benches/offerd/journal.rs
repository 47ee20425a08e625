//! What a decision pays for being on record: writing the record as JSON, and handing it over.
//!
//! The writer works beside it on a real disk; when it falls behind, records are refused, and the share
//! that was taken is printed, because a refusal is cheaper than a hand-over.

use std::cell::Cell;
use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use offerd::decide::record::DecisionRecord;
use offerd::decide::{Scratch, decide};
use offerd::domain::{Entry, EntryKind, Facts};
use offerd::journal::{Journal, JournalConfig};

use crate::support::{self, NOON};

pub fn bench(c: &mut Criterion) {
    let snapshot = support::by_model("propensity-forest");
    let request = support::request(1);
    let facts = Facts::default();
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &request, &facts, &mut scratch);
    let json = || {
        let record = DecisionRecord::new(&snapshot, &request, &facts, decision, 100.0);
        serde_json::to_string(&record).expect("records are plain data")
    };
    let bytes = json().len();
    c.bench_function(&format!("journal/record-json/{bytes}"), |b| b.iter(json));
    let entry = Entry {
        kind: EntryKind::Decision as u8,
        at: NOON.0,
        decision: Some(request.decision.0),
        id: request.decision.to_string(),
        json: json(),
        ..Entry::empty()
    };
    hand_over(c, &entry);
    c.bench_function(&format!("journal/floor-copy/{bytes}"), |b| {
        b.iter(|| black_box(&entry).clone());
    });
}

fn hand_over(c: &mut Criterion, entry: &Entry) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let config = JournalConfig {
        dir: folder.path().join("journal"),
        queue_entries_max: 1 << 20,
        retain_bytes_max: 256 << 20,
        ..JournalConfig::default()
    };
    let (journal, _) = Journal::open(config, NOON, &mut |_, _| {}).expect("an empty folder opens");
    let (taken, offered) = (Cell::new(0_u64), Cell::new(0_u64));
    let name = format!("journal/record/{}", entry.json.len());
    c.bench_function(&name, |b| {
        b.iter_batched(
            || entry.clone(),
            |entry| {
                let accepted = journal.record(entry);
                offered.set(offered.get() + 1);
                taken.set(taken.get() + u64::from(accepted));
            },
            BatchSize::SmallInput,
        );
    });
    println!("{name}: {} of {} taken", taken.get(), offered.get());
}
