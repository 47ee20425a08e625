//! The two doors of the server, and what can go wrong at them.

mod grpc;
mod http;

use std::error::Error;
use std::io;
use std::time::Duration;

use super::Door;
use crate::WrongUse;
use crate::visit::message::{Answer, Ask, Event, Receipt};

/// How long to wait for an answer before it counts as lost; the SDK waits as long for events.
const ANSWER_MS_MAX: u64 = 10_000;
/// The largest answer that is read: eight placements with twenty offers each stay below it.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection to the server through one of its doors; clones share it.
#[derive(Clone, Debug)]
pub enum Client {
    Http(http::Client),
    Grpc(grpc::Client),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What can be known of the request.
    pub fate: Fate,
    /// A few words, the same for the same cause, to count by.
    pub cause: String,
    /// For people.
    pub detail: String,
    /// The server asks to wait that long.
    pub wait: Option<Duration>,
}

/// What can be known of a request without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// There was no connection: the server has never seen it.
    NotSent,
    /// It may have been done: the connection broke, or the answer did not come.
    Unknown,
    /// The server has not done it and may do it later.
    Later,
    /// The server will never do it.
    Refused,
}

impl Client {
    /// Nothing is connected before the first request.
    pub fn new(door: Door, url: &str, connections: usize) -> Result<Client, WrongUse> {
        Ok(match door {
            Door::Http => Client::Http(http::Client::new(url, connections)?),
            Door::Grpc => Client::Grpc(grpc::Client::new(url)?),
        })
    }

    pub async fn decide(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        within(async {
            match self {
                Client::Http(client) => client.decide(ask).await,
                Client::Grpc(client) => client.decide(ask).await,
            }
        })
        .await
    }

    pub async fn record(&self, events: &[Event]) -> Result<Receipt, Failure> {
        within(async {
            match self {
                Client::Http(client) => client.record(events).await,
                Client::Grpc(client) => client.record(events).await,
            }
        })
        .await
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let limit = Duration::from_millis(ANSWER_MS_MAX);
    tokio::time::timeout(limit, answer)
        .await
        .unwrap_or_else(|_| {
            let detail = format!("no answer within {ANSWER_MS_MAX} ms");
            Err(Failure::new(Fate::Unknown, "timeout", detail))
        })
}

impl Failure {
    fn new(fate: Fate, cause: impl Into<String>, detail: impl Into<String>) -> Failure {
        Failure {
            fate,
            cause: cause.into(),
            detail: detail.into(),
            wait: None,
        }
    }

    /// The journal cannot take some events just now.
    pub fn unavailable() -> Failure {
        Failure::new(Fate::Later, "journal unavailable", "")
    }

    /// A connection that could not be made, or broke.
    fn broken(error: &(dyn Error + 'static), connecting: bool) -> Failure {
        let refused = chain(error)
            .filter_map(|e| e.downcast_ref::<io::Error>())
            .any(|e| e.kind() == io::ErrorKind::ConnectionRefused);
        let words: Vec<String> = chain(error).map(ToString::to_string).collect();
        let (fate, cause) = match (refused, connecting) {
            (true, _) => (Fate::NotSent, "connection refused"),
            (false, true) => (Fate::NotSent, "cannot connect"),
            (false, false) => (Fate::Unknown, "connection broken"),
        };
        Failure::new(fate, cause, words.join(": "))
    }
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}
