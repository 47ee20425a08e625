//! A real redis-server of a test's own, and a proxy that cuts connections where the test says.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::net::TcpListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether redis-server can be started; says so where it cannot, and fails where CI is set.
pub fn available() -> bool {
    let found = Command::new("redis-server")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(found || !ci, "redis-server is not installed");
    if !found {
        eprintln!("skipped: redis-server is not installed");
    }
    found
}

fn free_port() -> u16 {
    let listener = StdListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

/// Polls until `holds`, because nothing tells when another process is ready.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A server in a directory of its own; killed when dropped.
pub struct RedisServer {
    port: u16,
    dir: PathBuf,
    arguments: Vec<String>,
    child: Child,
}

impl RedisServer {
    pub async fn start(dir: &Path, arguments: &[&str]) -> RedisServer {
        let port = free_port();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let child = spawn(port, dir, &arguments);
        let server = RedisServer {
            port,
            dir: dir.to_owned(),
            arguments,
            child,
        };
        server.ready().await;
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address())
    }

    async fn ready(&self) {
        eventually("redis-server answers", async || {
            match self.connect().await {
                Ok(mut connection) => redis::cmd("PING").exec_async(&mut connection).await.is_ok(),
                Err(_) => false,
            }
        })
        .await;
    }

    async fn connect(&self) -> redis::RedisResult<MultiplexedConnection> {
        let client = redis::Client::open(self.url())?;
        let config = redis::AsyncConnectionConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(PATIENCE));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    pub async fn client(&self) -> MultiplexedConnection {
        self.connect().await.unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on the same port and directory.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
        self.ready().await;
    }

    /// The same with more arguments, without waiting.
    pub async fn restart_with(&mut self, more: &[&str]) {
        let mut arguments = self.arguments.clone();
        arguments.extend(more.iter().map(|a| (*a).to_owned()));
        self.child = spawn(self.port, &self.dir, &arguments);
    }

    /// Sends it a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, dir: &Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--dir", dir.to_str().unwrap(), "--save", ""])
        .args(["--enable-debug-command", "yes"])
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Carries bytes, and cuts or holds a connection once after so many of them.
pub struct Proxy {
    pub url: String,
    pub requests: Arc<AtomicI64>,
    pub replies: Arc<AtomicI64>,
    hold: Arc<Hold>,
}

/// Requests that wait.
#[derive(Default)]
struct Hold {
    /// The next budget that is used up means to wait.
    wanted: AtomicBool,
    holding: AtomicBool,
    released: Notify,
}

/// A budget that is never used up.
const UNLIMITED: i64 = i64::MAX / 2;

impl Proxy {
    pub async fn start(target: String) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}", listener.local_addr().unwrap());
        let budget = || Arc::new(AtomicI64::new(UNLIMITED));
        let (requests, replies) = (budget(), budget());
        let hold = Arc::new(Hold::default());
        let budgets = (
            Arc::clone(&requests),
            Arc::clone(&replies),
            Arc::clone(&hold),
        );
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&target).await else {
                    continue;
                };
                let (requests, replies) = (Arc::clone(&budgets.0), Arc::clone(&budgets.1));
                let hold = Arc::clone(&budgets.2);
                tokio::spawn(async move {
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    tokio::select! {
                        () = carry(&mut from_client, &mut to_server, &requests, Some(&hold)) => {}
                        () = carry(&mut from_server, &mut to_client, &replies, None) => {}
                    }
                });
            }
        });
        Proxy {
            url,
            requests,
            replies,
            hold,
        }
    }

    /// Holds the connection on which `bytes` more requests have gone through, and no other.
    pub fn hold_after(&self, bytes: i64) {
        self.hold.wanted.store(true, Ordering::SeqCst);
        Proxy::cut_after(&self.requests, bytes);
    }

    /// Whether a connection is held.
    pub fn is_holding(&self) -> bool {
        self.hold.holding.load(Ordering::SeqCst)
    }

    /// Lets it go on, also where the client has gone away meanwhile.
    pub fn release(&self) {
        self.hold.released.notify_one();
        self.hold.holding.store(false, Ordering::SeqCst);
    }

    /// Cuts the connection after `bytes` more bytes in that direction.
    pub fn cut_after(budget: &AtomicI64, bytes: i64) {
        budget.store(bytes, Ordering::SeqCst);
    }

    /// Whether the cut asked for has been made.
    pub fn has_cut(budget: &AtomicI64) -> bool {
        budget.load(Ordering::SeqCst) > i64::MAX / 4
    }
}

async fn carry(
    from: &mut tokio::net::tcp::OwnedReadHalf,
    to: &mut tokio::net::tcp::OwnedWriteHalf,
    budget: &AtomicI64,
    hold: Option<&Hold>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let left = budget.fetch_sub(n as i64, Ordering::SeqCst);
        let allowed = usize::try_from(left.max(0)).unwrap().min(n);
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed == n {
            continue;
        }
        budget.store(UNLIMITED, Ordering::SeqCst);
        match hold.filter(|hold| hold.wanted.swap(false, Ordering::SeqCst)) {
            None => return,
            Some(hold) => {
                hold.holding.store(true, Ordering::SeqCst);
                hold.released.notified().await;
            }
        }
        if to.write_all(&buffer[allowed..n]).await.is_err() {
            return;
        }
    }
}
