//! Visits: an appointment walks from scheduled to feedback, and whoever waits looks at the page on the way.
//!
//! Not everybody opens the page at once, and at every phase some close it for good, whatever they are shown.
//! So what is shown changes nothing about who comes next, the best offer now is the best policy, and every
//! policy of one world is played on the same looks at the same page.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::domain::Phase;
use crate::learn::Dice;

/// Somebody looks at the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Milliseconds since the world began.
    pub at_ms: u64,
    /// Which customer.
    pub customer: u32,
    /// Where the appointment stands.
    pub phase: Phase,
    /// What chance holds ready for this look, whatever is shown.
    pub seed: u64,
}

pub const MINUTE_MS: u64 = 60_000;
pub const HOUR_MS: u64 = 60 * MINUTE_MS;
pub const DAY_MS: u64 = 24 * HOUR_MS;

/// At which phase the page is first opened.
const OPENED: [f64; 7] = [0.35, 0.2, 0.3, 0.06, 0.03, 0.04, 0.02];
/// The chance that who looked during a phase closes the page for good.
const LEAVES: [f64; 7] = [0.25, 0.15, 0.08, 0.15, 0.2, 0.35, 1.0];
/// How long it takes from a look during a phase to one during the next, in minutes.
const LASTS: [(f64, f64); 7] = [
    (240.0, 2_160.0), // until the day has come
    (30.0, 360.0),    // until the technician sets out
    (8.0, 45.0),
    (2.0, 10.0),
    (20.0, 120.0),
    (5.0, 720.0),
    (0.0, 0.0),
];
/// The chance that what is shown is seen: on the way one looks at the map for minutes, on site one glances.
pub const SEEN: [f64; 7] = [0.8, 0.85, 0.95, 0.85, 0.7, 0.8, 0.75];

/// Visits begin so long before the world does, so that it begins with appointments in every phase.
const BEFORE_MS: u64 = 3 * DAY_MS;

/// Every look within `days` days, in order of time: `per_day` a day in the mean.
#[must_use]
pub fn looks(dice: &mut Dice, customers: usize, days: f64, per_day: f64) -> Vec<Look> {
    let end_ms = (days * DAY_MS as f64) as u64;
    let gap_ms = DAY_MS as f64 * looks_per_visit() / per_day;
    let mut looks = Vec::with_capacity((days * per_day * 1.02) as usize);
    // A visit is in the queue once, with its next look.
    let mut queue: BinaryHeap<Reverse<(u64, u32, u8)>> = BinaryHeap::new();
    let mut begins_ms = 0.0;
    loop {
        while let Some(&Reverse((at, customer, phase))) = queue.peek()
            && at as f64 <= begins_ms
        {
            queue.pop();
            if at >= BEFORE_MS + end_ms {
                return looks;
            }
            let seed = dice.bits();
            if at >= BEFORE_MS {
                looks.push(Look {
                    at_ms: at - BEFORE_MS,
                    customer,
                    phase: Phase::ALL[usize::from(phase)],
                    seed,
                });
            }
            if !dice.chance(LEAVES[usize::from(phase)]) {
                let (from, to) = LASTS[usize::from(phase)];
                let next = at + (dice.between(from, to) * MINUTE_MS as f64) as u64;
                queue.push(Reverse((next, customer, phase + 1)));
            }
        }
        begins_ms += gap_ms * exponential(dice);
        let customer = (dice.unit() * customers as f64) as u32;
        queue.push(Reverse((
            begins_ms as u64,
            customer,
            dice.pick(&OPENED) as u8,
        )));
    }
}

/// How often the page is looked at during a visit, in the mean.
fn looks_per_visit() -> f64 {
    let mut here = 0.0;
    let mut all = 0.0;
    for phase in 0..7 {
        here += OPENED[phase];
        all += here;
        here *= 1.0 - LEAVES[phase];
    }
    all
}

/// Exponentially distributed around 1.
pub(super) fn exponential(dice: &mut Dice) -> f64 {
    -(1.0 - dice.unit()).ln()
}
