//! The journal's core on a simulated disk.
//!
//! *Goal*: whatever call the process dies in and however the disk fails, no acknowledged entry is
//! lost, none appears twice, none that was not sent appears, positions only increase, and what a
//! reader has seen stays. *Method*: one seed drives the requests, the clock, the disk's failures, the
//! crashes, and when each sync is begun, made and heard of; a plain model of what was promised is compared after every restart. The schedule
//! count comes from `OFFERD_SIM_SCHEDULES`; a seed that ever fails is kept in `FAILED_ONCE`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like the tests"
)]

mod damage;
pub mod disk;

use std::collections::{HashMap, HashSet};
use std::io;

use offerd::domain::{Ack, Entry, EntryKind, Millis};
use offerd::journal::core::{Core, Now, Submission, Ticket};
use offerd::journal::{
    AppendError, Appended, DiskTrouble, JournalConfig, Lost, Position, Reader, Recovery,
    WritePolicy,
};

use self::disk::{Crash, Dice, SimDisk};

/// Seeds that once found a fault.
const FAILED_ONCE: &[u64] = &[773, 833];
const START_MS: i64 = 1_795_000_000_000;
const DAY_MS: i64 = 86_400_000;

fn config() -> JournalConfig {
    JournalConfig {
        segment_bytes_max: 3_000,
        retain_days: 2,
        dedup_days: 1,
        flush_interval_ms: 100,
        ..JournalConfig::default()
    }
}

fn entry(id: u64, keys: &[u128], bytes: usize) -> Entry {
    Entry {
        kind: EntryKind::Click as u8,
        test: false,
        at: START_MS,
        keys: keys.to_vec(),
        decision: Some(u128::from(id)),
        route: id,
        subject: None,
        shown: Vec::new(),
        hold_until: 0,
        id: id.to_string(),
        offer: None,
        placement: None,
        phase: None,
        propensity: None,
        model: None,
        record: "x".repeat(bytes).into(),
    }
}

fn submission(entry: Entry, ack: Ack) -> Submission {
    Submission {
        entry,
        ack,
        outcome: None,
    }
}

