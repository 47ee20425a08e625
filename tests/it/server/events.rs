//! From a decision to everything that may happen to its offers, each counted once or refused.

use hyper::StatusCode;
use offerd::domain::record::read;
use serde_json::{Value, json};

use super::{Server, ask, catalog, config, config_with, event, journal_file, offers, until};

/// Goal: every type of event finds its decision through the token alone.
#[tokio::test]
async fn a_decision_is_followed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(""));
    let data = config.node.data.clone();
    let server = Server::start(config).await;
    let client = &server.client;

    let answer = client.decide(&ask("c-1", 3)).await;
    assert_eq!(
        answer["model"], "prior@0",
        "the shipped model is of another operator"
    );
    assert_eq!(answer["degraded"], json!(["prior_only"]));
    let shown = offers(&answer);
    let ids: Vec<&str> = shown
        .iter()
        .map(|o| o["offer_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["order", "link", "tips"], "by expected value");

    let value = json!({ "amount_minor": 999, "currency": "USD" });
    let mut events: Vec<Value> = [
        "impression",
        "viewable",
        "click",
        "dismiss",
        "order",
        "conversion",
        "reversal",
    ]
    .iter()
    .map(|kind| event(kind, &format!("{kind}-1"), &shown[0]))
    .collect();
    events[5]["value"] = value.clone();
    let visit = json!({ "appointment_id": "apt-1", "phase": "en_route" });
    for (kind, more) in [
        ("phase_view", json!({ "dwell_ms": 8_100 })),
        ("element", json!({ "element": "live_map" })),
        ("feedback", json!({ "rating": 5 })),
    ] {
        let mut event = visit.clone();
        let fields = event.as_object_mut().unwrap();
        fields.insert("type".into(), kind.into());
        fields.insert("id".into(), format!("{kind}-1").into());
        fields.extend(more.as_object().unwrap().clone());
        events.push(event);
    }
    let response = client.record(&events).await;
    assert_eq!(
        response,
        json!({ "accepted": 10, "duplicates": 0, "rejected": [] })
    );
    // A token that is there must hold, also where none is needed.
    let mut forged = events[8].clone();
    assert_eq!(forged["type"], "element");
    forged["token"] = json!("A".repeat(110));
    let refused = client.record(&[forged]).await;
    assert_eq!(
        refused["rejected"][0]["code"], "token_malformed",
        "{refused}"
    );
    // What a page sends again after a lost answer is told to be known, all of it.
    let response = client.record(&events).await;
    assert_eq!(
        response,
        json!({ "accepted": 0, "duplicates": 10, "rejected": [] })
    );

    let record = client.recorded(&answer).await;
    assert_eq!(record["id"], answer["decision_id"]);
    let slate = record["placements"][0]["slate"].as_array().unwrap();
    for (choice, offer) in slate.iter().zip(shown) {
        assert_eq!(choice["offer"], offer["offer_id"]);
        assert_eq!(choice["propensity"], offer["propensity"]);
    }
    let report = client.admin_get("/v1/reports/delivery").await;
    let appended = report["appended"].as_object().unwrap().clone();
    for event in &events {
        assert_eq!(appended[event["type"].as_str().unwrap()], 1, "{report}");
    }
    assert_eq!(report["duplicates"], 10);
    let lost = report["lost"].as_object().unwrap();
    assert!(lost.values().all(|n| n == 0), "{report}");
    server.stop().await;

    let counts = journal_file::counts(&data);
    assert_eq!(counts.len(), appended.len());
    for (kind, n) in counts {
        assert_eq!(appended[kind], n, "{kind}");
    }
    for (_, entry) in journal_file::entries(&data) {
        let record: Value = read(&entry.record).unwrap();
        assert!(
            !entry.record.to_string().contains("c-1\""),
            "no raw id: {record}"
        );
        if record["type"] == "conversion" {
            assert_eq!(record["decision"], answer["decision_id"]);
            assert_eq!(record["offer"], "order");
            assert_eq!(record["placement"], "card");
            assert_eq!(record["model"], "prior@0");
            assert_eq!(record["propensity"], shown[0]["propensity"]);
            assert_eq!(record["value"], value);
        }
    }
}

/// Goal: an event finds the names of what it is about, though another catalog serves by then.
#[tokio::test]
async fn names_outlive_their_catalog() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(""));
    let data = config.node.data.clone();
    let server = Server::start(config).await;
    let answer = server.client.decide(&ask("c-1", 1)).await;
    let renamed = catalog("").replace("\"order\"\nname", "\"ordered\"\nname");
    let renamed = renamed.replace("\"card\"", "\"cards\"");
    let put = server.client.put_catalog(&renamed).await.ok();
    assert_eq!(put["live"], true);
    let click = event("click", "e-1", &offers(&answer)[0]);
    assert_eq!(server.client.record(&[click]).await["accepted"], 1);
    server.stop().await;
    let entries = journal_file::entries(&data);
    let (_, entry) = entries.last().unwrap();
    assert_eq!(entry.offer.as_deref(), Some("order"));
    assert_eq!(entry.placement.as_deref(), Some("card"));
}

