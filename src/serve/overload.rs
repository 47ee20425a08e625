//! How much of what comes is let in: as much as is worked on without standing in a queue.
//!
//! The sign of overload is how long a request that is ready waits for its turn (see `super::probe`).
//! [`Controller::turn`] is told the usual wait of a window: a burst passes within it, a queue that stands does
//! not (Nichols and Jacobson, "Controlling Queue Delay", 2012, take the shortest). What follows is AIMD on a budget of requests per window,
//! spent on the most important classes first, as in WeChat's DAGOR (Zhou et al., "Overload Control for Scaling
//! WeChat Microservices", 2018). The cut is by the ratio of target to wait, within bounds, as the
//! gradient of Netflix's concurrency-limits is, so that ten times too much is tamed in some windows.
//!
//! What is refused is held back where there are many ([`Ruling::hold_ms`]).
//!
//! Before anything is refused, decisions are made without the model: the first window with a queue has the
//! prior score.
//!
//! No clock, no thread: what happened in a window goes in, what holds for the next one comes out.

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::Class;

/// Shares are in parts of this.
pub(super) const WHOLE: u32 = 1 << 16;

/// The budget is never cut to less than this part of what was let in.
const CUT_MIN: f64 = 0.5;
/// Nor, with a queue, left above this part.
const CUT_MAX: f64 = 0.95;
/// How much the budget grows in a window without a queue: by half in eight.
const GROWTH: f64 = 1.05;
/// What a window's budget grows by at least, and never falls below.
const BUDGET_MIN: f64 = 4.0;
/// So many windows without a queue, and what is left out comes back: the model, then the budget's end. A
/// second, at the twenty windows that there are in one.
const CALM: u32 = 20;

/// Refusals are cheap, not free, and callers who ask again as soon as they are refused would fill the time
/// with them, make the queue that they are refused for, and so have everybody refused. While there are more of
/// them than so many for each request that was let in, each is held back for longer, which costs nothing while it
/// lasts. Alone on its connection one costs an eighth of a decision with 200 candidates, nearly all of it the kernel's.
const REFUSED_TIMES: f64 = 1.0;
/// How long the first ones are held back, in milliseconds, where there are too many.
const HOLD_MS_MIN: f64 = 8.0;

/// In a window with few enough refusals the hold is eased to this part at most.
const HOLD_EASE: f64 = 0.9;

/// What happened in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Window {
    /// Requests that came, by class.
    pub offered: [u64; Class::ALL.len()],
    /// Those that were let in.
    pub admitted: u64,
    /// The usual wait of a ready request, in microseconds.
    pub wait_us: u64,
}

/// What holds for the next window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    /// What part of each class is let in, of [`WHOLE`].
    pub shares: [u32; Class::ALL.len()],
    /// Decisions are made without the model.
    pub by_prior: bool,
    /// How long a refusal is held back, in milliseconds.
    pub hold_ms: u32,
}

impl Default for Ruling {
    fn default() -> Ruling {
        Ruling {
            shares: [WHOLE; Class::ALL.len()],
            by_prior: false,
            hold_ms: 0,
        }
    }
}

/// Rules over what is let in.
#[derive(Clone, Debug)]
pub(super) struct Controller {
    target_us: u64,
    /// No refusal is held back for longer, in milliseconds, give or take half.
    hold_ms_max: f64,
    /// Requests per window; infinite while there is no overload.
    budget: f64,
    /// Windows since one had a queue.
    calm: u32,
    /// How long a refusal is held back, in milliseconds.
    hold_ms: f64,
}

impl Controller {
    /// A controller that lets everything in until a queue stands for longer than `target_us`, and then holds
    /// refusals back for up to `hold_ms_max`.
    pub fn new(target_us: u64, hold_ms_max: u32) -> Controller {
        Controller {
            target_us,
            hold_ms_max: hold_ms_max.into(),
            budget: f64::INFINITY,
            calm: CALM,
            hold_ms: 0.0,
        }
    }

