//! The journal on a real disk: what its face promises.

use std::path::Path;

use offerd::domain::{Ack, Entry, EntryKind, Millis};
use offerd::journal::{
    AppendError, Appended, Journal, JournalConfig, Lost, OpenError, Position, Recovery,
};

const NOW: Millis = Millis(1_795_000_000_000);

pub fn entry(n: u64, kind: EntryKind, keys: &[u128]) -> Entry {
    Entry {
        kind: kind as u8,
        test: false,
        at: NOW.0,
        keys: keys.to_vec(),
        decision: Some(u128::from(n)),
        route: n,
        subject: Some(7),
        shown: Vec::new(),
        hold_until: 0,
        id: n.to_string(),
        offer: Some("assist-wifi".to_owned()),
        placement: None,
        phase: None,
        propensity: Some(0.5),
        model: None,
        json: format!("{{\"n\":{n}}}"),
    }
}

fn config(dir: &Path) -> JournalConfig {
    JournalConfig {
        dir: dir.to_owned(),
        ..JournalConfig::default()
    }
}

fn open(config: JournalConfig) -> (Journal, Recovery, Vec<(Position, Entry)>) {
    let mut seen = Vec::new();
    let (journal, recovery) = Journal::open(config, NOW, &mut |position, entry| {
        seen.push((position, entry.clone()));
    })
    .unwrap();
    (journal, recovery, seen)
}

fn ids(entries: &[(Position, Entry)]) -> Vec<&str> {
    entries.iter().map(|(_, entry)| entry.id.as_str()).collect()
}

#[tokio::test]
async fn what_went_in_comes_out_now_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, recovery, _) = open(config(dir.path()));
    assert_eq!(recovery, Recovery::default());
    assert!(journal.record(entry(1, EntryKind::Decision, &[])));
    let click = entry(2, EntryKind::Click, &[2]);
    let order = entry(3, EntryKind::Order, &[3, 33]);
    let answers = journal
        .append_all(vec![(click, Ack::Written), (order, Ack::Durable)])
        .await;
    assert!(
        matches!(answers[..], [Ok(Appended::New(a)), Ok(Appended::New(b))] if a < b),
        "{answers:?}"
    );
    // Durable means readable.
    let mut reader = journal.reader(Position::START);
    let read = reader.next_batch(100, usize::MAX).unwrap();
    assert_eq!(ids(&read), ["1", "2", "3"]);
    assert!(reader.next_batch(100, usize::MAX).unwrap().is_empty());

    // Either key of an entry makes the next one a duplicate.
    for key in [3, 33] {
        let again = journal
            .append(entry(4, EntryKind::Order, &[key]), Ack::Durable)
            .await;
        assert_eq!(again, Ok(Appended::Duplicate));
    }
    assert!(journal.record(entry(5, EntryKind::Decision, &[])));
    journal.close().await;
    let late = journal.append(entry(6, EntryKind::Click, &[]), Ack::Written);
    assert_eq!(late.await, Err(AppendError::Closed));
    assert!(!journal.record(entry(7, EntryKind::Decision, &[])));
    let status = journal.status();
    assert_eq!((status.duplicates, status.lost(Lost::Closed)), (2, 2));
    assert_eq!(status.appended[EntryKind::Decision as usize].1, 2);

    let (journal, recovery, seen) = open(config(dir.path()));
    assert_eq!(ids(&seen), ["1", "2", "3", "5"]);
    assert_eq!((recovery.records, recovery.missing), (4, 0));
    assert_eq!((recovery.tail_bytes, recovery.dedup_keys), (0, 3));
    let again = journal
        .append(entry(8, EntryKind::Order, &[33]), Ack::Durable)
        .await;
    assert_eq!(again, Ok(Appended::Duplicate));
    journal.close().await;
}

#[tokio::test]
async fn a_reader_is_woken_and_follows_from_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(config(dir.path()));
    let mut watch = journal.watch();
    let mut reader = journal.reader(Position::START);
    for n in 1..=50 {
        assert!(journal.record(entry(n, EntryKind::Decision, &[])));
    }
    let mut read = Vec::new();
    while read.len() < 50 {
        watch.changed().await.unwrap();
        read.extend(reader.next_batch(7, usize::MAX).unwrap());
        while let more @ [_, ..] = &mut reader.next_batch(7, usize::MAX).unwrap()[..] {
            read.extend_from_slice(more);
        }
    }
    let seqs: Vec<u64> = read.iter().map(|(position, _)| position.seq).collect();
    assert_eq!(seqs, (1..=50).collect::<Vec<u64>>());
    let mut second = journal.reader(read[29].0);
    let rest = second.next_batch(100, usize::MAX).unwrap();
    assert_eq!(rest, read[30..]);
    let mut third = journal.reader(Position::START);
    assert_eq!(third.next_batch(100, 1).unwrap().len(), 1, "at least one");
    journal.close().await;
}

#[tokio::test]
async fn a_second_process_and_another_node_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(config(dir.path()));
    let refused = Journal::open(config(dir.path()), NOW, &mut |_, _| {}).map(|_| ());
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("in use by another process"), "{message}");
    journal.close().await;

    let other = JournalConfig {
        node: "node-2".to_owned(),
        ..config(dir.path())
    };
    let refused = Journal::open(other, NOW, &mut |_, _| {}).map(|_| ());
    assert!(
        matches!(&refused, Err(OpenError::OtherNode { found, .. }) if found == "node-1"),
        "{refused:?}"
    );
}