/// Goal: a page cannot make many clicks of one by what it says of the time.
#[tokio::test]
async fn nothing_happens_before_its_decision() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let answer = server.client.decide(&ask("c-1", 1)).await;
    let long_ago = jiff::Timestamp::now() - jiff::Span::new().hours(100);
    let clicks: Vec<Value> = (0..99)
        .map(|hour| {
            let mut click = event("click", &format!("e-{hour}"), &offers(&answer)[0]);
            click["at"] = json!((long_ago + jiff::Span::new().hours(hour)).to_string());
            click
        })
        .collect();
    let response = server.client.record(&clicks).await;
    assert_eq!(response["accepted"], 1, "{response}");
    assert_eq!(response["duplicates"], 98);
    server.stop().await;
}

/// Goal: an image and a link say the same as a posted event, and lead nowhere but to the catalog's URL.
#[tokio::test]
async fn tracking_urls_count_and_lead_on() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let client = &server.client;
    let answer = client.decide(&ask("c-1", 3)).await;
    let [order, link, _] = offers(&answer) else {
        panic!("{answer}");
    };
    let url = |offer: &Value, what: &str| offer["tracking"][what].as_str().unwrap().to_owned();

    for _ in 0..3 {
        let image = client.get(&url(order, "impression")).await;
        assert_eq!(image.status, StatusCode::OK);
        assert_eq!(image.header("content-type"), "image/gif");
        assert_eq!(image.header("cache-control"), "no-store");
        assert!(image.body.starts_with(b"GIF89a") && image.body.ends_with(b";"));
        let click = client.get(&url(link, "click")).await;
        assert_eq!(click.status, StatusCode::FOUND);
        assert_eq!(click.header("location"), "https://shop.example/more?a=1");
        assert_eq!(click.header("cache-control"), "no-store");
    }
    let nowhere = client.get(&url(order, "click")).await;
    assert_eq!(nowhere.status, StatusCode::NO_CONTENT);
    assert_eq!(
        client.appended("impression").await,
        1,
        "thrice loaded, once counted"
    );
    assert_eq!(client.appended("click").await, 2);
    // The same impression, now posted with the offer's own token.
    let response = client.record(&[event("impression", "e-1", order)]).await;
    assert_eq!(response["duplicates"], 1);

    // A tracking token proves its own kind alone, and the offer's token is no link.
    let bare = |url: String| url.rsplit('/').next().unwrap().to_owned();
    let events = [
        json!({ "type": "conversion", "id": "x", "token": bare(url(order, "click")) }),
        json!({ "type": "click", "id": "y", "token": bare(url(order, "impression")) }),
    ];
    let response = client.record(&events).await;
    for (rejected, index) in response["rejected"].as_array().unwrap().iter().zip(0..) {
        assert_eq!(rejected["index"], index);
        assert_eq!(rejected["code"], "token_wrong_kind");
    }
    assert_eq!(response["accepted"], 0);
    let own = format!("/v1/t/{}", order["token"].as_str().unwrap());
    let refused = client.get(&own).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("token_wrong_kind")
    );
    server.stop().await;
}

