//! The server under test: one that runs already, or one that is started for the purpose.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use super::admin::{Admin, ModelFiles};
use super::args::Target;
use super::check::Models;
use super::process::{Folder, Process};
use super::source::{self, Cast};
use super::wire::{Door, Job, Outcome, Writer};
use super::{generator, h2c, machine};

/// A server that answers.
#[derive(Debug)]
pub struct Subject {
    /// `host:port` of the public port.
    pub host: String,
    pub admin: Option<Admin>,
    /// Of the process, where it is known.
    pub pid: Option<u32>,
    pub models: Models,
    /// What there is to say about how it runs.
    pub notes: Vec<String>,
    process: Option<Process>,
    _folder: Option<Folder>,
}

/// What a started server is given beyond the target's own flags.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    pub redis: Option<String>,
    /// In place of a folder of its own.
    pub data: Option<PathBuf>,
}

impl Subject {
    /// Starts the server, or takes the one that runs.
    pub async fn find(target: &Target, extra: &Extra) -> anyhow::Result<Subject> {
        let mut subject = match &target.binary {
            Some(program) => Subject::start(program, target, extra).await?,
            None => Subject::running(target)?,
        };
        if let Some(folder) = &target.model {
            let files = ModelFiles::read(folder)?;
            let admin = subject.admin.as_ref().context("--model needs --admin")?;
            admin.push(&files, files.version()).await?;
        }
        subject.know_models().await;
        if target.fifo
            && let Some(pid) = subject.process.as_ref().map(Process::pid)
        {
            subject.notes.push(machine::raise_priority("offerd", pid));
        }
        Ok(subject)
    }

    fn running(target: &Target) -> anyhow::Result<Subject> {
        let Some(host) = target.url.strip_prefix("http://") else {
            bail!(crate::WrongUse(format!(
                "--url {}: must begin with http://",
                target.url
            )));
        };
        let key = target.admin_key.as_deref();
        Ok(Subject {
            host: host.trim_end_matches('/').to_owned(),
            admin: target.admin.as_ref().map(|url| Admin::new(url, key)),
            pid: target.pid,
            models: Models::default(),
            notes: Vec::new(),
            process: None,
            _folder: None,
        })
    }

    async fn start(program: &Path, target: &Target, extra: &Extra) -> anyhow::Result<Subject> {
        let folder = Folder::new("offerd")?;
        let program = std::path::absolute(program)?;
        let mut command = Command::new(program);
        command.args([
            "serve",
            "--public",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data",
        ]);
        command.arg(extra.data.as_deref().unwrap_or(folder.path()));
        for (flag, file) in [("--config", &target.config), ("--catalog", &target.catalog)] {
            if let Some(file) = file {
                command.arg(flag).arg(std::path::absolute(file)?);
            }
        }
        if let Some(redis) = &extra.redis {
            command.args(["--redis", redis]);
        }
        // Its warnings about what the load does to it would drown the table.
        command.current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Process::start("offerd", command, target.pin_server.as_ref())?;
        let lines = process.lines_until("operators").await?;
        let address = |word: &str| -> anyhow::Result<String> {
            let line = lines.iter().find(|line| line.contains(word));
            let address = line.and_then(|line| {
                let rest = line.split_once("http://")?.1;
                Some(rest.split(['/', ' ']).next()?.to_owned())
            });
            address.with_context(|| format!("offerd does not say where its {word} are"))
        };
        let admin = format!("http://{}", address("operators")?);
        let mut notes = Vec::new();
        if let Some(cores) = &target.pin_server {
            notes.push(format!("offerd: on processors {cores}"));
        }
        Ok(Subject {
            host: address("decisions")?,
            admin: Some(Admin::new(&admin, target.admin_key.as_deref())),
            pid: Some(process.pid()),
            models: Models::default(),
            notes,
            process: Some(process),
            _folder: Some(folder),
        })
    }

    /// Asks which models may answer.
    async fn know_models(&mut self) {
        let asked = match &self.admin {
            Some(admin) => admin.live_models(&self.models).await,
            None => Err(anyhow::anyhow!("no --admin")),
        };
        if let Err(error) = asked {
            self.notes
                .push(format!("which model answers is not checked: {error:#}"));
        } else if self.models.is_empty() {
            self.notes
                .push("no model is live: the prior answers".to_owned());
        }
    }

    /// One answer, as the floors are to give it: JSON, or a message of gRPC.
    pub async fn sample(
        &self,
        cast: &Cast,
        door: Door,
        key: Option<&str>,
    ) -> anyhow::Result<Bytes> {
        let writer = Writer {
            // HTTP/1.1 has no body that its length is not around.
            door: if door == Door::Http { Door::H2c } else { door },
            host: self.host.clone(),
            authorization: key.map(|key| format!("Bearer {key}")),
        };
        let prepared = source::first_decision(cast, &writer);
        let job = Job {
            prepared,
            phase: 0,
            intended_ns: 0,
            sent_ns: 0,
            reply: None,
        };
        let address = generator::address(&self.host)?;
        match h2c::ask_once(address, &writer, &job).await? {
            Outcome::Answered(body) => Ok(body),
            other => bail!("no answer to take a floor's from: {other:?}"),
        }
    }

    /// Ends a server that was started here.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Waits until everything recorded is in Redis; how long that took, unless it was too long.
    pub async fn drained(&self, within: Duration) -> anyhow::Result<Option<Duration>> {
        let admin = self.admin.as_ref().context("it has no admin port")?;
        let began = std::time::Instant::now();
        while began.elapsed() < within {
            let metrics = admin.metrics().await?;
            if metrics.get("offerd_flush_lag_entries") == Some(&0.0) {
                return Ok(Some(began.elapsed()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(None)
    }
}
