//! Runs a plan: generators on threads of their own, a live line, and an eye on the server's process.

use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::check::Models;
use super::clock::now_ns;
use super::engine::{Line, Orders, Progress};
use super::machine::{self, Usage};
use super::plan::Plan;
use super::source::Cast;
use super::tally::Tally;

/// From the word to begin to the first request: every generator must have heard it.
const LEAD: Duration = Duration::from_millis(20);
/// How often the server's process is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Everything that a run needs.
#[derive(Clone, Debug)]
pub struct Load {
    pub line: Line,
    pub plan: Plan,
    pub cast: Cast,
    pub models: Models,
    pub threads: usize,
    /// Run the generators before everything that is not real-time.
    pub fifo: bool,
    /// Whose processor time and memory is counted.
    pub pid: Option<u32>,
    /// Stands before the live line.
    pub name: String,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub tally: Tally,
    /// The server's usage at the beginning of each phase, and at the end.
    pub usage: Vec<Usage>,
    /// The most memory in each phase, in bytes.
    pub resident_peak: Vec<u64>,
    /// What came of `fifo`.
    pub scheduling: Vec<String>,
}

impl Load {
    /// Starts the generators, waits until they are connected, and sets the moment of the first request.
    pub async fn start(&self) -> anyhow::Result<Started<'_>> {
        let progress = Arc::new(Progress::default());
        let (mut books, mut ready, mut begin) = (Vec::new(), Vec::new(), Vec::new());
        for generator in 0..self.threads {
            let (is_ready, heard) = oneshot::channel();
            let (say_when, when) = oneshot::channel();
            ready.push(heard);
            begin.push(say_when);
            let orders = Orders {
                line: self.line.clone(),
                plan: self.plan.clone(),
                cast: self.cast.clone(),
                models: self.models.clone(),
                progress: progress.clone(),
                ready: is_ready,
                begin: when,
                generator,
                of: self.threads,
            };
            books.push(start(orders, self.fifo)?);
        }
        for generator in ready {
            generator
                .await
                .map_err(|_| anyhow!("a generator stopped before it began"))?;
        }
        let began_ns = now_ns() + LEAD.as_nanos() as u64;
        for generator in begin {
            // One that is gone is missed when its books are asked for.
            let _ = generator.send(began_ns);
        }
        Ok(Started {
            load: self,
            began_ns,
            progress,
            books,
        })
    }

    /// Carries the plan out.
    pub async fn run(&self) -> anyhow::Result<Outcome> {
        self.start().await?.finish().await
    }

    /// Looks at the server's process at every border between phases, and shows how far it is.
    async fn watch(&self, progress: &Progress, began_ns: u64) -> (Vec<Usage>, Vec<u64>) {
        let bar = bar(&self.name);
        let look = || self.pid.map(Usage::of).unwrap_or_default();
        let mut ends: Vec<u64> = self.plan.begins_ns();
        ends.push(self.plan.lasts().as_nanos() as u64);
        let mut usage = Vec::new();
        let mut peak = vec![0; self.plan.phases.len()];
        let mut before = 0;
        for (at, end) in ends.into_iter().enumerate() {
            loop {
                let now = now_ns();
                let left = (began_ns + end).saturating_sub(now);
                if left == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_nanos(left).min(LOOK)).await;
                if let Some(most) = at.checked_sub(1).and_then(|at| peak.get_mut(at)) {
                    *most = look().resident_bytes.max(*most);
                }
                if bar.is_hidden() {
                    continue;
                }
                let phase = at
                    .checked_sub(1)
                    .map(|at| self.plan.phases[at].name.as_str());
                before = show(&bar, progress, phase.unwrap_or("starting"), before);
            }
            usage.push(look());
        }
        bar.finish_and_clear();
        (usage, peak)
    }
}

/// A run that has begun, or is about to.
#[derive(Debug)]
pub struct Started<'a> {
    load: &'a Load,
    /// When the first request goes out, by the monotonic clock.
    pub began_ns: u64,
    progress: Arc<Progress>,
    books: Vec<oneshot::Receiver<Books>>,
}

impl Started<'_> {
    /// Waits for the plan's end.
    pub async fn finish(self) -> anyhow::Result<Outcome> {
        let watch = self.load.watch(&self.progress, self.began_ns);
        let books = async {
            let mut tally = Tally::new(&self.load.plan);
            let mut scheduling = Vec::new();
            for generator in self.books {
                let books = generator
                    .await
                    .map_err(|_| anyhow!("a generator stopped"))?;
                let (books, words) = books?;
                tally.add(books);
                scheduling.extend(words);
            }
            anyhow::Ok((tally, scheduling))
        };
        let ((usage, resident_peak), books) = tokio::join!(watch, books);
        let (tally, scheduling) = books?;
        Ok(Outcome {
            tally,
            usage,
            resident_peak,
            scheduling,
        })
    }
}

type Books = anyhow::Result<(Tally, Vec<String>)>;

fn start(orders: Orders, fifo: bool) -> anyhow::Result<oneshot::Receiver<Books>> {
    let (done, books) = oneshot::channel();
    let name = format!("generator-{}", orders.generator);
    let generate = move || {
        let scheduling = match fifo {
            true => vec![machine::raise_this_thread(&format!(
                "generator {}",
                orders.generator
            ))],
            false => Vec::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let tally = runtime
            .context("failed to start a generator")
            .and_then(|runtime| LocalSet::new().block_on(&runtime, orders.carry_out()));
        // Nobody listens any more when the command was stopped.
        drop(done.send(tally.map(|tally| (tally, scheduling))));
    };
    let thread = std::thread::Builder::new().name(name).spawn(generate);
    thread.context("failed to start a generator")?;
    Ok(books)
}

/// Where the server is.
pub fn address(host: &str) -> anyhow::Result<std::net::SocketAddr> {
    let mut found = host
        .to_socket_addrs()
        .with_context(|| format!("failed to find {host}"))?;
    found
        .next()
        .with_context(|| format!("{host} has no address"))
}

/// On standard error, and only if that is a terminal.
fn bar(name: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {prefix}: {msg}");
    ProgressBar::new_spinner()
        .with_style(style.expect("the template is fixed"))
        .with_prefix(name.to_owned())
}

fn show(bar: &ProgressBar, progress: &Progress, phase: &str, before: u64) -> u64 {
    let get = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let answered = get(&progress.answered);
    let per_second = (answered - before.min(answered)) as f64 / LOOK.as_secs_f64();
    bar.set_message(format!(
        "{phase}, {answered} answered ({per_second:.0}/s), {} refused, {} failed, {} in flight, last {:.3} ms",
        get(&progress.refused),
        get(&progress.failed),
        get(&progress.in_flight),
        get(&progress.last_ns) as f64 / 1e6,
    ));
    bar.tick();
    answered
}
