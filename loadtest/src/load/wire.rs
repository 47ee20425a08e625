//! A request on its way, and what can become of it.

use std::borrow::Cow;
use std::rc::Rc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::visit::message::{Answer, Ask, Event, Receipt};
use crate::visit::proto;

/// How to speak to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// JSON over HTTP/1.1.
    Http,
    /// JSON over HTTP/2 without TLS.
    H2c,
    /// gRPC.
    Grpc,
}

/// The two requests of the data path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Decision,
    Events,
}

/// A request that is ready to be written, as often as one likes.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub kind: Kind,
    /// Over HTTP/1.1 head and body, else the body alone.
    pub bytes: Bytes,
    pub gpc: bool,
    pub asked: Rc<Asked>,
}

/// What the answer is held against.
#[derive(Debug, Default)]
pub struct Asked {
    pub request_id: String,
    /// Placements and how many offers each may have.
    pub placements: Vec<(String, u32)>,
    /// Events in the batch.
    pub events: usize,
}

/// A request that somebody waits for.
#[derive(Debug)]
pub struct Job {
    pub prepared: Prepared,
    pub phase: usize,
    /// Of the monotonic clock.
    pub intended_ns: u64,
    /// When the first byte was handed to the kernel.
    pub sent_ns: u64,
    /// The visit that goes on with the answer.
    pub reply: Option<oneshot::Sender<Option<Reply>>>,
}

/// A proper answer.
#[derive(Debug)]
pub enum Reply {
    Decision(Answer),
    Events(Receipt),
}

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A body, unread.
    Answered(Bytes),
    /// The server has no time for it and says so.
    Refused(Cow<'static, str>),
    /// No answer, or an error.
    Failed(Cow<'static, str>, String),
}

impl Outcome {
    /// What an HTTP status means.
    pub fn of_status(status: u16, body: Bytes) -> Outcome {
        match status {
            200 => Outcome::Answered(body),
            429 => Outcome::Refused("http 429".into()),
            503 => Outcome::Refused("http 503".into()),
            other => {
                let detail = String::from_utf8_lossy(&body).into_owned();
                Outcome::Failed(format!("http {other}").into(), detail)
            }
        }
    }

    /// What a gRPC status means; `body` has its length in front.
    pub fn of_grpc(status: &str, message: &str, body: &Bytes) -> Outcome {
        match status {
            "0" if body.len() >= FRAME_BYTES => Outcome::Answered(body.slice(FRAME_BYTES..)),
            "8" => Outcome::Refused("grpc ResourceExhausted".into()),
            "14" => Outcome::Refused("grpc Unavailable".into()),
            other => Outcome::Failed(format!("grpc {other}").into(), message.to_owned()),
        }
    }
}

/// Before each message of gRPC: a flag and the length.
const FRAME_BYTES: usize = 5;

/// Writes requests for one door of one server.
#[derive(Clone, Debug)]
pub struct Writer {
    pub door: Door,
    /// For the `host` header.
    pub host: String,
    /// Added to every request, such as a key.
    pub authorization: Option<String>,
}

impl Writer {
    pub fn ask(&self, ask: &Ask<'_>) -> Prepared {
        let placements = ask.placements.iter();
        let asked = Asked {
            request_id: ask.request_id.clone(),
            placements: placements.map(|p| (p.id.to_owned(), p.count)).collect(),
            events: 0,
        };
        let body = match self.door {
            Door::Grpc => framed(&proto::request(ask)),
            Door::Http | Door::H2c => json(ask),
        };
        self.prepare(Kind::Decision, body, ask.gpc, asked)
    }

    pub fn events(&self, events: &[Event]) -> Prepared {
        #[derive(Serialize)]
        struct Batch<'a> {
            events: &'a [Event],
        }
        let asked = Asked {
            events: events.len(),
            ..Asked::default()
        };
        let body = match self.door {
            Door::Grpc => {
                let events = events.iter().map(proto::event).collect();
                framed(&offerd_proto::v1::RecordRequest { events })
            }
            Door::Http | Door::H2c => json(&Batch { events }),
        };
        self.prepare(Kind::Events, body, false, asked)
    }

    fn prepare(&self, kind: Kind, body: Bytes, gpc: bool, asked: Asked) -> Prepared {
        let bytes = match self.door {
            Door::Http => self.head(kind, &body, gpc),
            Door::H2c | Door::Grpc => body,
        };
        Prepared {
            kind,
            bytes,
            gpc,
            asked: Rc::new(asked),
        }
    }

    fn head(&self, kind: Kind, body: &[u8], gpc: bool) -> Bytes {
        let gpc = if gpc { "sec-gpc: 1\r\n" } else { "" };
        let key = self.authorization.as_deref();
        let key = key.map_or(String::new(), |key| format!("authorization: {key}\r\n"));
        let (path, host, length) = (self.path(kind), &self.host, body.len());
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n{gpc}{key}\r\n"
        );
        [head.as_bytes(), body].concat().into()
    }

    pub fn path(&self, kind: Kind) -> &'static str {
        match (self.door, kind) {
            (Door::Grpc, Kind::Decision) => "/offerd.v1.DecisionService/Decide",
            (Door::Grpc, Kind::Events) => "/offerd.v1.EventService/Record",
            (_, Kind::Decision) => "/v1/decisions",
            (_, Kind::Events) => "/v1/events",
        }
    }
}

fn json(message: &impl Serialize) -> Bytes {
    serde_json::to_vec(message)
        .expect("messages are plain data")
        .into()
}

fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(FRAME_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("messages are small"));
    message.encode(&mut bytes).expect("a buffer grows");
    bytes.freeze()
}

/// Reads a proper answer.
pub fn read(door: Door, kind: Kind, body: &[u8]) -> Result<Reply, String> {
    use offerd_proto::v1;
    let reply = match (door, kind) {
        (Door::Grpc, Kind::Decision) => v1::DecideResponse::decode(body)
            .map(|m| Reply::Decision(proto::read_answer(m)))
            .map_err(|e| e.to_string()),
        (Door::Grpc, Kind::Events) => v1::RecordResponse::decode(body)
            .map(|m| Reply::Events(proto::read_receipt(m)))
            .map_err(|e| e.to_string()),
        (_, Kind::Decision) => serde_json::from_slice(body)
            .map(Reply::Decision)
            .map_err(|e| e.to_string()),
        (_, Kind::Events) => serde_json::from_slice(body)
            .map(Reply::Events)
            .map_err(|e| e.to_string()),
    };
    reply.map_err(|e| format!("{e} in {}", String::from_utf8_lossy(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_no_failure() {
        let body = Bytes::from_static(b"{}");
        for (status, expected) in [(200, 'a'), (429, 'r'), (503, 'r'), (400, 'f'), (500, 'f')] {
            let found = match Outcome::of_status(status, body.clone()) {
                Outcome::Answered(_) => 'a',
                Outcome::Refused(_) => 'r',
                Outcome::Failed(..) => 'f',
            };
            assert_eq!(found, expected, "{status}");
        }
        let frame = Bytes::from_static(&[0, 0, 0, 0, 1, 9]);
        let Outcome::Answered(body) = Outcome::of_grpc("0", "", &frame) else {
            panic!()
        };
        assert_eq!(&body[..], [9]);
        for status in ["8", "14"] {
            let found = Outcome::of_grpc(status, "", &Bytes::new());
            assert!(matches!(found, Outcome::Refused(_)), "{status}");
        }
        assert!(matches!(
            Outcome::of_grpc("0", "", &Bytes::new()),
            Outcome::Failed(..)
        ));
    }
}
