//! The only place where parts meet: build, connect, start, drain.
//!
//! Start: keys, journal (which rebuilds the ledger), control plane, sink, learner, listeners. Stop, the other
//! way round: say "not ready", stop accepting, finish what is in flight, write and sync the journal,
//! ship what can be shipped, exit.

use std::future::Future;
use std::io;
use std::iter;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::admin::{self, Operator, Parts};
use crate::config::{Config, ConfigError};
use crate::control::catalog::Memory;
use crate::control::{Control, ControlError, Settings, Shipped, stored_catalogs};
use crate::domain::{Class, Millis};
use crate::journal::sink::{Sink, SinkHandle, StartError as SinkError};
use crate::journal::{Journal, OpenError, Position};
use crate::learn::learner::run::{Embedded, Source, StartError as LearnerError};
use crate::learn::learner::streams::Fleet;
use crate::ledger::Ledger;
use crate::listener::{BindError, Listener, ListenerStats};
use crate::serve::admission::Admission;
use crate::serve::auth::Auth;
use crate::serve::key_file::KeysError;
use crate::serve::keys::Keys;
use crate::serve::{self, Front, Public, Service};
use crate::telemetry::tally::Tallies;
use crate::telemetry::{self, Metrics};

/// What comes with the program.
pub const SHIPPED: Shipped = Shipped {
    catalog: include_str!("../catalog/demo.toml"),
    manifest: include_str!("../models/propensity-forest/manifest.json"),
    artifact: include_str!("../models/propensity-forest/artifact.json"),
};

/// While draining, how long the sink may go on shipping: what is left is shipped at the next start.
const SHIP_ON_EXIT: Duration = Duration::from_secs(3);

/// How often the ledger forgets what is over: 256 calls see every account.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// How often new models are looked at.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of a part.
    #[error("{0}")]
    Setting(String),
    /// An address.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// Catalog or model.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The sink.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The learner.
    #[error(transparent)]
    Learner(#[from] LearnerError),
    /// The operating system.
    #[error("{0}")]
    System(String),
}

impl StartError {
    /// Whether somebody has to change a setting, rather than mend the machine.
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            StartError::Config(_)
                | StartError::Setting(_)
                | StartError::Bind(BindError::Config(_))
                | StartError::Journal(OpenError::Config(_) | OpenError::OtherNode { .. })
                | StartError::Control(ControlError::Catalog(_) | ControlError::Bind(_))
                | StartError::Sink(SinkError::Config(_) | SinkError::Partitions { .. })
        )
    }
}

