//! The operators' HTTP door.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::multipart::{MultipartError, MultipartRejection};
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, ETAG, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;

use super::models;
use super::operator::{Operator, Place};
use super::problem::Problem;
use crate::control::catalog::limits::FILE_BYTES_MAX;
use crate::control::catalog::to_json;

pub(super) type Answer = Result<Response<Body>, Problem>;

/// The admin port's routes, without gRPC.
pub fn router(operator: Arc<Operator>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/v1/catalog", get(catalog).put(put_catalog))
        .layer(DefaultBodyLimit::max(FILE_BYTES_MAX))
        .merge(models::router())
        .route("/v1/decisions/{id}", get(record))
        .route("/v1/replay", post(replay))
        .route("/v1/reports/delivery", get(delivery))
        .route("/v1/reports/learning", get(learning))
        .route("/metrics", get(metrics))
        .fallback(nothing_here)
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(from_fn_with_state(Arc::clone(&operator), authorized))
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .with_state(operator)
}

/// gRPC's clients read no problem JSON: they are told in their own way.
async fn nothing_here(headers: HeaderMap) -> Response<Body> {
    let kind = headers.get(CONTENT_TYPE);
    if kind.is_some_and(|v| v.as_bytes().starts_with(b"application/grpc")) {
        return tonic::Status::unimplemented("this port has no such method").into_http();
    }
    Problem::not_found("see / for what there is").into_response()
}

/// Lets nobody in without an admin key, where there are any, and no page of another origin: without
/// keys, a page that an operator happens to look at could roll a model back with a plain form.
async fn authorized(
    State(operator): State<Arc<Operator>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if is_foreign(request.headers()) {
        let detail = "pages of other origins may not use this port";
        return Problem::forbidden(detail).into_response();
    }
    match (operator.parts().authorize)(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => Problem::unauthenticated(why).into_response(),
    }
}

/// Whether a browser sends this for a page that did not come from here.
fn is_foreign(headers: &HeaderMap) -> bool {
    let (Some(origin), host) = (headers.get(ORIGIN), headers.get(HOST)) else {
        return false;
    };
    let origin = origin.as_bytes();
    !host.is_some_and(|host| {
        [b"http://".as_slice(), b"https://"]
            .iter()
            .any(|scheme| origin.strip_prefix(*scheme) == Some(host.as_bytes()))
    })
}

async fn index(State(operator): State<Arc<Operator>>) -> impl IntoResponse {
    let snapshot = operator.parts().control.live().load_full();
    let page = include_str!("index.html")
        .replace("{{node}}", &operator.parts().node)
        .replace("{{epoch}}", &snapshot.epoch.to_string())
        .replace("{{model}}", &snapshot.model.label)
        .replace("{{offers}}", &snapshot.catalog.offers.len().to_string())
        .replace(
            "{{placements}}",
            &snapshot.catalog.placements.len().to_string(),
        );
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], page)
}

/// The catalog that serves: JSON, or the text as it was put where TOML is asked for.
async fn catalog(State(operator): State<Arc<Operator>>, headers: HeaderMap) -> Answer {
    let catalog = operator.parts().control.catalog();
    let wants_text = headers.get(ACCEPT).is_some_and(|v| v == "application/toml");
    let mut answer = if wants_text {
        (
            [(CONTENT_TYPE, "application/toml")],
            catalog.source.to_string(),
        )
            .into_response()
    } else {
        let json = to_json(&catalog.source).map_err(|e| Problem::internal(e.to_string()))?;
        Json(json).into_response()
    };
    if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", catalog.digest)) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Ok(answer)
}

#[derive(Deserialize)]
struct PutCatalog {
    #[serde(default)]
    dry_run: bool,
}

async fn put_catalog(
    State(operator): State<Arc<Operator>>,
    query: Result<Query<PutCatalog>, QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let Query(query) = query?;
    let text = String::from_utf8(body?.into())
        .map_err(|e| Problem::malformed(format!("the catalog is not UTF-8: {e}")))?;
    let outcome = waiting(move || operator.put_catalog(&text, query.dry_run)).await??;
    Ok(Json(outcome).into_response())
}

async fn record(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(id) = path?;
    let json = waiting(move || operator.record_json(&id)).await??;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

#[derive(Deserialize)]
struct Replay {
    decision_id: String,
}

async fn replay(
    State(operator): State<Arc<Operator>>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let asked: Replay = serde_json::from_slice(&body?)
        .map_err(|e| Problem::malformed(format!("expected {{\"decision_id\": \"…\"}}: {e}")))?;
    let replayed = waiting(move || operator.replay(&asked.decision_id)).await??;
    Ok(Json(replayed).into_response())
}

async fn delivery(State(operator): State<Arc<Operator>>) -> impl IntoResponse {
    Json(operator.delivery())
}

async fn learning(State(operator): State<Arc<Operator>>) -> impl IntoResponse {
    Json(operator.learning())
}

async fn metrics(State(operator): State<Arc<Operator>>) -> impl IntoResponse {
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4")],
        operator.metrics(),
    )
}

/// Alive is not ready; and what is missing is named, because that is what somebody looks here for.
async fn ready(State(operator): State<Arc<Operator>>) -> impl IntoResponse {
    let delivery = operator.delivery();
    let ready = (operator.parts().ready)();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let warnings = [delivery.warnings, operator.parts().control.alarms()].concat();
    let body = serde_json::json!({
        "ready": ready,
        "journal": delivery.trouble.unwrap_or("ok"),
        "redis": match (delivery.sink, delivery.connected) {
            (false, _) => "not configured",
            (true, true) => "connected",
            (true, false) => "away: records wait in the journal",
        },
        "warnings": warnings,
        "durable": Place::from(operator.parts().journal.committed()),
    });
    (status, Json(body))
}

/// What the framework refuses before a handler sees it, told like every other refusal.
macro_rules! refused_by_the_framework {
    ($($rejection:ty),+) => {$(
        impl From<$rejection> for Problem {
            fn from(rejection: $rejection) -> Problem {
                let detail = rejection.body_text();
                match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => Problem::too_large(detail),
                    StatusCode::INTERNAL_SERVER_ERROR => Problem::internal(detail),
                    _ => Problem::malformed(detail),
                }
            }
        }
    )+};
}

refused_by_the_framework!(
    PathRejection,
    QueryRejection,
    BytesRejection,
    MultipartRejection,
    MultipartError
);

/// Runs what takes long on a thread kept for waiting.
pub(super) async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::internal("the work panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_ask() {
        for (origin, host, foreign) in [
            (None, Some("127.0.0.1:8081"), false),
            (Some("http://127.0.0.1:8081"), Some("127.0.0.1:8081"), false),
            (Some("https://ops.example"), Some("ops.example"), false),
            (Some("http://127.0.0.1:8080"), Some("127.0.0.1:8081"), true),
            (
                Some("https://ops.example.evil.example"),
                Some("ops.example"),
                true,
            ),
            (Some("null"), Some("127.0.0.1:8081"), true),
            (Some("http://127.0.0.1:8081"), None, true),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(ORIGIN, origin), (HOST, host)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_foreign(&headers), foreign, "{origin:?} at {host:?}");
        }
    }
}
