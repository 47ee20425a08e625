//! `loadtest faults`: what the callers notice when something behind the server breaks.
//!
//! Each fault has a run of its own and one without it, on servers of their own, with the same load. A
//! run has three parts: before, during, after. Redis away must change nothing for callers, and nothing
//! recorded may be lost; a full disk must be told, and must heal.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;

use super::args::{Output, Shape, Target, Time};
use super::plan::{Pace, Phase, Plan};
use super::process::{Folder, Redis, free_port};
use super::proxy::Proxy;
use super::report::{Report, Run, UNDISTURBED};
use super::run::{of_round, pace};
use super::subject::{Extra, Subject};

/// How long what was recorded during a fault may take to reach Redis after it.
const DRAIN: Duration = Duration::from_secs(120);
/// One piece of what fills the disk.
const FILL_BYTES: usize = 1 << 20;

/// What can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Redis is killed, and started again empty.
    RedisKilled,
    /// Redis stands still (SIGSTOP), and goes on.
    RedisStopped,
    /// Nothing reaches Redis, and nothing says so.
    RedisBlackholed,
    /// The journal's disk is full, until there is space again.
    DiskFull,
}

impl Fault {
    const ALL: [Fault; 4] = [
        Fault::RedisKilled,
        Fault::RedisStopped,
        Fault::RedisBlackholed,
        Fault::DiskFull,
    ];

    fn name(self) -> &'static str {
        match self {
            Fault::RedisKilled => "redis killed",
            Fault::RedisStopped => "redis stopped",
            Fault::RedisBlackholed => "redis black-holed",
            Fault::DiskFull => "disk full",
        }
    }
}

/// Break what is behind the server, and compare with the same load undisturbed.
///
/// Starts its own offerd and redis-server, on free ports, and ends them by their numbers. For the full
/// disk it mounts a small tmpfs, which takes root; without, make a small file system and name a folder on
/// it with --small-disk.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: loadtest faults --offerd target/release/offerd --fault redis-stopped --rate 2000 --for 20s"
)]
pub struct Args {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    shape: Shape,
    #[command(flatten)]
    output: Output,
    /// What to break (repeat for several); everything, unless told.
    #[arg(long = "fault", value_enum)]
    faults: Vec<Fault>,
    /// Requests per second.
    #[arg(long, default_value = "1000", value_parser = pace)]
    rate: Pace,
    /// How long it stays broken; also how long before and after are measured.
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    lasts: Time,
    /// Pairs of each.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// An empty folder on a small file system, for the full disk.
    #[arg(long, value_name = "DIR")]
    small_disk: Option<PathBuf>,
    /// Size of the tmpfs that is mounted otherwise.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(160..=65_536))]
    disk_mib: u32,
}

/// Runs the command.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    if args.target.binary.is_none() {
        bail!(crate::WrongUse(
            "faults needs --offerd: it breaks what is behind it".to_owned()
        ));
    }
    let mut report = Report::new("faults");
    report.machine.scheduling = args.shape.settle_in()?;
    let faults = match args.faults.as_slice() {
        [] => Fault::ALL.to_vec(),
        told => told.to_vec(),
    };
    let mut clean = true;
    for fault in faults {
        for round in 1..=args.rounds {
            let order = if round % 2 == 1 {
                [true, false]
            } else {
                [false, true]
            };
            for breaks in order {
                let scene = Scene::build(args, fault).await;
                match scene {
                    Ok(scene) => clean &= scene.play(args, &mut report, round, breaks).await?,
                    Err(error) => {
                        report
                            .notes
                            .push(format!("{}: not run: {error:#}", fault.name()));
                        clean = false;
                    }
                }
            }
        }
    }
    args.output.give(report)?;
    Ok(clean)
}

/// A server with what can break behind it.
struct Scene {
    fault: Fault,
    redis: Option<Redis>,
    proxy: Option<Proxy>,
    disk: Option<Disk>,
    subject: Subject,
}

impl Scene {
    async fn build(args: &Args, fault: Fault) -> anyhow::Result<Scene> {
        let mut extra = Extra::default();
        let (mut redis, mut proxy, mut disk) = (None, None, None);
        if fault == Fault::DiskFull {
            let small = match &args.small_disk {
                Some(folder) => Disk::Told(folder.clone()),
                None => Disk::mount(args.disk_mib)?,
            };
            extra.data = Some(small.path().join("data"));
            disk = Some(small);
        } else {
            let server = Redis::start(free_port()?).await?;
            let to = SocketAddr::from(([127, 0, 0, 1], server.port));
            // In every run, so that the undisturbed one has the same way to go.
            let between = Proxy::start(to).await?;
            extra.redis = Some(format!("redis://{}", between.address));
            (redis, proxy) = (Some(server), Some(between));
        }
        Ok(Scene {
            fault,
            redis,
            proxy,
            disk,
            subject: Subject::find(&args.target, &extra).await?,
        })
    }

