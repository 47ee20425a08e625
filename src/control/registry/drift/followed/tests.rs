//! Goal: a shifted input takes a new version back, an unshifted one never does, a slow season is watched.
//! Method: customers drawn from known distributions, put in as their records would be, over twenty seeds.

use super::*;
use crate::decide::inputs::{Input, Vocabulary};
use crate::decide::words::Words;
use crate::learn::Dice;
use crate::model::Roster;

/// Names of the inputs of the version that is followed, and whether they are numbers.
const INPUTS: [(&str, bool); 5] = [
    ("tenure", true),
    ("Contract", false),
    ("phase", false),
    ("hour", true),
    ("map_viewed.count", true),
];

fn model() -> LiveModel {
    let mut vocabulary = Vocabulary::default();
    let inputs = INPUTS.map(|(name, numeric)| Input {
        name: name.into(),
        source: InputSource::Request(vocabulary.key(name)),
        kind: match numeric {
            true => InputKind::Number,
            false => InputKind::Category(Words::new(["a", "b", "c", "d"])),
        },
        missing: f64::NAN,
    });
    LiveModel {
        name: "m".into(),
        version: "1".into(),
        label: "m@1".into(),
        scorer: None,
        features: vocabulary.features(),
        vocabulary,
        inputs: inputs.into(),
        placement_inputs: Vec::new(),
        offers: Roster::default(),
    }
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
struct World {
    /// Added to everybody's tenure, whose standard deviation is 1.
    shift: f64,
    /// Share of those whose contract is not sent.
    unsent: f64,
    /// 0 at night, 1 at noon: what phases, hour and triggers go by.
    daytime: f64,
}

const USUAL: World = World {
    shift: 0.0,
    unsent: 0.05,
    daytime: 0.3,
};

impl World {
    fn customer(self, dice: &mut Dice) -> Vec<Told> {
        // The sum of twelve is as good as normal.
        let normal = (0..12).map(|_| dice.unit()).sum::<f64>() - 6.0;
        let contract = match dice.chance(self.unsent) {
            true => Told::Missing,
            false => Told::Value(dice.pick(&[0.55, 0.2, 0.2, 0.05]) as f64),
        };
        let phase = dice.pick(&[1.0 - self.daytime, self.daytime / 2.0, self.daytime / 2.0]);
        vec![
            Told::Value(normal + self.shift),
            contract,
            Told::Value(phase as f64),
            Told::Value((12.0 * self.daytime).floor()),
            Told::Value(f64::from(u8::from(dice.chance(self.daytime / 2.0)))),
        ]
    }

    fn reference(self, dice: &mut Dice, same_hour: bool) -> Reference {
        let rows = (0..REFERENCE_ROWS_MAX).map(|_| self.customer(dice));
        Reference {
            rows: rows.collect(),
            same_hour,
        }
    }
}

/// So many customers of a world, each asking three times.
fn ask(followed: &mut Followed, world: World, customers: u32, dice: &mut Dice) {
    let from = u128::from(dice.bits());
    for customer in 0..u128::from(customers) {
        for _ in 0..3 {
            followed.add(from + customer, world.customer(dice));
        }
    }
}

fn outcome(followed: &Followed) -> (Level, Option<String>) {
    let (drift, drifted) = followed.judge(&Guardrails::default());
    (drift.level, drifted.map(|d| d.feature))
}

/// A version that had such references is asked by 5,000 customers of another world; over twenty seeds.
#[track_caller]
fn check(references: &[(World, bool)], now: World, level: Level, taken_back_for: Option<&str>) {
    for seed in 0..20 {
        let mut dice = Dice::new(seed);
        let references = references.iter();
        let references = references.map(|(world, day)| world.reference(&mut dice, *day));
        let references = references.collect();
        let mut followed = Followed::new(&model(), 0, references, 1_000);
        ask(&mut followed, now, 5_000, &mut dice);
        let expected = (level, taken_back_for.map(str::to_owned));
        assert_eq!(outcome(&followed), expected, "seed {seed}");
    }
}

#[test]
fn what_stays_as_it_was_is_steady() {
    check(&[(USUAL, false)], USUAL, Level::Steady, None);
}

#[test]
fn a_shifted_input_takes_a_new_version_back() {
    let shifted = World {
        shift: 1.0,
        ..USUAL
    };
    check(&[(USUAL, false)], shifted, Level::Alarm, Some("tenure"));
    let unsent = World {
        unsent: 0.6,
        ..USUAL
    };
    check(&[(USUAL, false)], unsent, Level::Alarm, Some("Contract"));
}

#[test]
fn a_slow_season_is_watched() {
    // A shift of `d` standard deviations has an index of about `d` squared.
    let season = World {
        shift: 0.4,
        ..USUAL
    };
    check(&[(USUAL, false)], season, Level::Watch, None);
}

#[test]
fn noon_is_no_drift_from_the_morning() {
    let noon = World {
        daytime: 0.9,
        ..USUAL
    };
    // It shows, but without another day to compare with nobody knows whether it is usual.
    check(&[(USUAL, false)], noon, Level::Alarm, None);
    // Yesterday's noon was the same.
    check(&[(USUAL, false), (noon, true)], noon, Level::Steady, None);
    // Yesterday's noon was not like that.
    check(
        &[(USUAL, false), (USUAL, true)],
        noon,
        Level::Alarm,
        Some("phase"),
    );
}

#[test]
fn few_customers_say_nothing_however_often_they_ask() {
    let mut dice = Dice::new(1);
    let shifted = World {
        shift: 3.0,
        ..USUAL
    };
    let reference = USUAL.reference(&mut dice, false);
    let mut followed = Followed::new(&model(), 0, vec![reference], 1_000);
    ask(&mut followed, shifted, 999, &mut dice);
    assert_eq!(outcome(&followed), (Level::Learning, None));
    ask(&mut followed, shifted, 1, &mut dice);
    assert_eq!(outcome(&followed), (Level::Alarm, Some("tenure".into())));
}

#[test]
fn what_has_passed_is_forgotten() {
    let mut dice = Dice::new(2);
    let shifted = World {
        shift: 3.0,
        ..USUAL
    };
    let reference = USUAL.reference(&mut dice, false);
    let mut followed = Followed::new(&model(), 0, vec![reference], 1_000);
    ask(&mut followed, shifted, 10_000, &mut dice);
    assert_eq!(outcome(&followed).0, Level::Alarm);
    ask(&mut followed, USUAL, 4_000, &mut dice);
    assert_eq!(outcome(&followed).0, Level::Steady);
    let (drift, _) = followed.judge(&Guardrails::default());
    assert!((2_000..=4_000).contains(&drift.rows), "{drift:?}");
}

/// Without a log, what a version is asked first is what it is held against, which takes nothing back.
#[test]
fn a_first_version_is_its_own_reference() {
    let mut dice = Dice::new(3);
    let few = Reference {
        rows: vec![USUAL.customer(&mut dice); 10],
        same_hour: false,
    };
    let mut followed = Followed::new(&model(), 0, vec![few], 1_000);
    ask(&mut followed, USUAL, 2_000, &mut dice);
    let (drift, _) = followed.judge(&Guardrails::default());
    // The last one has asked again.
    assert_eq!((drift.level, drift.rows), (Level::Learning, 1));
    assert_eq!(drift.reference_rows, 2_000);
    ask(&mut followed, USUAL, 1_500, &mut dice);
    assert_eq!(outcome(&followed), (Level::Steady, None));
    let shifted = World {
        shift: 3.0,
        ..USUAL
    };
    ask(&mut followed, shifted, 3_000, &mut dice);
    assert_eq!(outcome(&followed), (Level::Alarm, None));
}
