//! Arbitrary bytes at the public port: whatever comes, the next good request is answered.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::{PATIENCE, Server, ask_demo, config, event, offers};

/// A fixed sequence of numbers (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.roll() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.roll() as u8).collect()
    }

    /// Flips, cuts, repeats or inserts, one to four times.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => {
                    let noise = self.below(20);
                    let noise = self.bytes(noise);
                    bytes.splice(at..at, noise);
                }
                3 => {
                    let piece = bytes[at..(at + 30).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
                _ => {
                    let special = [
                        &b"\r\n"[..],
                        b"\0",
                        b"{",
                        b"\"",
                        b"-1",
                        b"1e999",
                        b"\xff\xfe",
                    ];
                    let special = special[self.below(7)].to_vec();
                    bytes.splice(at..at, special);
                }
            }
        }
    }
}

/// Sends the bytes on a connection of their own; everything that comes back.
async fn raw(to: std::net::SocketAddr, bytes: Vec<u8>) -> Vec<u8> {
    let Ok(mut stream) = TcpStream::connect(to).await else {
        return Vec::new();
    };
    let mut answer = Vec::new();
    // It may be cut off at any byte, in either direction.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("every connection ends");
    answer
}

/// Sends all of them, a few at a time.
async fn check_raw(server: &Server, what: &str, inputs: Vec<Vec<u8>>) {
    let to = server.client.public;
    let mut open = JoinSet::new();
    let check = |(input, answer): (Vec<u8>, Vec<u8>)| {
        let text = String::from_utf8_lossy(&answer);
        let broken = text.contains("HTTP/1.1 5") || text.contains("HTTP/1.0 5");
        assert!(
            !broken,
            "{what}: {}\n{text}",
            String::from_utf8_lossy(&input)
        );
    };
    for input in inputs {
        if open.len() == 8 {
            check(open.join_next().await.unwrap().unwrap());
        }
        open.spawn(async move {
            let answer = raw(to, input.clone()).await;
            (input, answer)
        });
    }
    while let Some(done) = open.join_next().await {
        check(done.unwrap());
    }
    still_well(server, what).await;
}

async fn still_well(server: &Server, what: &str) {
    let answer = server.client.decide(&ask_demo("good")).await;
    assert!(!offers(&answer).is_empty(), "{what}");
    assert_eq!(server.app.public_stats().panics(), 0, "{what}");
}

/// A request over HTTP/1.1, byte by byte.
fn request_bytes(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// HTTP/2's preface, empty settings, and a request's headers from HPACK's static table.
fn h2_bytes() -> Vec<u8> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let headers = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x84, 0x86, 0x41, 1, b'a'];
    [&preface[..], &settings, &headers].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arbitrary_bytes_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.public.limits.first_byte_ms = 500;
    config.public.limits.header_ms = 500;
    config.public.limits.body_ms = 500;
    config.public.limits.idle_ms = 500;
    let server = Server::start(config).await;
    let answer = server.client.decide(&ask_demo("c-1")).await;
    let shown = &offers(&answer)[0];
    let events = json!({ "events": [event("click", "e-1", shown), event("order", "e-2", shown)] });
    let mut dice = Dice(7);

    let noise = (0..150).map(|n| dice.bytes(1 + 7 * n)).collect();
    check_raw(&server, "noise", noise).await;
    let good = [
        request_bytes("/v1/decisions", &ask_demo("c-2")),
        request_bytes("/v1/events", &events),
    ];
    let mutated = |dice: &mut Dice, good: &[Vec<u8>], n: usize| -> Vec<Vec<u8>> {
        let mut inputs = Vec::new();
        for i in 0..n {
            let mut bytes = good[i % good.len()].clone();
            dice.mutate(&mut bytes);
            inputs.push(bytes);
        }
        inputs
    };
    let inputs = mutated(&mut dice, &good, 300);
    check_raw(&server, "HTTP/1", inputs).await;
    let inputs = mutated(&mut dice, &[h2_bytes()], 150);
    check_raw(&server, "HTTP/2", inputs).await;
    server.stop().await;
}

/// Every place in a value, as a path of keys and indices.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(k, v)| places(v, &format!("{at}/{k}"), all)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(i, v)| places(v, &format!("{at}/{i}"), all)),
        _ => {}
    }
}

/// Values that do not belong where they are put.
fn strange() -> Vec<Value> {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.1),
        json!(""),
        json!("\u{0}"),
        json!("x".repeat(5_000)),
        json!("\u{202e}\u{1f468}\u{200d}"),
        json!([]),
        json!({}),
        json!([[], {}, null]),
        json!({ "$gte": 1 }),
        deep,
        json!("9999-12-31T23:59:60Z"),
        json!("-9999-01-01T00:00:00Z"),
        json!("en_route"),
    ]
}

/// Goal: a body that is JSON but not a request is a 4xx with a field, or an answer; never a 5xx.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mutated_requests_are_answered_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path())).await;
    let client = &server.client;
    let answer = client.decide(&ask_demo("c-1")).await;
    let shown = &offers(&answer)[0];
    let mut sold = event("order", "e-2", shown);
    sold["value"] = json!({ "amount_minor": 1, "currency": "USD" });
    sold["at"] = json!("2026-11-21T13:00:00Z");
    let view = json!({
        "type": "phase_view", "id": "v", "appointment_id": "a", "phase": "en_route", "dwell_ms": 1,
    });
    let events = json!({ "events": [event("click", "e-1", shown), sold, view] });
    let context = json!({ "customer": { "id": "c", "features": { "tenure": 1 } }, "age_s": 60 });
    let mut refused = 0;
    for (path, good) in [
        ("/v1/decisions", ask_demo("c-2")),
        ("/v1/events", events),
        ("/v1/context", context),
    ] {
        let mut all = Vec::new();
        places(&good, "", &mut all);
        for place in &all {
            for value in strange() {
                let mut body = good.clone();
                *body.pointer_mut(place).unwrap() = value;
                let answer = client.post(path, &[], &body).await;
                assert!(
                    answer.status.as_u16() < 500,
                    "{path}: {body}\n{}",
                    answer.json()
                );
                if answer.status != StatusCode::OK {
                    let problem = answer.json();
                    assert!(
                        problem["detail"].as_str().is_some_and(|d| !d.is_empty()),
                        "{problem}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(
        refused > 500,
        "only {refused} were refused, so this proves little"
    );
    for path in [
        "/v1/t/",
        "/v1/t/%00",
        "/v1/t/%ff",
        "/demo/..%2f..%2fCargo.toml",
        "/%",
        "//",
        "/v1/decisions/x",
    ] {
        let answer = client
            .try_send(Method::GET, client.public, path, &[], "")
            .await
            .unwrap();
        assert!(answer.status.is_client_error(), "{path}: {}", answer.status);
    }
    still_well(&server, "mutated requests").await;
    server.stop().await;
}
