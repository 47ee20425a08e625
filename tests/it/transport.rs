//! The accept loop over real sockets: both protocols, every timer, every limit, the drain.
//!
//! Timers are set short and waited for with a generous outer limit, so a slow machine makes these
//! tests slower and not red.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, like the tests"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Version};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use offerd::listener::{
    BodyError, Drained, Listener, ListenerConfig, ListenerStats, Timeout, read_body,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

/// Longer than anything here may take, however busy the machine.
const OUTER: Duration = Duration::from_secs(30);

/// A timer that is not the one under test.
const NEVER_MS: u64 = 60_000;

/// Every timer off, so that a test sets the one it is about.
fn config() -> ListenerConfig {
    ListenerConfig {
        first_byte_ms: NEVER_MS,
        header_ms: NEVER_MS,
        body_ms: NEVER_MS,
        idle_ms: NEVER_MS,
        age_ms: NEVER_MS,
        write_stall_ms: NEVER_MS,
        ..ListenerConfig::default()
    }
}

struct Server {
    address: SocketAddr,
    stats: Arc<ListenerStats>,
    gate: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

impl Server {
    fn start(config: ListenerConfig) -> Server {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), config).unwrap();
        let gate = Arc::new(Notify::new());
        let (stop, stopped) = oneshot::channel();
        Server {
            address: listener.local_addr(),
            stats: listener.stats(),
            served: tokio::spawn(listener.serve(routes(gate.clone()), async {
                let _ = stopped.await;
            })),
            gate,
            stop,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn connect_h2(&self, builder: &http2::Builder<TokioExecutor>) -> H2 {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn timed_out(&self, kind: Timeout) {
        until(|| self.stats.timeouts(kind) > 0).await;
        until(|| self.stats.active() == 0).await;
        for other in Timeout::ALL {
            let expected = u64::from(other == kind);
            assert_eq!(self.stats.timeouts(other), expected, "{}", other.as_str());
        }
    }

    async fn stop(self) -> Drained {
        self.stop.send(()).unwrap();
        timeout(OUTER, self.served).await.unwrap().unwrap()
    }
}

type H2 = http2::SendRequest<Full<Bytes>>;

fn h2() -> http2::Builder<TokioExecutor> {
    http2::Builder::new(TokioExecutor::new())
}

fn routes(gate: Arc<Notify>) -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(echo))
        .route("/big", get(|| async { vec![b'x'; 64 << 20] }))
        .route("/panic", get(panics))
        .route(
            "/gate",
            get(async move || {
                gate.notified().await;
                "through"
            }),
        )
}

async fn echo(request: Request) -> Result<Bytes, StatusCode> {
    let deadline = tokio::time::Instant::now() + OUTER;
    read_body(request.into_body(), 1_000, deadline)
        .await
        .map_err(|error| match error {
            BodyError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Aborted => StatusCode::BAD_REQUEST,
        })
}

async fn panics() -> &'static str {
    panic!("a bug in a handler, put there by a test")
}

