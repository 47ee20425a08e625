//! Goal: a version that is asked other things than what was asked before it became live is taken back, one that is
//! asked the same is not, and both are told of. Method: customers ask a node without ports, whose journal is
//! read for drift as it is in a server.

use offerd::control::registry::{Drift, Level};
use offerd::journal::Position;

use super::*;

/// Customers who ask in a second: as many as are looked at.
const CUSTOMERS: u32 = 60;

impl Node {
    /// Customers ask whose tenure is spread over two years from `tenure` on, and some of whom do not tell it; until
    /// that is in the journal, with those before them.
    async fn crowd(&self, name: &str, tenure: u32, so_far: &mut u32) {
        *so_far += CUSTOMERS;
        for i in 0..CUSTOMERS {
            let told = match i % 10 {
                0 => String::new(),
                _ => format!(r#""tenure": {}, "#, tenure + i * 7 % 24),
            };
            let body = format!(
                r#"{{"appointment": {{"phase": "en_route"}}, "customer": {{"id": "{name}-{i}",
                    "features": {{{told}"Contract": "One year"}}}}, "placements": [{{"id": "tracker_hero"}}]}}"#
            );
            self.decide(&body);
        }
        let mut watch = self.journal.watch();
        let mut reader = self.journal.reader(Position::START);
        let mut readable = 0;
        while readable < *so_far {
            let batch = reader.next_batch(1_000, 1 << 20).unwrap();
            if batch.is_empty() {
                watch.changed().await.unwrap();
            }
            let decisions = batch
                .iter()
                .filter(|(_, e)| e.kind() == Some(EntryKind::Decision));
            readable += decisions.count() as u32;
        }
    }

    fn drift(&self, version: &str) -> Option<Drift> {
        let list = self.control.models().unwrap();
        let model = list.into_iter().find(|m| m.version == version)?;
        model.health?.drift
    }
}

#[tokio::test]
async fn a_shifted_feature_takes_a_version_back() {
    let node = Node::with(|models| models.guardrails.drift_rows_min = 200);
    node.push("propensity-linear", "a", Stage::Live);
    let so_far = &mut 0;
    for second in 0..5 {
        node.crowd(&format!("before-{second}"), 0, so_far).await;
    }
    node.push("propensity-forest", "b", Stage::Live);
    let look = || {
        node.control.observe();
        node.control.tick(offerd::serve::now());
        node.control.live().load().model.version.to_string()
    };
    assert_eq!(look(), "b");
    let drift = node.drift("b").unwrap();
    assert_eq!((drift.level, drift.rows), (Level::Learning, 0));
    assert!(drift.reference_rows >= 300, "{drift:?}");
    // The same sort of customers.
    for second in 0..5 {
        node.crowd(&format!("same-{second}"), 0, so_far).await;
        assert_eq!(look(), "b");
    }
    let drift = node.drift("b").unwrap();
    assert_eq!((drift.level, drift.rows), (Level::Steady, 300), "{drift:?}");
    // Somebody now sends months where there were years.
    for second in 0..5 {
        node.crowd(&format!("months-{second}"), 300, so_far).await;
        look();
    }
    assert_eq!(look(), "a", "{:?}", node.drift("b"));
    let alarms = node.control.alarms();
    assert!(
        alarms[0].starts_with("swapped@b was taken back: tenure is not what it was"),
        "{alarms:?}"
    );
    // The version before is asked the same and says so, and nothing more is taken back.
    for _ in 0..5 {
        assert_eq!(look(), "a");
    }
    let metrics = node.control.model_metrics();
    assert!(
        metrics.contains("offerd_model_drift_rows{stage=\"live\",model=\"swapped@a\"}"),
        "{metrics}"
    );
    node.journal.close().await;
}
