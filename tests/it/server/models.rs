//! Models pushed, refused, swapped under load, and found again after a restart.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper::StatusCode;
use serde_json::{Value, json};

use super::process::Process;
use super::{Server, ask_demo, config, journal_file, offers, until};

/// A model that is not the shipped one, under a version of the test's choice.
pub(super) struct Model {
    pub manifest: Value,
    pub artifact: Vec<u8>,
}

impl Model {
    pub fn linear(version: &str) -> Model {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/propensity-linear");
        let manifest = std::fs::read(dir.join("manifest.json")).unwrap();
        let mut manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["name"] = json!("pushed");
        manifest["version"] = json!(version);
        let artifact = std::fs::read(dir.join("artifact.json")).unwrap();
        Model { manifest, artifact }
    }

    pub fn path(&self) -> String {
        let word = |key: &str| self.manifest[key].as_str().unwrap().to_owned();
        format!("/v1/models/{}/{}", word("name"), word("version"))
    }

    pub async fn push(&self, client: &super::client::Client) -> super::client::Answer {
        let manifest = self.manifest.to_string();
        client
            .put_model(&self.path(), manifest.as_bytes(), &self.artifact)
            .await
    }
}

async fn live(client: &super::client::Client) -> String {
    let answer = client.decide(&ask_demo("whoever asks")).await;
    answer["model"].as_str().unwrap().to_owned()
}

/// Goal: what does not load, does not prove itself, or is not what its path says, never serves.
#[tokio::test]
async fn a_model_is_taken_whole_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path())).await;
    let client = &server.client;
    let shipped = live(client).await;
    let good = Model::linear("1");

    let mut cases: Vec<(&str, Model, StatusCode)> = Vec::new();
    let mut case = |what, status, change: &dyn Fn(&mut Model)| {
        let mut model = Model::linear("1");
        change(&mut model);
        cases.push((what, model, status));
    };
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    case("empty artifact", refused, &|m| m.artifact.clear());
    case("cut artifact", refused, &|m| {
        m.artifact.truncate(m.artifact.len() / 2)
    });
    case("changed artifact", refused, &|m| {
        *m.artifact.last_mut().unwrap() ^= 1
    });
    case("no golden rows", refused, &|m| {
        m.manifest["golden"] = json!([])
    });
    case("a golden row that is not so", refused, &|m| {
        m.manifest["golden"][3]["probability"] = json!(0.9999);
    });
    case("unknown format", refused, &|m| {
        m.manifest["format"] = json!("onnx")
    });
    case("a feature from nowhere", refused, &|m| {
        m.manifest["features"][0]["source"] = json!("moon");
    });
    for (what, model, status) in cases {
        let answer = model.push(client).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.json());
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
        assert_eq!(live(client).await, shipped, "{what}");
    }
    let manifest = good.manifest.to_string();
    for path in [
        "/v1/models/other/1",
        "/v1/models/pushed/2",
        "/v1/models/..%2f..%2fx/1",
    ] {
        let answer = client
            .put_model(path, manifest.as_bytes(), &good.artifact)
            .await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{path}: {}",
            answer.json()
        );
    }
    let kind = [("content-type", "multipart/form-data; boundary=limit")];
    for body in [
        "",
        "--limit--\r\n",
        "--limit\r\nnot a form",
        "--limit\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--limit--\r\n",
    ] {
        let answer = client
            .try_send(hyper::Method::PUT, client.admin, &good.path(), &kind, body)
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body:?}");
    }
    assert_eq!(live(client).await, shipped);

    let pushed = good.push(client).await.ok();
    assert_eq!(pushed["model"]["stage"], "live");
    assert_eq!(live(client).await, "pushed@1");
    good.push(client).await.ok();
    // The same version with other bytes, though they mean the same.
    let spaced = format!("{manifest}\n");
    let answer = client
        .put_model(&good.path(), spaced.as_bytes(), &good.artifact)
        .await;
    assert_eq!(answer.status, StatusCode::CONFLICT, "{}", answer.json());
    let listed = client.admin_get("/v1/models").await;
    assert_eq!(listed["models"][0]["version"], "1");
    assert_eq!(listed["models"][0]["stage"], "live");
    server.stop().await;
}

