//! One HTTP/2 connection, for JSON and for gRPC.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, HeaderValue, Request};
use tokio::net::TcpStream;

use super::clock::now_ns;
use super::engine::{Engine, Slot};
use super::wire::{Door, Job, Outcome, Writer};

/// What the server may send ahead, on one stream and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// A connection with many streams.
#[derive(Default)]
pub struct Lane(RefCell<Option<SendRequest<Bytes>>>);

impl Lane {
    /// Begins a stream; it settles its request by itself.
    pub fn submit(&self, engine: &Rc<Engine>, mut job: Job, slot: Slot) {
        job.sent_ns = now_ns();
        let begun = match &mut *self.0.borrow_mut() {
            Some(sender) => begin(sender, engine.writer(), &job).map_err(failed),
            None => Err(Outcome::Failed("connection closed".into(), String::new())),
        };
        let engine = engine.clone();
        tokio::task::spawn_local(async move {
            let limit = Duration::from_nanos(
                (job.intended_ns + engine.timeout_ns()).saturating_sub(now_ns()),
            );
            let outcome = match begun {
                Ok(answer) => {
                    let answer = answered(answer, engine.writer().door);
                    match tokio::time::timeout(limit, answer).await {
                        Ok(answer) => answer.unwrap_or_else(failed),
                        Err(_) => Outcome::Failed("timeout".into(), String::new()),
                    }
                }
                Err(outcome) => outcome,
            };
            engine.settle(job, outcome);
            engine.vacant(slot);
        });
    }

    /// Drives the connection until it ends; its streams end with it.
    pub async fn serve(&self, streams: usize, stream: TcpStream, up: impl FnOnce()) {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_max_send_streams(streams)
            .enable_push(false);
        let Ok((sender, connection)) = builder.handshake(stream).await else {
            return;
        };
        *self.0.borrow_mut() = Some(sender);
        up();
        // Its error reaches every stream, which is where it is counted.
        drop(connection.await);
        self.0.borrow_mut().take();
    }
}

/// Asks once, on a connection for the purpose.
pub async fn ask_once(address: SocketAddr, writer: &Writer, job: &Job) -> anyhow::Result<Outcome> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let answer = answered(begin(&mut sender, writer, job)?, writer.door).await;
    // It would stay open for as long as there is somebody to drive it.
    connection.abort();
    Ok(answer?)
}

fn begin(
    sender: &mut SendRequest<Bytes>,
    writer: &Writer,
    job: &Job,
) -> Result<ResponseFuture, h2::Error> {
    let path = writer.path(job.prepared.kind);
    let mut request = Request::post(format!("http://{}{path}", writer.host));
    let headers = request.headers_mut().expect("the address was checked");
    match writer.door {
        Door::Grpc => {
            headers.insert("content-type", HeaderValue::from_static("application/grpc"));
            headers.insert("te", HeaderValue::from_static("trailers"));
        }
        Door::Http | Door::H2c => {
            headers.insert("content-type", HeaderValue::from_static("application/json"));
        }
    }
    if job.prepared.gpc {
        headers.insert("sec-gpc", HeaderValue::from_static("1"));
    }
    let key = writer.authorization.as_deref();
    if let Some(key) = key.and_then(|key| HeaderValue::from_str(key).ok()) {
        headers.insert("authorization", key);
    }
    let request = request.body(()).expect("the headers are fixed");
    let (answer, mut body) = sender.send_request(request, false)?;
    body.send_data(job.prepared.bytes.clone(), true)?;
    Ok(answer)
}

async fn answered(answer: ResponseFuture, door: Door) -> Result<Outcome, h2::Error> {
    let (head, mut body) = answer.await?.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Ok(Outcome::Failed("answer too long".into(), String::new()));
        }
        bytes.extend_from_slice(&chunk);
    }
    let body_bytes = bytes.freeze();
    if door != Door::Grpc || head.status.as_u16() != 200 {
        return Ok(Outcome::of_status(head.status.as_u16(), body_bytes));
    }
    let trailers = match body.trailers().await? {
        Some(trailers) => trailers,
        // An error without a body has its status in the head.
        None => head.headers,
    };
    let text = |name| text(&trailers, name);
    Ok(Outcome::of_grpc(
        text("grpc-status"),
        text("grpc-message"),
        &body_bytes,
    ))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|v| v.to_str().ok());
    value.unwrap_or_default()
}

fn failed(error: h2::Error) -> Outcome {
    let kind = match (error.is_io(), error.is_go_away(), error.is_reset()) {
        (true, _, _) => "connection broken",
        (_, true, _) => "connection closed",
        (_, _, true) => "stream reset",
        _ => "http/2 error",
    };
    Outcome::Failed(kind.into(), error.to_string())
}
