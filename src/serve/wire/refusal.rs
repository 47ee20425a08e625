//! Why a request was not answered, and the one table where that meets status codes.

use std::fmt;

use http::StatusCode;
use serde::Serialize;
use tonic::Code;

use super::schema;
use crate::domain::vocabulary;

vocabulary! {
    /// Why a request was refused. A set we own; "no offer" is not among them, since it is an answer.
    Refusal {
        /// The message breaks a rule of the contract; the answer names the field.
        Malformed = "malformed",
        /// No key, or one that is not ours.
        Unauthenticated = "unauthenticated",
        /// The key may not do this.
        Forbidden = "forbidden",
        /// There is nothing of that name.
        NotFound = "not_found",
        /// There is something of that name, but not for this method.
        MethodNotAllowed = "method_not_allowed",
        /// It contradicts what is there.
        Conflict = "conflict",
        /// The body is larger than allowed.
        TooLarge = "too_large",
        /// The body is not JSON by its own word.
        UnsupportedMediaType = "unsupported_media_type",
        /// Too many requests are being answered; come back later.
        Overloaded = "overloaded",
        /// Starting or draining.
        NotReady = "not_ready",
        /// The caller's deadline passed before anything could be answered.
        DeadlineExceeded = "deadline_exceeded",
        /// A mistake of ours.
        Internal = "internal",
    }
}

impl Refusal {
    /// The one place where a refusal meets a status code.
    #[must_use]
    pub fn status(self) -> (Code, StatusCode) {
        match self {
            Refusal::Malformed => (Code::InvalidArgument, StatusCode::BAD_REQUEST),
            Refusal::Unauthenticated => (Code::Unauthenticated, StatusCode::UNAUTHORIZED),
            Refusal::Forbidden => (Code::PermissionDenied, StatusCode::FORBIDDEN),
            Refusal::NotFound => (Code::NotFound, StatusCode::NOT_FOUND),
            Refusal::MethodNotAllowed => (Code::Unimplemented, StatusCode::METHOD_NOT_ALLOWED),
            Refusal::Conflict => (Code::FailedPrecondition, StatusCode::CONFLICT),
            Refusal::TooLarge => (Code::OutOfRange, StatusCode::PAYLOAD_TOO_LARGE),
            Refusal::UnsupportedMediaType => {
                (Code::InvalidArgument, StatusCode::UNSUPPORTED_MEDIA_TYPE)
            }
            // Not 429: it is not this caller who asks too much.
            Refusal::Overloaded => (Code::ResourceExhausted, StatusCode::SERVICE_UNAVAILABLE),
            Refusal::NotReady => (Code::Unavailable, StatusCode::SERVICE_UNAVAILABLE),
            Refusal::DeadlineExceeded => (Code::DeadlineExceeded, StatusCode::GATEWAY_TIMEOUT),
            Refusal::Internal => (Code::Internal, StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// What it means, in a few words that never change.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Refusal::Malformed => "the request breaks a rule of the contract",
            Refusal::Unauthenticated => "a key is needed",
            Refusal::Forbidden => "the key may not do this",
            Refusal::NotFound => "there is nothing of that name",
            Refusal::MethodNotAllowed => "not with this method",
            Refusal::Conflict => "it contradicts what is there",
            Refusal::TooLarge => "the body is too large",
            Refusal::UnsupportedMediaType => "the body must be JSON",
            Refusal::Overloaded => "too many requests at once, come back later",
            Refusal::NotReady => "starting or draining",
            Refusal::DeadlineExceeded => "the deadline passed",
            Refusal::Internal => "a mistake of the server's",
        }
    }

    /// As a problem without particulars.
    #[must_use]
    pub fn problem(self) -> Problem {
        Problem {
            kind: format!("urn:offerd:problem:{self}"),
            title: self.title().to_owned(),
            status: self.status().1.as_u16(),
            detail: None,
            field: None,
            refusal: self,
        }
    }
}

impl From<Refusal> for tonic::Status {
    fn from(refusal: Refusal) -> tonic::Status {
        tonic::Status::new(refusal.status().0, refusal.title())
    }
}

/// A rule that a message breaks, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {detail}")]
pub struct Malformed {
    /// Such as `placements[0].count`; `body` where the message is not JSON at all.
    pub field: String,
    /// What was expected, with the allowed range.
    pub detail: String,
}

impl Malformed {
    /// A rule broken at `field`.
    pub fn new(field: impl Into<String>, detail: impl fmt::Display) -> Malformed {
        Malformed {
            field: field.into(),
            detail: detail.to_string(),
        }
    }

    /// The same seen from outside: `prefix` in front of the field.
    #[must_use]
    pub fn within(mut self, prefix: impl fmt::Display) -> Malformed {
        self.field = match self.field.as_str() {
            "" | "body" => prefix.to_string(),
            field => format!("{prefix}.{field}"),
        };
        self
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Problem {
        Problem {
            detail: Some(malformed.detail),
            field: Some(malformed.field),
            ..Refusal::Malformed.problem()
        }
    }
}

impl From<Malformed> for tonic::Status {
    fn from(malformed: Malformed) -> tonic::Status {
        tonic::Status::new(Refusal::Malformed.status().0, malformed.to_string())
    }
}

/// An error as HTTP callers get it (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Names the kind of problem for programs.
    #[serde(rename = "type")]
    #[schema(schema_with = schema::problem_type)]
    pub kind: String,
    /// The same for people; always the same words for the same type.
    pub title: String,
    /// The HTTP status.
    #[schema(schema_with = schema::status)]
    pub status: u16,
    /// What was wrong in this request, with the allowed range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// Where in the request it was, such as `placements[0].count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    /// What it came from.
    #[serde(skip)]
    pub refusal: Refusal,
}

impl Problem {
    /// The content type of [`Problem::to_json`].
    pub const CONTENT_TYPE: &'static str = "application/problem+json";

    /// The same with a sentence about this request.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Problem {
        self.detail = Some(detail.to_string());
        self
    }

    /// The body of the answer.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and numbers always serialize")
    }
}

impl From<Problem> for tonic::Status {
    fn from(problem: Problem) -> tonic::Status {
        let message = match (&problem.field, &problem.detail) {
            (Some(field), Some(detail)) => format!("{field}: {detail}"),
            (None, Some(detail)) => detail.clone(),
            (_, None) => problem.title.clone(),
        };
        tonic::Status::new(problem.refusal.status().0, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_field_and_range() {
        let problem = Problem::from(Malformed::new("placements[0].count", "must be 1 to 20"));
        assert_eq!(
            String::from_utf8(problem.to_json()).unwrap(),
            r#"{"type":"urn:offerd:problem:malformed","title":"the request breaks a rule of the contract","status":400,"detail":"must be 1 to 20","field":"placements[0].count"}"#
        );
        let status = tonic::Status::from(problem);
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "placements[0].count: must be 1 to 20");
    }

    #[test]
    fn every_refusal_is_an_error_at_both_doors() {
        for &refusal in Refusal::ALL {
            let (code, status) = refusal.status();
            assert_ne!(code, Code::Ok, "{refusal}");
            assert!(
                status.is_client_error() || status.is_server_error(),
                "{refusal}"
            );
            assert_eq!(refusal.problem().status, status.as_u16());
        }
    }
}
