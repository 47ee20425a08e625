//! The journal on a real disk: what its face promises.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like the tests"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use offerd::domain::{Ack, Entry, EntryKind, Millis};
use offerd::journal::{
    AppendError, Appended, Journal, JournalConfig, Lost, OpenError, Position, Recovery, read_folder,
};

const NOW: Millis = Millis(1_795_000_000_000);

fn entry(n: u64, kind: EntryKind, keys: &[u128]) -> Entry {
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
        record: format!("{{\"n\":{n}}}").into(),
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
    let mut fourth = journal.reader(Position::START);
    assert_eq!(fourth.pass_over(20).unwrap(), 20);
    assert_eq!(fourth.next_batch(10, usize::MAX).unwrap(), read[20..30]);
    assert_eq!(fourth.pass_over(100).unwrap(), 20);
    assert_eq!(
        (fourth.position(), fourth.skipped()),
        (read[49].0, reader.skipped())
    );
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

/// *Goal*: many senders at once, over several segments, each get one true answer. *Method*: sixteen
/// tasks send the same keys; a reader follows meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_senders_of_the_same_keys_get_one_new_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        segment_bytes_max: 1_100_000,
        ..config(dir.path())
    };
    let (journal, ..) = open(config.clone());
    let reading = journal.clone();
    let reader = std::thread::spawn(move || {
        let mut reader = reading.reader(Position::START);
        let mut read = Vec::new();
        while read.len() < 1_000 {
            read.extend(reader.next_batch(64, 1 << 20).unwrap());
            std::thread::yield_now();
        }
        (read, reader.skipped())
    });
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut new = 0;
                for batch in 0..20 {
                    let entries = (0..50).map(|i| {
                        let n = batch * 50 + i;
                        let mut entry = entry(n, EntryKind::Conversion, &[u128::from(n)]);
                        entry.record = "x".repeat(4_000).into();
                        (entry, Ack::Durable)
                    });
                    for answer in journal.append_all(entries.collect()).await {
                        new += usize::from(answer.unwrap() != Appended::Duplicate);
                    }
                }
                new
            })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += task.await.unwrap();
    }
    assert_eq!(new, 1_000);
    let (read, skipped) = reader.join().unwrap();
    assert_eq!(skipped, offerd::journal::Skipped::default());
    assert!(journal.status().segments > 3);
    assert_eq!(journal.status().duplicates, 15_000);
    journal.close().await;
    let (journal, recovery, seen) = open(config);
    assert_eq!((recovery.records, recovery.missing), (1_000, 0));
    assert_eq!(seen, read);
    journal.close().await;
}

/// *Goal*: a full disk gives no false yes, leaves nothing half-written, and heals by itself. *Method*:
/// a real file system of four megabytes; needs the right to mount one, and says so without it.
#[tokio::test]
async fn a_full_file_system_refuses_and_heals() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mounted) = Tmpfs::mount(dir.path()) else {
        println!("not tested here: mounting a tmpfs is not allowed");
        return;
    };
    let config = JournalConfig {
        segment_bytes_max: 1_100_000,
        ..config(&dir.path().join("journal"))
    };
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let (journal, ..) = open(config.clone());
    let send = |n: u64| {
        let mut entry = entry(n, EntryKind::Order, &[u128::from(n)]);
        entry.record = "x".repeat(20_000).into();
        journal.append(entry, Ack::Durable)
    };
    let mut taken = Vec::new();
    let mut n = 0;
    let refusal = loop {
        n += 1;
        match send(n).await {
            Ok(_) => taken.push(n.to_string()),
            Err(error) => break error,
        }
    };
    assert_eq!(
        refusal,
        AppendError::Disk(offerd::journal::DiskTrouble::NoSpace)
    );
    assert_eq!(
        journal.status().trouble,
        Some(offerd::journal::DiskTrouble::NoSpace)
    );
    std::fs::remove_file(&ballast).unwrap();
    assert!(matches!(send(n).await, Ok(Appended::New(_))));
    taken.push(n.to_string());
    assert_eq!(journal.status().trouble, None);
    journal.close().await;
    let (journal, recovery, seen) = open(config);
    let orders = seen
        .iter()
        .filter(|(_, e)| e.kind() == Some(EntryKind::Order));
    let orders: Vec<&str> = orders.map(|(_, entry)| entry.id.as_str()).collect();
    assert_eq!(orders, taken);
    assert_eq!((recovery.missing, recovery.holes), (0, 0));
    journal.close().await;
}

/// A small file system, gone when dropped.
struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn mount(dir: &Path) -> Option<Tmpfs<'_>> {
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir)
            .output();
        mount
            .is_ok_and(|done| done.status.success())
            .then_some(Tmpfs(dir))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0)
            .status();
    }
}

