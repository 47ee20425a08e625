//! Processes that the harness starts, and ends again by their number.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::machine::{self, Cores};

/// How long a server may take to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to leave when it is asked to.
const LEAVE: Duration = Duration::from_secs(30);
/// Between two looks at whether something has happened.
const LOOK: Duration = Duration::from_millis(10);

/// A process of ours; it is killed when it is forgotten.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts it on these processors. Its parent's standard input and error are its own.
    pub fn start(
        name: &str,
        mut command: Command,
        cores: Option<&Cores>,
    ) -> anyhow::Result<Process> {
        // A process inherits the processors of the thread that starts it.
        let cores = cores.cloned();
        let started = std::thread::spawn(move || {
            if let Some(cores) = &cores {
                machine::pin_this_thread(cores)?;
            }
            anyhow::Ok(command.spawn()?)
        });
        let child = started.join().expect("starting a process does not panic");
        Ok(Process {
            name: name.to_owned(),
            child: child.with_context(|| format!("failed to start {name}"))?,
        })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let sent = kill_process(machine::pid(self.pid())?, signal);
        sent.with_context(|| format!("failed to signal {}", self.name))
    }

    /// Lines of its standard output up to the one that contains `last`.
    pub async fn lines_until(&mut self, last: &'static str) -> anyhow::Result<Vec<String>> {
        let output = self
            .child
            .stdout
            .take()
            .context("its output was read before")?;
        let (found, lines) = oneshot::channel();
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            let mut output = BufReader::new(output).lines().map_while(Result::ok);
            for line in output.by_ref() {
                let is_last = line.contains(last);
                lines.push(line);
                if is_last {
                    break;
                }
            }
            drop(found.send(lines));
            // What it says later is of no interest, but it must be able to say it.
            output.for_each(drop);
        });
        let lines = tokio::time::timeout(READY, lines).await;
        let lines = lines.with_context(|| format!("{}: not ready in time", self.name))??;
        if !lines.last().is_some_and(|line| line.contains(last)) {
            bail!(
                "{} ended before it was ready: {}",
                self.name,
                lines.join("; ")
            );
        }
        Ok(lines)
    }

    /// Ends it at once.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to leave and waits; kills it when it does not.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let began = Instant::now();
        while began.elapsed() < LEAVE {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("{} ended with {status}", self.name);
                }
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("{} did not leave within {} s", self.name, LEAVE.as_secs())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A folder that goes when it is forgotten.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(what: &str) -> anyhow::Result<Folder> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("loadtest-{what}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("failed to make {}", path.display()))?;
        Ok(Folder(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// A Redis of ours, without anything on disk.
#[derive(Debug)]
pub struct Redis {
    pub process: Process,
    pub port: u16,
    _folder: Folder,
}

impl Redis {
    pub async fn start(port: u16) -> anyhow::Result<Redis> {
        let folder = Folder::new("redis")?;
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        command
            .args(["--appendonly", "no", "--dir"])
            .arg(folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let redis = Redis {
            process: Process::start("redis-server", command, None)?,
            port,
            _folder: folder,
        };
        let began = Instant::now();
        while began.elapsed() < READY {
            if redis.answers().await.is_ok() {
                return Ok(redis);
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("redis-server: not ready in time")
    }

    async fn answers(&self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer).await?;
        anyhow::ensure!(&answer == b"+PONG\r\n", "it is not ready");
        Ok(())
    }
}

/// A port that is free at this moment.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
