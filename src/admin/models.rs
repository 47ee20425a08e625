//! Model versions over HTTP: push, stage, roll back, list.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::rejection::{BytesRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;

use super::http::{Answer, waiting};
use super::operator::Operator;
use super::problem::Problem;
use crate::control::registry::{Insist, Push, Signature, Stage};

/// Bytes of a pushed model with its manifest and the boundaries between them.
const MODEL_BYTES_MAX: usize = 69 << 20;

/// Characters of the name that somebody gives themselves.
const ACTOR_CHARS_MAX: usize = 64;

/// The models' routes.
pub(super) fn router() -> Router<Arc<Operator>> {
    Router::new()
        .route("/v1/models", get(list))
        .route("/v1/models/{name}/rollback", post(roll_back))
        .route("/v1/models/{name}/{version}", put(push))
        .route("/v1/models/{name}/{version}/stage", post(stage))
        .layer(DefaultBodyLimit::max(MODEL_BYTES_MAX))
}

/// Who pushes, as a label: what they say in `X-Offerd-Actor`, else which key they came with.
pub(super) fn actor(operator: &Operator, headers: &HeaderMap) -> String {
    let said = headers.get("x-offerd-actor").and_then(|v| v.to_str().ok());
    match said.map(str::trim).filter(|said| !said.is_empty()) {
        Some(said) => said.chars().take(ACTOR_CHARS_MAX).collect(),
        None => (operator.parts().who)(headers),
    }
}

async fn list(State(operator): State<Arc<Operator>>) -> Answer {
    let models = waiting(move || operator.parts().control.models()).await??;
    Ok(Json(serde_json::json!({ "models": models })).into_response())
}

/// How a pushed model should be staged.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushQuery {
    stage: Option<String>,
    percent: Option<f64>,
    #[serde(default)]
    confirm: bool,
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

async fn push(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<PushQuery>, QueryRejection>,
    headers: HeaderMap,
    parts: Result<Multipart, MultipartRejection>,
) -> Answer {
    let (Path((name, version)), Query(query)) = (path?, query?);
    let files = Files::read(parts?).await?;
    let stage = query.stage.as_deref().map(word).transpose()?;
    let by = actor(&operator, &headers);
    let pushed = waiting(move || {
        let manifest = text(&files.manifest, "manifest")?;
        let signature = files.signature.as_deref().map(signature).transpose()?;
        let push = Push {
            name: &name,
            version: &version,
            manifest,
            artifact: &files.artifact,
            signature: signature.as_ref(),
            stage,
            percent: query.percent,
            insist: Insist::new(query.confirm, query.force, query.reason.as_deref(), &by)?,
        };
        let now = (operator.parts().now)();
        Ok::<_, Problem>(operator.parts().control.push(&push, now)?)
    });
    Ok(Json(pushed.await??).into_response())
}

/// A change of stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageBody {
    stage: String,
    percent: Option<f64>,
    #[serde(default)]
    confirm: bool,
    #[serde(default)]
    force: bool,
    reason: Option<String>,
}

async fn stage(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<(String, String)>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let Path((name, version)) = path?;
    let asked: StageBody = serde_json::from_slice(&body?).map_err(|e| {
        Problem::malformed(format!(
            "expected {{\"stage\": \"…\", \"percent\": 10}}: {e}"
        ))
    })?;
    let stage = word(&asked.stage)?;
    let by = actor(&operator, &headers);
    let staged = waiting(move || {
        let now = (operator.parts().now)();
        let control = &operator.parts().control;
        let insist = Insist::new(asked.confirm, asked.force, asked.reason.as_deref(), &by)?;
        control.stage(&name, &version, stage, asked.percent, insist, now)
    });
    Ok(Json(staged.await??).into_response())
}

async fn roll_back(
    State(operator): State<Arc<Operator>>,
    path: Result<Path<String>, PathRejection>,
) -> Answer {
    let Path(name) = path?;
    let back = waiting(move || {
        let now = (operator.parts().now)();
        operator.parts().control.roll_back(&name, now)
    });
    Ok(Json(back.await??).into_response())
}

/// The stage of that name.
pub(super) fn word(stage: &str) -> Result<Stage, Problem> {
    stage
        .parse()
        .map_err(|unknown| Problem::malformed(format!("{unknown}, found {stage:?}")).about("stage"))
}

fn text<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, Problem> {
    std::str::from_utf8(bytes)
        .map_err(|e| Problem::malformed(format!("not UTF-8: {e}")).about(field))
}

fn signature(bytes: &[u8]) -> Result<Signature, Problem> {
    serde_json::from_slice(bytes).map_err(|e| {
        let expected = "expected {\"created\": \"…\", \"signature\": \"…\"}";
        Problem::malformed(format!("{expected}: {e}")).about("signature")
    })
}

/// The parts of a push.
struct Files {
    manifest: Bytes,
    artifact: Bytes,
    signature: Option<Bytes>,
}

impl Files {
    async fn read(mut parts: Multipart) -> Result<Files, Problem> {
        let (mut manifest, mut artifact, mut signature) = (None, None, None);
        while let Some(field) = parts.next_field().await? {
            let place = match field.name() {
                Some("manifest") => &mut manifest,
                Some("artifact") => &mut artifact,
                Some("signature") => &mut signature,
                other => {
                    let found = other.unwrap_or_default();
                    let detail =
                        format!("expected the parts manifest and artifact, found {found:?}");
                    return Err(Problem::malformed(detail));
                }
            };
            *place = Some(field.bytes().await?);
        }
        let missing = |name| Problem::malformed("the part is missing").about(name);
        Ok(Files {
            manifest: manifest.ok_or_else(|| missing("manifest"))?,
            artifact: artifact.ok_or_else(|| missing("artifact"))?,
            signature,
        })
    }
}