/// *Goal*: whoever reads the folder of a live journal sees everything that was acknowledged before
/// and is retained, in order, and disturbs nothing. *Method*: a writer whose segments are full after
/// some fifty records and whose retention deletes nearly all of them, read from outside meanwhile.
#[test]
fn a_folder_is_read_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        segment_bytes_max: 1_100_000,
        retain_bytes_max: 1_100_000,
        ..config(dir.path())
    };
    let (journal, ..) = open(config.clone());
    let acknowledged = Arc::new(AtomicU64::new(0));
    let (sending, told) = (journal.clone(), Arc::clone(&acknowledged));
    let sender = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for n in 1..=1_500 {
            let mut entry = entry(n, EntryKind::Click, &[]);
            entry.record = "x".repeat(20_000).into();
            let ack = if n % 7 == 0 {
                Ack::Durable
            } else {
                Ack::Written
            };
            let answer = runtime.block_on(sending.append(entry, ack));
            assert!(matches!(answer, Ok(Appended::New(at)) if at.seq == n));
            told.store(n, Ordering::Release);
        }
        runtime.block_on(sending.close());
    });
    let mut rounds = 0;
    while !sender.is_finished() || rounds == 0 {
        let before = acknowledged.load(Ordering::Acquire);
        let mut seqs = Vec::new();
        let read = read_folder(dir.path(), &mut |at, _| seqs.push(at.seq)).unwrap();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            seqs.last().copied().unwrap_or(0) >= before,
            "{before}: {read:?}"
        );
        rounds += 1;
    }
    sender.join().unwrap();
    assert!(journal.status().segments_deleted > 10, "{rounds} rounds");
    // Nothing in it has been changed, removed or added by reading.
    let files = || -> Vec<_> {
        let mut files: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    std::fs::write(dir.path().join("0000009999.wal.tmp"), "unfinished").unwrap();
    std::fs::write(dir.path().join("0000009998.wal"), "damaged").unwrap();
    let before = files();
    let read = read_folder(dir.path(), &mut |_, _| {}).unwrap();
    assert_eq!((read.missing, read.files_damaged), (0, 1));
    assert!(files() == before);
    let (_journal, recovery, _) = open(config);
    assert_eq!((recovery.missing, recovery.last.seq), (0, 1_500));
}

/// *Goal*: how old a record may be when a `kill -9` takes it. *Method*: five thousand decisions a second
/// for three seconds, with a click every tenth that waits for the disk; meanwhile another thread looks
/// again and again how long ago the oldest one was handed over that is not yet written.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a sender at a fixed rate, on a thread of its own"
)]
#[ignore = "a measurement, for a machine that does nothing else"]
fn the_age_of_the_oldest_unwritten_record() {
    const PER_SECOND: u64 = 5_000;
    const RECORDS: u64 = 3 * PER_SECOND;
    let dir = tempfile::tempdir().unwrap();
    let (journal, ..) = open(config(dir.path()));
    let start = Instant::now();
    let handed_over = |n: u64| Duration::from_nanos(n * 1_000_000_000 / PER_SECOND);
    let sending = journal.clone();
    let pushed = Arc::new(AtomicU64::new(0));
    let sent = Arc::clone(&pushed);
    let sender = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        for n in 0..RECORDS {
            while start.elapsed() < handed_over(n) {
                std::thread::sleep(Duration::from_micros(50));
            }
            let mut entry = entry(n, EntryKind::Decision, &[]);
            entry.record = "x".repeat(600).into();
            assert!(sending.record(entry));
            sent.store(n + 1, Ordering::Release);
            if n % 50 == 0 {
                let journal = sending.clone();
                let click = self::entry(n, EntryKind::Click, &[]);
                runtime.spawn(async move { journal.append(click, Ack::Durable).await.unwrap() });
            }
        }
        runtime.block_on(sending.close());
    });
    let mut ages = Vec::new();
    while pushed.load(Ordering::Acquire) < RECORDS {
        let written = journal.status().appended[EntryKind::Decision as usize].1;
        let now = start.elapsed();
        let age = if written < pushed.load(Ordering::Acquire) {
            now.saturating_sub(handed_over(written))
        } else {
            Duration::ZERO
        };
        ages.push(age);
        std::thread::sleep(Duration::from_micros(100));
    }
    sender.join().unwrap();
    ages.sort_unstable();
    let at = |share: f64| ages[((ages.len() - 1) as f64 * share) as usize];
    println!(
        "oldest unwritten: p50 {:?}, p99 {:?}, p99.9 {:?}, max {:?} of {} looks; last fdatasync {} ms, {} syncs",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        ages.len(),
        journal.status().sync_ms_last,
        journal.status().syncs,
    );
}