    /// Ends a window.
    pub fn turn(&mut self, window: &Window) -> Ruling {
        let wait = window.wait_us;
        self.hold_back(window);
        if wait > self.target_us {
            self.overloaded(window, self.target_us as f64 / wait as f64);
        } else {
            self.calm = self.calm.saturating_add(1);
            self.budget = self.budget * GROWTH + BUDGET_MIN;
            if self.calm >= CALM && self.budget > 2.0 * total(window) {
                self.budget = f64::INFINITY;
            }
        }
        let shares = self.shares(window);
        Ruling {
            shares,
            // It comes back last: nobody is refused for the sake of others' models.
            by_prior: self.calm < CALM || shares.iter().any(|share| *share < WHOLE),
            hold_ms: self.hold_ms as u32,
        }
    }

    /// Holds refusals back for longer while there are too many.
    fn hold_back(&mut self, window: &Window) {
        let refused = total(window) - window.admitted as f64;
        let most = (window.admitted as f64 * REFUSED_TIMES).max(BUDGET_MIN);
        let ratio = refused / most;
        // Those who are held now come back together with those who would be told at once: it ends slowly.
        let hold = self.hold_ms * ratio.clamp(HOLD_EASE, 2.0);
        self.hold_ms = if ratio > 1.0 {
            hold.max(HOLD_MS_MIN).min(self.hold_ms_max)
        } else if hold < HOLD_MS_MIN {
            0.0
        } else {
            hold
        };
    }

    fn overloaded(&mut self, window: &Window, ratio: f64) {
        // The first window with a queue only costs the model: it may be all that is needed.
        if self.calm < CALM {
            let cut = window.admitted as f64 * ratio.clamp(CUT_MIN, CUT_MAX);
            self.budget = self.budget.min(cut).max(BUDGET_MIN);
        }
        self.calm = 0;
    }

    /// The budget, spent on what came in the last window, the most important first. Conversions are always
    /// let in, and the others get what they leave.
    fn shares(&self, window: &Window) -> [u32; Class::ALL.len()] {
        let mut left = self.budget;
        std::array::from_fn(|class| {
            let offered = window.offered[class] as f64;
            let let_in = offered.min(left);
            left -= let_in;
            if class == Class::Conversion as usize {
                WHOLE
            } else if let_in < offered {
                (let_in / offered * f64::from(WHOLE)) as u32
            } else if offered > 0.0 || left > 0.0 {
                WHOLE
            } else {
                // None came; of those that may come, none while nothing is left for them.
                0
            }
        })
    }
}

/// How long the `n`-th refusal is held back, in milliseconds: from half of `hold_ms` to half more, by hash,
/// since those who are told together come back together, as a queue.
pub(super) fn spread(hold_ms: u32, n: u64) -> u32 {
    let part = xxh3_64(&n.to_be_bytes()) % u64::from(hold_ms + 1);
    hold_ms / 2 + part as u32
}

