//! A client of both ports: JSON over HTTP, one pool of connections.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use super::{PATIENCE, until};

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.json());
        self.json()
    }
}

#[derive(Clone)]
pub struct Client {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pool: Pool<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub fn new(public: SocketAddr, admin: SocketAddr) -> Client {
        Client {
            public,
            admin,
            pool: Pool::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Sends a request; `None` where the connection broke.
    pub async fn try_send(
        &self,
        method: Method,
        to: SocketAddr,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{to}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        let answered = async {
            let (head, body) = self.pool.request(request).await.ok()?.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Answer {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        tokio::time::timeout(PATIENCE, answered)
            .await
            .expect("an answer in time")
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_send(Method::GET, self.public, path, &[], "")
            .await
            .expect("an answer")
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        self.try_post(path, headers, body).await.expect("an answer")
    }

    pub async fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<Answer> {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.try_send(Method::POST, self.public, path, &all, body.to_string())
            .await
    }

    pub async fn decide(&self, request: &Value) -> Value {
        self.post("/v1/decisions", &[], request).await.ok()
    }

    pub async fn record(&self, events: &[Value]) -> Value {
        let body = json!({ "events": events });
        self.post("/v1/events", &[], &body).await.ok()
    }

    pub async fn admin(&self, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        self.try_send(method, self.admin, path, &[], body)
            .await
            .expect("an answer")
    }

    pub async fn admin_get(&self, path: &str) -> Value {
        self.admin(Method::GET, path, "").await.ok()
    }

    pub async fn put_catalog(&self, text: &str) -> Answer {
        self.admin(Method::PUT, "/v1/catalog", text.to_owned())
            .await
    }

    /// Pushes a model as the multipart form that browsers and curl send.
    pub async fn put_model(&self, path: &str, manifest: &[u8], artifact: &[u8]) -> Answer {
        self.put_parts(path, &[("manifest", manifest), ("artifact", artifact)])
            .await
    }

    /// Sends these parts as a multipart form.
    pub async fn put_parts(&self, path: &str, parts: &[(&str, &[u8])]) -> Answer {
        let mut form = Vec::new();
        for (name, bytes) in parts {
            let head = format!(
                "--limit\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}.json\"\r\n\r\n"
            );
            form.extend_from_slice(head.as_bytes());
            form.extend_from_slice(bytes);
            form.extend_from_slice(b"\r\n");
        }
        form.extend_from_slice(b"--limit--\r\n");
        let kind = [("content-type", "multipart/form-data; boundary=limit")];
        self.try_send(Method::PUT, self.admin, path, &kind, form)
            .await
            .expect("an answer")
    }

    /// A decision's record, which the writer may still be busy with.
    pub async fn recorded(&self, decision: &Value) -> Value {
        let path = format!(
            "/v1/decisions/{}",
            decision["decision_id"].as_str().unwrap()
        );
        let mut found = None;
        until("the decision is on record", async || {
            let answer = self.admin(Method::GET, &path, "").await;
            if answer.status == StatusCode::OK {
                found = Some(answer.json());
            }
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub async fn epoch(&self) -> u64 {
        let answer = self.decide(&super::ask("whoever asks", 1)).await;
        answer["epoch"].as_u64().unwrap()
    }

    /// How many records of that type the journal has taken since the start.
    pub async fn appended(&self, kind: &str) -> u64 {
        let report = self.admin_get("/v1/reports/delivery").await;
        report["appended"][kind].as_u64().unwrap_or(0)
    }

    pub async fn replay(&self, decision: &str) -> Value {
        let body = json!({ "decision_id": decision }).to_string();
        self.admin(Method::POST, "/v1/replay", body).await.ok()
    }
}
