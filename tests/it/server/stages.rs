//! Stages over the operators' port and from the command line: shadow, canary, live, and back.

use std::path::Path;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::process::{Process, Said};
use super::{Server, ask_demo, config};

/// `offerd model …` against that server; blocking, so from a thread of its own.
async fn model(server: &Server, arguments: &[&str]) -> Said {
    let admin = format!("http://{}", server.client.admin);
    let mut all = vec!["model".to_owned()];
    all.extend(arguments.iter().map(|a| (*a).to_owned()));
    all.extend(["--admin".to_owned(), admin]);
    tokio::task::spawn_blocking(move || {
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        Process::run(&all)
    })
    .await
    .unwrap()
}

/// Goal: a version goes from shadow to canary to live and back, by commands, and every step is seen by
/// customers and on record as it should be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_goes_through_its_stages() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path())).await;
    let client = &server.client;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/propensity-linear");
    let manifest = std::fs::read_to_string(folder.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let label = format!(
        "{}@{}",
        manifest["name"].as_str().unwrap(),
        manifest["version"].as_str().unwrap()
    );
    let folder = folder.to_str().unwrap();
    let shipped = client.decide(&ask_demo("c")).await["model"].clone();

    let said = model(
        &server,
        &["push", folder, "--stage", "shadow", "--by", "ann", "--json"],
    )
    .await;
    assert_eq!(said.code, 0, "{said:?}");
    let pushed: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(pushed["model"]["stage"], "shadow");
    assert_eq!(pushed["model"]["pushed_by"], "ann");
    let answer = client.decide(&ask_demo("c")).await;
    assert_eq!(answer["model"], shipped);
    let record = client.recorded(&answer).await;
    assert_eq!(record["shadow"]["model"], json!(label));
    assert!(
        record["shadow"]["probabilities"][0][0].as_f64().unwrap() > 0.0,
        "{record}"
    );
    let replayed = client.replay(answer["decision_id"].as_str().unwrap()).await;
    assert_eq!(replayed["same"], true);

    let said = model(&server, &["stage", &label, "canary", "--percent", "50"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let mut tried = 0;
    for customer in 0..40 {
        let ask = ask_demo(&format!("c-{customer}"));
        let answer = client.decide(&ask).await;
        assert_eq!(
            client.decide(&ask).await["model"],
            answer["model"],
            "sticky"
        );
        if answer["model"] == label.as_str() {
            tried += 1;
            client.recorded(&answer).await;
            let replayed = client.replay(answer["decision_id"].as_str().unwrap()).await;
            assert_eq!(replayed["same"], true);
        }
    }
    assert!((8..=32).contains(&tried), "{tried} of 40 at 50 %");

    let said = model(&server, &["stage", &label, "live"]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(client.decide(&ask_demo("c")).await["model"], json!(label));
    let said = model(&server, &["list"]).await;
    let first = said.stdout.lines().nth(1).unwrap_or_default();
    assert!(
        first.starts_with(&label) && first.contains("live"),
        "{said:?}"
    );
    let name = manifest["name"].as_str().unwrap();
    let said = model(&server, &["rollback", name]).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(client.decide(&ask_demo("c")).await["model"], shipped);

    // What makes no sense says so, and changes nothing.
    let said = model(&server, &["rollback", name]).await;
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("nothing was live before"), "{said:?}");
    let said = model(&server, &["stage", "propensity@7", "live"]).await;
    assert!(
        said.code == 1 && said.stderr.contains("no version propensity@7"),
        "{said:?}"
    );
    let said = model(&server, &["push", "/nowhere"]).await;
    assert_eq!(said.code, 2, "{said:?}");
    let path = format!("/v1/models/{}/stage", label.replace('@', "/"));
    for (body, status) in [
        (json!({ "stage": "hot" }), StatusCode::BAD_REQUEST),
        (
            json!({ "stage": "canary", "percent": 101 }),
            StatusCode::BAD_REQUEST,
        ),
        (json!({ "percent": 10 }), StatusCode::BAD_REQUEST),
    ] {
        let answer = client.admin(Method::POST, &path, body.to_string()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.json());
    }
    server.stop().await;
}
