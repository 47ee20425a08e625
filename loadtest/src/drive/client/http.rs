//! JSON over HTTP/1.1 with keep-alive connections, as browsers and most backends speak.
//!
//! A pooled connection that the server closed before the request was written is replaced by hyper at
//! once; one that breaks later is a [`Fate::Unknown`], since the server may have read the request.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ANSWER_BYTES_MAX, Failure, Fate};
use crate::WrongUse;
use crate::visit::message::{Answer, Ask, Event, Receipt};

#[derive(Clone, Debug)]
pub struct Client {
    client: legacy::Client<HttpConnector, Full<Bytes>>,
    decisions: Uri,
    events: Uri,
}

impl Client {
    pub fn new(url: &str, connections: usize) -> Result<Client, WrongUse> {
        let address = |path: &str| -> Result<Uri, WrongUse> {
            let text = format!("{}{path}", url.trim_end_matches('/'));
            let uri: Uri = text
                .parse()
                .map_err(|e| WrongUse(format!("--url {url}: {e}")))?;
            match uri.scheme_str() {
                Some("http") => Ok(uri),
                _ => Err(WrongUse(format!("--url {url}: must begin with http://"))),
            }
        };
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Client {
            client: legacy::Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(connections)
                .build(connector),
            decisions: address("/v1/decisions")?,
            events: address("/v1/events")?,
        })
    }

    pub async fn decide(&self, ask: &Ask<'_>) -> Result<Answer, Failure> {
        self.post(&self.decisions, ask, "application/json", ask.gpc)
            .await
    }

    pub async fn record(&self, events: &[Event]) -> Result<Receipt, Failure> {
        #[derive(Serialize)]
        struct Batch<'a> {
            events: &'a [Event],
        }
        // As the SDK does, to spare browsers the pre-flight.
        self.post(&self.events, &Batch { events }, "text/plain", false)
            .await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        uri: &Uri,
        message: &impl Serialize,
        content_type: &str,
        gpc: bool,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(message).expect("messages are plain data");
        let mut request = Request::post(uri.clone()).header(CONTENT_TYPE, content_type);
        if gpc {
            request = request.header("sec-gpc", "1");
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .expect("the address was checked and the headers are fixed");
        let reply = self.client.request(request).await;
        let reply = reply.map_err(|e| Failure::broken(&e, e.is_connect()))?;
        let status = reply.status();
        let wait = reply.headers().get(RETRY_AFTER);
        let wait = wait.and_then(|w| w.to_str().ok()?.parse().ok());
        let body = Limited::new(reply.into_body(), ANSWER_BYTES_MAX);
        let body = body.collect().await;
        let body = body
            .map_err(|e| Failure::broken(e.as_ref(), false))?
            .to_bytes();
        if status != StatusCode::OK {
            return Err(refusal(status, &body, wait));
        }
        serde_json::from_slice(&body).map_err(|e| {
            let detail = format!("{e} in {}", String::from_utf8_lossy(&body));
            Failure::new(Fate::Refused, "answer not understood", detail)
        })
    }
}

fn refusal(status: StatusCode, body: &[u8], wait_seconds: Option<u64>) -> Failure {
    let fate = match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Fate::Later,
        StatusCode::REQUEST_TIMEOUT => Fate::Unknown,
        status if status.is_server_error() => Fate::Unknown,
        _ => Fate::Refused,
    };
    let cause = format!("http {}", status.as_u16());
    Failure {
        wait: wait_seconds.map(Duration::from_secs),
        ..Failure::new(fate, cause, String::from_utf8_lossy(body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_say_whether_to_come_back() {
        for (status, fate) in [
            (400, Fate::Refused),
            (401, Fate::Refused),
            (408, Fate::Unknown),
            (413, Fate::Refused),
            (429, Fate::Later),
            (500, Fate::Unknown),
            (503, Fate::Later),
            (504, Fate::Unknown),
        ] {
            let failure = refusal(StatusCode::from_u16(status).unwrap(), b"{}", Some(2));
            assert_eq!(failure.fate, fate, "{status}");
            assert_eq!(failure.wait, Some(Duration::from_secs(2)));
        }
    }

    #[test]
    fn only_plain_http_is_spoken() {
        assert!(Client::new("http://127.0.0.1:8080/", 1).is_ok());
        for url in ["https://127.0.0.1", "127.0.0.1:8080", "http://a b", ""] {
            assert!(Client::new(url, 1).is_err(), "{url}");
        }
    }
}