/// What was promised, beside the journal that promised it.
struct World {
    disk: SimDisk,
    dice: Dice,
    core: Option<Core<SimDisk>>,
    reader: Option<Reader<SimDisk>>,
    /// The sync under way, and how it ended once it was made. What is written after it was made and
    /// before the core hears of it, it does not cover.
    underway: Option<(Ticket<SimDisk>, Option<io::Result<()>>)>,
    now: Now,
    next_id: u64,
    sent: HashMap<u64, Entry>,
    /// Where entries stand that were answered `New` or found by a restart.
    places: HashMap<u64, Position>,
    /// Must survive a process crash.
    written: HashSet<u64>,
    /// Must survive a power cut.
    durable: HashSet<u64>,
    /// Durable answers not yet due: the position they wait for, the entry they speak for.
    waiting: Vec<(Position, u64)>,
    /// Who holds a key in the running process.
    holders: HashMap<u128, u64>,
    /// The highest position anybody saw.
    seen: Position,
    shipped: Position,
    /// The latest the wall clock has ever been.
    latest_ms: i64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            disk: SimDisk::new(seed),
            dice: Dice(seed ^ 0xD1CE),
            core: None,
            reader: None,
            underway: None,
            now: Now {
                wall: Millis(START_MS),
                monotonic_ms: 0,
            },
            next_id: 1,
            sent: HashMap::new(),
            places: HashMap::new(),
            written: HashSet::new(),
            durable: HashSet::new(),
            waiting: Vec::new(),
            holders: HashMap::new(),
            seen: Position::START,
            shipped: Position::START,
            latest_ms: START_MS,
        };
        world.try_open();
        world
    }

    fn dead(&self) -> bool {
        self.disk.state().crashed
    }

    /// One attempt to open; when the disk fails it, or stops in it, there is no core.
    fn try_open(&mut self) -> Option<(Recovery, Vec<(Position, Entry)>)> {
        let mut found = Vec::new();
        let failures = self.disk.state().failures;
        let opened = Core::open(
            self.disk.clone(),
            config(),
            self.now,
            &mut |position, entry| {
                found.push((position, entry.clone()));
            },
        );
        match opened {
            Ok((core, recovery)) => {
                let reader = Reader::new(self.disk.clone(), core.index().clone(), Position::START);
                self.reader = Some(reader);
                self.core = Some(core);
                Some((recovery, found))
            }
            Err(error) => {
                let state = self.disk.state();
                assert!(
                    state.crashed || state.failures > failures || state.capacity.is_some(),
                    "a healthy disk must open: {error}"
                );
                None
            }
        }
    }

    fn crash(&mut self, crash: Crash) {
        self.core = None;
        self.reader = None;
        self.underway = None;
        self.waiting.clear();
        self.disk.restart(crash);
        {
            let mut state = self.disk.state();
            state.fail_one_in = 0;
            state.fail_at.clear();
            state.capacity = None;
        }
        let (recovery, found) = self.try_open().expect("healthy again");
        self.compare(crash, &recovery, &found);
    }

    fn compare(&mut self, crash: Crash, recovery: &Recovery, found: &[(Position, Entry)]) {
        let mut ids = HashMap::new();
        let mut keys = HashSet::new();
        let mut last = Position::START;
        let mut gaps = 0;
        for (position, entry) in found {
            let id = entry.id.parse::<u64>().unwrap();
            assert_eq!(self.sent.get(&id), Some(entry), "an entry nobody sent");
            assert!(ids.insert(id, *position).is_none(), "entry {id} twice");
            // An entry may name a key twice.
            for key in entry.keys.iter().collect::<HashSet<_>>() {
                // A key may be used again once the index has let go of it.
                let again = !keys.insert(*key);
                assert!(!again || self.keys_may_have_expired(), "key {key}");
            }
            assert!(position.follows(last), "{position} after {last}");
            if last != Position::START {
                gaps += position.seq - last.seq - 1;
            }
            last = *position;
        }
        // What a crash tore out of the middle is counted, and nothing else is.
        assert!(recovery.missing >= gaps, "{recovery:?}");
        assert_eq!(recovery.undecodable + recovery.files_damaged, 0);
        let promised: Vec<&u64> = match crash {
            Crash::Power => self.durable.iter().collect(),
            Crash::Process => self.durable.union(&self.written).collect(),
        };
        for id in promised {
            let deleted = self.places.get(id).is_some_and(|p| *p <= self.shipped);
            assert!(
                ids.contains_key(id) || deleted,
                "entry {id} at {:?} was acknowledged and is lost after {crash:?}: {recovery:?}",
                self.places.get(id)
            );
            if let (Some(was), Some(is)) = (self.places.get(id), ids.get(id)) {
                assert_eq!(was, is, "entry {id} has moved");
            }
        }
        // A start makes what it finds durable.
        self.durable = ids.keys().copied().collect();
        self.places = ids;
        self.written.clear();
        self.holders.clear();
        for (_, entry) in found {
            for key in &entry.keys {
                self.holders.insert(*key, entry.id.parse().unwrap());
            }
        }
        self.read(usize::MAX);
        let all = found.last().map_or(self.seen, |f| f.0);
        let reader = self.reader.as_ref().unwrap();
        assert!(found.is_empty() || reader.position() == all);
    }

    fn append(&mut self) {
        // What the writer does, and what it may forget: then the core refuses.
        if self.core.as_ref().unwrap().must_wait() && self.dice.one_in(2) {
            self.end_syncs();
            if self.dead() {
                return;
            }
        }
        let count = 1 + self.dice.roll(4);
        let mut group: Vec<Submission> = (0..count).map(|_| self.submission()).collect();
        let before = self.core.as_ref().unwrap().durable();
        let core = self.core.as_mut().unwrap();
        core.append(self.now, &mut group);
        if self.dead() {
            // Nobody lived to hear of it; any of it may be on record.
            return;
        }
        let mut last = before;
        for submission in &group {
            let id = submission.entry.id.parse::<u64>().unwrap();
            let Some(Ok(taken)) = submission.outcome else {
                assert!(submission.outcome.is_some(), "every entry has an outcome");
                continue;
            };
            let speaks_for = match taken.appended {
                Appended::New(position) => {
                    assert!(position.follows(last), "{position} after {last}");
                    last = position;
                    assert!(position > self.seen, "{position} was seen before");
                    for key in &submission.entry.keys {
                        let holder = self.holders.insert(*key, id);
                        let expired = self.keys_may_have_expired();
                        assert!(
                            holder.is_none_or(|h| h == id) || expired,
                            "key {key} of {holder:?} was taken again"
                        );
                    }
                    self.places.insert(id, position);
                    id
                }
                Appended::Duplicate => {
                    let keys = submission.entry.keys.iter();
                    let holder = keys.filter_map(|key| self.holders.get(key)).max();
                    *holder.expect("a duplicate of something")
                }
            };
            // Written is promised at once; durable once the core says so.
            self.written.insert(speaks_for);
            if submission.ack == Ack::Durable {
                let once = taken.once_durable.unwrap_or(Position::START);
                self.waiting.push((once, speaks_for));
            }
        }
        self.settle();
    }

    /// The clock steps by hours and days, back and forth: once it may have stood a day ahead of any
    /// record, keys may be taken again.
    fn keys_may_have_expired(&self) -> bool {
        self.latest_ms - START_MS > DAY_MS / 2
    }

    fn submission(&mut self) -> Submission {
        let id = self.next_id;
        self.next_id += 1;
        let keys: Vec<u128> = (0..self.dice.roll(3))
            .map(|_| u128::from(self.dice.roll(60)))
            .collect();
        let bytes = if self.dice.one_in(12) { 2_500 } else { 40 };
        let entry = entry(id, &keys, usize::try_from(self.dice.roll(bytes)).unwrap());
        self.sent.insert(id, entry.clone());
        let ack = if self.dice.one_in(2) {
            Ack::Durable
        } else {
            Ack::Written
        };
        submission(entry, ack)
    }

    /// Sends the answers that have become true.
    fn settle(&mut self) {
        let core = self.core.as_ref().unwrap();
        let (durable, refused) = (core.durable(), core.durable_refused());
        self.waiting.retain(|(once, id)| {
            if *once <= durable {
                self.durable.insert(*id);
            }
            *once > durable && refused.is_none()
        });
    }

    fn tick(&mut self) {
        if let Some(ticket) = self.core.as_mut().unwrap().tick(self.now) {
            assert!(self.underway.is_none(), "two syncs at once");
            self.underway = Some((ticket, None));
        }
        if !self.dead() {
            self.settle();
        }
    }

    /// The sync thread's next step, or the writer's hearing of it.
    fn go_on_syncing(&mut self) {
        match self.underway.take() {
            Some((ticket, None)) => {
                let ended = ticket.run();
                self.underway = Some((ticket, Some(ended)));
            }
            Some((ticket, Some(ended))) => {
                let core = self.core.as_mut().unwrap();
                let next = core.end_sync(ticket, ended, self.now);
                self.underway = next.map(|ticket| (ticket, None));
                if !self.dead() {
                    self.settle();
                }
            }
            None => {}
        }
    }

    fn end_syncs(&mut self) {
        while self.underway.is_some() && !self.dead() {
            self.go_on_syncing();
        }
    }

    fn read(&mut self, max_entries: usize) {
        let reader = self.reader.as_mut().unwrap();
        let mut last = reader.position();
        let Ok(batch) = reader.next_batch(max_entries, usize::MAX) else {
            assert!(self.dead());
            return;
        };
        for (position, entry) in batch {
            let id = entry.id.parse::<u64>().unwrap();
            assert_eq!(self.sent.get(&id), Some(&entry));
            assert!(position.follows(last), "{position} after {last}");
            last = position;
            let place = *self.places.entry(id).or_insert(position);
            assert_eq!(place, position);
            // What was read can be shipped: it must never un-happen.
            self.durable.insert(id);
        }
        self.seen = self.seen.max(last);
    }

    fn pass_time(&mut self) {
        let ms = self.dice.roll(80);
        self.now.monotonic_ms += ms;
        self.now.wall.0 += i64::try_from(ms).unwrap();
        match self.dice.roll(200) {
            0 => self.now.wall.0 += 3_600_000,
            1 => self.now.wall.0 -= 3_600_000,
            2 => self.now.wall.0 -= 10_000,
            3 => {
                self.now.wall.0 += DAY_MS;
                self.now.monotonic_ms += 20_000;
            }
            _ => {}
        }
        self.latest_ms = self.latest_ms.max(self.now.wall.0);
    }

    fn step(&mut self) {
        self.pass_time();
        match self.dice.roll(14) {
            0..5 => self.append(),
            5..8 => self.tick(),
            8..12 => self.go_on_syncing(),
            12 => {
                let some = 1 + self.dice.roll(20);
                self.read(usize::try_from(some).unwrap());
            }
            _ => {
                let reader = self.reader.as_ref().unwrap();
                self.shipped = self.shipped.max(reader.position());
                self.core
                    .as_ref()
                    .unwrap()
                    .index()
                    .set_shipped(self.shipped);
            }
        }
    }
}

