//! One accept loop for every port: HTTP/1.1 and h2c (so gRPC too) on one socket.
//!
//! It is our own because the ready-made ones leave strangers too much: `axum::serve` sets no timers,
//! tonic's server turns two of hyper's limits off, and neither times a first byte or a slow reader.
//! Everything a client can make us wait for or hold has a limit in [`ListenerConfig`], and
//! everything that happens at a limit is counted in [`ListenerStats`].
//!
//! It knows nothing of offers, routes or keys: it takes a service and serves it.

mod activity;
mod body;
mod config;
mod connection;
mod conversation;
mod doorstep;
mod peeked;
mod permit;
mod stats;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Body as HttpBody;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use activity::Activity;
use connection::{End, PerConnection};
use permit::Permits;

pub use body::{BodyError, RequestBody, read_body};
pub use config::{ListenerConfig, ListenerConfigError};
pub use peeked::Peeked;
pub use stats::{ListenerStats, Timeout};

/// What answers the requests of a listener.
///
/// A `tower` service with bodies of any kind is one, and so is an `axum::Router`. What implements it by
/// itself spares the boxes that routers put around futures and bodies.
pub trait Answers: Clone + Send + 'static {
    /// The answers' bodies.
    type Body: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Answers one request; failing is an answer, too.
    fn answer(
        self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Whether there is so much that some are turned away unread.
    fn turns_away(&self) -> bool {
        false
    }

    /// Turns a request away by its head, or leaves it to [`Answers::answer`]. It is asked where
    /// [`Answers::turns_away`] says so, of plain requests over HTTP/1.1 only.
    fn turn_away(&self, _head: &Head<'_>) -> Option<TurnedAway> {
        None
    }
}

/// What is known of a request that nobody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// `POST`, say.
    pub method: &'a str,
    /// Path and query as they were sent.
    pub target: &'a str,
    /// The page that asks, where a browser tells.
    pub origin: Option<&'a [u8]>,
}

/// An answer to a request that nobody reads.
pub struct TurnedAway {
    /// Head and body as HTTP/1.1 has them, with their length.
    pub answer: Bytes,
    /// It is sent when this is over, and the connection's next request is looked at then.
    pub hold: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S, B> Answers for S
where
    S: Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    type Body = B;

    async fn answer(self, request: Request<RequestBody>) -> Response<B> {
        let Ok(answer) = self.oneshot(request).await;
        answer
    }
}

/// Why a listener could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}: {source}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ListenerConfigError),
}

/// A bound socket, ready to serve.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    config: Arc<ListenerConfig>,
    stats: Arc<ListenerStats>,
}

/// What became of the connections that were open when the drain began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// They finished what they had in flight.
    pub finished: u64,
    /// They did not, and were cut.
    pub aborted: u64,
}

/// How long the accept loop rests when the process is out of file descriptors or memory: long enough
/// not to spin, short enough to be back within a second.
const ACCEPT_REST: Duration = Duration::from_millis(50);

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// The address cannot be bound, or a setting of `config` is out of range.
    pub fn bind(address: SocketAddr, config: ListenerConfig) -> Result<Listener, BindError> {
        config.check()?;
        let (socket, address) = open(address, config.backlog)
            .map_err(|source| BindError::Socket { address, source })?;
        Ok(Listener {
            socket,
            address,
            config: Arc::new(config),
            stats: Arc::default(),
        })
    }

    /// The address really bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// This listener's counters; they outlive it.
    #[must_use]
    pub fn stats(&self) -> Arc<ListenerStats> {
        self.stats.clone()
    }

    /// Serves `service` until `shutdown` completes, then drains: no new connection is taken, idle
    /// ones are closed, busy ones finish and are told to go (`Connection: close`, GOAWAY), and
    /// after `drain_ms_max` the rest is cut.
    ///
    /// An `axum::Router` is such a service; tonic's `Routes` merge into one.
    pub async fn serve<S: Answers>(
        self,
        service: S,
        shutdown: impl Future<Output = ()>,
    ) -> Drained {
        let protocols = Arc::new(connection::protocols(&self.config));
        let permits = Permits::new(self.config.clone(), self.stats.clone());
        let aborted = Arc::new(AtomicU64::new(0));
        let (drain, _) = watch::channel(());
        let draining = Arc::new(AtomicBool::new(false));
        let mut shutdown = pin!(shutdown);
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = &mut shutdown => break,
                accepted = self.accept() => accepted,
            };
            let Some(permit) = permits.take(peer.ip()) else {
                continue;
            };
            // A socket that refuses the option is already broken, and says so when read.
            let _ = stream.set_nodelay(true);
            let service = PerConnection {
                inner: service.clone(),
                config: self.config.clone(),
                stats: self.stats.clone(),
                activity: Arc::new(Activity::new(Instant::now(), self.age())),
            };
            let (told, draining) = (drain.subscribe(), draining.clone());
            let serving = connection::serve(stream, service, protocols.clone(), told, draining);
            let aborted = aborted.clone();
            tokio::spawn(async move {
                if serving.await == End::Aborted {
                    aborted.fetch_add(1, Relaxed);
                }
                drop(permit);
            });
        }
        drop(self.socket);
        let open = drain.receiver_count() as u64;
        draining.store(true, Relaxed);
        // Fails when no connection is left to hear it, which is what we want.
        let _ = drain.send(());
        drain.closed().await;
        let aborted = aborted.load(Relaxed);
        Drained {
            finished: open.saturating_sub(aborted),
            aborted,
        }
    }

    /// The next connection, whatever happens before it.
    ///
    /// A failing accept must not end the loop (RUSTSEC-2024-0376): a client that is gone again is
    /// skipped, and being out of descriptors passes.
    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    self.stats.accept_errors.fetch_add(1, Relaxed);
                    if !is_of_connection(&error) {
                        sleep(ACCEPT_REST).await;
                    }
                }
            }
        }
    }

    /// The age the next connection may reach, in milliseconds: spread by hash, since clients that
    /// came together must not leave together.
    fn age(&self) -> u64 {
        let accepted = self.stats.accepted();
        let spread = self.config.age_ms * self.config.age_jitter_percent / 100;
        let hash = xxh3_64_with_seed(&accepted.to_be_bytes(), u64::from(self.address.port()));
        self.config.age_ms - spread + hash % (2 * spread + 1)
    }
}

fn open(address: SocketAddr, backlog: u32) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restarted server must get its port back while old connections linger.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(backlog)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Whether a failed accept concerns one connection only.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}
