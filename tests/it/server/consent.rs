//! What a customer withholds is neither used nor written down.

use offerd::domain::record::read;
use serde_json::{Value, json};

use super::{Server, ask, catalog, config_with, event, journal_file, offers};

/// In every text of [`told`]; no hash, time or id looks like it.
const MARK: &[u8] = b"zq0815";

/// A customer with something unmistakable in every field.
fn told() -> Value {
    let mut request = ask("customer-zq0815", 1);
    request["request_id"] = json!("request-zq0815");
    request["customer"]["features"] = json!({ "tenure": 815 });
    request["customer"]["segments"] = json!(["segment-zq0815"]);
    request["customer"]["products"] = json!(["product-zq0815"]);
    request["appointment"]["id"] = json!("appointment-zq0815");
    request["appointment"]["job_type"] = json!("job-zq0815");
    request["appointment"]["eta_seconds"] = json!(815);
    request["appointment"]["technician"] = json!({ "stock": ["part-zq0815"] });
    request["device"] = json!("device-zq0815");
    request["triggers"] = json!([{ "name": "trigger-zq0815" }]);
    request["placements"][0]["exclude_offers"] = json!(["offer-zq0815"]);
    request
}

/// Goal: without measurement nothing about the customer is in the journal, and caps hold all the same.
#[tokio::test]
async fn without_measurement_nothing_about_the_customer_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(
        dir.path(),
        &catalog("caps = [{ count = 1, per = \"day\" }]"),
    );
    let data = config.node.data.clone();
    let server = Server::start(config).await;
    let client = &server.client;
    let mut request = told();
    request["customer"]["consent"] = json!({ "measurement": false });
    let answer = client.decide(&request).await;
    let shown = &offers(&answer)[0];
    assert_eq!(shown["offer_id"], "order");
    let events = ["impression", "click", "conversion"].map(|kind| event(kind, kind, shown));
    let response = client.record(&events).await;
    assert_eq!(response["accepted"], 0);
    let codes: Vec<&Value> = response["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["code"])
        .collect();
    assert_eq!(codes, ["no_consent"; 3]);
    let image = client
        .get(shown["tracking"]["impression"].as_str().unwrap())
        .await;
    assert_eq!(
        image.header("content-type"),
        "image/gif",
        "the page looks the same"
    );
    let record = client.recorded(&answer).await;
    assert_eq!(record["measured"], false);
    assert_eq!(record["request"]["subject"], Value::Null);
    assert_eq!(record["request"]["features"], json!([]));
    let again = client.decide(&request).await;
    assert_ne!(
        offers(&again)[0]["offer_id"],
        "order",
        "one a day, measured or not"
    );
    server.stop().await;

    let mut kinds = Vec::new();
    for (_, entry) in journal_file::entries(&data) {
        let record: Value = read(&entry.record).unwrap();
        let request = record["request"].to_string();
        assert!(!request.contains("815"), "{request}");
        assert_eq!(entry.subject, None);
        kinds.push(entry.kind().unwrap().as_str());
    }
    assert_eq!(kinds, ["snapshot", "decision", "decision"], "and no event");
    // The bytes themselves, whatever a reader would skip.
    for file in std::fs::read_dir(data.join("journal")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(MARK.len()).any(|w| w == MARK));
    }
}

/// Goal: without personalization (asked for, or by the browser's signal) features do not decide, and
/// are not even on record.
#[tokio::test]
async fn without_personalization_features_stay_out() {
    let dir = tempfile::tempdir().unwrap();
    // Only long-standing customers are shown `order`.
    let catalog = catalog("when = { tenure = { \"$gte\" = 800 } }");
    let server = Server::start(config_with(dir.path(), &catalog)).await;
    let client = &server.client;
    let answer = client.decide(&told()).await;
    assert_eq!(offers(&answer)[0]["offer_id"], "order");
    let record = client.recorded(&answer).await;
    assert_eq!(record["request"]["features"], json!([["tenure", 815.0]]));
    assert_ne!(record["request"]["subject"], Value::Null);

    let mut withheld = told();
    withheld["customer"]["consent"] = json!({ "personalization": false });
    for (request, header) in [(withheld, None), (told(), Some(("sec-gpc", "1")))] {
        let answer = client
            .post("/v1/decisions", header.as_slice(), &request)
            .await
            .ok();
        assert_eq!(offers(&answer)[0]["offer_id"], "link");
        let record = client.recorded(&answer).await;
        assert_eq!(record["request"]["features"], json!([]), "{record}");
        assert_eq!(record["request"]["segments"], json!([]));
        // What they have already is a fact of service: it keeps it from being sold again.
        assert_eq!(record["request"]["products"], json!(["product-zq0815"]));
    }
    // Only the exact signal is one.
    let answer = client
        .post("/v1/decisions", &[("sec-gpc", "0")], &told())
        .await
        .ok();
    assert_eq!(offers(&answer)[0]["offer_id"], "order");
    server.stop().await;
}
