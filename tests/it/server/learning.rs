//! A server that learns while it serves.

use offerd_proto::v1;
use offerd_proto::v1::report_service_client::ReportServiceClient;
use serde_json::{Value, json};
use tonic::transport::Endpoint;

use super::process::Process;
use super::{Client, Server, ask, ask_demo, catalog, config_with, event, offers, until};

/// The test catalog with everything at random, and nothing to wait for.
fn learning() -> String {
    catalog("").replace(
        "kind = \"deterministic\"\n",
        "kind = \"epsilon_greedy\"\nepsilon = 1.0\n[learning]\nhold_minutes = 0\n",
    )
}

/// The report, once so many showings are learnt and what was learnt is served.
async fn learnt(client: &Client, showings: u64) -> Value {
    let report = async || client.admin_get("/v1/reports/learning").await;
    until("everything is learnt", async || {
        // A hold ends with the next record.
        client.decide(&ask("passing by", 1)).await;
        let report = report().await;
        report["events"]["learnt"] == showings && report["serving"] == report["version"]
    })
    .await;
    report().await
}

/// Goal: what customers do is believed within seconds, is on record and in the reports, and replays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_sells_is_believed_within_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_with(dir.path(), &learning());
    config.learner.publish_ms = 10;
    let server = Server::start(config.clone()).await;
    let client = &server.client;
    for i in 0..60 {
        let answer = client.decide(&ask(&format!("c-{i}"), 1)).await;
        let offer = &offers(&answer)[0];
        let mut events = vec![event("impression", "i", offer)];
        if offer["offer_id"] == "link" {
            events.push(event("conversion", "s", offer));
        }
        client.record(&events).await;
    }
    let told = learnt(client, 60).await;
    let sold = told["events"]["used"].as_u64().unwrap() - 60;
    assert!(sold > 5, "{told}");
    assert_eq!(told["running"], true);
    assert_eq!(told["enabled"], true);
    let today = told["today"].as_str().unwrap();
    assert!(told["learning_cost"][today]["upsell"]["showings"].as_u64() > Some(10));
    let link = told["offers"].as_array().unwrap().iter();
    let link: Vec<&Value> = link.filter(|o| o["offer"] == "link").collect();
    assert_eq!(link[0]["successes"], sold, "{told}");

    let answer = client.decide(&ask("later", 3)).await;
    let probability = |id: &str| {
        let offer = offers(&answer)
            .iter()
            .find(|o| o["offer_id"] == id)
            .unwrap();
        offer["conversion_probability"].as_f64().unwrap()
    };
    assert!(probability("link") > 0.25, "{answer}");
    assert!(probability("order") < probability("link") / 4.0, "{answer}");
    let record = client.recorded(&answer).await;
    assert_eq!(record["posterior"], told["version"]);
    let replayed = client.replay(answer["decision_id"].as_str().unwrap()).await;
    assert_eq!(replayed["same"], true, "{replayed}");
    let metrics = client.admin(http::Method::GET, "/metrics", "").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("offerd_learner_up 1"), "{metrics}");

    let endpoint = Endpoint::from_shared(format!("http://{}", client.admin)).unwrap();
    let mut reports = ReportServiceClient::new(endpoint.connect().await.unwrap());
    let by_grpc = reports.get_learning(v1::GetLearningRequest {}).await;
    let by_grpc = by_grpc.unwrap().into_inner();
    assert_eq!(
        (by_grpc.events["used"], by_grpc.showings["shown"] >= 60),
        (60 + sold, true)
    );
    assert!(by_grpc.cost_today_minor.contains_key("upsell"));

    // What was learnt is believed from the first request of the next run on.
    let server = server.restart(config).await;
    let again = server.client.decide(&ask("last", 3)).await;
    let link = offers(&again)
        .iter()
        .find(|o| o["offer_id"] == "link")
        .unwrap();
    assert!(
        link["conversion_probability"].as_f64() > Some(0.25),
        "{again}"
    );
    server.stop().await;
}

/// Goal: what is used within an offer is its success where the catalog says so, each use is on record once, and a use of
/// the page is nobody's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guide_that_is_used_is_believed() {
    let dir = tempfile::tempdir().unwrap();
    let rewards = "hold_minutes = 0\n[learning.rewards]\ncontent = { element = 1.0 }\n";
    let mut config = config_with(
        dir.path(),
        &learning().replace("hold_minutes = 0\n", rewards),
    );
    config.learner.publish_ms = 10;
    let server = Server::start(config).await;
    let client = &server.client;
    let (mut guides, mut sent) = (0, 0);
    for i in 0..60 {
        let answer = client.decide(&ask(&format!("c-{i}"), 1)).await;
        let offer = &offers(&answer)[0];
        let mut events = vec![event("impression", "i", offer)];
        let used = |id: &str| {
            let mut used = event("element", id, offer);
            used["element"] = json!("video");
            used
        };
        if offer["offer_id"] == "tips" {
            guides += 1;
            events.extend([used("first"), used("again"), used("first")]);
        } else {
            let visit = json!({ "appointment_id": format!("apt-{i}"), "phase": "en_route" });
            let mut of_page = json!({ "type": "element", "id": "u", "element": "live_map" });
            let fields = of_page.as_object_mut().unwrap();
            fields.extend(visit.as_object().unwrap().clone());
            events.push(of_page);
        }
        let told = client.record(&events).await;
        sent += told["accepted"].as_u64().unwrap();
        assert_eq!(told["rejected"], json!([]), "{told}");
    }
    // The same id twice is one event; another id is another use.
    assert_eq!(sent, 120 + guides);
    let told = learnt(client, 60).await;
    assert_eq!(told["events"]["events"], 60 + 2 * guides, "{told}");
    assert_eq!(told["events"]["used"], 60 + guides, "{told}");
    assert_eq!(told["events"]["repeated"], guides, "{told}");
    let tips = told["offers"].as_array().unwrap().iter();
    let tips: Vec<&Value> = tips.filter(|o| o["offer"] == "tips").collect();
    assert_eq!(tips[0]["successes"], guides, "{told}");
    let answer = client.decide(&ask("later", 3)).await;
    for offer in offers(&answer) {
        let believed = offer["conversion_probability"].as_f64().unwrap();
        assert_eq!(offer["offer_id"] == "tips", believed > 0.3, "{answer}");
    }
    server.stop().await;
}

/// Goal: a server that is killed under load has learnt, in the end, what a rebuild learns.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_learning_a_rebuild_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let settings = "[learner]\npublish_ms = 10\ncheckpoint_ms = 10\n";
    let mut server = Process::start(dir.path(), settings).await;
    for kill in 0..6 {
        for i in 0..25 {
            let answer = server
                .client
                .decide(&ask_demo(&format!("c-{kill}-{i}")))
                .await;
            let offer = &offers(&answer)[0];
            let events = json!([
                event("impression", "i", offer),
                event("conversion", "s", offer)
            ]);
            server.client.record(events.as_array().unwrap()).await;
        }
        if kill < 5 {
            server.kill();
            server = Process::start(dir.path(), settings).await;
        }
    }
    assert_eq!(server.terminate().await, Some(0));
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let said = Process::run(&["learn", "--rebuild", "--json", "--data", data]);
    let figures: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        (said.code, &figures["same"]),
        (0, &json!(true)),
        "{}",
        said.stderr
    );
    assert!(
        figures["decisions"]["decisions"].as_u64() >= Some(150),
        "{figures}"
    );
}