/// A life of requests, failures and crashes.
fn schedule(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..2 + world.dice.roll(4) {
        {
            let calls = world.disk.state().calls;
            let (faulty, stops) = (world.dice.one_in(2), world.dice.one_in(2));
            let (rate, at) = (2 + world.dice.roll(30), world.dice.roll(60));
            let tight = world
                .dice
                .one_in(6)
                .then(|| 4_000 + world.dice.roll(20_000));
            let mut state = world.disk.state();
            state.fail_one_in = if faulty { rate } else { 0 };
            state.crash_at = stops.then_some(calls + 1 + at);
            state.capacity = tight;
        }
        for _ in 0..world.dice.roll(60) {
            if world.dead() || world.core.is_none() {
                break;
            }
            world.step();
        }
        if world.core.is_some() && !world.dead() && world.dice.one_in(3) {
            let now = world.now;
            // The writer ends the sync first; the core is right without that as well.
            if world.dice.one_in(2) {
                world.end_syncs();
            }
            let closed = world.core.as_mut().unwrap().close(now);
            if world.dice.one_in(2) && !world.dead() {
                world.end_syncs();
            }
            if closed.is_ok() && !world.dead() {
                world.settle();
                world.durable.extend(world.written.drain());
            }
        }
        // Now and then the machine also stops while it starts again.
        let mut crash = random_crash(&mut world.dice);
        while world.dice.one_in(3) {
            world.core = None;
            world.reader = None;
            world.underway = None;
            world.disk.restart(crash);
            let at = world.disk.state().calls + 1 + world.dice.roll(12);
            world.disk.state().crash_at = Some(at);
            world.try_open();
            let next = random_crash(&mut world.dice);
            // What a power cut may take was taken, whatever comes after.
            if crash == Crash::Power {
                world.written.clear();
            }
            crash = next;
        }
        world.crash(crash);
    }
}

