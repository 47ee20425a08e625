//! Goal: whatever step of a push, a change of stage or a rollback the process dies at, the next start
//! serves the old version or the new one. Method: a disk that stops doing anything at its n-th call, for
//! every n, and a start from what it left; `kill -9` leaves just that, since the kernel keeps what was
//! written. A half-done write leaves half of its bytes.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use super::*;
use crate::control::plane::{Control, ControlError, Settings, Shipped};
use crate::control::store::{Folder, Store};
use crate::domain::Millis;
use crate::journal::disk::{Disk, RealDisk};
use crate::journal::{Journal, JournalConfig};
use crate::model::digest;

const NOW: Millis = Millis(1_763_830_800_000);

/// These journals are empty, so the gate can tell nothing of a second version.
const INSIST: Insist<'_> = Insist {
    confirmed: false,
    force: Some("the stages are tested, not the gate"),
    by: "ann",
};

/// What comes with the program.
const SHIPPED: Shipped = Shipped {
    catalog: include_str!("../../../catalog/demo.toml"),
    manifest: include_str!("../../../models/propensity-forest/manifest.json"),
    artifact: include_str!("../../../models/propensity-forest/artifact.json"),
};

/// A disk that dies.
#[derive(Clone)]
struct Mortal {
    disk: RealDisk,
    calls_left: Arc<AtomicI64>,
}

impl Mortal {
    fn call(&self) -> io::Result<()> {
        if self.calls_left.fetch_sub(1, Relaxed) > 0 {
            return Ok(());
        }
        Err(io::Error::other("the process is dead"))
    }
}

impl Folder for Mortal {
    fn folder(&self, name: &str) -> io::Result<Mortal> {
        self.call()?;
        Ok(Mortal {
            disk: self.disk.folder(name)?,
            calls_left: Arc::clone(&self.calls_left),
        })
    }

    fn path(&self) -> &Path {
        self.disk.dir()
    }
}

