//! The gate before `live`, over HTTP, by command and over gRPC.

use hyper::{Method, StatusCode};
use offerd::domain::record::read;
use serde_json::{Value, json};

use super::models::Model;
use super::{Server, ask_demo, config};

/// A configuration with the gate as it is shipped.
fn gated(dir: &std::path::Path) -> offerd::config::Config {
    let mut config = config(dir);
    config.models.gate.enabled = true;
    config
}

async fn push(server: &Server, version: &str, query: &str) -> (StatusCode, Value) {
    let model = Model::linear(version);
    let manifest = model.manifest.to_string();
    let path = format!("{}{query}", model.path());
    let answer = (server.client)
        .put_model(&path, manifest.as_bytes(), &model.artifact)
        .await;
    (answer.status, answer.json())
}

/// Goal: the first version of a server that nobody has asked goes live; after that a log that cannot tell
/// keeps the next one out, until somebody gives a reason, which is on record.
#[tokio::test]
async fn a_log_that_cannot_tell_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let config = gated(dir.path());
    let data = config.node.data.clone();
    let server = Server::start(config).await;
    let client = &server.client;
    let (status, first) = push(&server, "1", "").await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(
        (&first["gate"]["first"], &first["model"]["stage"]),
        (&json!(true), &json!("live"))
    );
    for n in 0..30 {
        let answer = client.decide(&ask_demo(&format!("c-{n}"))).await;
        client.recorded(&answer).await;
    }
    let (status, refused) = push(&server, "2", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    assert_eq!(refused["type"], "urn:offerd:problem:inconclusive");
    let gate = &refused["gate"];
    assert_eq!(gate["outcome"], "inconclusive");
    assert_eq!(gate["log"]["decisions"], 30, "{refused}");
    let guards: Vec<&str> = (gate["short"].as_array().unwrap().iter())
        .map(|short| short["guard"].as_str().unwrap())
        .collect();
    assert!(guards.contains(&"conversions"), "{refused}");
    let detail = refused["detail"].as_str().unwrap();
    assert!(
        detail.contains("pushed@2") && detail.contains("0 conversions, needed 50"),
        "{detail}"
    );
    assert_eq!(client.decide(&ask_demo("c")).await["model"], "pushed@1");
    // It is stored, says why it is not live, and may be watched or tried.
    let listed = client.admin_get("/v1/models").await;
    let models = listed["models"].as_array().unwrap();
    let one = models.iter().find(|m| m["version"] == "2").unwrap();
    assert!(
        one["problem"].as_str().unwrap().contains("inconclusive"),
        "{one}"
    );
    let stage = async |body: Value| {
        let path = "/v1/models/pushed/2/stage";
        client.admin(Method::POST, path, body.to_string()).await
    };
    assert_eq!(
        stage(json!({ "stage": "shadow" })).await.status,
        StatusCode::OK
    );
    assert_eq!(
        stage(json!({ "stage": "live" })).await.status,
        StatusCode::CONFLICT
    );
    // A trial on most customers is no trial.
    for (percent, status) in [
        (50.0, StatusCode::OK),
        (50.1, StatusCode::CONFLICT),
        (101.0, StatusCode::BAD_REQUEST),
    ] {
        let answer = stage(json!({ "stage": "canary", "percent": percent })).await;
        assert_eq!(answer.status, status, "{percent}: {}", answer.json());
    }
    // Confirming is for the trial; forcing needs a reason.
    let confirmed = stage(json!({ "stage": "live", "confirm": true })).await;
    assert_eq!(confirmed.status, StatusCode::CONFLICT);
    for body in [
        json!({ "stage": "live", "force": true }),
        json!({ "stage": "live", "force": true, "reason": "  " }),
    ] {
        let answer = stage(body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.json()["field"], "reason");
    }
    let forced =
        stage(json!({ "stage": "live", "force": true, "reason": "a campaign begins" })).await;
    assert_eq!(forced.status, StatusCode::OK, "{}", forced.json());
    assert_eq!(forced.json()["gate"]["forced"], "a campaign begins");
    assert_eq!(client.decide(&ask_demo("c")).await["model"], "pushed@2");
    // Back is always open.
    let back = client
        .admin(Method::POST, "/v1/models/pushed/rollback", "")
        .await;
    assert_eq!(back.status, StatusCode::OK);
    assert_eq!(client.decide(&ask_demo("c")).await["model"], "pushed@1");
    server.stop().await;
    let mut reasons = Vec::new();
    offerd::journal::read_folder(&data.join("journal"), &mut |_, entry| {
        let record: Value = read(&entry.record).unwrap();
        if let Some(forced) = record.get("forced") {
            reasons.push((forced["model"].clone(), forced["reason"].clone()));
        }
    })
    .unwrap();
    assert_eq!(reasons, [(json!("pushed@2"), json!("a campaign begins"))]);
}

/// Goal: a server that customers have asked judges even its first pushed version.
#[tokio::test]
async fn a_served_log_judges_the_first_version_too() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(gated(dir.path())).await;
    let answer = server.client.decide(&ask_demo("c")).await;
    server.client.recorded(&answer).await;
    let (status, refused) = push(&server, "1", "").await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
    let (status, refused) = push(&server, "1", "?force=true").await;
    assert_eq!(
        (status, &refused["field"]),
        (StatusCode::BAD_REQUEST, &json!("reason"))
    );
    let (status, forced) = push(&server, "1", "?force=true&reason=the%20first").await;
    assert_eq!(status, StatusCode::OK, "{forced}");
    assert_eq!(forced["gate"]["forced"], "the first");
    server.stop().await;
}