/// Goal: nothing is counted that this server did not sign, and one bad item costs no other.
#[tokio::test]
async fn forged_and_altered_tokens_are_refused_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path())).await;
    let other = Server::start(config_with(elsewhere.path(), &catalog(""))).await;
    let foreign = other.client.decide(&ask("c-1", 1)).await;
    other.stop().await;
    let client = &server.client;
    let answer = client.decide(&super::ask_demo("c-1")).await;
    let good = &offers(&answer)[0];
    let token = good["token"].as_str().unwrap();

    let mut events = Vec::new();
    for at in 0..token.len() {
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        let altered = [&token[..at], other, &token[at + 1..]].concat();
        events.push(json!({ "type": "conversion", "id": format!("e-{at}"), "token": altered }));
    }
    events.push(event("conversion", "foreign", &offers(&foreign)[0]));
    events.push(json!({ "type": "conversion", "id": "short", "token": "AAAA" }));
    events.push(json!({ "type": "sale", "id": "what", "token": token }));
    events.push(json!({ "type": "conversion", "id": 7.5, "token": token }));
    let total = events.len() + 2;
    let (mut rejected, mut accepted) = (0, 0);
    for chunk in events.chunks(50) {
        // A good one in the middle of each batch stands.
        let mut batch = chunk.to_vec();
        batch.insert(
            chunk.len() / 2,
            event("click", &format!("good-{accepted}"), good),
        );
        let response = client.record(&batch).await;
        for item in response["rejected"].as_array().unwrap() {
            let code = item["code"].as_str().unwrap();
            let known = [
                "token_forged",
                "token_malformed",
                "unknown_type",
                "malformed",
            ];
            assert!(known.contains(&code), "{item}");
            assert_ne!(item["index"], chunk.len() / 2, "{item}");
            rejected += 1;
        }
        let counted =
            response["accepted"].as_u64().unwrap() + response["duplicates"].as_u64().unwrap();
        assert_eq!(counted, 1, "{response}");
        accepted += 1;
    }
    assert_eq!(rejected, total - 2);
    assert_eq!(client.appended("conversion").await, 0);
    assert_eq!(client.appended("click").await, 1);
    let metrics = client.admin(hyper::Method::GET, "/metrics", "").await;
    let page = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(
        page.contains("offerd_token_rejected_total{reason=\"token_forged\"}"),
        "{page}"
    );
    server.stop().await;
}

/// Goal: a page left open does not count for ever, while money does for longer.
#[tokio::test]
async fn an_old_token_proves_no_impression() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_with(dir.path(), &catalog(""));
    config.tokens.impression_age_s_max = 1;
    config.tokens.leeway_s = 0;
    let server = Server::start(config).await;
    let client = &server.client;
    let answer = client.decide(&ask("c-1", 1)).await;
    let shown = &offers(&answer)[0];
    until("the token is too old", async || {
        let response = client.record(&[event("impression", "e-1", shown)]).await;
        response["rejected"][0]["code"] == "token_expired"
    })
    .await;
    let image = client
        .get(shown["tracking"]["impression"].as_str().unwrap())
        .await;
    assert_eq!(image.status, StatusCode::NOT_FOUND);
    assert!(
        image.json()["detail"]
            .as_str()
            .unwrap()
            .contains("token_expired")
    );
    let response = client.record(&[event("conversion", "e-2", shown)]).await;
    assert_eq!(response["accepted"], 1);
    server.stop().await;
}

/// Goal: the same events again, after a restart and from many senders at once, count once.
#[tokio::test]
async fn what_is_sent_again_is_counted_once_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config_with(dir.path(), &catalog(""))).await;
    let answer = server.client.decide(&ask("c-1", 2)).await;
    let shown = offers(&answer).to_vec();
    let send = async |client: super::client::Client| {
        let copies = (0..64).map(|n| {
            let (client, shown) = (client.clone(), shown.clone());
            tokio::spawn(async move {
                // Half of them under the same id, half under one of their own: the token tells too.
                let id = if n % 2 == 0 {
                    "same".to_owned()
                } else {
                    format!("own-{n}")
                };
                let events = [
                    event("conversion", &id, &shown[0]),
                    event("impression", &format!("i-{n}"), &shown[1]),
                ];
                client.record(&events).await["accepted"].as_u64().unwrap()
            })
        });
        let mut accepted = 0;
        for copy in copies.collect::<Vec<_>>() {
            accepted += copy.await.unwrap();
        }
        accepted
    };
    assert_eq!(send(server.client.clone()).await, 2);
    let config = config_with(dir.path(), &catalog(""));
    let data = config.node.data.clone();
    let server = server.restart(config).await;
    assert_eq!(send(server.client.clone()).await, 0);
    server.stop().await;
    let counts = journal_file::counts(&data);
    assert_eq!((counts["conversion"], counts["impression"]), (1, 1));
}
