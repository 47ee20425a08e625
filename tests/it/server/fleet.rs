//! Two nodes that believe what one learner learnt from both.

use offerd::learn::learner::run::Source;
use serde_json::Value;

use super::process::Process;
use super::{Server, ask, catalog, config_with, event, offers, until};
use crate::redis_server::{self, RedisServer};

/// Goal: every node believes what was learnt from both, also from conversions that come to another node than the decision did,
/// and a rebuild from the streams is the same to the bit.
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
        if id == "b" {
            // What one node signed the other believes.
            let keys = config.node.data.join("keys");
            std::fs::create_dir_all(&keys).unwrap();
            let of_a = dirs[0].path().join("data/keys/token.json");
            std::fs::copy(of_a, keys.join("token.json")).unwrap();
        }
        nodes.push(Server::start(config).await);
    }
    let data = dirs[0].path().join("data");
    let mut sold = [0_u64, 0];
    for i in 0..40 {
        let (node, other) = (&nodes[i % 2].client, &nodes[1 - i % 2].client);
        let answer = node.decide(&ask(&format!("c-{i}"), 1)).await;
        let offer = &offers(&answer)[0];
        node.record(&[event("impression", "i", offer)]).await;
        // Streams are merged by the millisecond, and a sale is never of the decision's.
        let shown = offerd::app::now();
        until("time passes", async || offerd::app::now() > shown).await;
        if offer["offer_id"] == "link" {
            let told = other.record(&[event("conversion", "s", offer)]).await;
            assert_eq!(told["accepted"], 1, "{told}");
            sold[1 - i % 2] += 1;
        }
        node.decide(&ask(&format!("passing by {i}"), 1)).await;
    }
    for (node, sold) in nodes.iter().zip(sold) {
        until("everything is shipped", async || {
            let delivery = node.client.admin_get("/v1/reports/delivery").await;
            let appended = |kind: &str| delivery["appended"][kind].as_u64().unwrap_or(0);
            let all = (appended("decision"), appended("conversion")) == (40, sold);
            // What is not durable yet is no lag: the last record has the number of them all.
            let kinds = delivery["appended"].as_object().unwrap().values();
            let last: u64 = kinds.filter_map(Value::as_u64).sum();
            all && delivery["shipped"]["seq"] == last
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
    // Every sale found its showing, which the other node's stream has.
    assert_eq!(figures["events"]["no_showing"], 0, "{figures}");
    assert_eq!(figures["events"]["joined"], 40 + sold[0] + sold[1]);
    assert_eq!(figures["events"]["used"], 40 + sold[0] + sold[1]);
    assert_eq!(figures["decisions"]["out_of_order"], 0, "{figures}");
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
        // Both began at 0.1, and how often each was drawn is chance.
        assert!(of("link") > 0.2 && of("link") > of("order"), "{answer}");
    }
    for node in nodes {
        node.stop().await;
    }
}
