//! What the files hold when something else than the journal has been at them.

use std::ops::Range;

use offerd::journal::format::{HEADER_BYTES, Header, Parsed, Place, node_hash, parse};
use offerd::journal::{Loaded, checkpoint::Checkpoint};

use super::*;

const NODE_FILE: &str = "node.checkpoint";

fn now() -> Now {
    Now {
        wall: Millis(START_MS),
        monotonic_ms: 0,
    }
}

fn open(
    disk: &SimDisk,
    config: JournalConfig,
) -> (Core<SimDisk>, Recovery, Vec<(Position, Entry)>) {
    let mut found = Vec::new();
    let (core, recovery) = Core::open(disk.clone(), config, now(), &mut |position, entry| {
        found.push((position, entry.clone()));
    })
    .expect("no content of any file keeps the journal from opening");
    (core, recovery, found)
}

fn append(core: &mut Core<SimDisk>, ids: Range<u64>, bytes: usize) -> Vec<Submission> {
    let mut group: Vec<Submission> = ids
        .map(|id| submission(entry(id, &[u128::from(id)], bytes), Ack::Durable))
        .collect();
    core.append(now(), &mut group);
    group
}

/// A disk with `segments` of ten records each, numbered on, and a last one cut short by a crash.
fn filled(segments: u64) -> SimDisk {
    let disk = SimDisk::new(1);
    for segment in 0..segments {
        let (mut core, ..) = open(&disk, JournalConfig::default());
        append(&mut core, segment * 10 + 1..segment * 10 + 11, 200);
        let synced = if segment + 1 < segments {
            core.close(now())
        } else {
            core.sync(now())
        };
        synced.unwrap();
    }
    disk
}

fn segments(disk: &SimDisk) -> Vec<String> {
    let names = disk.names().into_iter();
    names
        .filter(|name| name.ends_with(".wal") && disk.contents(name).unwrap().len() > HEADER_BYTES)
        .collect()
}

fn ids(found: &[(Position, Entry)]) -> Vec<u64> {
    let ids = found.iter().map(|(_, entry)| entry.id.parse().unwrap());
    ids.collect()
}

/// Where each record of a segment lies.
fn extents(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut extents = Vec::new();
    let mut at = HEADER_BYTES;
    while let Parsed::Record { bytes: len, .. } = parse(&bytes[at..]) {
        extents.push(at..at + len);
        at += len;
    }
    extents
}

/// *Goal*: no damage to the tail makes a start panic, hang or believe anything that was not written,
/// and every record that was not hit is recovered. *Method*: 10,000 random cuts, flipped bits and
/// blanked sectors.
#[test]
fn a_damaged_tail_costs_exactly_the_records_it_hit() {
    let disk = filled(1);
    let (mut core, ..) = open(&disk, JournalConfig::default());
    append(&mut core, 11..60, 150);
    core.sync(now()).unwrap();
    drop(core);
    let name = segments(&disk).pop().unwrap();
    let (whole, node) = (
        disk.contents(&name).unwrap(),
        disk.contents(NODE_FILE).unwrap(),
    );
    let extents = extents(&whole);
    assert_eq!(extents.len(), 59);
    let mut dice = Dice(7);
    for round in 0..10_000 {
        let mut bytes = whole.clone();
        let mut hit = vec![false; bytes.len()];
        match dice.roll(3) {
            0 => {
                let len = usize::try_from(dice.roll(bytes.len() as u64)).unwrap();
                bytes.truncate(len);
                hit[len..].fill(true);
            }
            1 => {
                for _ in 0..1 + dice.roll(8) {
                    let bit = usize::try_from(dice.roll(bytes.len() as u64 * 8)).unwrap();
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    hit[bit / 8] = true;
                }
            }
            _ => {
                let sector = usize::try_from(dice.roll(bytes.len() as u64)).unwrap() / 512 * 512;
                let end = bytes.len().min(sector + 512);
                bytes[sector..end].fill(0);
                hit[sector..end].fill(true);
            }
        }
        let expected: Vec<u64> = (0..59)
            .filter(|i| {
                hit[extents[*i].clone()].iter().all(|hit| !hit) || {
                    // Two flips may cancel each other out.
                    bytes.get(extents[*i].clone()) == Some(&whole[extents[*i].clone()])
                }
            })
            .map(|i| i as u64 + 1)
            .collect();
        let damaged = SimDisk::new(round);
        damaged.plant(NODE_FILE, &node);
        damaged.plant(&name, &bytes);
        let (core, recovery, found) = open(&damaged, JournalConfig::default());
        assert_eq!(ids(&found), expected, "round {round}");
        let mut reader = Reader::new(damaged.clone(), core.index().clone(), Position::START);
        assert_eq!(reader.next_batch(100, usize::MAX).unwrap(), found);
        assert_eq!(recovery.records, expected.len() as u64);
    }
}