/// A server that answers.
pub struct App {
    public: SocketAddr,
    admin: SocketAddr,
    public_stats: Arc<ListenerStats>,
    shared: Shared,
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What outlives the listeners.
struct Shared {
    control: Arc<Control>,
    journal: Journal,
    sink: Option<Arc<SinkHandle>>,
    learner: Option<Arc<Embedded>>,
    ready: Arc<AtomicBool>,
    health: HealthReporter,
}

impl Shared {
    /// Tells gRPC's health checkers; `/readyz` asks for itself.
    async fn say(&self, status: tonic_health::ServingStatus) {
        for &name in iter::once(&"").chain(serve::SERVICES) {
            self.health.set_service_status(name, status).await;
        }
    }
}

impl App {
    /// Builds everything and begins to answer.
    ///
    /// # Errors
    /// The first part that cannot start, with the setting to change.
    pub async fn start(config: Config) -> Result<App, StartError> {
        config.check()?;
        let auth = Auth::new(config.auth.clone()).map_err(|e| setting("auth", e))?;
        let admission = Admission::new(&config.admission).map_err(|e| setting("admission", e))?;
        let file = catalog_text(&config.catalog.file)?;
        // Ports first: a second server on them should not have touched anything.
        let public = Listener::bind(config.public.address, config.public.limits.clone())?;
        let admin = Listener::bind(config.admin.address, config.admin.limits.clone())?;
        let data = &config.node.data;
        let ledger = Arc::new(Ledger::new(config.ledger));
        let journal = open_journal(&config, &ledger)?;
        let keys = Keys::load_or_create(data)?;
        let control_dir = data.join("control");
        let tallies = Arc::new(Tallies::default());
        let control = Control::start(
            control_dir.clone(),
            file.as_deref(),
            SHIPPED,
            journal.clone(),
            Settings {
                memory: Memory {
                    horizon_ms: config.ledger.horizon_ms(),
                    exposures_max: config.ledger.exposures_per_customer_max,
                },
                models: config.models.clone(),
                tallies: Arc::clone(&tallies),
            },
            serve::now(),
        )?;
        let control = Arc::new(control);
        let sink = start_sink(&config, &journal)?;
        let learner = start_learner(&config, &journal, &control)?;
        let render = telemetry::install();
        let metrics = Arc::new(Metrics::new());
        let service = Service::new(
            control.live(),
            journal.clone(),
            Arc::clone(&ledger),
            Arc::new(keys),
            Arc::clone(&metrics),
            config.decisions.clone(),
            config.tokens.clone(),
        )
        .counting(tallies);
        let ready = Arc::new(AtomicBool::new(false));
        let is_ready: Arc<dyn Fn() -> bool + Send + Sync> = {
            let ready = Arc::clone(&ready);
            Arc::new(move || ready.load(Ordering::Relaxed))
        };
        let (gate, watching) = (admission.clone(), admission.clone());
        let doors = Arc::new(Public {
            service: Arc::new(service),
            auth: auth.clone(),
            admission,
            deadlines: config.deadlines.clone(),
            ready: Arc::clone(&is_ready),
            files: crate::web::file,
        });
        let operator = Arc::new(Operator::new(Parts {
            node: config.node.id.clone(),
            control: Arc::clone(&control),
            control_dir,
            shipped: SHIPPED,
            journal: journal.clone(),
            ledger: Arc::clone(&ledger),
            sink: sink.clone(),
            learner: learner.clone(),
            render: Box::new(move || {
                telemetry::set("offerd_inflight", gate.in_flight() as f64);
                let share = gate.share(Class::Decision);
                telemetry::set("offerd_admitted_share", share);
                let wait = gate.wait().as_secs_f64();
                telemetry::set("offerd_queue_wait_seconds", wait);
                render.render() + &metrics.render()
            }),
            ready: is_ready,
            who: {
                let auth = auth.clone();
                Box::new(move |headers| auth.admin_name(headers))
            },
            authorize: Box::new(move |headers| auth.admin(headers).map_err(|e| e.to_string())),
            now: serve::now,
        }));
        let (health, health_service) = tonic_health::server::health_reporter();
        let (stop, stopping) = watch::channel(false);
        let (public_address, admin_address) = (public.local_addr(), admin.local_addr());
        let public_stats = public.stats();
        let public_routes = serve::router(Arc::clone(&doors)).merge(grpc(
            serve::routes(Arc::clone(&doors)),
            serve::SERVICES,
            health_service.clone(),
        )?);
        let public_app = Front::new(doors, public_routes);
        let admin_app = admin::router(Arc::clone(&operator)).merge(grpc(
            admin::routes(&operator),
            admin::SERVICES,
            health_service,
        )?);
        let listeners = vec![
            spawn(
                "public",
                public.serve(public_app, stopped(stopping.clone())),
            ),
            spawn("admin", admin.serve(admin_app, stopped(stopping.clone()))),
        ];
        let mut tasks = vec![
            tokio::spawn({
                let (watching, stop) = (watching, stopped(stopping.clone()));
                async move {
                    tokio::select! {
                        Err(error) = serve::watch(watching) => {
                            tracing::error!(%error, "overload is not seen any more");
                        }
                        () = stop => {}
                    }
                }
            }),
            every(EXPIRE_EVERY, stopping.clone(), move || {
                ledger.expire(serve::now())
            }),
            every(WATCH_EVERY, stopping.clone(), {
                let control = Arc::clone(&control);
                move || control.tick(serve::now())
            }),
            every(WATCH_EVERY, stopping.clone(), {
                let control = Arc::clone(&control);
                move || control.observe()
            }),
        ];
        if config.learner.enabled && config.learner.source == Source::Redis {
            let following = follow(config.redis.url.clone(), Arc::clone(&control));
            let every_ms = Duration::from_millis(config.learner.publish_ms);
            tasks.push(every(every_ms, stopping.clone(), following));
        }
        if !config.catalog.file.as_os_str().is_empty() {
            let watching = watch_catalog(config.catalog.file.clone(), Arc::clone(&control));
            let poll = Duration::from_millis(config.catalog.poll_ms);
            tasks.push(every(poll, stopping.clone(), watching));
        }
        ready.store(true, Ordering::Relaxed);
        let shared = Shared {
            control,
            journal,
            sink,
            learner,
            ready,
            health,
        };
        shared.say(tonic_health::ServingStatus::Serving).await;
        Ok(App {
            public: public_address,
            admin: admin_address,
            public_stats,
            shared,
            stop,
            listeners,
            tasks,
        })
    }

