//! Calls the admin port over HTTP/1.1.

use std::time::Duration;

use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use indicatif::ProgressBar;
use serde_json::Value;

/// The largest answer that is read: a list of every version there will ever be.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The longest wait for one: the largest model takes seconds to prove.
const PATIENCE: Duration = Duration::from_secs(300);

/// Which server, and how to print what it says.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The admin port's address.
    #[arg(
        long,
        value_name = "URL",
        env = "OFFERD_ADMIN",
        default_value = "http://127.0.0.1:8081"
    )]
    pub admin: String,
    /// An admin key, where the server asks for one.
    #[arg(
        long,
        value_name = "KEY",
        env = "OFFERD_ADMIN_KEY",
        hide_env_values = true
    )]
    pub key: Option<String>,
    /// Print the server's answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An argument is wrong, or a file is not there.
    #[error("{0}")]
    Use(String),
    /// Nobody answers.
    #[error("failed to reach {url}: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// The server said no, and why.
    #[error("{0}")]
    Refused(Refusal),
}

/// A problem as the server tells it (RFC 9457).
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    problem: Value,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = |key: &str| self.problem[key].as_str();
        let title = word("title").or(self.status.canonical_reason());
        write!(f, "{}", title.unwrap_or("the server refused"))?;
        match (word("field"), word("detail")) {
            (Some(field), Some(detail)) => write!(f, "\n  {field}: {detail}")?,
            (None, Some(detail)) => write!(f, "\n  {detail}")?,
            _ => write!(f, " ({})", self.status)?,
        }
        match word("type") {
            Some("urn:offerd:problem:model_held") => {
                write!(f, "\n  to stage it all the same, add --confirm")
            }
            Some("urn:offerd:problem:not_better" | "urn:offerd:problem:inconclusive") => {
                write!(
                    f,
                    "\n  try it as canary or shadow, or make it live all the same with --force REASON"
                )
            }
            _ => Ok(()),
        }
    }
}

impl Error {
    /// The exit code: 2 for wrong use, else 1.
    pub fn code(&self) -> u8 {
        match self {
            Error::Use(_) => 2,
            Error::Unreachable { .. } | Error::Refused(_) => 1,
        }
    }
}

/// Someone who calls one server.
pub struct Client<'a> {
    server: &'a Server,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Client<'a> {
    pub fn new(server: &'a Server) -> Result<Client<'a>, Error> {
        let uri: Option<Uri> = server.admin.parse().ok();
        let plain = |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some();
        if !uri.as_ref().is_some_and(plain) {
            let expected = "expected http://HOST:PORT; for TLS go through a tunnel or a proxy";
            return Err(Error::Use(format!(
                "--admin: {expected}, found {:?}",
                server.admin
            )));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::Use(e.to_string()))?;
        Ok(Client { server, runtime })
    }

    /// Sends one request; the answer's JSON. Says what it waits for while it does.
    pub fn call(
        &self,
        method: Method,
        path: &str,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
        waiting: &str,
    ) -> Result<Value, Error> {
        let url = format!("{}{path}", self.server.admin.trim_end_matches('/'));
        let mut request = Request::builder().method(method).uri(&url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some(key) = &self.server.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| Error::Use(e.to_string()))?;
        // Drawn on a terminal only, and gone before anything is printed.
        let bar = ProgressBar::new_spinner().with_message(waiting.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        let answered = self.runtime.block_on(async {
            tokio::time::timeout(PATIENCE, exchange(request))
                .await
                .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
        });
        bar.finish_and_clear();
        let (status, text) = answered.map_err(|why| Error::Unreachable { url, why })?;
        let value = serde_json::from_slice(&text).unwrap_or(Value::Null);
        if status.is_success() {
            Ok(value)
        } else {
            let problem = value;
            Err(Error::Refused(Refusal { status, problem }))
        }
    }
}

async fn exchange(request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), String> {
    let pool: Pool<HttpConnector, Full<Bytes>> = Pool::builder(TokioExecutor::new()).build_http();
    let answer = pool.request(request).await.map_err(|e| causes(&e))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let body = body.await.map_err(|e| e.to_string())?;
    Ok((status, body.to_bytes()))
}

/// An error and what caused it: "client error" alone helps nobody.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
