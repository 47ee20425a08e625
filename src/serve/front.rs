//! The public port's front: what is asked most goes straight to its handler.
//!
//! A router matches paths, boxes bodies and futures, and hands requests through its layers; that is
//! a tenth of a decision with few candidates. Decisions and events over HTTP are told by two
//! comparisons and take none of it. Everything else, and gRPC, goes through the router, which has the
//! same routes: nothing depends on which way a request takes.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::ORIGIN;
use http::{Method, Request, Response};
use http_body_util::{Either, Full};
use tonic::Status;
use tower::ServiceExt;

use super::cors;
use super::http::{self as door, Answer, Public};
use super::unread;
use crate::domain::Class;
use crate::listener::{Answers, Head, RequestBody, TurnedAway};

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

impl Answers for Front {
    type Body = Either<Full<Bytes>, Body>;

    async fn answer(self, request: Request<RequestBody>) -> Response<Self::Body> {
        if let Some(to) = straight(&request) {
            return self.straight(to, request).await.map(Either::Left);
        }
        // A stream's messages are let in one by one.
        if request.uri().path() == GRPC_DECIDE
            && let Err(stop) = door::pass(&self.public, Class::Decision)
        {
            door::hold(&self.public, &stop).await;
            return Status::from(stop).into_http().map(Either::Right);
        }
        let Ok(answer) = self.router.oneshot(request).await;
        answer.map(Either::Right)
    }

    fn turns_away(&self) -> bool {
        self.public.admission.sheds()
    }

    fn turn_away(&self, head: &Head<'_>) -> Option<TurnedAway> {
        unread::turn_away(&self.public, head)
    }
}
