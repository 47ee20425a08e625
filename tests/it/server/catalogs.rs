//! Catalogs put over the API and changed on disk, good and bad, and what a restart makes of them.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Server, ask, catalog, config_with, journal_file, offers, until};

/// `link` worth more than `order`.
fn link_first() -> String {
    catalog("").replace("value_minor = 600", "value_minor = 9000")
}

async fn first(server: &Server) -> String {
    let answer = server.client.decide(&ask("c-1", 1)).await;
    offers(&answer)[0]["offer_id"].as_str().unwrap().to_owned()
}

/// Goal: a good catalog serves at once, a bad one changes nothing and is told every mistake, and a dry
/// run only tells.
#[tokio::test]
async fn a_catalog_is_put_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let client = &server.client;
    let epoch = client.epoch().await;

    let dry = client
        .admin(Method::PUT, "/v1/catalog?dry_run=true", link_first())
        .await
        .ok();
    assert_eq!(dry["live"], false);
    let changed = json!([{ "id": "link", "fields": ["value_minor"] }]);
    assert_eq!(dry["diff"]["offers"]["changed"], changed, "{dry}");
    assert_eq!(
        (first(&server).await.as_str(), client.epoch().await),
        ("order", epoch)
    );

    let put = client.put_catalog(&link_first()).await.ok();
    assert_eq!(put["live"], true);
    assert_eq!(put["epoch"], epoch + 1);
    assert_eq!(
        (first(&server).await.as_str(), client.epoch().await),
        ("link", epoch + 1)
    );
    let again = client.put_catalog(&link_first()).await.ok();
    assert_eq!(
        (&again["live"], &again["epoch"]),
        (&json!(false), &json!(epoch + 1))
    );

    let bad = link_first()
        .replace("time_zone = \"UTC\"", "time_zone = \"Mars\"")
        .replace("count_max = 3", "count_max = 0")
        .replace("class = \"content\"", "class = \"contents\"");
    let refused = client.put_catalog(&bad).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let problem = refused.json();
    let mistakes = problem["mistakes"].as_array().unwrap();
    let line_of = |text: &str| bad.lines().position(|l| l.contains(text)).unwrap() + 1;
    for (path, text) in [
        ("operator.time_zone", "Mars"),
        ("placement[0].count_max", "count_max = 0"),
        ("offer[2].class", "contents"),
    ] {
        let told = mistakes.iter().find(|m| m["path"] == path);
        let told = told.unwrap_or_else(|| panic!("{path}: {problem}"));
        assert_eq!(told["line"], line_of(text), "{told}");
    }
    for garbage in ["", "offers = [", "\u{0}"] {
        let refused = client.put_catalog(garbage).await;
        assert_eq!(
            refused.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{garbage:?}"
        );
    }
    let refused = client.admin(Method::PUT, "/v1/catalog", vec![0xff]).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        (first(&server).await.as_str(), client.epoch().await),
        ("link", epoch + 1)
    );

    // What serves can be read back, in both forms, and put again as JSON.
    let json = client.admin_get("/v1/catalog").await;
    assert_eq!(json["offer"].as_array().unwrap().len(), 3);
    let mut other = json.clone();
    other["offer"][1]["value_minor"] = json!(600);
    let put = client.put_catalog(&other.to_string()).await.ok();
    assert_eq!(put["live"], true);
    assert_eq!(first(&server).await, "order");
    server.stop().await;
}

/// Goal: saving the file is enough, and a bad save costs nothing but an error in the log.
#[tokio::test]
async fn the_file_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(""));
    let file = config.catalog.file.clone();
    let data = config.node.data.clone();
    let server = Server::start(config).await;
    let epoch = server.client.epoch().await;
    std::fs::write(&file, link_first()).unwrap();
    until("the new file serves", async || {
        first(&server).await == "link"
    })
    .await;
    assert_eq!(server.client.epoch().await, epoch + 1);
    // Bad, gone, back: the one that serves goes on. Each next state is only written once the one before
    // must have been looked at: when a good file after it is live.
    for (n, text) in [(2, catalog("")), (3, link_first())] {
        std::fs::write(&file, "placement = 7").unwrap();
        let looks = server.client.epoch().await;
        assert_eq!(looks, epoch + n - 1, "a bad file is no new snapshot");
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &text).unwrap();
        until("the mended file serves", async || {
            server.client.epoch().await == epoch + n
        })
        .await;
    }
    assert_eq!(first(&server).await, "link");
    server.stop().await;
    assert!(journal_file::replay_all(&data) > 0);
}

/// Goal: a restart serves what served before, whichever way it came, and never a file that is wrong.
#[tokio::test]
async fn a_restart_keeps_what_was_put_last() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(""));
    let file = config.catalog.file.clone();
    let server = Server::start(config.clone()).await;
    server.client.put_catalog(&link_first()).await.ok();
    let epoch = server.client.epoch().await;
    // The file has not changed: what was put over the API is newer.
    let server = server.restart(config.clone()).await;
    assert_eq!(first(&server).await, "link");
    assert!(server.client.epoch().await > epoch, "an epoch is one run's");
    server.stop().await;
    // A file that is wrong now does not keep the server from starting.
    std::fs::write(&file, "placement = 7").unwrap();
    let server = Server::start(config.clone()).await;
    assert_eq!(first(&server).await, "link");
    server.stop().await;
    // The file changed, and wins.
    let tips_first = catalog("").replace("value_minor = 10\n", "value_minor = 99999\n");
    std::fs::write(&file, &tips_first).unwrap();
    let server = Server::start(config.clone()).await;
    assert_eq!(first(&server).await, "tips");
    server.stop().await;
    // Without anything that ever served, a wrong file is a wrong configuration.
    let empty = tempfile::tempdir().unwrap();
    let config = config_with(empty.path(), "placement = 7");
    let error = offerd::app::App::start(config).await.err().unwrap();
    assert!(error.is_configuration(), "{error}");
}

/// Goal: decisions of every catalog that served, over both ways and a restart, come out the same again.
#[tokio::test]
async fn decisions_replay_across_catalogs() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(""));
    let data = config.node.data.clone();
    let mut server = Server::start(config.clone()).await;
    let softmax = "kind = \"softmax\"\ntemperature = 0.5\nfloor = 0.05";
    let mut decisions: Vec<Value> = Vec::new();
    for (n, text) in [
        catalog(""),
        catalog("").replace("kind = \"deterministic\"", softmax),
        catalog("caps = [{ count = 1, per = \"day\" }]"),
        catalog("when = { tenure = { \"$lt\" = 3 } }"),
    ]
    .iter()
    .enumerate()
    {
        server.client.put_catalog(text).await.ok();
        for customer in 0..20 {
            let request = ask(&format!("c-{customer}"), 2);
            decisions.push(server.client.decide(&request).await);
        }
        if n == 1 {
            server = server.restart(config.clone()).await;
        }
    }
    for decision in decisions.iter().step_by(13) {
        server.client.recorded(decision).await;
        let id = decision["decision_id"].as_str().unwrap();
        let replayed = server.client.replay(id).await;
        assert_eq!(replayed["same"], true, "{replayed}");
        assert_eq!(replayed["decision_id"], id);
    }
    let unknown = json!({ "decision_id": "00000000-0000-7000-8000-000000000000" });
    let answer = server
        .client
        .admin(Method::POST, "/v1/replay", unknown.to_string());
    assert_eq!(answer.await.status, StatusCode::NOT_FOUND);
    let answer = server.client.admin(Method::POST, "/v1/replay", "{}").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    server.stop().await;
    assert_eq!(journal_file::replay_all(&data), decisions.len());
}
