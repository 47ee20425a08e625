//! The machine as far as figures depend on it: cores, priorities, and what a process has used.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context, bail};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// Below every other real-time process there may be.
const FIFO_PRIORITY: &str = "1";
/// How the kernel numbers the scheduling class of first in, first out.
const SCHED_FIFO: u32 = 1;

/// What figures were taken on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    pub processor: String,
    pub processors: usize,
    pub memory_mib: u64,
    pub kernel: String,
    /// Over the last minute, at the beginning.
    pub load_average: f64,
    /// What the harness was told to do about cores and priorities, and what came of it.
    pub scheduling: Vec<String>,
}

impl Machine {
    /// This one, now.
    pub fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&text("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib: u64 = first(&memory).unwrap_or_default();
        Machine {
            processor: field(&text("/proc/cpuinfo"), "model name").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, Into::into),
            memory_mib: memory_kib / 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_average: first(&text("/proc/loadavg")).unwrap_or_default(),
            scheduling: Vec::new(),
        }
    }
}

fn first<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.split_whitespace().next()?.parse().ok()
}

/// Some processors, as `0`, `0,2` or `1-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores(Vec<usize>);

impl std::str::FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Cores, String> {
        let wrong = || format!("expected processors such as 0, 0,2 or 1-3, found {text:?}");
        let mut cores = Vec::new();
        for part in text.split(',') {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<usize>().map_err(|_| wrong());
            let (from, to) = (number(from)?, number(to)?);
            if from > to || to >= CpuSet::MAX_CPU {
                return Err(wrong());
            }
            cores.extend(from..=to);
        }
        Ok(Cores(cores))
    }
}

impl std::fmt::Display for Cores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&words.join(","))
    }
}

/// Keeps this thread, and whatever it starts from now on, on these processors.
pub fn pin_this_thread(cores: &Cores) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    cores.0.iter().for_each(|&core| set.set(core));
    sched_setaffinity(None, &set).with_context(|| format!("failed to stay on processors {cores}"))
}

/// Raises the limit of open files as far as this user may.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With the lower one there are fewer connections, which is then told as such.
    let _ = setrlimit(Resource::Nofile, most);
}

/// Runs the present threads of a process before everything that is not real-time, and says what came of
/// it. Those that have made way for the others (learning, reading models) go on making way, and threads that it
/// starts later are not raised.
pub fn raise_priority(what: &str, pid: u32) -> String {
    let tasks = tasks(pid);
    let makes_way = |task: u32| scheduling(pid, task).is_none_or(|s| s.nice > 0);
    let mut refused = None;
    for &task in tasks.iter().filter(|&&task| !makes_way(task)) {
        refused = raise(task, &["--reset-on-fork"]).err().or(refused);
    }
    let raised = tasks.iter().filter(|&&task| is_fifo(pid, task)).count();
    let found = format!("{what}: SCHED_FIFO on {raised} of {} threads", tasks.len());
    match refused {
        None => found,
        Some(why) => format!("{found} ({why})"),
    }
}

/// The same for the calling thread alone.
pub fn raise_this_thread(what: &str) -> String {
    let task = rustix::thread::gettid().as_raw_nonzero().get();
    match raise(task.unsigned_abs(), &[]) {
        Ok(()) => format!("{what}: SCHED_FIFO"),
        Err(why) => format!("{what}: not SCHED_FIFO ({why})"),
    }
}

/// Has the system run a thread before everything that is not real-time, or says why it does not.
fn raise(task: u32, flags: &[&str]) -> Result<(), String> {
    let mut command = Command::new("chrt");
    command.args(flags).args(["--fifo", "--pid", FIFO_PRIORITY]);
    match command.arg(task.to_string()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("chrt: {error}")),
    }
}

fn tasks(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"));
    let names = entries.into_iter().flatten().flatten();
    names
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// How a thread is scheduled.
struct Scheduling {
    nice: i32,
    policy: u32,
}

fn is_fifo(pid: u32, task: u32) -> bool {
    scheduling(pid, task).is_some_and(|s| s.policy == SCHED_FIFO)
}

fn scheduling(pid: u32, task: u32) -> Option<Scheduling> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/stat")).ok()?;
    // After the name, which may contain anything, comes field 3; 19 is the nice value and 41 the policy.
    let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some(Scheduling {
        nice: words.get(16)?.parse().ok()?,
        policy: words.get(38)?.parse().ok()?,
    })
}

/// What a process has used so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// On a processor, and waiting for one, by thread, in nanoseconds.
    threads: BTreeMap<u32, (u64, u64)>,
    /// Memory that is present, in bytes.
    pub resident_bytes: u64,
}

/// What a process used between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Used {
    pub cpu_ns: u64,
    pub waited_ns: u64,
}

impl Usage {
    /// Now; nothing where there is no such process.
    pub fn of(pid: u32) -> Usage {
        let threads = tasks(pid).into_iter().filter_map(|task| {
            let text = fs::read_to_string(format!("/proc/{pid}/task/{task}/schedstat")).ok()?;
            let mut words = text.split_whitespace().map(str::parse);
            Some((task, (words.next()?.ok()?, words.next()?.ok()?)))
        });
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Usage {
            threads: threads.collect(),
            resident_bytes: resident.and_then(first::<u64>).unwrap_or_default() * 1024,
        }
    }

    /// What was used since; a thread that ended meanwhile is left out.
    pub fn since(&self, before: &Usage) -> Used {
        let mut used = Used::default();
        for (thread, &(cpu, waited)) in &self.threads {
            let (cpu_before, waited_before) =
                before.threads.get(thread).copied().unwrap_or_default();
            used.cpu_ns += cpu.saturating_sub(cpu_before);
            used.waited_ns += waited.saturating_sub(waited_before);
        }
        used
    }
}

/// The process of that number.
pub fn pid(number: u32) -> anyhow::Result<Pid> {
    match i32::try_from(number).ok().and_then(Pid::from_raw) {
        Some(pid) => Ok(pid),
        None => bail!("{number} is no process"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_and_told() {
        for (text, expected) in [("0", "0"), ("0,2", "0,2"), ("1-3", "1,2,3")] {
            let cores: Cores = text.parse().unwrap();
            assert_eq!(cores.to_string(), expected);
        }
        for text in ["", "a", "3-1", "0,", "99999999"] {
            assert!(text.parse::<Cores>().is_err(), "{text}");
        }
    }

    #[test]
    fn work_shows_in_the_usage() {
        let pid = std::process::id();
        let before = Usage::of(pid);
        let mut sum = 0_u64;
        for i in 0..20_000_000_u64 {
            sum = std::hint::black_box(sum.wrapping_add(i));
        }
        let used = Usage::of(pid).since(&before);
        assert!(used.cpu_ns > 1_000_000, "{used:?}");
        assert!(before.resident_bytes > 1 << 20);
        assert_eq!(Usage::of(u32::MAX), Usage::default());
    }

    #[test]
    fn the_machine_has_a_name() {
        let machine = Machine::read();
        assert!(machine.processors > 0 && machine.memory_mib > 0 && !machine.kernel.is_empty());
    }
}
