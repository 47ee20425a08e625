//! Whole runs against servers that stall, refuse, err and stay silent.
//!
//! The servers are real ones on real ports, as far as the contract goes. What is held against the books
//! is what the server itself counted, or what its fault must have caused.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::visit::customers;

use super::check::Models;
use super::engine::Line;
use super::generator::{Load, Outcome};
use super::plan::{Pace, Phase, Plan, Spread};
use super::source::{Cast, Scenario};
use super::tally::{Counts, total};
use super::wire::{Door, Writer};

/// How a server misbehaves.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Answers nothing between these two moments after its first request, in milliseconds.
    Stall(u64, u64),
    /// Of every ten requests one is refused, one is an error, and one has another's answer.
    Rhythm,
    /// Never answers.
    Silent,
}

struct Server {
    fault: Fault,
    first: std::sync::OnceLock<Instant>,
    asked: AtomicU64,
}

impl Server {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let n = self.asked.fetch_add(1, Ordering::Relaxed);
        let ask: Value = serde_json::from_slice(&body).unwrap();
        let mut id = ask["request_id"].clone();
        match self.fault {
            Fault::None => {}
            Fault::Stall(from, to) => {
                let first = *self.first.get_or_init(Instant::now);
                if first.elapsed() >= Duration::from_millis(from) {
                    tokio::time::sleep_until(first + Duration::from_millis(to)).await;
                }
            }
            Fault::Rhythm => match n % 10 {
                3 => return plain(StatusCode::TOO_MANY_REQUESTS),
                5 => return plain(StatusCode::INTERNAL_SERVER_ERROR),
                7 => id = json!("another"),
                _ => {}
            },
            Fault::Silent => std::future::pending().await,
        }
        let placements = ask["placements"].as_array().unwrap().iter();
        let placements =
            placements.map(|p| json!({ "id": p["id"], "offers": [], "no_offer_reason": "held" }));
        let answer = json!({ "request_id": id, "decision_id": "d", "model": "m@1", "degraded": [],
            "placements": placements.collect::<Vec<_>>() });
        Response::new(Full::new(answer.to_string().into()))
    }
}

fn plain(status: StatusCode) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    response.body(Full::new(Bytes::from_static(b"{}"))).unwrap()
}

async fn serve(fault: Fault) -> (SocketAddr, Arc<Server>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = Arc::new(Server {
        fault,
        first: std::sync::OnceLock::new(),
        asked: AtomicU64::new(0),
    });
    let handle = server.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let server = handle.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let server = server.clone();
                    async move { Ok::<_, Infallible>(server.answer(request).await) }
                });
                let connection = auto::Builder::new(TokioExecutor::new());
                drop(
                    connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    (address, server)
}

fn load(address: SocketAddr, door: Door, pace: Pace, ms: u64) -> Load {
    let models = Models::default();
    models.add("m@1");
    Load {
        line: Line {
            address,
            writer: Writer {
                door,
                host: address.to_string(),
                authorization: None,
            },
            connections: 8,
            streams: 1,
            timeout: Duration::from_secs(5),
            backlog_max: 10_000,
            late_max: None,
            check_share: 1.0,
        },
        plan: Plan {
            phases: vec![Phase::new("load", pace, Duration::from_millis(ms))],
            spread: Spread::Fixed,
            seed: 1,
            requests_max: None,
        },
        cast: Cast {
            scenario: Scenario::Decisions,
            customers: Arc::new(customers::made_up(1).into_iter().take(50).collect()),
            seed: 1,
            placements: vec!["hero".into()],
            offers: 1,
            phase: "en_route",
        },
        models,
        threads: 1,
        fifo: false,
        pid: None,
        name: "test".into(),
    }
}

async fn run(load: &Load) -> Outcome {
    load.run().await.unwrap()
}