    /// Where pages and servers call.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Where operators call.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// What happened at the public port so far.
    #[must_use]
    pub fn public_stats(&self) -> &ListenerStats {
        &self.public_stats
    }

    /// Says "not ready" and goes on answering, for load balancers to look elsewhere before the stop.
    pub async fn unready(&self) {
        self.shared.ready.store(false, Ordering::Relaxed);
        self.shared
            .say(tonic_health::ServingStatus::NotServing)
            .await;
    }

    /// Says "not ready", finishes what is in flight, and puts everything on disk.
    pub async fn stop(self) {
        self.unready().await;
        let Shared {
            control,
            journal,
            sink,
            learner,
            ..
        } = self.shared;
        // Nobody listening for it means that everything has ended already.
        self.stop.send_replace(true);
        for task in self.listeners.into_iter().chain(self.tasks) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task panicked");
            }
        }
        if let Err(error) = control.stop() {
            tracing::warn!(%error, "this will look like a crash at the next start");
        }
        journal.close().await;
        // Hears what was written last, and saves.
        if let Some(learner) = learner {
            let ended = tokio::task::spawn_blocking(move || learner.stop()).await;
            if let Err(error) = ended {
                tracing::error!(%error, "the learner was not stopped");
            }
        }
        if let Some(sink) = sink {
            let end = journal.committed();
            if tokio::time::timeout(SHIP_ON_EXIT, sink.drained(end))
                .await
                .is_err()
            {
                tracing::warn!("records are left to ship at the next start");
            }
            // The last handle of the admin port went with its listener.
            match Arc::try_unwrap(sink) {
                Ok(sink) => sink.stop().await,
                Err(_) => tracing::error!("the sink is still in use and was not stopped"),
            }
        }
    }
}

fn setting(section: &str, error: impl std::fmt::Display) -> StartError {
    StartError::Setting(format!("{section}: {error}"))
}

/// Opens the journal, and rebuilds the ledger from it.
fn open_journal(config: &Config, ledger: &Ledger) -> Result<Journal, StartError> {
    let mut settings = config.journal.clone();
    settings.dir = config.node.data.join("journal");
    settings.node.clone_from(&config.node.id);
    let since = SystemTime::now();
    let (journal, recovery) = Journal::open(settings, serve::now(), &mut |position, entry| {
        ledger.apply(entry, Millis(position.ms));
    })?;
    let took_ms = since.elapsed().map_or(0, |d| d.as_millis());
    tracing::info!(?recovery, took_ms, "journal is open");
    Ok(journal)
}

fn start_sink(config: &Config, journal: &Journal) -> Result<Option<Arc<SinkHandle>>, StartError> {
    if config.redis.url.is_empty() {
        // Nobody ships: age alone decides what may be deleted.
        journal.set_shipped(Position::END);
        return Ok(None);
    }
    let dir = config.node.data.join("journal");
    let sink = Sink::start(config.redis.clone(), &config.node.id, &dir, journal.clone())?;
    Ok(Some(Arc::new(sink)))
}

/// Starts learning from the journal, where the node learns.
fn start_learner(
    config: &Config,
    journal: &Journal,
    control: &Arc<Control>,
) -> Result<Option<Arc<Embedded>>, StartError> {
    if !config.learner.enabled && !control.catalog().exploring.is_empty() {
        tracing::warn!(
            "no learner counts what exploring costs: daily budgets above 0 are not kept"
        );
    }
    if !config.learner.enabled || config.learner.source == Source::Redis {
        return Ok(None);
    }
    let data = &config.node.data;
    let find = Box::new(stored_catalogs(data.join("control")));
    let control = Arc::clone(control);
    let publish = Box::new(move |learnt| control.publish(learnt));
    let dir = data.join("learner");
    let learner = Embedded::start(&dir, journal.clone(), &config.learner, find, publish)?;
    Ok(Some(Arc::new(learner)))
}