fn total(window: &Window) -> f64 {
    window.offered.iter().sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::{BinaryHeap, VecDeque};

    use super::*;

    const TARGET_US: u64 = 5_000;
    const HOLD_MS_MAX: u32 = 250;
    const WINDOW_US: f64 = 50_000.0;
    const DECISION_US: f64 = 40.0;
    /// Without the model.
    const PRIOR_US: f64 = 30.0;
    const REFUSAL_US: f64 = 3.0;

    /// A server with one core, first come first served, on which the controller is tried.
    struct Simulation {
        controller: Controller,
        ruling: Ruling,
        /// Work that waits, in microseconds.
        queue_us: f64,
    }

    /// What came of some windows.
    #[derive(Debug, Default)]
    struct Outcome {
        offered: [f64; 4],
        done: [f64; 4],
        by_prior: f64,
        wait_us_max: f64,
    }

    impl Simulation {
        fn new() -> Simulation {
            Simulation {
                controller: Controller::new(TARGET_US, HOLD_MS_MAX),
                ruling: Ruling::default(),
                queue_us: 0.0,
            }
        }

        /// Has so much come for so many windows: decisions per second as a multiple of what can be
        /// done, with a quarter as many clicks and as many reports.
        fn run(&mut self, times: f64, windows: usize) -> Outcome {
            let mut outcome = Outcome::default();
            for _ in 0..windows {
                let decisions = times * WINDOW_US / DECISION_US;
                // Conversions stay what they are: overload comes from pages.
                let clicks = (decisions / 4.0).floor();
                let offered = [10.0, decisions.floor(), clicks, clicks];
                let before = self.queue_us;
                let mut admitted = 0.0;
                for (class, offered) in offered.into_iter().enumerate() {
                    let share = f64::from(self.ruling.shares[class]) / f64::from(WHOLE);
                    let let_in = (offered * share).floor();
                    let cost = match class {
                        1 if self.ruling.by_prior => PRIOR_US,
                        1 => DECISION_US,
                        _ => 10.0,
                    };
                    outcome.by_prior += if class == 1 && self.ruling.by_prior {
                        let_in
                    } else {
                        0.0
                    };
                    self.queue_us += let_in * cost + (offered - let_in) * REFUSAL_US;
                    outcome.offered[class] += offered;
                    outcome.done[class] += let_in;
                    admitted += let_in;
                }
                self.queue_us = (self.queue_us - WINDOW_US).max(0.0);
                let wait = self.queue_us.min(before);
                outcome.wait_us_max = outcome.wait_us_max.max(self.queue_us);
                self.ruling = self.controller.turn(&Window {
                    offered: offered.map(|n| n as u64),
                    admitted: admitted as u64,
                    wait_us: wait as u64,
                });
            }
            outcome
        }
    }

    fn capacity(windows: usize) -> f64 {
        windows as f64 * WINDOW_US / DECISION_US
    }

    /// Callers who ask again as soon as they are answered, and a server that takes one after the other.
    struct Crowd {
        controller: Controller,
        ruling: Ruling,
        now_us: u64,
        /// Since when each caller waits for its turn.
        ready: VecDeque<u64>,
        /// When those whose refusal is held back ask again.
        held: BinaryHeap<Reverse<u64>>,
    }

    impl Crowd {
        fn new(callers: usize) -> Crowd {
            Crowd {
                controller: Controller::new(TARGET_US, HOLD_MS_MAX),
                ruling: Ruling::default(),
                now_us: 0,
                ready: vec![0; callers].into(),
                held: BinaryHeap::new(),
            }
        }

        /// Decisions made in so many windows, and how long the last ones waited.
        fn run(&mut self, windows: u64) -> (u64, u64) {
            const REFUSAL_US: u64 = 5;
            let (mut decided, mut wait_us) = (0, 0);
            for _ in 0..windows {
                let end = self.now_us + WINDOW_US as u64;
                let share = u64::from(self.ruling.shares[Class::Decision as usize]);
                let (mut window, mut waits) = (Window::default(), Vec::new());
                while self.now_us < end {
                    while self.held.peek().is_some_and(|at| at.0 <= self.now_us) {
                        self.ready.extend(self.held.pop().map(|at| at.0));
                    }
                    let Some(since) = self.ready.pop_front() else {
                        self.now_us += 1;
                        continue;
                    };
                    waits.push(self.now_us - since);
                    let n = window.offered[Class::Decision as usize];
                    window.offered[Class::Decision as usize] += 1;
                    if (n + 1) * share / u64::from(WHOLE) > n * share / u64::from(WHOLE) {
                        window.admitted += 1;
                        self.now_us += if self.ruling.by_prior {
                            PRIOR_US
                        } else {
                            DECISION_US
                        } as u64;
                        self.ready.push_back(self.now_us);
                    } else {
                        self.now_us += REFUSAL_US;
                        let spread = u64::from(spread(self.ruling.hold_ms, n));
                        self.held.push(Reverse(self.now_us + 1_000 * spread));
                    }
                }
                waits.sort_unstable();
                wait_us = waits.get(waits.len() / 2).copied().unwrap_or(0);
                window.wait_us = wait_us;
                decided += window.admitted;
                self.ruling = self.controller.turn(&window);
            }
            (decided, wait_us)
        }
    }

    #[test]
    fn callers_who_ask_again_at_once_leave_the_goodput() {
        // The more there are, the more refusals a hold that is not longer than a page's patience leaves.
        for (callers, least) in [(400, 0.9), (1_000, 0.9), (4_000, 0.8)] {
            let mut crowd = Crowd::new(callers);
            let _ = crowd.run(60);
            let (decided, wait_us) = crowd.run(200);
            let goodput = decided as f64 / capacity(200);
            let hold_ms = crowd.ruling.hold_ms;
            assert!(
                goodput > least,
                "{callers}: {goodput}, held for {hold_ms} ms"
            );
            assert!(wait_us < 3 * TARGET_US, "{callers}: {wait_us} us");
            assert!(hold_ms <= HOLD_MS_MAX, "{callers}: {hold_ms}");
        }
    }

    #[test]
    fn below_capacity_nothing_is_left_out() {
        let outcome = Simulation::new().run(0.8, 200);
        assert_eq!(outcome.done[..2], outcome.offered[..2]);
        assert!(outcome.by_prior == 0.0, "{outcome:?}");
    }

    #[test]
    fn a_burst_of_two_windows_refuses_nothing() {
        let mut simulation = Simulation::new();
        simulation.run(0.5, 20);
        let burst = simulation.run(1.2, 1);
        let after = simulation.run(0.3, 20);
        assert_eq!(burst.done, burst.offered);
        assert_eq!(after.done[1], after.offered[1], "{after:?}");
    }

    #[test]
    fn twice_and_five_times_too_much_leave_the_goodput() {
        for times in [2.0, 5.0] {
            let mut simulation = Simulation::new();
            simulation.run(0.9, 100);
            // Two seconds to find the budget, ten to hold it.
            let _ = simulation.run(times, 40);
            let outcome = simulation.run(times, 200);
            assert_eq!(
                outcome.done[0], outcome.offered[0],
                "conversions: {outcome:?}"
            );
            // What is left beside the refusals, which cost what they cost.
            let refused: f64 = (0..4).map(|c| outcome.offered[c] - outcome.done[c]).sum();
            let left = 1.0 - refused * REFUSAL_US / (200.0 * WINDOW_US);
            let goodput = outcome.done[1] / capacity(200);
            assert!(
                goodput > 0.9 * left,
                "{times}: {goodput} of {left}, {outcome:?}"
            );
            assert_eq!(outcome.by_prior, outcome.done[1], "the prior scores first");
            let clicks = outcome.done[2] + outcome.done[3];
            assert!(clicks < 0.02 * outcome.offered[2], "{outcome:?}");
            let waits = outcome.wait_us_max;
            assert!(waits < 5.0 * TARGET_US as f64, "{times}: waits {waits} us");
        }
    }

    #[test]
    fn it_is_over_within_two_seconds() {
        let mut simulation = Simulation::new();
        simulation.run(5.0, 200);
        simulation.run(0.5, 40);
        let after = simulation.run(0.5, 20);
        assert_eq!(after.done, after.offered);
        assert!(after.by_prior == 0.0, "{after:?}");
    }

    #[test]
    fn an_idle_server_lets_everything_in() {
        let mut controller = Controller::new(TARGET_US, HOLD_MS_MAX);
        for _ in 0..10 {
            assert_eq!(controller.turn(&Window::default()), Ruling::default());
        }
    }

    #[test]
    fn the_most_important_are_let_in_first() {
        let mut controller = Controller::new(1_000, HOLD_MS_MAX);
        let window = Window {
            offered: [10, 100, 100, 100],
            admitted: 310,
            wait_us: 2_000,
        };
        assert_eq!(
            controller.turn(&window).shares,
            [WHOLE; 4],
            "the prior first"
        );
        let ruling = controller.turn(&window);
        assert!(ruling.by_prior);
        // Half of 310: ten conversions, a hundred decisions, and 45 of the clicks.
        assert_eq!(ruling.shares[..2], [WHOLE; 2]);
        assert_eq!(ruling.shares[2], WHOLE * 45 / 100);
        assert_eq!(ruling.shares[3], 0);
    }
}