fn random_crash(dice: &mut Dice) -> Crash {
    if dice.one_in(2) {
        Crash::Power
    } else {
        Crash::Process
    }
}

#[test]
fn random_schedules() {
    let count = std::env::var("OFFERD_SIM_SCHEDULES").ok();
    let count: u64 = count.map_or(3_000, |n| n.parse().expect("a number"));
    let first = std::env::var("OFFERD_SIM_SEED").ok();
    let first: u64 = first.map_or(1, |n| n.parse().expect("a number"));
    for seed in FAILED_ONCE.iter().copied().chain(first..first + count) {
        let outcome = std::panic::catch_unwind(|| schedule(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

/// The same requests with the machine stopping at the first call, the second, and so on to the last.
#[test]
fn a_crash_at_every_call() {
    for (crash, seeds) in [(Crash::Process, 1..3), (Crash::Power, 10..16)] {
        for seed in seeds {
            let mut at = 0;
            loop {
                at += 1;
                if !scripted(seed, crash, at) {
                    break;
                }
            }
            assert!(at > 60, "the script makes {at} calls");
        }
    }
}

/// Whether the machine stopped within the script.
fn scripted(seed: u64, crash: Crash, at: u64) -> bool {
    let mut world = World::new(seed);
    let opened = world.disk.state().calls;
    world.disk.state().crash_at = Some(opened + at);
    for step in 0..80 {
        world.now.monotonic_ms += 40;
        world.now.wall.0 += 40;
        match step % 4 {
            0 | 1 => world.append(),
            2 => world.tick(),
            _ => world.read(3),
        }
        // At every second seed a sync takes two steps, else it is over at once.
        if seed.is_multiple_of(2) && !world.dead() {
            world.go_on_syncing();
        } else {
            world.end_syncs();
        }
        if world.dead() {
            break;
        }
        if step == 60 {
            world.shipped = world.reader.as_ref().unwrap().position();
            let core = world.core.as_mut().unwrap();
            core.index().set_shipped(world.shipped);
            world.now.wall.0 += 3 * DAY_MS;
            world.latest_ms = world.now.wall.0;
            world.now.monotonic_ms += 20_000;
            world.end_syncs();
            world.tick();
        }
    }
    let stopped = world.dead();
    world.crash(crash);
    stopped
}

#[test]
fn an_error_at_every_call() {
    for seed in 1..4 {
        for at in 1..200 {
            let mut world = World::new(seed);
            // A second failure right behind the first is what makes the journal refuse.
            let at_call = world.disk.state().calls + at;
            world.disk.state().fail_at = vec![at_call, at_call + 1, at_call + 2 + at % 5];
            for _ in 0..60 {
                world.step();
            }
            world.disk.state().fail_at.clear();
            for _ in 0..3 {
                world.end_syncs();
                world.now.monotonic_ms += 1_000;
                world.tick();
            }
            world.end_syncs();
            let core = world.core.as_ref().unwrap();
            assert_eq!(core.durable_refused(), None, "it heals, call {at}");
            world.crash(Crash::Power);
        }
    }
}

/// A group is refused after all or part of it has reached the file; its sender tries again, with the
/// entries in another order, and the process dies. What was refused must not stand behind the retry.
#[test]
fn a_refused_group_does_not_come_back_beside_its_retry() {
    for seed in 0..400 {
        for crash in [Crash::Process, Crash::Power] {
            let mut world = World::new(seed);
            let send = |world: &mut World, keys: &[u128]| {
                let mut group: Vec<Submission> = keys
                    .iter()
                    .map(|key| {
                        let entry = entry(world.next_id, &[*key], 10);
                        world.next_id += 1;
                        world.sent.insert(world.next_id - 1, entry.clone());
                        submission(entry, Ack::Written)
                    })
                    .collect();
                world.core.as_mut().unwrap().append(world.now, &mut group);
                group.iter().all(|s| s.outcome.is_some_and(|o| o.is_ok()))
            };
            let calls = world.disk.state().calls;
            world.disk.state().fail_at = vec![calls + 1];
            assert!(!send(&mut world, &[1, 2, 3]), "the disk refuses");
            assert!(send(&mut world, &[2]), "the retry is taken");
            world.crash(crash);
        }
    }
}
