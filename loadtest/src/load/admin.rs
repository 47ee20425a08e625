//! The operators' port, as far as the load needs it: models and metrics.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::check::Models;

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long an answer may take: proving a large model takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between the parts of a push; nothing in a model looks like it.
const BOUNDARY: &str = "offerd-loadtest-7d1f0a52c3b94e68";

/// The operators' port of a server.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    key: Option<String>,
}

impl Admin {
    pub fn new(url: &str, key: Option<&str>) -> Admin {
        Admin {
            client: Client::builder(TokioExecutor::new()).build_http(),
            url: url.trim_end_matches('/').to_owned(),
            key: key.map(str::to_owned),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Bytes> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(&url);
        request = request.header("content-type", content_type);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.body(Full::new(body.into()));
        let answer = async {
            let answer = self.client.request(request?).await?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            let body = body.map_err(|e| anyhow::anyhow!(e))?.to_bytes();
            anyhow::Ok((status, body))
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let (status, body) = answer
            .with_context(|| format!("{url}: no answer"))?
            .with_context(|| format!("failed to reach {url}"))?;
        if status != StatusCode::OK {
            bail!("{url}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Bytes> {
        self.call(Method::GET, path, "text/plain", Vec::new()).await
    }

    /// Adds every version that may answer.
    pub async fn live_models(&self, models: &Models) -> anyhow::Result<()> {
        let body = self.get("/v1/models").await?;
        let list: Value = serde_json::from_slice(&body)?;
        for model in list["models"].as_array().into_iter().flatten() {
            let text = |name: &str| model[name].as_str().unwrap_or_default();
            if matches!(text("stage"), "live" | "canary") {
                models.add(&format!("{}@{}", text("name"), text("version")));
            }
        }
        Ok(())
    }

    /// Every metric, its labels part of its name.
    pub async fn metrics(&self) -> anyhow::Result<BTreeMap<String, f64>> {
        let body = self.get("/metrics").await?;
        let text = String::from_utf8_lossy(&body);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(pairs.collect())
    }

    /// Pushes a version and makes it live.
    pub async fn push(&self, files: &ModelFiles, version: &str) -> anyhow::Result<()> {
        let mut manifest = files.manifest.clone();
        manifest["version"] = version.into();
        let name = manifest["name"]
            .as_str()
            .context("a manifest has a name")?
            .to_owned();
        let mut body = Vec::new();
        for (part, bytes) in [
            ("manifest", manifest.to_string().as_bytes()),
            ("artifact", &files.artifact),
        ] {
            let head = format!(
                "--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{part}\"; filename=\"{part}\"\r\n\r\n"
            );
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
        let path = format!(
            "/v1/models/{name}/{version}?stage=live&confirm=true&force=true&reason=loadtest"
        );
        self.call(Method::PUT, &path, &content_type, body).await?;
        Ok(())
    }
}

/// A model's folder: `manifest.json`, and the one file whose name begins with `artifact`.
#[derive(Clone, Debug)]
pub struct ModelFiles {
    manifest: Value,
    artifact: Vec<u8>,
}

impl ModelFiles {
    pub fn read(folder: &Path) -> anyhow::Result<ModelFiles> {
        let manifest = folder.join("manifest.json");
        let text = std::fs::read(&manifest)
            .with_context(|| format!("failed to read {}", manifest.display()))?;
        let entries = std::fs::read_dir(folder)?
            .filter_map(Result::ok)
            .map(|e| e.path());
        let is_artifact = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem == "artifact");
        let artifacts: Vec<PathBuf> = entries.filter(is_artifact).collect();
        let [artifact] = artifacts.as_slice() else {
            bail!("{}: expected one file called artifact", folder.display());
        };
        let manifest: Value = serde_json::from_slice(&text)?;
        ensure!(
            manifest["name"].is_string(),
            "{}: the manifest has no name",
            folder.display()
        );
        Ok(ModelFiles {
            manifest,
            artifact: std::fs::read(artifact)?,
        })
    }

    /// The label of a version of it, as answers name it.
    pub fn label(&self, version: &str) -> String {
        format!(
            "{}@{version}",
            self.manifest["name"].as_str().unwrap_or_default()
        )
    }

    /// The version that the manifest names.
    pub fn version(&self) -> &str {
        self.manifest["version"].as_str().unwrap_or("1")
    }
}
