//! What the parts of a request cost in instructions, and how the cost of a decision grows.
//!
//! Two scripts run this program and read what it prints; by itself it measures nothing worth reading.
//!
//! - `scripts/instructions` runs `cost parts` under callgrind, which counts what [`offerd_cost_measured`]
//!   executes: the same on a busy machine as on an idle one, so that CI can refuse what got dearer.
//! - `scripts/growth` runs `cost point AXIS KIND SIZE` under `perf stat`, once for every point of its plots.
//!
//! `benches/offerd` has the same parts by the clock, for comparing two versions in one sitting.

mod growth;
mod made;
mod meter;
mod parts;
mod readers;

#[path = "../example/mod.rs"]
mod example;
#[path = "../../tests/support/mod.rs"]
mod support;

use std::process::ExitCode;

use meter::Meter;

/// What is measured, ready to be done again and again.
pub type Work = Box<dyn FnMut()>;

/// Calls before anything counts: buffers grow, and what is made at the first need is made.
const WARM_UP: u32 = 3;

/// Calls that callgrind counts: work that takes turns (a full buffer, a hash that falls badly) averages out.
const COUNTED: u32 = 10;

/// Does the work so many times. Callgrind counts while this runs and nowhere else, by its name: it must stay
/// a function of its own.
#[inline(never)]
fn offerd_cost_measured(work: &mut dyn FnMut(), times: u32) {
    for _ in 0..times {
        work();
    }
}

/// Every part that CI guards, in a fixed order: callgrind's dumps have numbers and no names.
fn count_parts() {
    // All stay until the end: freeing one would move the next one's memory about.
    let mut parts = parts::all();
    for (name, work) in &mut parts {
        for _ in 0..WARM_UP {
            work();
        }
        println!("{name} {COUNTED}");
        offerd_cost_measured(work, COUNTED);
    }
}

/// One point of a plot beside the smallest of its curve, in turn: both meet the same disturbances.
fn measure_point(axis: &str, kind: &str, size: usize) -> Option<()> {
    let floor = growth::floor(axis)?;
    let mut floor = growth::point(axis, kind, floor)?;
    let mut point = growth::point(axis, kind, size)?;
    let seen = Meter::from_environment().compare(&mut floor, &mut point);
    println!(
        r#"{{"calls":{},"ns":{:.1},"floor_ns":{:.1},"ratio":{:.4}}}"#,
        seen.calls, seen.ns, seen.floor_ns, seen.ratio
    );
    Some(())
}

fn main() -> ExitCode {
    // `cargo bench` adds --bench.
    let words: Vec<String> = (std::env::args().skip(1))
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        // As one of all benches it gets no words: then everything runs once, and nothing is counted.
        [] | ["parts"] => {
            count_parts();
            Some(())
        }
        ["point", axis, kind, size] => {
            (size.parse().ok()).and_then(|size| measure_point(axis, kind, size))
        }
        _ => None,
    };
    if done.is_none() {
        eprintln!("usage: cost [parts | point AXIS KIND SIZE]");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}
