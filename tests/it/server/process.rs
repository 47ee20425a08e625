//! The real binary, for what only a process can show: signals, exit codes, what it prints.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::client::Client;
use super::{PATIENCE, until};

/// A running `offerd`; killed when dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    pub client: Client,
}

/// How a command ended.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Process {
    /// Starts a server with everything in `dir` on free ports, with `settings` in its file.
    pub async fn start(dir: &Path, settings: &str) -> Process {
        let log = dir.join("log");
        let mut child = command(dir, settings)
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let ready = tokio::task::spawn_blocking(move || addresses(BufReader::new(out)));
        let found = tokio::time::timeout(PATIENCE, ready)
            .await
            .unwrap()
            .unwrap();
        let Some((public, admin)) = found else {
            let said = std::fs::read_to_string(&log).unwrap();
            panic!("{:?}: {said}", child.wait());
        };
        let client = Client::new(public, admin);
        Process { child, log, client }
    }

    /// Runs a server that is expected not to start.
    pub fn refused(dir: &Path, settings: &str) -> Said {
        finish(command(dir, settings).stderr(Stdio::piped()))
    }

    /// Runs any other command.
    pub fn run(arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
        finish(
            command
                .args(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        )
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let status = kill
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for it to end; its exit code, `None` where a signal ended it.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut ended = None;
        until("the server ends", async || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
        ended.unwrap().code()
    }

    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.ended().await
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(dir: &Path, settings: &str) -> Command {
    let file = dir.join("offerd.toml");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
    command
        .current_dir(dir)
        .args(["--config", "offerd.toml", "--data", "data"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    for (flag, section) in [("--public", "[public]"), ("--admin", "[admin]")] {
        if !settings.contains(section) {
            command.args([flag, "127.0.0.1:0"]);
        }
    }
    command
}

/// The addresses it prints once it is ready; `None` where it ends instead.
fn addresses(out: impl BufRead) -> Option<(SocketAddr, SocketAddr)> {
    let mut public = None;
    for line in out.lines() {
        let line = line.ok()?;
        let mut words = line.split_whitespace();
        let (Some(name), Some(url)) = (words.next(), words.next()) else {
            continue;
        };
        let address = || {
            let rest = url.strip_prefix("http://").unwrap();
            rest.split('/').next().unwrap().parse().unwrap()
        };
        match name {
            "decisions" => public = Some(address()),
            "operators" => return Some((public?, address())),
            _ => {}
        }
    }
    None
}

#[expect(
    clippy::disallowed_methods,
    reason = "no worker waits here, and the standard library has no wait with a limit"
)]
fn finish(command: &mut Command) -> Said {
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    // Output is short: it fits the pipe, so that waiting first cannot block it.
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let text = |pipe: Option<&mut dyn std::io::Read>| {
        let mut text = String::new();
        pipe.map(|p| p.read_to_string(&mut text));
        text
    };
    Said {
        code: status.code().unwrap_or(-1),
        stdout: text(child.stdout.as_mut().map(|p| p as &mut dyn std::io::Read)),
        stderr: text(child.stderr.as_mut().map(|p| p as &mut dyn std::io::Read)),
    }
}
