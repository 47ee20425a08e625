//! What is kept of versions, and for how long: the limit, the listing, and what Prometheus reads.

use hyper::{Method, StatusCode};
use serde_json::json;

use super::models::Model;
use super::{Server, ask_demo, config, until};

/// Goal: pushing never stops for want of room: the oldest version that nobody could miss goes first, and those
/// in a stage or on the way back stay.
#[tokio::test]
async fn the_oldest_unused_version_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.models.stored_max = 20;
    config.models.trial_requests = 0;
    let data = config.node.data.clone();
    let server = Server::start(config.clone()).await;
    let client = &server.client;
    let push = async |version: &str, stage: &str| {
        let model = Model::linear(version);
        let manifest = model.manifest.to_string();
        let path = format!("{}?stage={stage}", model.path());
        client
            .put_model(&path, manifest.as_bytes(), &model.artifact)
            .await
            .ok();
    };
    for (version, stage) in [
        ("live-a", "live"),
        ("live-b", "live"),
        ("watched", "shadow"),
    ] {
        push(version, stage).await;
    }
    for n in 1..=17 {
        push(&format!("{n:02}"), "stored").await;
    }
    let versions = async || -> Vec<String> {
        let listed = client.admin_get("/v1/models").await;
        let models = listed["models"].as_array().unwrap().iter();
        models
            .map(|m| m["version"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(versions().await.len(), 20);
    // The same bytes again are no newcomer.
    push("05", "stored").await;
    assert!(versions().await.contains(&"01".to_owned()));
    push("18", "stored").await;
    push("19", "stored").await;
    let kept = versions().await;
    assert_eq!(kept.len(), 20, "{kept:?}");
    for (version, is_kept) in [("01", false), ("02", false), ("03", true), ("19", true)] {
        assert_eq!(
            kept.contains(&version.to_owned()),
            is_kept,
            "{version}: {kept:?}"
        );
    }
    for version in ["live-a", "live-b", "watched"] {
        assert!(kept.contains(&version.to_owned()), "{version}: {kept:?}");
    }
    assert!(!data.join("control/models/pushed/01").exists());
    let body = json!({ "stage": "live" }).to_string();
    let answer = client
        .admin(Method::POST, "/v1/models/pushed/01/stage", body)
        .await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.json());
    client
        .admin(Method::POST, "/v1/models/pushed/rollback", "")
        .await
        .ok();
    assert_eq!(
        client.decide(&ask_demo("c")).await["model"],
        "pushed@live-a"
    );
    server.stop().await;
}

/// Goal: a listing tells of files that were damaged behind its back, though it reads each version once.
#[tokio::test]
async fn a_listing_notices_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let artifact = config.node.data.join("control/models/pushed/1/artifact");
    let server = Server::start(config).await;
    let client = &server.client;
    Model::linear("1").push(client).await.ok();
    let stage = async || {
        let listed = client.admin_get("/v1/models").await;
        let models = listed["models"].as_array().unwrap();
        let one = models.iter().find(|m| m["version"] == "1").unwrap();
        one["stage"].as_str().unwrap().to_owned()
    };
    assert_eq!(stage().await, "live");
    assert_eq!(stage().await, "live");
    let sound = std::fs::read(&artifact).unwrap();
    let mut damaged = sound.clone();
    damaged.push(b' ');
    std::fs::write(&artifact, damaged).unwrap();
    assert_eq!(stage().await, "unusable");
    std::fs::write(&artifact, sound).unwrap();
    assert_eq!(stage().await, "live");
    server.stop().await;
}

/// Goal: Prometheus sees each stage's version by itself, and no longer once it has left the stage.
#[tokio::test]
async fn every_stage_has_its_series() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.models.trial_requests = 0;
    let server = Server::start(config).await;
    let client = &server.client;
    for (version, stage) in [("1", "live"), ("2", "shadow")] {
        let model = Model::linear(version);
        let path = format!("{}?stage={stage}", model.path());
        let manifest = model.manifest.to_string();
        client
            .put_model(&path, manifest.as_bytes(), &model.artifact)
            .await
            .ok();
    }
    for n in 0..3 {
        client.decide(&ask_demo(&format!("c-{n}"))).await;
    }
    let page = async || {
        let answer = client.admin(Method::GET, "/metrics", "").await;
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    let has = |page: &str, line: &str| page.lines().any(|l| l == line);
    until("both are counted", async || {
        let page = page().await;
        let count = |stage, n| {
            format!("offerd_model_decisions_total{{stage=\"{stage}\",model=\"pushed@{n}\"}} 3")
        };
        has(&page, &count("live", 1)) && has(&page, &count("shadow", 2))
    })
    .await;
    let text = page().await;
    for line in [
        "offerd_model_failures_total{stage=\"shadow\",model=\"pushed@2\"} 0",
        "offerd_model_duration_seconds_count{stage=\"live\",model=\"pushed@1\"} 3",
        "offerd_model_inputs_odd_total{stage=\"live\",model=\"pushed@1\",feature=\"InternetService\",what=\"missing\"} 3",
    ] {
        assert!(has(&text, line), "{line}\n{text}");
    }
    let body = json!({ "stage": "stored" }).to_string();
    let answer = client
        .admin(Method::POST, "/v1/models/pushed/2/stage", body)
        .await;
    answer.ok();
    assert!(!page().await.contains("pushed@2"));
    server.stop().await;
}
