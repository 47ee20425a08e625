//! Work that no customer may wait for: on a thread of its own that makes way for all others.
//!
//! Building a model takes milliseconds to seconds of processor time. On a thread that also answers customers,
//! or at their priority, that is what everybody behind it waits; the pointer swap is free. Lowering the nice
//! value alone is not enough: since 6.6 Linux lets whoever runs finish a slice of a millisecond or more before
//! a thread that wakes up gets its turn, however nice the former is. Under `SCHED_IDLE` it makes way at once, and a
//! processor on which it runs counts as free. But on a machine that never has time to spare it would get none
//! either, and a push would never end: there the lowest nice value has to do.

use std::any::Any;
use std::sync::Arc;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use crate::control::ControlError;

/// Does heavy work on a thread of its own at the lowest priority, and waits for it.
pub(super) fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, ControlError> {
    let panicked = || ControlError::Useless("reading the model panicked".into());
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("model-build".into());
        let spawned = thread.spawn_scoped(scope, || {
            make_way();
            work()
        });
        match spawned {
            Ok(handle) => handle.join().map_err(|_| panicked()),
            Err(error) => Err(ControlError::Useless(format!(
                "no thread to read the model on: {error}"
            ))),
        }
    })
}

/// Frees what nothing reads any more: a large model takes milliseconds, and gives its pages back to the
/// system, which every thread of the process can feel.
pub(super) fn free(over: Vec<Arc<dyn Any + Send + Sync>>) {
    if over.is_empty() {
        return;
    }
    let thread = std::thread::Builder::new().name("model-free".into());
    let freeing = move || {
        make_way();
        drop(over);
    };
    // Without a thread it has been freed here, by the closure that did not become one.
    if let Err(error) = thread.spawn(freeing) {
        tracing::debug!(%error, "no thread to free a model on");
    }
}

/// The calling thread makes way for all others, also where the whole process has real-time priority. Where the
/// system refuses, the work is done all the same.
fn make_way() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let policy = ThreadSchedulePolicy::Normal(policy(load(), cpus));
    let thread = thread_native_id();
    if let Err(error) = set_thread_priority_and_policy(thread, ThreadPriority::Min, policy) {
        tracing::debug!(?error, "models are read at the priority of everything else");
    }
}

/// What suits a machine with that load: how many threads wanted to run, on average over a minute.
fn policy(load: Option<f64>, cpus: usize) -> NormalThreadSchedulePolicy {
    match load {
        Some(load) if load < cpus as f64 => NormalThreadSchedulePolicy::Idle,
        _ => NormalThreadSchedulePolicy::Other,
    }
}

/// The machine's load, where it tells.
fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_used_where_there_is_some() {
        use NormalThreadSchedulePolicy::{Idle, Other};
        for (load, cpus, expected) in [
            (Some(0.3), 1, Idle),
            (Some(1.0), 1, Other),
            (Some(7.5), 8, Idle),
            (Some(12.0), 8, Other),
            (None, 8, Other),
        ] {
            assert_eq!(policy(load, cpus), expected, "{load:?} on {cpus}");
        }
    }

    #[test]
    fn a_panic_is_an_error() {
        assert_eq!(apart(|| 7).unwrap(), 7);
        assert!(apart(|| panic!("a reader's mistake")).is_err());
    }
}