impl Disk for Mortal {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.disk.list()
    }
    fn create(&self, name: &str) -> io::Result<File> {
        self.call().and_then(|()| self.disk.create(name))
    }
    fn open(&self, name: &str) -> io::Result<File> {
        self.disk.open(name)
    }
    fn read_at(&self, file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.disk.read_at(file, offset, bytes)
    }
    fn write_at(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Err(dead) = self.call() {
            if self.calls_left.load(Relaxed) == -1 {
                self.disk
                    .write_at(file, offset, &bytes[..bytes.len() / 2])?;
            }
            return Err(dead);
        }
        self.disk.write_at(file, offset, bytes)
    }
    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.call().and_then(|()| self.disk.truncate(file, len))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.call().and_then(|()| self.disk.sync(file))
    }
    fn sync_dir(&self) -> io::Result<()> {
        self.call().and_then(|()| self.disk.sync_dir())
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call().and_then(|()| self.disk.rename(from, to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.call().and_then(|()| self.disk.remove(name))
    }
}

/// A server's folder and journal.
struct Node {
    dir: tempfile::TempDir,
    journal: Journal,
    models: ModelsConfig,
}

impl Node {
    fn new() -> Node {
        let dir = tempfile::tempdir().unwrap();
        let config = JournalConfig {
            dir: dir.path().join("journal"),
            ..JournalConfig::default()
        };
        let (journal, _) = Journal::open(config, NOW, &mut |_, _| {}).unwrap();
        Node {
            dir,
            journal,
            models: ModelsConfig::default(),
        }
    }

    /// Starts; the disk dies at its `calls`-th call.
    fn start(&self, calls: i64, now: Millis) -> Result<Control<Mortal>, ControlError> {
        let disk = Mortal {
            disk: RealDisk::new(&self.dir.path().join("control")).unwrap(),
            calls_left: Arc::new(AtomicI64::new(calls)),
        };
        let settings = Settings {
            memory: crate::control::catalog::Memory {
                horizon_ms: i64::MAX,
                exposures_max: u32::MAX,
            },
            models: self.models.clone(),
            tallies: Arc::default(),
        };
        Control::on(
            Store::on(disk)?,
            None,
            SHIPPED,
            self.journal.clone(),
            settings,
            now,
        )
    }

    fn live(&self) -> String {
        let control = self.start(i64::MAX, NOW).expect("something always serves");
        let label = control.live.load().model.label.to_string();
        control.stop().unwrap();
        label
    }
}

/// A model that believes in the logistic of `intercept`, whoever asks.
fn files(version: &str, intercept: f64) -> (String, String) {
    let artifact = format!("{{\"intercept\": {intercept}, \"coefficients\": [0]}}");
    let probability = 1.0 / (1.0 + (-intercept).exp());
    let golden: Vec<String> = (0..32)
        .map(|i| {
            format!("{{\"features\": [{i}], \"raw\": {intercept}, \"probability\": {probability}}}")
        })
        .collect();
    let manifest = format!(
        "{{\"name\": \"m\", \"version\": \"{version}\", \"format\": \"linear\", \
          \"target\": \"conversion\", \"features\": [{{\"name\": \"tenure\", \"kind\": \"number\", \
          \"source\": \"customer\"}}], \"golden\": [{}], \"sha256\": \"{}\"}}",
        golden.join(","),
        digest(artifact.as_bytes())
    );
    (manifest, artifact)
}

fn push<D: Folder>(
    control: &Control<D>,
    version: &str,
    stage: Stage,
) -> Result<Staged, ControlError> {
    let (manifest, artifact) = files(version, -3.0);
    let push = Push {
        name: "m",
        version,
        manifest: &manifest,
        artifact: artifact.as_bytes(),
        signature: None,
        stage: Some(stage),
        percent: None,
        insist: INSIST,
    };
    control.push(&push, NOW)
}

/// Does `work` on a node on which `m@1` is live, dying at every call in turn, and expects one of two
/// versions at the next start: the second at least where the work got its answer.
fn check(work: impl Fn(&Control<Mortal>) -> Result<(), ControlError>, old: &str, new: &str) {
    let mut calls = 0;
    loop {
        let node = Node::new();
        let control = node.start(i64::MAX, NOW).unwrap();
        push(&control, "0", Stage::Live).unwrap();
        push(&control, "1", Stage::Live).unwrap();
        push(&control, "stored", Stage::Stored).unwrap();
        control.stop().unwrap();
        drop(control);
        let control = node.start(i64::MAX, NOW).unwrap();
        control.store.disk().calls_left.store(calls, Relaxed);
        let done = work(&control);
        let serving = control.live.load().model.label.to_string();
        drop(control);
        let next = node.live();
        match done {
            Ok(()) => {
                assert_eq!((&*serving, &*next), (new, new), "after {calls} calls");
                assert!(calls > 3, "{calls} calls: this tries nothing");
                return;
            }
            Err(error) => {
                assert!(error.to_string().contains("dead"), "{error}");
                assert_eq!(serving, old, "what serves is untouched at {calls}");
                assert!(next == old || next == new, "{next} after {calls} calls");
            }
        }
        calls += 1;
    }
}

#[test]
fn dying_in_a_push_leaves_the_old_or_the_new() {
    check(|c| push(c, "2", Stage::Live).map(drop), "m@1", "m@2");
}

#[test]
fn dying_while_staging_or_rolling_back_leaves_the_old_or_the_new() {
    let stage = |c: &Control<Mortal>| {
        let staged = c.stage("m", "stored", Stage::Live, None, INSIST, NOW);
        staged.map(drop)
    };
    check(stage, "m@1", "m@stored");
    check(|c| c.roll_back("m", NOW).map(drop), "m@1", "m@0");
}

#[test]
fn dying_at_a_start_costs_nothing() {
    let node = Node::new();
    push(&node.start(i64::MAX, NOW).unwrap(), "1", Stage::Live).unwrap();
    for calls in 0..20 {
        drop(node.start(calls, NOW));
        assert_eq!(node.live(), "m@1", "after {calls} calls");
    }
}

#[test]
fn a_version_that_is_damaged_gives_way_to_the_one_before() {
    let node = Node::new();
    let control = node.start(i64::MAX, NOW).unwrap();
    push(&control, "1", Stage::Live).unwrap();
    push(&control, "2", Stage::Live).unwrap();
    push(&control, "3", Stage::Shadow).unwrap();
    control.stop().unwrap();
    for version in ["2", "3"] {
        let path = node.dir.path().join("control/models/m").join(version);
        std::fs::write(path.join("artifact"), "{}").unwrap();
    }
    let control = node.start(i64::MAX, Millis(NOW.0 + 1)).unwrap();
    assert_eq!(&*control.live.load().model.label, "m@1");
    assert!(control.live.load().shadow.is_none());
    let alarms = control.alarms();
    assert_eq!(alarms.len(), 2, "{alarms:?}");
    assert!(
        alarms[0].contains("m@2") && alarms[0].contains("sha256"),
        "{alarms:?}"
    );
}

#[test]
fn two_crashes_in_a_row_leave_the_newest_out() {
    let node = Node::new();
    let control = node.start(i64::MAX, NOW).unwrap();
    push(&control, "1", Stage::Live).unwrap();
    control.stop().unwrap();
    let control = node.start(i64::MAX, NOW).unwrap();
    push(&control, "2", Stage::Live).unwrap();
    drop(control);
    // The first crash was with the version just pushed, the second is this start's.
    let label = |c: &Control<Mortal>| c.live.load().model.label.to_string();
    let control = node.start(i64::MAX, NOW).unwrap();
    assert_eq!(label(&control), "m@2");
    drop(control);
    let control = node.start(i64::MAX, Millis(NOW.0 + 7)).unwrap();
    assert_eq!(label(&control), "m@1");
    assert!(
        control.alarms()[0].contains("m@2 does not serve"),
        "{:?}",
        control.alarms()
    );
    // One that lived for a minute is trusted, however it ends.
    control.tick(Millis(NOW.0 + 60_007));
    for _ in 0..3 {
        drop(
            node.start(i64::MAX, NOW)
                .map(|c| c.tick(Millis(NOW.0 + 60_000))),
        );
    }
    assert_eq!(node.live(), "m@1");
}

#[test]
fn stages_are_told_with_who_and_when() {
    let node = Node::new();
    let control = node.start(i64::MAX, NOW).unwrap();
    push(&control, "1", Stage::Live).unwrap();
    push(&control, "2", Stage::Canary).unwrap();
    push(&control, "3", Stage::Shadow).unwrap();
    push(&control, "4", Stage::Stored).unwrap();
    let told: Vec<_> = control.models().unwrap();
    let stages: Vec<_> = told.iter().map(|m| (&*m.version, m.stage)).collect();
    let expected = [
        ("1", "live"),
        ("2", "canary"),
        ("3", "shadow"),
        ("4", "stored"),
    ];
    assert_eq!(stages, expected);
    assert_eq!(told[1].percent, Some(10.0));
    assert_eq!(
        (&*told[0].pushed_by, &*told[0].pushed_at),
        ("ann", "2025-11-22T17:00:00.000Z")
    );
    assert!(told[2].health.is_some() && told[3].health.is_none());
    let unknown = control.stage("m", "../../x", Stage::Live, None, INSIST, NOW);
    assert!(matches!(unknown, Err(ControlError::Identifier(_))));
    // The same name with other content is refused, and nothing changes.
    let epoch = control.live.load().epoch;
    let (manifest, artifact) = files("4", -1.0);
    let other = Push {
        name: "m",
        version: "4",
        manifest: &manifest,
        artifact: artifact.as_bytes(),
        signature: None,
        stage: None,
        percent: None,
        insist: INSIST,
    };
    assert!(matches!(
        control.push(&other, NOW),
        Err(ControlError::VersionTaken(_))
    ));
    assert_eq!(control.live.load().epoch, epoch);
}

#[test]
fn what_breaks_a_guardrail_is_taken_back() {
    use crate::domain::NameHash;
    use crate::telemetry::tally::Made;
    let node = Node::new();
    let control = node.start(i64::MAX, NOW).unwrap();
    push(&control, "1", Stage::Live).unwrap();
    push(&control, "2", Stage::Canary).unwrap();
    let failing = |label: &str| {
        let made = Made {
            failed: true,
            took: std::time::Duration::from_micros(50),
        };
        let key = NameHash::of(label).low();
        for _ in 0..100 {
            let count = |t: &crate::telemetry::tally::Tally| t.decision(made, std::iter::empty());
            control.settings.tallies.count(key, count);
        }
    };
    control.tick(NOW);
    assert!(
        control.live.load().canary.is_some(),
        "nothing has happened yet"
    );
    failing("m@2");
    control.tick(NOW);
    assert!(control.live.load().canary.is_none());
    assert_eq!(&*control.live.load().model.label, "m@1");
    failing("m@1");
    control.tick(NOW);
    assert!(control.live.load().model.label.starts_with("propensity@"));
    let alarms = control.alarms();
    assert!(
        alarms[1].contains("m@1 was taken back: the model failed in 100 of 100"),
        "{alarms:?}"
    );
    let list = control.models().unwrap();
    let one = list.iter().find(|m| m.version == "1").unwrap();
    assert_eq!(one.stage, "stored");
    assert!(one.problem.as_ref().unwrap().contains("failed in 100"));
}
