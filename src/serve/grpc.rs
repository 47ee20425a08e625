//! The gRPC door: the same service, the same rules, protobuf instead of JSON.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use offerd_proto::v1;
use offerd_proto::v1::decision_service_server::{DecisionService, DecisionServiceServer};
use offerd_proto::v1::event_service_server::{EventService, EventServiceServer};
use tokio_stream::{Stream, StreamExt};
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status, Streaming};

use super::deadline::{Deadline, grpc_timeout};
use super::http::{Public, admit, caller, effort, pass, vouch, vouched};
use super::service::Asked;
use super::wire::{DecisionRequest, EventBatch, Problem, Refusal};
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
        decided(&self.0, &metadata, message).map(Response::new)
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
            decided(&public, &metadata, message?)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

fn decided(
    public: &Public,
    metadata: &MetadataMap,
    message: v1::DecideRequest,
) -> Result<v1::DecideResponse, Status> {
    let since = Instant::now();
    let headers = metadata.as_ref();
    let caller = caller(public, headers)?;
    if !caller.may_decide() {
        return Err(Refusal::Unauthenticated.into());
    }
    let _permit = admit(public, Class::Decision)?;
    let gpc = metadata.get("sec-gpc").is_some_and(|v| v == "1");
    let timeout = grpc_timeout(headers).map_err(|e| Status::invalid_argument(e.to_string()))?;
    let mut message = DecisionRequest::try_from(message)?;
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
    let answer = public
        .service
        .decide(&message, asked, |answer| v1::DecideResponse::from(answer));
    public
        .service
        .metrics()
        .decision_duration
        .record(since.elapsed());
    Ok(answer?)
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
