//! The gRPC door: the same service, the same rules, protobuf instead of JSON.
//!
//! tonic serves it, but for [`decide`]: a decision that is asked for in one plain message, all of it there, is
//! answered without tonic's codec, its boxes and the strings of generated messages, which cost as much as
//! deciding does. Everything else (compressed, in pieces, malformed, unusual) tonic reads from the beginning.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method};
use hyper::body::{Body as HttpBody, Frame};
use offerd_proto::v1;
use offerd_proto::v1::decision_service_server::{DecisionService, DecisionServiceServer};
use offerd_proto::v1::event_service_server::{EventService, EventServiceServer};
use prost::Message;
use tokio_stream::{Stream, StreamExt};
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::deadline::{Deadline, grpc_timeout};
use super::http::{Public, admit, caller, effort, pass, vouch, vouched};
use super::service::Asked;
use super::wire::{
    DecisionRequest, DecisionResponse, EventBatch, Malformed, Problem, Refusal, decide_request,
};
use crate::domain::{Class, Effort};

/// Bytes of one message: as much as a body over HTTP.
const MESSAGE_BYTES_MAX: usize = super::http::BODY_BYTES_MAX;

/// The names of the public services.
pub const SERVICES: &[&str] = &[
    v1::decision_service_server::SERVICE_NAME,
    v1::event_service_server::SERVICE_NAME,
];

/// The public services.
pub fn routes(public: Arc<Public>) -> Routes {
    let decisions = DecisionServiceServer::new(Door(Arc::clone(&public)))
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let events = EventServiceServer::new(Door(public)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    Routes::new(decisions).add_service(events)
}

struct Door(Arc<Public>);

#[tonic::async_trait]
impl DecisionService for Door {
    async fn decide(
        &self,
        request: Request<v1::DecideRequest>,
    ) -> Result<Response<v1::DecideResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        decided_owned(&self.0, metadata.as_ref(), message).map(Response::new)
    }

    type DecideStreamStream =
        Pin<Box<dyn Stream<Item = Result<v1::DecideResponse, Status>> + Send>>;

    /// One answer per message, in order. A message that breaks a rule ends the stream with the reason.
    async fn decide_stream(
        &self,
        request: Request<Streaming<v1::DecideRequest>>,
    ) -> Result<Response<Self::DecideStreamStream>, Status> {
        let public = Arc::clone(&self.0);
        let (metadata, _, messages) = request.into_parts();
        let answers = messages.map(move |message| {
            pass(&public, Class::Decision)?;
            decided_owned(&public, metadata.as_ref(), message?)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn decided_owned(
    public: &Public,
    headers: &HeaderMap,
    message: v1::DecideRequest,
) -> Result<v1::DecideResponse, Status> {
    let read = || DecisionRequest::try_from(message);
    decided(public, headers, read, |answer| {
        v1::DecideResponse::from(answer)
    })
}

fn decided<'a, R>(
    public: &Public,
    headers: &HeaderMap,
    read: impl FnOnce() -> Result<DecisionRequest<'a>, Malformed>,
    render: impl FnOnce(DecisionResponse<'_>) -> R,
) -> Result<R, Status> {
    let since = Instant::now();
    let caller = caller(public, headers)?;
    if !caller.may_decide() {
        return Err(Refusal::Unauthenticated.into());
    }
    let _permit = admit(public, Class::Decision)?;
    let gpc = headers.get("sec-gpc").is_some_and(|v| v == "1");
    let timeout = grpc_timeout(headers).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let mut message = read()?;
    let context = vouched(&message, public)?;
    let vouched = vouch(&mut message, &context)?;
    let wait = message.deadline_ms().and_then(|ms| u32::try_from(ms).ok());
    let deadline = Deadline::new(since, timeout, wait, &public.deadlines);
    let effort = effort(public, deadline, since);
    if effort == Effort::Nothing {
        return Err(Refusal::DeadlineExceeded.into());
    }
    let asked = Asked {
        since,
        effort,
        gpc,
        believed: caller.is_trusted() || vouched,
        reveal: caller.is_trusted(),
    };
    let answer = public.service.decide(&message, asked, render);
    public
        .service
        .metrics()
        .decision_duration
        .record(since.elapsed());
    Ok(answer?)
}

/// A message's prefix: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

/// Answers `Decide` where the request is as plain as most are; `None` where tonic has to.
pub(super) fn decide(
    public: &Public,
    head: &Parts,
    body: &Bytes,
) -> Option<Result<http::Response<Answered>, Status>> {
    let plain = head.method == Method::POST && !head.headers.contains_key("grpc-encoding");
    let (prefix, message) = body.split_first_chunk::<PREFIX_BYTES>()?;
    let [compressed, length @ ..] = *prefix;
    let whole = u32::from_be_bytes(length) as usize == message.len();
    if !plain || compressed != 0 || !whole || message.len() > MESSAGE_BYTES_MAX {
        return None;
    }
    let message = decide_request(message)?;
    let answer = decided(public, &head.headers, || Ok(message), framed);
    Some(answer.map(|bytes| {
        let mut answer = http::Response::new(Answered::Message(bytes));
        let kind = HeaderValue::from_static("application/grpc");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }))
}

/// An answer with its prefix.
fn framed(answer: DecisionResponse<'_>) -> Bytes {
    let answer = v1::DecideResponse::from(answer);
    let length = answer.encoded_len();
    let mut out = Vec::with_capacity(PREFIX_BYTES + length);
    out.push(0);
    let length = u32::try_from(length).expect("an answer of a few offers");
    out.extend_from_slice(&length.to_be_bytes());
    answer.encode(&mut out).expect("a vector takes what comes");
    out.into()
}

/// What is left to send of an answer in one message.
#[derive(Debug)]
pub enum Answered {
    /// The message and that all went well.
    Message(Bytes),
    /// That all went well.
    Status,
    /// Nothing.
    Nothing,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let (frame, left) = match &mut *self {
            Answered::Message(bytes) => (Frame::data(std::mem::take(bytes)), Answered::Status),
            Answered::Status => {
                let ok = HeaderValue::from_static("0");
                let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, ok)]);
                (Frame::trailers(trailers), Answered::Nothing)
            }
            Answered::Nothing => return Poll::Ready(None),
        };
        *self = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Answered::Nothing)
    }
}

#[tonic::async_trait]
impl EventService for Door {
    async fn record(
        &self,
        request: Request<v1::RecordRequest>,
    ) -> Result<Response<v1::RecordResponse>, Status> {
        let batch = EventBatch::from(request.into_inner());
        let class = batch.class();
        pass(&self.0, class)?;
        let _permit = admit(&self.0, class)?;
        let response = self.0.service.record(&batch).await.map_err(Problem::from)?;
        Ok(Response::new(response.into()))
    }
}
