//! A server that may not spend more on exploring.

use serde_json::{Value, json};

use super::{Server, ask, catalog, config_with, until};

/// `link` gives up a third of `order`'s worth and is of its class, `tips` nearly all and is not.
fn exploring(time_zone: &str) -> String {
    let explorer = "kind = \"epsilon_greedy\"\nepsilon = 0.6\nuniform_share = 0.06\n\
                    daily_budget_minor = { upsell = 100 }\n";
    let zone = format!("time_zone = \"{time_zone}\"");
    catalog("")
        .replace("kind = \"deterministic\"\n", explorer)
        .replace("time_zone = \"UTC\"", &zone)
}

/// The odds of `order`, `link` and `tips`, in thousandths.
fn odds(record: &Value) -> Vec<i64> {
    let candidates = record["placements"][0]["candidates"].as_array().unwrap();
    let odds = candidates.iter().map(|c| c["odds"].as_f64().unwrap());
    odds.map(|p| (p * 1_000.0).round() as i64).collect()
}

const FREE: [i64; 3] = [584, 208, 208];
const HELD: [i64; 3] = [772, 20, 208];

/// *Goal:* exploring stops within a moment of having spent its day's money, stays so over a restart, begins again on the
/// next day, and every decision replays. *Method:* nobody waits for midnight: another catalog is of a place where it
/// is another day already, 26 hours further east.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exploring_stops_for_the_day_when_its_money_is_spent() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_with(dir.path(), &exploring("Etc/GMT+12"));
    config.learner.publish_ms = 10;
    let server = Server::start(config.clone()).await;
    let client = server.client.clone();
    let budget = async |client: &super::client::Client| {
        client.admin_get("/v1/reports/learning").await["budgets"]["upsell"].clone()
    };
    let mut ids = Vec::new();
    let fresh = budget(&client).await;
    assert_eq!(
        fresh,
        json!({ "budget_minor": 100, "spent_minor": 0.0, "spent": false, "since_ms": null })
    );
    let answer = client.decide(&ask("first", 1)).await;
    let record = client.recorded(&answer).await;
    assert_eq!(
        (odds(&record), &record["placements"][0]["budget_spent"]),
        (FREE.to_vec(), &Value::Null)
    );
    ids.push(answer["decision_id"].clone());
    until("the money is spent", async || {
        client.decide(&ask("explored", 1)).await;
        budget(&client).await["spent"] == true
    })
    .await;
    let spent = budget(&client).await;
    assert!(spent["spent_minor"].as_f64() >= Some(100.0), "{spent}");
    assert!(spent["since_ms"].as_i64() > Some(0), "{spent}");
    let answer = client.decide(&ask("held", 1)).await;
    let record = client.recorded(&answer).await;
    assert_eq!(odds(&record), HELD, "{record}");
    assert_eq!(record["placements"][0]["budget_spent"], json!(["upsell"]));
    ids.push(answer["decision_id"].clone());

    let server = server.restart(config.clone()).await;
    let client = server.client.clone();
    let answer = client.decide(&ask("held again", 1)).await;
    assert_eq!(odds(&client.recorded(&answer).await), HELD);
    ids.push(answer["decision_id"].clone());
    assert_eq!(budget(&client).await["since_ms"], spent["since_ms"]);

    client
        .put_catalog(&exploring("Pacific/Kiritimati"))
        .await
        .ok();
    let answer = client.decide(&ask("the next day", 1)).await;
    assert_eq!(odds(&client.recorded(&answer).await), FREE);
    ids.push(answer["decision_id"].clone());
    assert_eq!(budget(&client).await["spent"], false);
    for id in ids {
        let replayed = client.replay(id.as_str().unwrap()).await;
        assert_eq!(replayed["same"], true, "{replayed}");
    }
    server.stop().await;
}
