//! What a decision pays for being on record: packing the record, and handing it over; and what its readers pay.
//! JSON is the peer.
//!
//! The writer works beside it on a real disk; when it falls behind, records are refused, and the share
//! that was taken is printed, because a refusal is cheaper than a hand-over.

use std::cell::Cell;
use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use offerd::decide::record::DecisionRecord;
use offerd::decide::{Scratch, decide};
use offerd::domain::record::{Packer, read};
use offerd::domain::{Entry, EntryKind, Facts, Record};
use offerd::journal::{Journal, JournalConfig};

use crate::example::made;
use crate::support::{self, NOON};

pub fn bench(c: &mut Criterion) {
    let snapshot = support::by_model("propensity-forest");
    let request = support::request(1);
    let facts = Facts::default();
    let mut scratch = Scratch::default();
    let decision = decide(&snapshot, &request, &facts, &mut scratch);
    let record = || DecisionRecord::new(&snapshot, &request, &facts, decision, 100.0);
    let mut packer = Packer::default();
    let made = made(&snapshot, &request, &facts, decision);
    let packed = made.pack(&mut packer);
    let text = packed.json().expect("it is not damaged").into_owned();
    let (bytes, chars) = (packed.len(), text.len());
    c.bench_function("journal/make", |b| b.iter(record));
    c.bench_function(&format!("journal/pack/{bytes}"), |b| {
        b.iter(|| made.pack(&mut packer));
    });
    c.bench_function(&format!("journal/peer-json/{chars}"), |b| {
        b.iter(|| serde_json::to_string(&record()).expect("records are plain data"));
    });
    c.bench_function(&format!("journal/ship/{bytes}"), |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            packed.write_json(&mut out).expect("it is not damaged");
            out.len()
        });
    });
    for (name, record) in [("read", &packed), ("peer-read", &Record::from(text))] {
        c.bench_function(&format!("journal/{name}/{}", record.len()), |b| {
            b.iter(|| read::<DecisionRecord<'_>>(black_box(record)).is_ok());
        });
    }
    let entry = Entry {
        kind: EntryKind::Decision as u8,
        at: NOON.0,
        decision: Some(request.decision.0),
        id: request.decision.to_string(),
        record: packed.clone(),
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
    let name = format!("journal/record/{}", entry.record.len());
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