/// Every way in which the directory can be wrong: what it costs, and that nothing is deleted.
#[test]
fn a_strange_directory_is_opened_and_counted() {
    type Spoil = fn(&SimDisk, &[String]);
    type Count = fn(&Recovery) -> u64;
    let cases: &[(&str, Spoil, u64, u64, Count)] = &[
        ("healthy", |_, _| {}, 30, 0, |_| 1),
        (
            "a foreign file",
            |disk, _| disk.plant("notes.txt", b"hello"),
            30,
            0,
            |r| r.files_foreign,
        ),
        (
            "a segment that is none",
            |disk, _| disk.plant("0000000099.wal", b"hello"),
            30,
            0,
            |r| r.files_damaged,
        ),
        (
            "an empty file",
            |disk, _| disk.plant("0000000098.wal", b""),
            30,
            0,
            |r| r.files_damaged,
        ),
        (
            "a missing segment in the middle",
            |disk, names| {
                use offerd::journal::disk::Disk;
                disk.remove(&names[1]).unwrap();
            },
            20,
            10,
            |_| 1,
        ),
        (
            "a damaged header in the middle",
            |disk, names| {
                let mut bytes = disk.contents(&names[1]).unwrap();
                bytes[20] ^= 1;
                disk.plant(&names[1], &bytes);
            },
            30,
            0,
            |r| r.headers_damaged,
        ),
        (
            "a damaged record in the middle",
            |disk, names| {
                let mut bytes = disk.contents(&names[1]).unwrap();
                let third = extents(&bytes)[2].clone();
                bytes[third.start + 50] ^= 1;
                disk.plant(&names[1], &bytes);
            },
            29,
            1,
            |r| r.holes,
        ),
        (
            "another format version",
            |disk, _| {
                let header = Header {
                    node: node_hash("node-1"),
                    number: 50,
                    follows: Place::default(),
                    before: Position::START,
                };
                let mut bytes = header.encode();
                bytes[8] = 9;
                let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..]);
                bytes[12..16].copy_from_slice(&crc.to_le_bytes());
                disk.plant("0000000050.wal", &bytes);
            },
            30,
            0,
            |r| r.files_other_version,
        ),
        (
            "another node's segment",
            |disk, _| {
                let header = Header {
                    node: node_hash("node-2"),
                    number: 50,
                    follows: Place::default(),
                    before: Position::START,
                };
                disk.plant("0000000050.wal", &header.encode());
            },
            30,
            0,
            |r| r.files_other_node,
        ),
        (
            "a damaged node file",
            |disk, _| disk.plant(NODE_FILE, b"\"node-"),
            30,
            0,
            |_| 1,
        ),
    ];
    for (what, spoil, records, missing, count) in cases {
        let disk = filled(3);
        let names = segments(&disk);
        assert_eq!(names.len(), 3, "{names:?}");
        spoil(&disk, &names);
        let files = disk.names().len();
        let (mut core, recovery, found) = open(&disk, JournalConfig::default());
        assert_eq!(found.len() as u64, *records, "{what}");
        assert_eq!(recovery.missing, *missing, "{what}: {recovery:?}");
        assert_eq!(count(&recovery), 1, "{what}: {recovery:?}");
        // The last segment was written again under another number; nothing else has gone.
        assert!(disk.names().len() >= files, "{what}: {:?}", disk.names());
        // It works on, and its numbers collide with nothing.
        let outcome = append(&mut core, 1000..1001, 10)[0].outcome;
        assert!(matches!(outcome, Some(Ok(_))), "{what}");
        core.sync(now()).unwrap();
        let mut reader = Reader::new(disk.clone(), core.index().clone(), Position::START);
        let read = reader.next_batch(1000, usize::MAX).unwrap();
        assert_eq!(read.len() as u64, records + 1, "{what}");
        assert_eq!(reader.skipped().missing, *missing, "{what}");
        let node = Checkpoint::on(disk, "node").load::<String>().unwrap();
        assert_eq!(node, Loaded::Value("node-1".to_owned()));
    }
}