    /// One run, and what is left of it afterwards. True if nothing failed and nothing was lost.
    async fn play(
        mut self,
        args: &Args,
        report: &mut Report,
        round: u32,
        breaks: bool,
    ) -> anyhow::Result<bool> {
        let name = match breaks {
            true => self.fault.name().to_owned(),
            false => format!("{}{UNDISTURBED}", self.fault.name()),
        };
        let phase = |name| Phase::new(name, args.rate, args.lasts.0);
        let plan = Plan {
            phases: vec![
                Phase::warm_up(args.rate, args.shape.warm_up.0),
                phase("before"),
                phase("during"),
                phase("after"),
            ],
            spread: args.shape.spread,
            seed: args.shape.seed + u64::from(round),
            requests_max: None,
        };
        let cast = of_round(&args.shape.cast()?, round);
        let load = args
            .shape
            .load(&args.target, &self.subject, &cast, plan, &name)?;
        let started = load.start().await?;
        let outcome = if breaks {
            let (begins, began) = (load.plan.begins_ns(), started.began_ns);
            let broken = self.break_and_mend(began + begins[2], began + begins[3]);
            let (outcome, broken) = tokio::join!(started.finish(), broken);
            broken.with_context(|| format!("failed to break: {name}"))?;
            outcome?
        } else {
            started.finish().await?
        };
        let run = Run::new(&name, round, &load, &outcome);
        let clean = self.aftermath(report, &run).await?;
        report.keep(round, &load, &outcome);
        for note in &self.subject.notes {
            if !report.notes.contains(note) {
                report.notes.push(note.clone());
            }
        }
        self.subject.stop().await?;
        Ok(clean)
    }

    async fn break_and_mend(&mut self, from_ns: u64, to_ns: u64) -> anyhow::Result<()> {
        let alarm = super::clock::Alarm::new()?;
        alarm.until(from_ns).await?;
        let filler = match (self.fault, &mut self.redis, &self.proxy, &self.disk) {
            (Fault::RedisKilled, Some(redis), _, _) => {
                redis.process.kill()?;
                None
            }
            (Fault::RedisStopped, Some(redis), _, _) => {
                redis.process.signal(Signal::STOP)?;
                None
            }
            (Fault::RedisBlackholed, _, Some(proxy), _) => {
                proxy.swallow(true);
                None
            }
            (Fault::DiskFull, _, _, Some(disk)) => {
                let file = disk.path().join("filler");
                let to = file.clone();
                tokio::task::spawn_blocking(move || fill(&to)).await??;
                Some(file)
            }
            _ => bail!("the scene has nothing to break"),
        };
        alarm.until(to_ns).await?;
        match (self.fault, &mut self.redis, &self.proxy, filler) {
            (Fault::RedisKilled, Some(redis), _, _) => *redis = Redis::start(redis.port).await?,
            (Fault::RedisStopped, Some(redis), _, _) => redis.process.signal(Signal::CONT)?,
            (Fault::RedisBlackholed, _, Some(proxy), _) => proxy.swallow(false),
            (Fault::DiskFull, _, _, Some(file)) => std::fs::remove_file(file)?,
            _ => bail!("the scene has nothing to mend"),
        }
        Ok(())
    }

    /// What the server says of it: records lost, and how long the rest took to arrive.
    async fn aftermath(&self, report: &mut Report, run: &Run) -> anyhow::Result<bool> {
        let name = format!("{} {}", run.name, run.round);
        let mut tell = |what: &str, value: f64| {
            report.figures.insert(format!("{name}: {what}"), value);
        };
        let part = |name: &str| run.phase(name).context("the plan has it");
        let (before, during, after) = (part("before")?, part("during")?, part("after")?);
        for (what, phase) in [("during", during), ("after", after)] {
            let ratio = phase.latency().us(0.99) / before.latency().us(0.99);
            tell(&format!("p99 {what} / before"), ratio);
        }
        let memory = |phase: &super::report::Phase| phase.resident_mib.unwrap_or_default();
        let grown = memory(during).max(memory(after)) - memory(before);
        tell("memory grown by, MiB", grown);
        if self.redis.is_some() {
            match self.subject.drained(DRAIN).await? {
                Some(took) => tell("everything in redis after the run, s", took.as_secs_f64()),
                None => tell("not everything in redis after, s", DRAIN.as_secs_f64()),
            }
        }
        let admin = self.subject.admin.as_ref().context("it was started here")?;
        let metrics = admin.metrics().await?;
        let lost = metrics
            .iter()
            .filter(|(name, _)| name.starts_with("offerd_events_lost_total"));
        let lost: f64 = lost.map(|(_, n)| n).sum();
        tell("records lost", lost);
        let trouble = run.phases.iter().map(|phase| {
            super::tally::total(&phase.counts.failed) + super::tally::total(&phase.counts.wrong)
        });
        let trouble: u64 = trouble.sum();
        // A full disk loses what cannot be written, and says so.
        Ok(trouble == 0 && (lost == 0.0 || self.fault == Fault::DiskFull))
    }
}

/// A file system that is soon full.
enum Disk {
    Told(PathBuf),
    Mounted(Folder),
}

impl Disk {
    fn mount(mib: u32) -> anyhow::Result<Disk> {
        let folder = Folder::new("disk")?;
        let size = format!("size={mib}m");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &size, "loadtest"])
            .arg(folder.path());
        let output = command.stdin(Stdio::null()).output().context("mount")?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            bail!("failed to mount a tmpfs ({why}): see --small-disk");
        }
        Ok(Disk::Mounted(folder))
    }

    fn path(&self) -> &Path {
        match self {
            Disk::Told(path) => path,
            Disk::Mounted(folder) => folder.path(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Disk::Mounted(folder) = self {
            // Lazily: the server may still be on its way out.
            let mut command = Command::new("umount");
            drop(command.arg("--lazy").arg(folder.path()).output());
        }
    }
}

/// Takes all the space there is.
fn fill(path: &Path) -> anyhow::Result<()> {
    let mut file = File::create(path)?;
    let mut piece = vec![0; FILL_BYTES];
    while !piece.is_empty() {
        match file.write(&piece) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                // Smaller pieces still fit where a large one does not.
                piece.truncate(piece.len() / 2);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
