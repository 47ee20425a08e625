//! Processor time of two pieces of work in turn, while perf counts the instructions of the second.

use std::fs::{self, File};
use std::io::{Read, Write};

use super::offerd_cost_measured;

/// A round of one piece of work takes at least so long.
const ROUND_NS: u64 = 20_000_000;
/// Pairs of rounds; the median counts.
const ROUNDS: usize = 9;

/// What was seen of the second piece of work, and of it beside the first.
pub struct Seen {
    /// Calls that perf counted.
    pub calls: u64,
    /// Processor time of a call in nanoseconds.
    pub ns: f64,
    /// The same of the first.
    pub floor_ns: f64,
    /// The second over the first, pair by pair.
    pub ratio: f64,
}

/// Tells `perf stat --control` when to count, if it is there.
pub struct Meter {
    control: Option<(File, File)>,
}

impl Meter {
    /// `COST_PERF` names the two pipes of `perf stat --control fifo:CONTROL,ACK`, separated by a comma.
    pub fn from_environment() -> Meter {
        let open = |names: String| {
            let (control, ack) = names.split_once(',').expect("two pipes");
            let control = File::options().write(true).open(control);
            let ack = File::open(ack);
            (
                control.expect("perf made the pipe"),
                ack.expect("perf made the pipe"),
            )
        };
        Meter {
            control: std::env::var("COST_PERF").ok().map(open),
        }
    }

    /// Does both in turn until there is a median.
    pub fn compare(&mut self, first: &mut dyn FnMut(), second: &mut dyn FnMut()) -> Seen {
        let (first_calls, second_calls) = (enough(first), enough(second));
        let (mut firsts, mut seconds, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let a = per_call(first, first_calls);
            self.tell("enable\n");
            let b = per_call(second, second_calls);
            self.tell("disable\n");
            firsts.push(a);
            seconds.push(b);
            ratios.push(b / a);
        }
        Seen {
            calls: u64::from(second_calls) * ROUNDS as u64,
            ns: median(seconds),
            floor_ns: median(firsts),
            ratio: median(ratios),
        }
    }

    fn tell(&mut self, words: &str) {
        if let Some((control, ack)) = &mut self.control {
            control.write_all(words.as_bytes()).expect("perf listens");
            let mut answer = [0; 5]; // "ack\n" and a zero
            let read = ack.read(&mut answer).expect("perf answers");
            assert!(answer[..read].starts_with(b"ack"), "perf refuses {words}");
        }
    }
}

/// How many calls fill a round; also the warm-up.
fn enough(work: &mut dyn FnMut()) -> u32 {
    let mut calls = 1;
    loop {
        let began = processor_ns();
        offerd_cost_measured(work, calls);
        let took = processor_ns() - began;
        if took >= ROUND_NS {
            return calls;
        }
        calls *= 2;
    }
}

fn per_call(work: &mut dyn FnMut(), calls: u32) -> f64 {
    let began = processor_ns();
    offerd_cost_measured(work, calls);
    (processor_ns() - began) as f64 / f64::from(calls)
}

/// What this thread has had of a processor, as the kernel counts it.
fn processor_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux with schedstat");
    let first = text.split_whitespace().next();
    first.and_then(|n| n.parse().ok()).expect("a number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