#[test]
fn a_full_disk_refuses_counts_and_recovers_by_itself() {
    let disk = SimDisk::new(3);
    let small = JournalConfig {
        segment_bytes_max: 4_000,
        ..JournalConfig::default()
    };
    let (mut core, ..) = open(&disk, small.clone());
    disk.state().capacity = Some(20_000);
    let mut taken = Vec::new();
    let mut refused = 0;
    for id in 1..200 {
        let group = append(&mut core, id..id + 1, 200);
        match group[0].outcome {
            Some(Ok(_)) if core.sync(now()).is_ok() => taken.push(id),
            Some(Ok(_)) => {}
            other => {
                refused += 1;
                let full = AppendError::Disk(DiskTrouble::NoSpace);
                assert_eq!(other, Some(Err(full)));
            }
        }
    }
    assert!(refused > 100 && taken.len() > 40, "{refused}, {taken:?}");
    assert_eq!(core.counters().lost(Lost::Disk).get(), refused);
    assert_eq!(core.trouble(), Some(DiskTrouble::NoSpace));
    // Space returns: the next entry is taken, also one that was refused before.
    disk.state().capacity = None;
    let group = append(&mut core, 199..200, 200);
    assert!(matches!(group[0].outcome, Some(Ok(t)) if t.appended != Appended::Duplicate));
    core.sync(now()).unwrap();
    assert_eq!(core.trouble(), None);
    taken.push(199);
    drop(core);
    disk.restart(Crash::Power);
    let (_, recovery, found) = open(&disk, small);
    assert_eq!(ids(&found), taken);
    assert_eq!((recovery.missing, recovery.holes), (0, 0));
}

#[test]
fn a_full_disk_may_cost_the_oldest_instead() {
    let disk = SimDisk::new(3);
    let config = JournalConfig {
        segment_bytes_max: 4_000,
        write_policy: WritePolicy::DropOldest,
        ..JournalConfig::default()
    };
    let (mut core, ..) = open(&disk, config);
    disk.state().capacity = Some(20_000);
    for id in 1..200 {
        let group = append(&mut core, id..id + 1, 200);
        assert!(matches!(group[0].outcome, Some(Ok(_))), "{id}");
        core.sync(now()).unwrap();
    }
    let mut reader = Reader::new(disk, core.index().clone(), Position::START);
    let kept = reader.next_batch(1000, usize::MAX).unwrap();
    let lost = core.counters().lost(Lost::Retention).get();
    assert_eq!(kept.len() as u64 + lost, 199);
    assert!(kept.len() > 30 && lost > 100);
}

#[test]
fn nothing_unshipped_is_deleted_for_its_age() {
    let disk = SimDisk::new(3);
    let config = JournalConfig {
        segment_bytes_max: 4_000,
        retain_days: 1,
        ..JournalConfig::default()
    };
    let (mut core, ..) = open(&disk, config);
    for id in 1..60 {
        append(&mut core, id..id + 1, 200);
        core.sync(now()).unwrap();
    }
    let later = Now {
        wall: Millis(START_MS + 2 * DAY_MS),
        monotonic_ms: 3_600_000,
    };
    assert!(core.tick(later).is_none(), "nothing to sync");
    let count = core.index().len();
    assert!(count > 3, "nothing is deleted before it is shipped");
    let mut reader = Reader::new(disk.clone(), core.index().clone(), Position::START);
    reader.next_batch(30, usize::MAX).unwrap();
    core.index().set_shipped(reader.position());
    let at = |monotonic_ms| Now {
        monotonic_ms,
        ..later
    };
    assert!(core.tick(at(7_200_000)).is_none());
    assert!(core.index().len() < count);
    assert_eq!(core.counters().lost(Lost::Retention).get(), 0);
    // The reader goes on behind what it has read.
    let rest = reader.next_batch(1000, usize::MAX).unwrap();
    assert_eq!(ids(&rest), (31..60).collect::<Vec<u64>>());
    assert_eq!(reader.skipped().missing, 0);
    core.index().set_shipped(Position::END);
    assert!(core.tick(at(10_800_000)).is_none());
    assert_eq!(core.index().len(), 1, "the one being written stays");
    // A reader that comes late hears how much it has missed.
    let after = Position {
        ms: START_MS,
        seq: 1,
    };
    let mut late = Reader::new(disk, core.index().clone(), after);
    append(&mut core, 100..101, 10);
    core.sync(later).unwrap();
    let last = late.next_batch(1000, usize::MAX).unwrap();
    assert_eq!(ids(&last).last(), Some(&100));
    assert_eq!(late.skipped().missing + last.len() as u64, 59);
}
