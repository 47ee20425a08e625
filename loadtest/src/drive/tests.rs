//! Whole drives against a server that drops requests.
//!
//! The server here is a real one on a real port, as far as the contract goes, and has a fault with a
//! rhythm: of every few requests one is never read and one is done without an answer. What it holds at
//! the end must be what the drive believes it holds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

/// What the server holds.
#[derive(Default)]
struct Held {
    requests: u64,
    decisions: u64,
    /// Every distinct event: type, and how often it came.
    events: HashMap<String, (String, u64)>,
}

impl Held {
    fn decide(&mut self, ask: &Value) -> Value {
        self.decisions += 1;
        let id = format!("d-{}", self.decisions);
        let placements = ask["placements"].as_array().unwrap().iter().map(|p| {
            let offer = |rank: u64| {
                json!({ "offer_id": format!("{}-{rank}", p["id"]), "class": "service", "rank": rank,
                    "price": { "amount_minor": 100, "currency": "USD" },
                    "token": format!("{id}-{}-{rank}", p["id"]),
                    "content": { "action": { "kind": "order" } } })
            };
            let offers: Vec<Value> = (1..=p["count"].as_u64().unwrap()).map(offer).collect();
            json!({ "id": p["id"], "offers": offers, "no_offer_reason": null })
        });
        let placements: Vec<Value> = placements.collect();
        json!({ "decision_id": id, "placements": placements, "degraded": [] })
    }

    fn record(&mut self, batch: &Value) -> Value {
        let (mut accepted, mut duplicates) = (0, 0);
        for event in batch["events"].as_array().unwrap() {
            let id = event["id"].as_str().unwrap().to_owned();
            let kind = event["type"].as_str().unwrap().to_owned();
            let held = self.events.entry(id).or_insert((kind.clone(), 0));
            assert_eq!(held.0, kind, "an id is of one event");
            held.1 += 1;
            if held.1 == 1 {
                accepted += 1
            } else {
                duplicates += 1
            }
        }
        json!({ "accepted": accepted, "duplicates": duplicates, "rejected": [] })
    }
}

/// Every seventh request is dropped unread, every eleventh done and not answered.
async fn answer(
    held: Arc<Mutex<Held>>,
    request: Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    let decides = request.uri().path() == "/v1/decisions";
    let body = request.into_body().collect().await;
    let body = body.map_err(io::Error::other)?.to_bytes();
    let mut held = held.lock().unwrap();
    held.requests += 1;
    let n = held.requests;
    if n.is_multiple_of(7) {
        return Err(io::Error::other("dropped"));
    }
    let message: Value = serde_json::from_slice(&body).unwrap();
    let reply = if decides {
        held.decide(&message)
    } else {
        held.record(&message)
    };
    if n.is_multiple_of(11) {
        return Err(io::Error::other("answer lost"));
    }
    Ok(Response::new(Full::new(reply.to_string().into())))
}

async fn serve(held: Arc<Mutex<Held>>) -> Result<SocketAddr, Infallible> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let held = held.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(held.clone(), request));
                let connection = auto::Builder::new(TokioExecutor::new());
                // An error is the fault that this server is for.
                drop(
                    connection
                        .serve_connection(TokioIo::new(stream), service)
                        .await,
                );
            });
        }
    });
    Ok(address)
}

fn customers(n: usize) -> Vec<Customer> {
    let customer = |i| Customer {
        id: format!("c-{i}"),
        features: [].into(),
    };
    (0..n).map(customer).collect()
}

fn drive(address: SocketAddr, acks: Acks, retry_for: Duration, seed: u64) -> Arc<Drive> {
    Arc::new(Drive {
        client: Client::new(Door::Http, &format!("http://{address}"), 4).unwrap(),
        acks,
        customers: customers(30),
        next: AtomicUsize::new(0),
        stopped: Mutex::new(None),
        bar: ProgressBar::hidden(),
        began: Instant::now(),
        time: None,
        retry_for,
        seed,
        placements: Vec::new(),
    })
}

fn unique_path(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("loadtest-{name}-{}", std::process::id()))
}

#[tokio::test]
async fn what_is_acknowledged_is_what_the_server_holds() {
    let held = Arc::new(Mutex::new(Held::default()));
    let address = serve(held.clone()).await.unwrap();
    let path = unique_path("acks");
    let acks = Acks::create(Some(&path)).unwrap();
    let drive = drive(address, acks, Duration::from_secs(30), 1);
    let tally = all_workers(&drive, 4).await.unwrap();

    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let acks: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let held = held.lock().unwrap();
    let (decisions, events): (Vec<_>, Vec<_>) = acks.iter().partition(|a| a["type"] == "decision");

    assert_eq!(tally.visits, 30);
    assert!(
        tally.retries > 0 && tally.duplicates > 0,
        "the faults have happened"
    );
    assert_eq!(decisions.len() as u64, tally.decisions);
    assert!(decisions.len() as u64 <= held.decisions);
    assert!(held.decisions <= tally.decisions + tally.decisions_unanswered);

    let acknowledged: HashSet<&str> = events.iter().map(|a| a["id"].as_str().unwrap()).collect();
    assert_eq!(
        acknowledged.len(),
        events.len(),
        "each event is acknowledged once"
    );
    let there: HashSet<&str> = held.events.keys().map(String::as_str).collect();
    assert_eq!(acknowledged, there);
    let counted: u64 = tally.events.values().sum();
    assert_eq!(counted, events.len() as u64);
}

/// Ids and types of the events that a drive with this seed leaves behind.
async fn events_of(seed: u64) -> BTreeMap<String, String> {
    let held = Arc::new(Mutex::new(Held::default()));
    let address = serve(held.clone()).await.unwrap();
    let acks = Acks::create(None).unwrap();
    let drive = drive(address, acks, Duration::from_secs(30), seed);
    all_workers(&drive, 4).await.unwrap();
    let held = held.lock().unwrap();
    let events = held.events.iter();
    events
        .map(|(id, (kind, _))| (id.clone(), kind.clone()))
        .collect()
}

#[tokio::test]
async fn a_seed_makes_the_same_events_whatever_fails() {
    // Which requests fail depends on how the workers happen to interleave.
    let events = events_of(1).await;
    assert_eq!(events, events_of(1).await);
    assert_ne!(events, events_of(2).await);
    let types: HashSet<&str> = events.values().map(String::as_str).collect();
    assert_eq!(
        types.len(),
        10,
        "every type of event is among them: {types:?}"
    );
}

#[tokio::test]
async fn a_server_that_stays_away_ends_the_drive() {
    // A port that was free a moment ago, with nobody behind it.
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let drive = drive(address, Acks::create(None).unwrap(), Duration::ZERO, 1);
    let tally = all_workers(&drive, 4).await.unwrap();
    assert_eq!(
        (tally.visits, tally.decisions, tally.decisions_unanswered),
        (0, 0, 0)
    );
    assert!(tally.visits_cut <= 4, "nobody begins another visit");
    assert!(
        drive
            .stopped()
            .as_deref()
            .unwrap()
            .contains("connection refused")
    );
}
