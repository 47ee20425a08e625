//! Is anything learnt twice, or not at all, whenever the learner dies?

use offerd::domain::EventType;
use offerd::journal::Position;
use offerd::learn::learner::{Saved, State, digest};

use super::world::{HOUR, MINUTE, World, offers};
use crate::simulation::disk::{Crash, Dice, SimDisk};

/// A day of customers who look, click, buy, change their minds and come late.
fn day(decisions: i64) -> World {
    let mut world = World::new(&offers("rewards = { click = 0.1, dismiss = -0.25 }"));
    let mut dice = Dice(5);
    let mut open: Vec<super::world::Shows> = Vec::new();
    for i in 0..decisions {
        let now = i * 3 * MINUTE;
        open.extend(world.show(now, |asked| asked.placements[0].count = 2));
        for (ms, event) in [
            EventType::Impression,
            EventType::Viewable,
            EventType::Click,
            EventType::Conversion,
            EventType::Dismiss,
            EventType::Reversal,
        ]
        .iter()
        .enumerate()
        {
            let shows = open[dice.roll(open.len() as u64) as usize].clone();
            world.event(now + 1 + ms as i64, *event, &shows);
        }
        if open.len() > 40 {
            open.remove(0);
        }
    }
    world.pass(decisions * 3 * MINUTE + 48 * HOUR);
    world
}

/// Hears the whole log and saves every so many records, until it is done or the machine stops.
fn run(world: &World, disk: &SimDisk, save_every: usize) -> Option<State> {
    let saved = Saved::on(disk.clone());
    let mut learner = world.learner(saved.load().ok()?.unwrap_or_default());
    for (i, (position, entry)) in world.log.iter().enumerate() {
        learner.hear("journal", *position, entry);
        if i % save_every == save_every - 1 {
            saved.save(learner.state()).ok()?;
        }
    }
    saved.save(learner.state()).ok()?;
    saved.load().ok()?
}

/// *Goal:* whenever it dies, what it knows in the end is what a learner knows that never did, bit for bit. *Method:* a machine
/// that stops at each call to the disk in turn, with and without its power, then a run to the end.
#[test]
fn stopped_at_every_call_it_learns_the_same() {
    let world = day(60);
    let clean = digest(world.learnt().state()).unwrap();
    let whole = SimDisk::new(1);
    assert_eq!(digest(&run(&world, &whole, 50).unwrap()).unwrap(), clean);
    let calls = whole.state().calls;
    assert!(calls > 30, "only {calls} calls");
    for crash in [Crash::Process, Crash::Power] {
        for at in 1..=calls {
            let disk = SimDisk::new(at);
            disk.state().crash_at = Some(at);
            assert!(run(&world, &disk, 50).is_none(), "call {at} is not reached");
            disk.restart(crash);
            let state = run(&world, &disk, 70).unwrap();
            assert_eq!(digest(&state).unwrap(), clean, "{crash:?} at call {at}");
        }
    }
}

/// *Goal:* the same for fifty deaths in a row at random places. *Method:* a seed per place, and progress kept between them.
#[test]
fn killed_fifty_times_it_learns_the_same() {
    let world = day(300);
    let clean = digest(world.learnt().state()).unwrap();
    let disk = SimDisk::new(77);
    let mut dice = Dice(9);
    for kill in 0..50 {
        let after = dice.roll(15) + 1;
        {
            let mut state = disk.state();
            let calls = state.calls;
            state.crash_at = Some(calls + after);
        }
        let _ = run(&world, &disk, 40);
        let crash = [Crash::Process, Crash::Power][kill % 2];
        disk.restart(crash);
    }
    assert_eq!(digest(&run(&world, &disk, 40).unwrap()).unwrap(), clean);
}

#[test]
fn a_record_heard_again_teaches_nothing() {
    let world = day(40);
    let mut learner = world.learnt();
    let clean = digest(learner.state()).unwrap();
    for (position, entry) in &world.log {
        learner.hear("journal", *position, entry);
    }
    assert_eq!(digest(learner.state()).unwrap(), clean);
}

#[test]
fn a_state_that_is_damaged_is_no_state() {
    let world = day(20);
    let disk = SimDisk::new(1);
    let saved = Saved::on(disk.clone());
    assert!(saved.load().unwrap().is_none(), "there is none yet");
    let learner = world.learnt();
    saved.save(learner.state()).unwrap();
    assert_eq!(saved.load().unwrap().as_ref(), Some(learner.state()));
    let whole = disk.contents("state").unwrap();
    let mut dice = Dice(3);
    for _ in 0..200 {
        let mut bytes = whole.clone();
        let place = dice.roll(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << dice.roll(8);
        disk.plant("state", &bytes);
        assert!(saved.load().unwrap().is_none(), "byte {place}");
        disk.plant("state", &whole[..place]);
        assert!(saved.load().unwrap().is_none(), "cut at {place}");
    }
    disk.plant("state", &whole);
    let again = saved.load().unwrap().unwrap();
    assert!(again.positions["journal"] > Position::START);
}
