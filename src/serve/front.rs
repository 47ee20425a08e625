//! The public port's front: what is asked most goes straight to its handler.
//!
//! A router matches paths, boxes bodies and futures, and hands requests through its layers; that is
//! a tenth of a decision with few candidates. Decisions and events over HTTP are told by two
//! comparisons and take none of it, and so are decisions over gRPC in a plain message. Everything else
//! goes through the router, which has the same routes: nothing depends on which way a request takes.

use std::sync::Arc;

use axum::body::Body;
use axum::{BoxError, Router};
use bytes::Bytes;
use http::header::ORIGIN;
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use hyper::body::Body as HttpBody;
use tonic::Status;
use tower::ServiceExt;

use super::cors;
use super::grpc::{self, Answered};
use super::http::{self as door, Answer, Public};
use super::unread;
use crate::domain::Class;
use crate::listener::{Answers, Head, Peeked, RequestBody, TurnedAway};

/// Where gRPC asks for a decision, as `offerd.v1` names it.
const GRPC_DECIDE: &str = "/offerd.v1.DecisionService/Decide";

/// Answers everything at the public port.
#[derive(Clone)]
pub struct Front {
    public: Arc<Public>,
    router: Router,
}

/// Which handler a request goes straight to.
enum Straight {
    Decisions,
    Events,
}

impl Front {
    /// A front for a router that has the public routes, and any others.
    #[must_use]
    pub fn new(public: Arc<Public>, router: Router) -> Front {
        Front { public, router }
    }

    async fn straight(&self, to: Straight, request: Request<RequestBody>) -> Answer {
        let origin = request.headers().get(ORIGIN).cloned();
        let mut answer = match to {
            Straight::Decisions => door::decide(&self.public, request).await,
            Straight::Events => door::record(&self.public, request).await,
        };
        cors::allow(&self.public.auth, origin, false, answer.headers_mut());
        answer
    }
}

fn straight(request: &Request<RequestBody>) -> Option<Straight> {
    match request.uri().path() {
        _ if request.method() != Method::POST => None,
        door::DECISIONS => Some(Straight::Decisions),
        door::EVENTS => Some(Straight::Events),
        _ => None,
    }
}

impl Front {
    /// Answers `Decide` by gRPC. A stream's messages are let in one by one.
    async fn decide(self, request: Request<RequestBody>) -> Response<FrontBody> {
        if let Err(stop) = door::pass(&self.public, Class::Decision) {
            door::hold(&self.public, &stop).await;
            return refused(stop.into());
        }
        let (head, body) = request.into_parts();
        let body = Peeked::look(body).await;
        let answer = body
            .whole()
            .and_then(|whole| grpc::decide(&self.public, &head, whole));
        match answer {
            Some(Ok(answer)) => answer.map(|body| Either::Right(Either::Left(body))),
            Some(Err(status)) => refused(status),
            None => routed(self.router, Request::from_parts(head, body)).await,
        }
    }
}

fn refused(status: Status) -> Response<FrontBody> {
    status
        .into_http()
        .map(|body| Either::Right(Either::Right(body)))
}

async fn routed<B>(router: Router, request: Request<B>) -> Response<FrontBody>
where
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Ok(answer) = router.oneshot(request).await;
    answer.map(|body| Either::Right(Either::Right(body)))
}

/// The bodies of what goes straight to its handler over HTTP, of what does over gRPC, and of all else.
type FrontBody = Either<Full<Bytes>, Either<Answered, Body>>;

impl Answers for Front {
    type Body = FrontBody;

    async fn answer(self, request: Request<RequestBody>) -> Response<FrontBody> {
        if let Some(to) = straight(&request) {
            return self.straight(to, request).await.map(Either::Left);
        }
        if request.uri().path() == GRPC_DECIDE {
            return self.decide(request).await;
        }
        routed(self.router, request).await
    }

    fn turns_away(&self) -> bool {
        self.public.admission.sheds()
    }

    fn turn_away(&self, head: &Head<'_>) -> Option<TurnedAway> {
        unread::turn_away(&self.public, head)
    }
}
