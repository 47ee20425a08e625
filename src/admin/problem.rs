//! What went wrong, as operators get it (RFC 9457), with every mistake listed.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;

use crate::control::catalog::Mistake;
use crate::control::registry::StageError;
use crate::control::{ControlError, replay::ReplayFailure};
use crate::learn::ope::gate::{Outcome, Verdict};

/// Kinds of problem that a later call can mend.
const HELD: &str = "urn:offerd:problem:model_held";
const NOT_BETTER: &str = "urn:offerd:problem:not_better";
const INCONCLUSIVE: &str = "urn:offerd:problem:inconclusive";
const STAGE: &str = "urn:offerd:problem:stage_refused";

/// A refusal.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// Names the kind of problem for programs.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The same for people.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong this time, and what would be right.
    pub detail: String,
    /// What it is about, such as `golden[3].probability` or `artifact.trees[0].left[7]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// What the log says of a model that did not become live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<Box<Verdict>>,
    /// Every mistake of a refused catalog.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

impl Problem {
    fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl ToString,
    ) -> Problem {
        let detail = detail.to_string();
        Problem {
            kind,
            title,
            status: status.as_u16(),
            detail,
            field: None,
            gate: None,
            mistakes: Vec::new(),
        }
    }

    /// The same, about that part of the request.
    #[must_use]
    pub fn about(mut self, field: impl Into<Cow<'static, str>>) -> Problem {
        self.field = Some(field.into());
        self
    }

    /// The request is not of its form.
    pub fn malformed(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:malformed";
        Problem::new(
            StatusCode::BAD_REQUEST,
            kind,
            "the request is not of its form",
            detail,
        )
    }

    /// There is nothing of that name.
    pub fn not_found(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:not_found";
        Problem::new(
            StatusCode::NOT_FOUND,
            kind,
            "there is nothing of that name",
            detail,
        )
    }

    /// Not with this method.
    pub fn method_not_allowed() -> Problem {
        let kind = "urn:offerd:problem:method_not_allowed";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Problem::new(status, kind, "not with this method", "see Allow")
    }

    /// The body is larger than allowed.
    pub fn too_large(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:too_large";
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Problem::new(status, kind, "the body is too large", detail)
    }

    /// A page of somebody else's asked.
    pub fn forbidden(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:forbidden";
        Problem::new(StatusCode::FORBIDDEN, kind, "not from there", detail)
    }

    /// No key, or not the right one.
    pub fn unauthenticated(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:unauthenticated";
        Problem::new(
            StatusCode::UNAUTHORIZED,
            kind,
            "an admin key is needed",
            detail,
        )
    }

    /// A mistake of ours, or a disk that refuses.
    pub fn internal(detail: impl ToString) -> Problem {
        let kind = "urn:offerd:problem:internal";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Problem::new(status, kind, "the server could not do it", detail)
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let refused = StatusCode::UNPROCESSABLE_ENTITY;
        let detail = error.to_string();
        match error {
            ControlError::Catalog(mistakes) => Problem {
                mistakes: mistakes.all().to_vec(),
                ..Problem::new(
                    refused,
                    "urn:offerd:problem:catalog_refused",
                    "the catalog has mistakes; the one that serves goes on",
                    detail,
                )
            },
            ControlError::Model(error) => model_refused(detail).about(error.field()),
            ControlError::Bind(error) => {
                model_refused(detail).about(format!("features.{}", error.feature))
            }
            ControlError::Signature(_) => model_refused(detail).about("signature"),
            ControlError::Useless(_) => model_refused(detail).about("artifact"),
            ControlError::Identifier(_) => Problem::malformed(detail),
            ControlError::Unknown(_) => Problem::not_found(detail),
            ControlError::Held { .. } => Problem::new(
                StatusCode::CONFLICT,
                HELD,
                "the model is stored and waits for confirmation; the one that serves goes on",
                detail,
            ),
            ControlError::Gate { verdict, .. } => Problem {
                kind: match verdict.outcome {
                    Outcome::NotBetter => NOT_BETTER,
                    Outcome::Pass | Outcome::Inconclusive => INCONCLUSIVE,
                },
                gate: Some(verdict),
                ..Problem::new(
                    StatusCode::CONFLICT,
                    INCONCLUSIVE,
                    "the model is not in the stage that was asked for; the one that serves goes on",
                    detail,
                )
            },
            ControlError::Reason(_) => Problem::malformed(detail).about("reason"),
            ControlError::Log(_) => Problem::internal(detail),
            ControlError::Stage(StageError::Percent(_)) => {
                Problem::malformed(detail).about("percent")
            }
            ControlError::Stage(_) => Problem::new(
                StatusCode::CONFLICT,
                STAGE,
                "the stages cannot be changed like this",
                detail,
            ),
            ControlError::Name { .. } => Problem::malformed(detail).about("manifest"),
            ControlError::VersionTaken(_) => Problem::new(
                StatusCode::CONFLICT,
                "urn:offerd:problem:version_taken",
                "versions never change",
                detail,
            ),
            ControlError::Store(_) => Problem::internal(detail),
        }
    }
}

fn model_refused(detail: String) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "urn:offerd:problem:model_refused",
        "the model was refused; the one that serves goes on",
        detail,
    )
}

impl From<ReplayFailure> for Problem {
    fn from(error: ReplayFailure) -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:offerd:problem:not_replayable",
            "the decision cannot be made again",
            error,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let body = serde_json::to_vec(&self).expect("strings and numbers always serialize");
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = HeaderValue::from_static("application/problem+json");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED.as_u16() {
            let challenge = HeaderValue::from_static("Bearer");
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> tonic::Status {
        let code = match problem.status {
            400 | 422 => tonic::Code::InvalidArgument,
            401 => tonic::Code::Unauthenticated,
            404 => tonic::Code::NotFound,
            409 if [HELD, STAGE].contains(&problem.kind) => tonic::Code::FailedPrecondition,
            409 => tonic::Code::AlreadyExists,
            _ => tonic::Code::Internal,
        };
        tonic::Status::new(code, problem.detail)
    }
}
