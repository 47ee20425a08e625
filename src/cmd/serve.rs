//! `offerd serve`: the server, until it is told to stop.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, StartError};
use crate::config::{Config, ConfigError};

/// Somebody has to change a setting.
const WRONG_CONFIGURATION: u8 = 64;

/// Read when it is there and no other is named.
const DEFAULT_FILE: &str = "offerd.toml";

/// Serve decisions (this is what `offerd` does without a command).
#[derive(Debug, Default, clap::Args)]
#[command(
    after_help = "Example: offerd serve --redis redis://127.0.0.1:6379 --catalog offers.toml"
)]
pub struct Args {
    /// Settings; without it ./offerd.toml, if there is one, else every setting's default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where pages and servers call [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDRESS")]
    public: Option<SocketAddr>,
    /// Where operators call [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,
    /// Folder of the journal, the keys, and every catalog and model that served [default: data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ship records to this Redis, such as redis://127.0.0.1:6379.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Catalog to serve, read again whenever it changes.
    #[arg(long, value_name = "FILE")]
    catalog: Option<PathBuf>,
}

impl Args {
    /// The file's settings with the flags on top.
    fn config(&self) -> Result<Config, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        let path = self
            .config
            .as_deref()
            .or_else(|| default.exists().then_some(default));
        let mut config = Config::read(path)?;
        if let Some(address) = self.public {
            config.public.address = address;
        }
        if let Some(address) = self.admin {
            config.admin.address = address;
        }
        if let Some(data) = &self.data {
            config.node.data.clone_from(data);
        }
        if let Some(url) = &self.redis {
            config.redis.url.clone_from(url);
        }
        if let Some(file) = &self.catalog {
            config.catalog.file.clone_from(file);
        }
        Ok(config)
    }
}

/// Runs the command until SIGTERM or SIGINT.
#[must_use]
pub fn run(args: &Args) -> ExitCode {
    let config = match args.config() {
        Ok(config) => config,
        Err(error) => return wrong(&error),
    };
    if let Err(error) = start_log(&config) {
        return wrong(&error);
    }
    let runtime = match runtime(config.node.threads) {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_configuration() => wrong(&error),
        Err(error) => failed(&error),
    }
}

/// How often a thread among several looks at the line they have in common: every other time.
const COMMON_LINE_EVERY: u32 = 2;

/// The runtime that answers requests, with so many threads; with 0, one for each processor.
///
/// It must be fair to those who wait, or some wait a hundred times longer than most, and who measures the
/// usual wait sees nothing of it. A single thread has one line, and whoever is ready goes to its end. Each of
/// several has a line of its own for up to 256 tasks and moves the newer half to a common line when there
/// are more, at which tokio by default looks the more rarely the quicker the tasks are. It could look there
/// first; then those who stay behind in the short line would wait for ever. So it looks in turns.
///
/// # Errors
///
/// The operating system gives no threads.
pub fn runtime(threads: usize) -> io::Result<Runtime> {
    let threads = match threads {
        0 => available_parallelism()?.get(),
        threads => threads,
    };
    let mut runtime = if threads == 1 {
        Builder::new_current_thread()
    } else {
        let mut several = Builder::new_multi_thread();
        several.worker_threads(threads);
        several.global_queue_interval(COMMON_LINE_EVERY);
        several
    };
    runtime.enable_all().thread_name("offerd-serve").build()
}

async fn serve(config: Config) -> Result<(), StartError> {
    let system = |e: std::io::Error| StartError::System(format!("signals: {e}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(system)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system)?;
    let redis = config.redis.without_password();
    let data = config.node.data.clone();
    let unready = Duration::from_millis(config.node.unready_ms);
    let app = App::start(config).await?;
    // Whoever reads it may have stopped reading (`| head -1`): that is no reason to stop serving.
    let _ = announce(&app, &data, &redis);
    // Ctrl-C is a person who waits; SIGTERM an orchestrator, whose balancers must notice first.
    let balanced = tokio::select! {
        _ = terminate.recv() => true,
        _ = interrupt.recv() => false,
    };
    if balanced {
        tracing::info!(?unready, "not ready any more");
        app.unready().await;
        tokio::select! {
            () = tokio::time::sleep(unready) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
    tracing::info!("draining");
    app.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Says where everything is.
fn announce(app: &App, data: &Path, redis: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let (public, admin) = (app.public(), app.admin());
    writeln!(out, "offerd is ready")?;
    writeln!(
        out,
        "  decisions   http://{public}/v1/decisions   (gRPC on the same port)"
    )?;
    writeln!(out, "  demo page   http://{public}/demo")?;
    writeln!(out, "  API         http://{public}/openapi.json")?;
    writeln!(out, "  operators   http://{admin}/")?;
    writeln!(out, "  journal     {}", data.join("journal").display())?;
    if !redis.is_empty() {
        writeln!(out, "  streams     {}", redis)?;
    }
    out.flush()
}

fn start_log(config: &Config) -> Result<(), ConfigError> {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_new(&config.log.filter)
        .map_err(|e| ConfigError::Setting(format!("log.filter: {e}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if config.log.json {
        log.json().init()
    } else {
        log.init()
    }
    Ok(())
}

fn wrong(error: &dyn Error) -> ExitCode {
    eprintln!("offerd: {}", with_causes(error));
    ExitCode::from(WRONG_CONFIGURATION)
}

fn failed(error: &dyn Error) -> ExitCode {
    eprintln!("offerd: {}", with_causes(error));
    ExitCode::FAILURE
}

/// What happened, and why, down to what the operating system said. Errors that tell their cause by themselves are
/// believed.
fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| {
        let said = cause.to_string();
        match text.ends_with(&said) {
            true => text,
            false => format!("{text}: {said}"),
        }
    })
}
