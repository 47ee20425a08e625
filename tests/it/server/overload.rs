//! More than a server can do, for real: what it leaves out, whom it refuses, and that it is over when the
//! load is. How much and how fast is `loadtest overload`'s to say; here nothing depends on the machine.

use std::future::poll_fn;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::Poll;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use offerd::cmd::serve::runtime;
use offerd::serve::admission::{Admission, AdmissionConfig};
use offerd::serve::watch_by;
use serde_json::json;
use tokio::sync::mpsc;

use super::client::{Answer, Client};
use super::{Server, ask_demo, config, event, offers, until};

/// Pages that ask again as soon as they are answered: each a task that is ready while it waits.
const PAGES: usize = 64;

/// What the pages saw.
#[derive(Default)]
struct Seen {
    full: AtomicUsize,
    by_prior: AtomicUsize,
    refused: AtomicUsize,
    stop: AtomicBool,
}

impl Seen {
    fn note(&self, answer: &Answer) {
        let body = answer.json();
        let counter = match answer.status {
            StatusCode::OK if body["degraded"] == json!([]) => &self.full,
            StatusCode::OK => {
                assert_eq!(body["degraded"], json!(["overload"]));
                assert!(body["placements"][0]["offers"][0]["token"].is_string());
                &self.by_prior
            }
            _ => {
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
                assert_eq!(body["type"], "urn:offerd:problem:overloaded");
                let seconds: u32 = answer.header("retry-after").parse().unwrap();
                assert!((1..=5).contains(&seconds), "{seconds}");
                &self.refused
            }
        };
        counter.fetch_add(1, Relaxed);
    }
}

fn pages(client: &Client, seen: &Arc<Seen>) -> Vec<tokio::task::JoinHandle<()>> {
    let one = |i: usize| {
        let (client, seen) = (client.clone(), Arc::clone(seen));
        tokio::spawn(async move {
            let body = ask_demo(&format!("c-{i}"));
            while !seen.stop.load(Relaxed) {
                seen.note(&client.post("/v1/decisions", &[], &body).await);
            }
        })
    };
    (0..PAGES).map(one).collect()
}

/// Goal: under a load that always leaves a queue the model is left out, then decisions are refused in
/// so many words and counted, conversions never are; and when it ends everything is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_is_refused_by_importance_and_passes() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    // Any queue is too long: a tenth of a millisecond is less than one decision takes in a test build.
    config.admission.queue_us_target = 100;
    let server = Server::start(config).await;
    let client = &server.client;
    let bought = client.decide(&ask_demo("who orders")).await;
    let offer = offers(&bought)[0].clone();

    let seen = Arc::new(Seen::default());
    let pages = pages(client, &seen);
    let mut orders = 0;
    until("pages are refused, and answered by the prior", async || {
        let order = event("order", &format!("o-{orders}"), &offer);
        let held = client.record(&[order]).await;
        assert_eq!(held["rejected"], json!([]), "an order is never turned away");
        orders += 1;
        seen.refused.load(Relaxed) > 0 && seen.by_prior.load(Relaxed) > 0
    })
    .await;
    let metrics = client.admin(hyper::Method::GET, "/metrics", "").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    let count = |of: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(of));
        let line = line.unwrap_or_else(|| panic!("no {of} in {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(count("offerd_shed_total{class=\"decision\",reason=\"queue\"}") > 0.0);
    assert_eq!(
        count("offerd_shed_total{class=\"conversion\",reason=\"queue\"}"),
        0.0
    );
    assert!(count("offerd_degraded_total{what=\"overload\"}") > 0.0);

    seen.stop.store(true, Relaxed);
    for page in pages {
        page.await.unwrap();
    }
    until("the model scores again", async || {
        let answer = client.post("/v1/decisions", &[], &ask_demo("after")).await;
        answer.status == StatusCode::OK && answer.json()["degraded"] == json!([])
    })
    .await;
    server.stop().await;
}

/// Goal: what was decided in an overload is on record as such, and replays to the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_without_the_model_is_on_record_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.admission.queue_us_target = 100;
    let server = Server::start(config).await;
    let client = &server.client;
    let seen = Arc::new(Seen::default());
    let pages = pages(client, &seen);
    let mut found = None;
    until("a decision without the model", async || {
        let answer = client.post("/v1/decisions", &[], &ask_demo("c")).await;
        let without = answer.status == StatusCode::OK && answer.json()["degraded"] != json!([]);
        found = without.then(|| answer.json());
        without
    })
    .await;
    seen.stop.store(true, Relaxed);
    for page in pages {
        page.await.unwrap();
    }
    let decision = found.unwrap();
    let record = client.recorded(&decision).await;
    assert_eq!(record["effort"], "overload", "{record}");
    let replayed = client
        .replay(decision["decision_id"].as_str().unwrap())
        .await;
    assert_eq!(replayed["same"], true, "{replayed}");
    server.stop().await;
}

/// Goal: the wait that is ruled by is everybody's, also with many times more connections than a thread of the
/// runtime keeps in a line of its own. It is counted in turns, so that nothing depends on the machine. The median, which
/// with several threads may be that of the short lines, is a small part of it.
#[test]
fn what_is_measured_is_what_everybody_waits() {
    // One line: whoever goes to its end waits for everybody once.
    check_measured(1, 0.98..1.02);
    // Two lines that look at a common one in turns; how they share it is the system's to say.
    check_measured(2, 0.5..2.0);
}

/// Checks that the wait measured, as a part of everybody's, is within that range.
#[track_caller]
fn check_measured(threads: usize, range: Range<f64>) {
    /// Always ready, each for one turn at a time, as connections whose callers ask again at once are.
    const BUSY: u64 = 4_000;
    /// Turns of all together in a round: long enough for a window or more.
    const ROUND: u64 = 50 * BUSY;
    const ROUNDS: usize = 12;
    /// What a turn takes by the clock of this test.
    const TURN: Duration = Duration::from_micros(2);
    let runtime = runtime(threads).unwrap();
    let admission = Admission::new(&AdmissionConfig::default()).unwrap();
    let turns = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let clock = {
        let turns = Arc::clone(&turns);
        move || begin + Duration::from_nanos(turns.load(Relaxed) * TURN.as_nanos() as u64)
    };
    runtime.spawn(watch_by(admission.clone(), clock));
    let (tell, mut told) = mpsc::unbounded_channel();
    for _ in 0..BUSY {
        let (turns, admission, tell) = (Arc::clone(&turns), admission.clone(), tell.clone());
        // Wakes itself after each turn, as connections do.
        runtime.spawn(poll_fn(move |cx| -> Poll<()> {
            if turns.fetch_add(1, Relaxed).is_multiple_of(ROUND) {
                // Nobody listens any more when the test is over.
                let _ = tell.send(admission.wait());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
    }
    let mut waits: Vec<Duration> = Vec::new();
    runtime.block_on(async {
        // The first rounds may be over before the first window is.
        while waits.len() < ROUNDS {
            waits.extend(told.recv().await.filter(|wait| !wait.is_zero()));
        }
    });
    runtime.shutdown_background();
    let everybodys = (TURN * BUSY as u32).as_secs_f64();
    let mut parts: Vec<f64> = waits.iter().map(|w| w.as_secs_f64() / everybodys).collect();
    parts.sort_by(f64::total_cmp);
    let middle = parts[parts.len() / 2];
    assert!(range.contains(&middle), "{threads} threads: {parts:?}");
}