/// A stall of 200 ms within a second: one of five requests falls into it, whether or not a connection
/// was free to send it. A closed loop would have sent eight requests into it and called it rare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinated_omission() {
    let (address, _) = serve(Fault::Stall(300, 500)).await;
    let outcome = run(&load(address, Door::Http, Pace::PerSecond(500.0), 1_000)).await;
    let counts = &outcome.tally.phases[0];
    assert_eq!((counts.planned, counts.answered), (500, 500), "{counts:?}");
    // A tenth waited 100 ms and more, and the slowest two hundredths nearly all of it.
    assert!(
        counts.decisions.us(0.91) > 80_000.0,
        "{}",
        counts.decisions.us(0.91)
    );
    assert!(
        counts.decisions.us(0.99) > 150_000.0,
        "{}",
        counts.decisions.us(0.99)
    );
    // What was measured from the moment of sending hides it: eight connections, eight slow requests.
    let slow = counts
        .service
        .counts()
        .filter(|(ns, _)| *ns > 50_000_000)
        .map(|(_, n)| n);
    assert!(slow.sum::<u64>() <= 16, "one or two for each connection");
    let worst = outcome
        .tally
        .stretches
        .iter()
        .map(|s| s.latency_us.max())
        .max();
    assert!(worst.unwrap() > 150_000, "the plot over time shows it too");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_is_sent_once_and_answered_once() {
    for door in [Door::Http, Door::H2c] {
        for threads in [1, 3] {
            let (address, server) = serve(Fault::None).await;
            let mut load = load(address, door, Pace::PerSecond(900.0), 400);
            load.threads = threads;
            let outcome = run(&load).await;
            let counts = &outcome.tally.phases[0];
            assert_eq!(
                (counts.planned, counts.sent, counts.answered, counts.checked),
                (360, 360, 360, 360),
                "{door:?} {threads} {:?} {:?}",
                counts.failed,
                outcome.tally.details
            );
            assert_eq!(server.asked.load(Ordering::Relaxed), 360);
            assert_eq!(counts.lateness.count(), 360);
            assert_eq!(counts.models["m@1"], 360);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trouble_is_told_by_kind() {
    for door in [Door::Http, Door::H2c] {
        let (address, _) = serve(Fault::Rhythm).await;
        let outcome = run(&load(address, door, Pace::PerSecond(500.0), 400)).await;
        let Counts {
            refused,
            failed,
            wrong,
            answered,
            ..
        } = &outcome.tally.phases[0];
        assert_eq!(refused["http 429"], 20, "{door:?}");
        assert_eq!(failed["http 500"], 20, "{door:?}");
        assert_eq!(wrong["another request's answer"], 20, "{door:?}");
        assert_eq!(*answered, 140, "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_bounded_and_counted() {
    for door in [Door::Http, Door::H2c] {
        let (address, _) = serve(Fault::Silent).await;
        let mut load = load(address, door, Pace::PerSecond(200.0), 200);
        load.line.timeout = Duration::from_millis(300);
        let began = Instant::now();
        let outcome = run(&load).await;
        let counts = &outcome.tally.phases[0];
        assert_eq!((counts.planned, counts.answered), (40, 0));
        assert_eq!(
            counts.failed["timeout"],
            total(&counts.failed),
            "{door:?} {:?}",
            counts.failed
        );
        assert_eq!(total(&counts.failed), 40, "{door:?}");
        // Each waited as long as the patience is, and shows it.
        assert!(counts.decisions.us(0.01) >= 299_000.0, "{door:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{door:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_there_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let outcome = run(&load(address, Door::Http, Pace::PerSecond(500.0), 100)).await;
    let counts = &outcome.tally.phases[0];
    assert_eq!((counts.planned, counts.sent), (50, 0));
    assert_eq!(counts.failed["not connected"], 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturating_keeps_every_connection_busy() {
    for (door, streams) in [(Door::Http, 1), (Door::H2c, 16)] {
        let (address, server) = serve(Fault::None).await;
        let mut load = load(address, door, Pace::Saturate, 300);
        load.line.streams = streams;
        let outcome = run(&load).await;
        let counts = &outcome.tally.phases[0];
        assert_eq!(
            counts.answered, counts.planned,
            "{door:?} {:?}",
            counts.failed
        );
        assert_eq!(
            counts.answered,
            server.asked.load(Ordering::Relaxed),
            "{door:?}"
        );
        // Any machine does more in a third of a second than the first round of requests.
        assert!(counts.answered > 128, "{door:?}: {}", counts.answered);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_backlog_is_told() {
    let (address, _) = serve(Fault::Stall(0, 400)).await;
    let mut load = load(address, Door::Http, Pace::PerSecond(500.0), 200);
    load.line.backlog_max = 5;
    let outcome = run(&load).await;
    let counts = &outcome.tally.phases[0];
    // Eight in flight, five in line; what comes beyond them is not sent.
    assert_eq!(counts.answered, 13);
    assert_eq!(counts.failed["backlog full"], 87);
}
