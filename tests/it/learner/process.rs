//! The command, killed with the real signal.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use offerd::domain::{EventType, Millis};
use offerd::journal::{Journal, JournalConfig};
use serde_json::Value;

use super::world::{World, at, offers};
use crate::simulation::disk::Dice;

const KILLS: u32 = 50;

/// A data folder whose journal holds a few thousand records that no learner has heard.
async fn data(dir: &Path) {
    let mut world = World::new(&offers("hold_minutes = 0"));
    let mut dice = Dice(11);
    for i in 0..600 {
        let shows = world.show(i, |asked| asked.placements[0].count = 2);
        for shows in &shows {
            world.event(i, EventType::Impression, shows);
            if dice.one_in(10) {
                world.event(i, EventType::Conversion, shows);
            }
        }
    }
    let catalog = &world.snapshot.catalog;
    let catalogs = dir.join("control").join("catalogs");
    std::fs::create_dir_all(&catalogs).unwrap();
    std::fs::write(catalogs.join(&catalog.digest), &*catalog.source).unwrap();
    let config = JournalConfig {
        dir: dir.join("journal"),
        ..JournalConfig::default()
    };
    let (journal, _) = Journal::open(config, Millis(at(0)), &mut |_, _| {}).unwrap();
    for (_, entry) in &world.log {
        while !journal.record(entry.clone()) {
            tokio::task::yield_now().await;
        }
    }
    journal.close().await;
}

fn learn(dir: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
    command
        .args(["learn", "--json", "--data"])
        .arg(dir)
        .args(more);
    command
}

fn figures(mut command: Command) -> Value {
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// *Goal:* whenever it is killed, what it knows in the end is what a rebuild knows, bit for bit. *Method:* fifty times `kill -9`
/// at moments that nobody chose, then a run to the end, then a rebuild.
#[tokio::test]
async fn killed_fifty_times_with_the_real_signal_it_learns_the_same() {
    let dir = tempfile::tempdir().unwrap();
    data(dir.path()).await;
    let mut dice = Dice(3);
    // How long a whole run takes here and now, so that kills fall into it.
    let whole = tempfile::tempdir().unwrap();
    data(whole.path()).await;
    let since = Instant::now();
    figures(learn(whole.path(), &["--save-every", "25"]));
    let took = since.elapsed();
    let (mut killed, mut again) = (0, 0);
    while killed < KILLS {
        let mut child = learn(dir.path(), &["--save-every", "25"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        tokio::time::sleep(took.mul_f64(dice.roll(1_000) as f64 / 1_500.0)).await;
        if child.try_wait().unwrap().is_none() {
            killed += 1;
        } else {
            // It was done: begin anew, so that the next one dies at work.
            again += 1;
            std::fs::remove_file(dir.path().join("learner/state")).unwrap();
            assert!(again < 10 * KILLS, "too fast to be killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = figures(learn(dir.path(), &[]));
    let rebuilt = figures(learn(dir.path(), &["--rebuild"]));
    assert_eq!(rebuilt["same"], true, "{rebuilt}");
    assert_eq!(rebuilt["digest"], last["digest"]);
    let showings = last["events"]["learnt"].as_u64().unwrap();
    assert!(showings > 1_000, "{last}");
}