/// Asks Redis for what another process has learnt from all nodes. Redis being away changes nothing.
fn follow(url: String, control: Arc<Control>) -> impl FnMut() + Send + 'static {
    let (mut fleet, mut known, mut away) = (None, None, false);
    move || {
        let asked = match &mut fleet {
            Some(fleet) => Fleet::published(fleet, known),
            none => Fleet::connect(&url).and_then(|new| none.insert(new).published(known)),
        };
        match asked {
            Ok(learnt) => {
                away = false;
                if let Some(learnt) = learnt {
                    known = Some(learnt.edition);
                    control.publish(learnt);
                }
            }
            Err(error) => {
                fleet = None;
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "no posterior from Redis; the last one serves on");
                }
            }
        }
    }
}

/// The catalog file's text; `None` where none is configured.
fn catalog_text(path: &Path) -> Result<Option<String>, StartError> {
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let read = std::fs::read_to_string(path);
    read.map(Some).map_err(|cause| {
        StartError::Setting(format!(
            "catalog.file: failed to read {}: {cause}",
            path.display()
        ))
    })
}

/// Looks whether the catalog file changed, and puts it if so.
fn watch_catalog(path: PathBuf, control: Arc<Control>) -> impl FnMut() + Send + 'static {
    let stamp = |path: &Path| -> io::Result<(SystemTime, u64)> {
        let metadata = std::fs::metadata(path)?;
        Ok((metadata.modified()?, metadata.len()))
    };
    let mut last = stamp(&path).ok();
    move || {
        // Editors replace files: one that is missing for a moment will be back.
        let Ok(now) = stamp(&path) else { return };
        if last.replace(now) == Some(now) {
            return;
        }
        let put = std::fs::read_to_string(&path)
            .map_err(|e| e.to_string())
            .and_then(|text| {
                control
                    .put_catalog(&text, false, true, serve::now())
                    .map_err(|e| e.to_string())
            });
        match put {
            Ok(outcome) if outcome.live => {
                tracing::info!(epoch = outcome.epoch, "catalog file is live");
            }
            Ok(_) => tracing::info!("catalog file saved without a change"),
            Err(error) => tracing::error!(%error, "catalog file refused; the old one serves on"),
        }
    }
}

/// gRPC services with health beside them, and reflection that tells of no others.
fn grpc<H>(routes: Routes, names: &[&str], health: H) -> Result<axum::Router, StartError>
where
    H: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>
        + tonic::server::NamedService
        + Clone
        + Send
        + Sync
        + 'static,
    H::Response: axum::response::IntoResponse,
    H::Future: Send + 'static,
{
    let failed = |e: tonic_reflection::server::Error| StartError::System(e.to_string());
    let reflection = || {
        let all = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(offerd_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        let names = names.iter().copied().chain([H::NAME]);
        names.fold(all, |all, name| all.with_service_name(name))
    };
    Ok(routes
        .add_service(health)
        .add_service(reflection().build_v1().map_err(failed)?)
        .add_service(reflection().build_v1alpha().map_err(failed)?)
        .into_axum_router()
        .reset_fallback())
}

fn spawn(
    name: &'static str,
    serving: impl Future<Output = crate::listener::Drained> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let drained = serving.await;
        tracing::info!(name, ?drained, "listener closed");
    })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is a stop too.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Does something again and again, on a thread kept for waiting, until the stop.
fn every(
    period: Duration,
    stopping: watch::Receiver<bool>,
    mut work: impl FnMut() + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped(stopping.clone()) => return,
            }
            let done = tokio::task::spawn_blocking(move || {
                work();
                work
            });
            match done.await {
                Ok(again) => work = again,
                Err(error) => {
                    tracing::error!(%error, "a periodic task panicked and will not run again");
                    return;
                }
            }
        }
    })
}

/// The clock that decisions and records use, for whoever has none of their own.
#[must_use]
pub fn now() -> Millis {
    serve::now()
}