/// Goal: models change under load without one failed or mixed answer, and everything replays.
///
/// Method: customers ask without pause while six versions are pushed in turn. Every answer names a model
/// that was live, epochs never go back on a connection, and both replays find every decision the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_swap_under_load() {
    const VERSIONS: u64 = 6;
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    // Neither the trial nor the guardrails are asked here, and a busy machine is slow for both.
    config.models.trial_requests = 0;
    config.models.guardrails.decisions_min = u64::MAX;
    config.models.guardrails.failed_decisions_min = u64::MAX;
    let data = config.node.data.clone();
    let server = Server::start(config.clone()).await;
    let shipped = live(&server.client).await;
    let over = Arc::new(AtomicBool::new(false));
    let customers: Vec<_> = (0..4)
        .map(|customer| {
            // A pool of its own with one request at a time: one connection.
            let client = super::client::Client::new(server.client.public, server.client.admin);
            let over = Arc::clone(&over);
            tokio::spawn(async move {
                let mut models: Vec<(u64, String)> = Vec::new();
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    n += 1;
                    let answer = client.decide(&ask_demo(&format!("c-{customer}-{n}"))).await;
                    assert_eq!(answer["degraded"], json!([]), "{answer}");
                    assert!(!offers(&answer).is_empty(), "{answer}");
                    let epoch = answer["epoch"].as_u64().unwrap();
                    let model = answer["model"].as_str().unwrap().to_owned();
                    if models.last().is_none_or(|(last, _)| *last != epoch) {
                        models.push((epoch, model));
                    }
                }
                (models, n)
            })
        })
        .collect();
    let first = server.client.decide(&ask_demo("c")).await["epoch"]
        .as_u64()
        .unwrap();
    for version in 1..=VERSIONS {
        let pushed = Model::linear(&version.to_string())
            .push(&server.client)
            .await
            .ok();
        assert_eq!(pushed["epoch"], first + version);
        let now = server.client.decide(&ask_demo("c")).await;
        assert_eq!(now["model"], format!("pushed@{version}"));
    }
    over.store(true, Ordering::Relaxed);
    let mut decided = 2 + VERSIONS as usize;
    for customer in customers {
        let (models, n) = customer.await.unwrap();
        decided += n;
        assert!(models.is_sorted_by_key(|(epoch, _)| *epoch), "{models:?}");
        for (epoch, model) in &models {
            let expected = match epoch - first {
                0 => shipped.clone(),
                version => format!("pushed@{version}"),
            };
            assert_eq!(*model, expected, "epoch {epoch}");
        }
    }
    // The next start finds the last one.
    let server = server.restart(config).await;
    assert_eq!(live(&server.client).await, format!("pushed@{VERSIONS}"));
    server.stop().await;
    assert_eq!(journal_file::replay_all(&data), decided + 1);
    let said = Process::run(&["replay", "--data", data.to_str().unwrap(), "--json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let figures: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(figures["same"], decided + 1, "{figures}");
    assert_eq!(figures["not_replayable"], json!({}));
}

/// Goal: a stored model that was damaged is passed over for the one before it, and that is said.
#[tokio::test]
async fn a_damaged_model_gives_way_to_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    // Its log could not tell whether the second is as good as the first.
    let settings = "[models.gate]\nenabled = false\n";
    let mut server = Process::start(dir.path(), settings).await;
    let shipped = live(&server.client).await;
    for version in ["1", "2"] {
        Model::linear(version).push(&server.client).await.ok();
    }
    let stored = |version: &str| {
        dir.path()
            .join(format!("data/control/models/pushed/{version}/artifact"))
    };
    for (damaged, expected) in [("2", "pushed@1"), ("1", &*shipped)] {
        assert_eq!(server.terminate().await, Some(0));
        let mut bytes = std::fs::read(stored(damaged)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(stored(damaged), bytes).unwrap();
        server = Process::start(dir.path(), settings).await;
        assert_eq!(live(&server.client).await, expected);
        let said = "stored model passed over";
        until("the log tells", async || {
            let log = server.log();
            log.contains(said) && log.contains(&format!("pushed@{damaged}"))
        })
        .await;
        let listed = server.client.admin_get("/v1/models").await;
        let models = listed["models"].as_array().unwrap();
        let one = models.iter().find(|m| m["version"] == damaged).unwrap();
        assert_eq!(one["stage"], "unusable", "{listed}");
    }
    assert_eq!(server.terminate().await, Some(0));
}