/// Waits until `done`, looking often.
#[track_caller]
fn until(done: impl Fn() -> bool) -> impl Future<Output = ()> {
    let place = std::panic::Location::caller();
    async move {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < OUTER, "still waiting at {place}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Everything the server sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is cut may end in a reset; what came before it counts.
    let _ = timeout(OUTER, stream.read_to_end(&mut text)).await.unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

/// One answer on a kept-alive connection, whose body is known.
async fn answer(stream: &mut TcpStream, ending: &str) -> String {
    let mut text = String::new();
    let mut piece = [0; 1_024];
    while !text.ends_with(ending) {
        let n = timeout(OUTER, stream.read(&mut piece))
            .await
            .unwrap()
            .unwrap();
        assert!(n > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&piece[..n]).unwrap());
    }
    text
}

/// Sends one byte after another until the server has had enough.
async fn trickle(stream: &mut TcpStream) {
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn call_h2(sender: &mut H2, url: String, body: &'static str) -> (StatusCode, Bytes) {
    let method = if body.is_empty() { "GET" } else { "POST" };
    let request = hyper::Request::builder()
        .method(method)
        .uri(url)
        .body(Full::from(body))
        .unwrap();
    let answer = timeout(OUTER, sender.send_request(request))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    let status = answer.status();
    (
        status,
        answer.into_body().collect().await.unwrap().to_bytes(),
    )
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn both_protocols_share_one_port() {
    let server = Server::start(ListenerConfig::default());
    let mut plain = server.connect().await;
    plain.write_all(GET).await.unwrap();
    assert!(
        answer(&mut plain, "hello")
            .await
            .starts_with("HTTP/1.1 200")
    );

    let mut sender = server.connect_h2(&h2()).await;
    let hello = call_h2(&mut sender, server.url("/"), "").await;
    assert_eq!(hello, (StatusCode::OK, Bytes::from("hello")));
    let echo = call_h2(&mut sender, server.url("/echo"), "again").await;
    assert_eq!(echo, (StatusCode::OK, Bytes::from("again")));
    assert_eq!((server.stats.accepted(), server.stats.requests()), (2, 3));
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = Server::start(ListenerConfig {
        first_byte_ms: 50,
        ..config()
    });
    let mut stream = server.connect().await;
    assert_eq!(rest(&mut stream).await, "");
    server.timed_out(Timeout::FirstByte).await;
}

#[tokio::test]
async fn a_trickled_header_is_cut_off() {
    let server = Server::start(ListenerConfig {
        header_ms: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream.write_all(b"GET /").await.unwrap();
    timeout(OUTER, trickle(&mut stream)).await.unwrap();
    server.timed_out(Timeout::Header).await;
}

#[tokio::test]
async fn a_second_header_is_timed_like_the_first() {
    let server = Server::start(ListenerConfig {
        header_ms: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream, "hello").await;
    timeout(OUTER, trickle(&mut stream)).await.unwrap();
    server.timed_out(Timeout::Header).await;
}

#[tokio::test]
async fn half_a_preface_is_cut_off() {
    let server = Server::start(ListenerConfig {
        header_ms: 50,
        ..config()
    });
    let mut stream = server.connect().await;
    stream.write_all(b"PRI * HTTP").await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    server.timed_out(Timeout::Header).await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timer_and_not_the_idle_one() {
    let server = Server::start(ListenerConfig {
        header_ms: 20,
        idle_ms: 200,
        ..config()
    });
    let mut stream = server.connect().await;
    let sent = Instant::now();
    stream.write_all(GET).await.unwrap();
    answer(&mut stream, "hello").await;
    assert_eq!(rest(&mut stream).await, "");
    // The timer counts whole milliseconds.
    assert!(sent.elapsed() >= Duration::from_millis(199));
    server.timed_out(Timeout::Idle).await;
}

#[tokio::test]
async fn an_idle_h2_connection_is_closed() {
    let server = Server::start(ListenerConfig {
        idle_ms: 100,
        ..config()
    });
    let mut sender = server.connect_h2(&h2()).await;
    call_h2(&mut sender, server.url("/"), "").await;
    server.timed_out(Timeout::Idle).await;
    until(|| sender.is_closed()).await;
}

#[tokio::test]
async fn a_trickled_body_is_answered_with_408() {
    let server = Server::start(ListenerConfig {
        body_ms: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 900\r\n\r\n")
        .await
        .unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let writing = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut status = [0; 12];
    timeout(OUTER, reader.read_exact(&mut status))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&status, b"HTTP/1.1 408");
    timeout(OUTER, writing).await.unwrap().unwrap();
    server.timed_out(Timeout::Body).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_too_long_is_told_apart() {
    let server = Server::start(config());
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 1001\r\n\r\n")
        .await
        .unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 413"));
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nfour")
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await;
    until(|| server.stats.active() == 0).await;
}

#[tokio::test]
async fn a_reader_that_takes_nothing_loses_its_connection() {
    let server = Server::start(ListenerConfig {
        write_stall_ms: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    server.timed_out(Timeout::WriteStall).await;
}

#[tokio::test]
async fn a_reader_without_a_window_loses_its_connection() {
    let server = Server::start(ListenerConfig {
        write_stall_ms: 100,
        ..config()
    });
    let mut builder = h2();
    builder.initial_stream_window_size(0);
    let mut sender = server.connect_h2(&builder).await;
    let request = hyper::Request::get(server.url("/big"))
        .body(Full::default())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    server.timed_out(Timeout::WriteStall).await;
    assert!(answer.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_slow_handler_is_no_stall_and_not_idle() {
    let server = Server::start(ListenerConfig {
        header_ms: 20,
        idle_ms: 20,
        write_stall_ms: 20,
        ..config()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    // Ten times as long as any of the timers; that is the case under test.
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.gate.notify_one();
    answer(&mut stream, "through").await;
}

#[tokio::test]
async fn one_connection_too_many_is_closed_at_once() {
    let server = Server::start(ListenerConfig {
        connections_max: 2,
        ..config()
    });
    let mut open = [server.connect().await, server.connect().await];
    for stream in &mut open {
        stream.write_all(GET).await.unwrap();
        answer(stream, "hello").await;
    }
    assert_eq!(rest(&mut server.connect().await).await, "");
    assert_eq!(server.stats.refused_full(), 1);
    drop(open);
    until(|| server.stats.active() == 0).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream, "hello").await;
}

#[tokio::test]
async fn a_header_past_the_limits_is_refused() {
    #[track_caller]
    fn request(lines: usize, bytes: usize) -> String {
        let lines = "x: y\r\n".repeat(lines - 1);
        format!("GET / HTTP/1.1\r\n{lines}z: {}\r\n\r\n", "z".repeat(bytes))
    }
    let server = Server::start(config());
    for (lines, bytes, expected) in [
        (64, 1, "HTTP/1.1 200"),
        (65, 1, "HTTP/1.1 431"),
        (2, 15_000, "HTTP/1.1 200"),
        (2, 17_000, "HTTP/1.1 431"),
    ] {
        let mut stream = server.connect().await;
        let text = request(lines, bytes);
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        timeout(OUTER, stream.read_exact(&mut status))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            std::str::from_utf8(&status),
            Ok(expected),
            "{lines} lines, {bytes} bytes"
        );
    }
}

#[tokio::test]
async fn an_old_connection_is_closed_between_requests() {
    let server = Server::start(ListenerConfig {
        age_ms: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    until(|| server.stats.timeouts(Timeout::Age) > 0).await;
    server.gate.notify_one();
    let answer = rest(&mut stream).await;
    assert!(answer.ends_with("through"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.timed_out(Timeout::Age).await;
}

#[tokio::test]
async fn a_panic_costs_one_request() {
    let server = Server::start(config());
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /panic HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let text = answer(&mut stream, "}").await;
    assert!(text.starts_with("HTTP/1.1 500"), "{text}");
    stream.write_all(GET).await.unwrap();
    answer(&mut stream, "hello").await;
    assert_eq!(server.stats.panics(), 1);
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight() {
    let server = Server::start(config());
    let mut busy = server.connect().await;
    busy.write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut idle = server.connect().await;
    idle.write_all(GET).await.unwrap();
    answer(&mut idle, "hello").await;
    let mut sender = server.connect_h2(&h2()).await;
    let request = hyper::Request::get(server.url("/gate"))
        .body(Full::default())
        .unwrap();
    let streaming = tokio::spawn(sender.send_request(request));
    until(|| server.stats.requests() == 3).await;

    let (address, gate) = (server.address, server.gate.clone());
    let drained = tokio::spawn(server.stop());
    assert_eq!(
        rest(&mut idle).await,
        "",
        "idle connections are closed at once"
    );
    assert!(
        TcpStream::connect(address).await.is_err(),
        "no new ones are taken"
    );
    assert!(!drained.is_finished());

    gate.notify_waiters();
    let text = rest(&mut busy).await;
    assert!(
        text.ends_with("through") && text.contains("connection: close"),
        "{text}"
    );
    let answer = timeout(OUTER, streaming).await.unwrap().unwrap().unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "through"
    );
    let expected = Drained {
        finished: 3,
        aborted: 0,
    };
    assert_eq!(timeout(OUTER, drained).await.unwrap().unwrap(), expected);
}

#[tokio::test]
async fn a_drain_does_not_wait_for_ever() {
    let server = Server::start(ListenerConfig {
        drain_ms_max: 100,
        ..config()
    });
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /gate HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    until(|| server.stats.requests() == 1).await;
    let stats = server.stats.clone();
    let expected = Drained {
        finished: 0,
        aborted: 1,
    };
    assert_eq!(server.stop().await, expected);
    assert_eq!(stats.timeouts(Timeout::Drain), 1);
    assert_eq!(rest(&mut stream).await, "");
}

/// Goal: gRPC works through the same port and service as everything else, trailers and streams
/// included, and a message that trickles in is cut off while a quiet stream is not.
#[tokio::test]
async fn grpc_shares_the_port() {
    let listener = Listener::bind(
        "127.0.0.1:0".parse().unwrap(),
        ListenerConfig {
            body_ms: 100,
            ..config()
        },
    )
    .unwrap();
    let (address, stats) = (listener.local_addr(), listener.stats());
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("offerd", tonic_health::ServingStatus::Serving)
        .await;
    let routes = tonic::service::Routes::new(health).into_axum_router();
    let routes = routes.route("/", get(|| async { "hello" }));
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(listener.serve(routes, async {
        let _ = stopped.await;
    }));

    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = HealthClient::new(channel);
    let request = HealthCheckRequest {
        service: "offerd".to_owned(),
    };
    let answer = client.check(request.clone()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    let unknown = client.check(HealthCheckRequest {
        service: "unknown".to_owned(),
    });
    let status = timeout(OUTER, unknown).await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::NotFound);

    let mut watched = client.watch(request).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);

    // A message of 9 bytes, of which one comes; the watch above outlives it.
    let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut sender, connection) = h2().handshake(io).await.unwrap();
    tokio::spawn(connection);
    let begun = tokio_stream::once(Ok::<_, Infallible>(&[0_u8, 0, 0, 0, 9, 7][..]));
    let body = Body::from_stream(begun.chain(tokio_stream::pending()));
    let trickled = hyper::Request::post(format!("http://{address}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .body(body)
        .unwrap();
    let answer = timeout(OUTER, sender.send_request(trickled))
        .await
        .unwrap()
        .unwrap();
    assert_ne!(answer.headers().get("grpc-status").unwrap(), "0");
    assert_eq!(stats.timeouts(Timeout::Body), 1);

    reporter
        .set_service_status("offerd", tonic_health::ServingStatus::NotServing)
        .await;
    let second = timeout(OUTER, watched.message()).await.unwrap();
    let second = second.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing);
    drop((watched, client));
    stop.send(()).unwrap();
    timeout(OUTER, served).await.unwrap().unwrap();
    assert_eq!(stats.panics(), 0);
}

/// Goal: running out of file descriptors does not end the accept loop.
///
/// Method: this test again, in a child that may open few files. The child opens connections to
/// itself until that fails, lets go of them, and must then be served.
#[test]
fn running_out_of_file_descriptors_passes() {
    const CHILD: &str = "OFFERD_TEST_FEW_FILES";
    if std::env::var_os(CHILD).is_some() {
        return few_files();
    }
    let binary = std::env::current_exe().unwrap();
    let child = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(binary)
        .args([
            "--exact",
            "transport::running_out_of_file_descriptors_passes",
        ])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(
        child.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::main(flavor = "current_thread")]
async fn few_files() {
    let server = Server::start(config());
    let mut held = Vec::new();
    while let Ok(stream) = TcpStream::connect(server.address).await {
        held.push(stream);
        assert!(held.len() < 64, "the limit on open files does not hold");
        tokio::task::yield_now().await;
    }
    until(|| server.stats.accept_errors() > 0).await;
    drop(held);
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    answer(&mut stream, "hello").await;
}

/// An HTTP/2 frame (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [length[1], length[2], length[3], kind, flags];
    [&head[..], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET / http` from HPACK's static table, and an authority of one letter.
const REQUEST: &[u8] = &[0x82, 0x84, 0x86, 0x41, 1, b'a'];

/// The kinds of the frames that the server sent, and GOAWAY's error.
fn kinds(mut bytes: &[u8]) -> Vec<(u8, Option<u8>)> {
    let mut kinds = Vec::new();
    while let [_, high, low, kind, _, _, _, _, _, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (payload, after) = rest.split_at(length);
        let error = (*kind == GOAWAY).then(|| payload[7]);
        kinds.push((*kind, error));
        bytes = after;
    }
    kinds
}

/// Goal: an abusive HTTP/2 client is sent away, and nobody else notices.
///
/// Method: frames by hand, as many as fit before the server hangs up; the answer is its GOAWAY.
#[tokio::test]
async fn an_abusive_h2_client_is_sent_away() {
    const ENHANCE_YOUR_CALM: u8 = 11;
    let server = Server::start(ListenerConfig::default());
    let odd = |n: u32| 2 * n + 1;
    let open = END_STREAM | END_HEADERS;
    let rapid_reset = (0..10_000).flat_map(|n| {
        let cancel = frame(RST_STREAM, 0, odd(n), &[0, 0, 0, 8]);
        [frame(HEADERS, open, odd(n), REQUEST), cancel].concat()
    });
    let endless_header = (0..10_000).flat_map(|n| match n {
        0 => frame(HEADERS, END_STREAM, 1, REQUEST),
        // A literal name and value, not indexed, of 100 bytes.
        _ => {
            let line = [&[0, 1, b'x', 100][..], &[b'y'; 100]].concat();
            frame(CONTINUATION, 0, 1, &line)
        }
    });
    let attacks: [(&str, Vec<u8>); 2] = [
        ("rapid reset", rapid_reset.collect()),
        ("endless header", endless_header.collect()),
    ];
    for (name, frames) in attacks {
        let stream = server.connect().await;
        let (mut reader, mut writer) = stream.into_split();
        let writing = tokio::spawn(async move {
            let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
            writer.write_all(preface).await.unwrap();
            writer.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
            // Fails when the server has had enough.
            let _ = writer.write_all(&frames).await;
        });
        let mut answer = Vec::new();
        let mut piece = [0; 4_096];
        while let Ok(n) = timeout(OUTER, reader.read(&mut piece)).await.unwrap() {
            if n == 0 {
                break;
            }
            answer.extend_from_slice(&piece[..n]);
        }
        timeout(OUTER, writing).await.unwrap().unwrap();
        let kinds = kinds(&answer);
        let sent_away = kinds.contains(&(GOAWAY, Some(ENHANCE_YOUR_CALM)));
        assert!(sent_away, "{name}: {kinds:?}");
    }
    until(|| server.stats.active() == 0).await;
    let mut sender = server.connect_h2(&h2()).await;
    let hello = call_h2(&mut sender, server.url("/"), "").await;
    assert_eq!(hello.0, StatusCode::OK);
}
