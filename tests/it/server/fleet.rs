//! Two nodes that believe what one learner learnt from both.

use offerd::learn::learner::run::Source;
use serde_json::Value;

use super::process::Process;
use super::{Server, ask, catalog, config_with, event, offers, until};
use crate::redis_server::{self, RedisServer};

/// Goal: every node believes what was learnt from both, and a rebuild from the streams is the same to the bit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_learner_hears_every_node() {
    if !redis_server::available() {
        return;
    }
    let (dirs, own) = (
        [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()],
        tempfile::tempdir().unwrap(),
    );
    let redis = RedisServer::start(own.path(), &[]).await;
    let text = catalog("").replace(
        "kind = \"deterministic\"\n",
        "kind = \"epsilon_greedy\"\nepsilon = 1.0\n[learning]\nhold_minutes = 0\n",
    );
    let mut nodes = Vec::new();
    for (dir, id) in dirs.iter().zip(["a", "b"]) {
        let mut config = config_with(dir.path(), &text);
        config.node.id = id.to_owned();
        config.redis.url = redis.url();
        config.learner.source = Source::Redis;
        config.learner.publish_ms = 20;
        nodes.push(Server::start(config).await);
    }
    let data = dirs[0].path().join("data");
    for i in 0..40 {
        let node = &nodes[i % 2].client;
        let answer = node.decide(&ask(&format!("c-{i}"), 1)).await;
        let offer = &offers(&answer)[0];
        let mut events = vec![event("impression", "i", offer)];
        if offer["offer_id"] == "link" {
            events.push(event("conversion", "s", offer));
        }
        node.record(&events).await;
        node.decide(&ask(&format!("passing by {i}"), 1)).await;
    }
    for node in &nodes {
        until("everything is shipped", async || {
            let delivery = node.client.admin_get("/v1/reports/delivery").await;
            delivery["lag_entries"] == 0 && delivery["appended"]["decision"] == 40
        })
        .await;
    }
    let learn = |more: &[&str]| {
        let url = redis.url();
        let mut arguments = vec![
            "learn",
            "--json",
            "--redis",
            &url,
            "--data",
            data.to_str().unwrap(),
        ];
        arguments.extend(more);
        let said = Process::run(&arguments);
        assert_eq!(said.code, 0, "{}", said.stderr);
        serde_json::from_str::<Value>(&said.stdout).unwrap()
    };
    let figures = learn(&["--once"]);
    // The hold of the last ones has no record to end with.
    assert!(
        figures["events"]["learnt"].as_u64() >= Some(30),
        "{figures}"
    );
    assert_eq!(figures["events"]["no_showing"], 0, "{figures}");
    let rebuilt = learn(&["--rebuild"]);
    assert_eq!(rebuilt["same"], true);
    for node in &nodes {
        until("the node believes it", async || {
            let report = node.client.admin_get("/v1/reports/learning").await;
            report["serving"] == figures["version"]
        })
        .await;
        let answer = node.client.decide(&ask("later", 3)).await;
        let of = |id: &str| {
            let offer = offers(&answer).iter().find(|o| o["offer_id"] == id);
            offer.unwrap()["conversion_probability"].as_f64().unwrap()
        };
        assert!(of("link") > 3.0 * of("order"), "{answer}");
    }
    for node in nodes {
        node.stop().await;
    }
}
