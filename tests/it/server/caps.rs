//! Do caps hold over decisions, over pages opened at once, and over a restart?

use serde_json::{Value, json};

use super::{Server, ask, catalog, config_with, event, offers, until};

const THREE_A_DAY: &str = "caps = [{ count = 3, per = \"day\" }]";

async fn shows_order(server: &Server, request: &Value) -> bool {
    let answer = server.client.decide(request).await;
    offers(&answer).iter().any(|o| o["offer_id"] == "order")
}

/// Goal: 64 pages of one customer at once never show more than the cap allows, answers seen or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pages_opened_at_once_do_not_exceed_a_cap() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(THREE_A_DAY));
    let server = Server::start(config.clone()).await;
    let pages: Vec<_> = (0..64)
        .map(|_| {
            let client = server.client.clone();
            tokio::spawn(async move { client.decide(&ask("c-1", 1)).await })
        })
        .collect();
    let mut shown = Vec::new();
    for page in pages {
        let answer = page.await.unwrap();
        shown.extend(
            offers(&answer)
                .iter()
                .filter(|o| o["offer_id"] == "order")
                .cloned(),
        );
    }
    assert_eq!(shown.len(), 3);
    assert!(
        shows_order(&server, &ask("c-2", 1)).await,
        "another customer has caps of their own"
    );

    // Reservations that are not yet seen survive a restart, and so do those that are.
    let first = event("impression", "e-1", &shown[0]);
    assert_eq!(server.client.record(&[first]).await["accepted"], 1);
    let server = server.restart(config).await;
    assert!(!shows_order(&server, &ask("c-1", 1)).await);
    assert!(shows_order(&server, &ask("c-2", 1)).await);
    server.stop().await;
}

/// Goal: what was answered and never seen stops counting; what was seen goes on counting, after a
/// restart too.
#[tokio::test]
async fn a_reservation_expires_and_a_showing_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config_with(
        dir.path(),
        &catalog("caps = [{ count = 2, per = \"day\" }]"),
    );
    config.decisions.hold_ms = 1_000;
    let server = Server::start(config.clone()).await;
    let client = &server.client;
    let answer = client.decide(&ask("c-1", 1)).await;
    let seen = event("impression", "e-1", &offers(&answer)[0]);
    assert_eq!(client.record(&[seen]).await["accepted"], 1);
    // One was seen. The other place is taken by a reservation, and free again when that is over.
    until("the cap holds", async || {
        !shows_order(&server, &ask("c-1", 1)).await
    })
    .await;
    until("the reservation is over", async || {
        shows_order(&server, &ask("c-1", 1)).await
    })
    .await;

    let answer = client.decide(&ask("c-3", 1)).await;
    let seen = event("impression", "e-1", &offers(&answer)[0]);
    assert_eq!(client.record(&[seen]).await["accepted"], 1);
    let answer = client.decide(&ask("c-3", 1)).await;
    let first = &offers(&answer)[0];
    assert_eq!(first["offer_id"], "order");
    let seen = event("impression", "e-2", first);
    assert_eq!(client.record(&[seen]).await["accepted"], 1);
    let server = server.restart(config).await;
    // Two were seen by c-3. A reservation would be over by now, so that nothing else can refuse.
    let since = std::time::Instant::now();
    while since.elapsed().as_millis() < 1_100 {
        assert!(!shows_order(&server, &ask("c-3", 1)).await);
    }
    server.stop().await;
}

/// Goal: test requests see the same offers and never use up anybody's cap.
#[tokio::test]
async fn test_requests_go_their_own_way() {
    let dir = tempfile::tempdir().unwrap();
    let config = config_with(dir.path(), &catalog(THREE_A_DAY));
    let data = config.node.data.clone();
    let server = Server::start(config.clone()).await;
    let mut request = ask("c-1", 1);
    request["test"] = json!(true);
    for n in 0..10 {
        let answer = server.client.decide(&request).await;
        let first = &offers(&answer)[0];
        assert_eq!(first["offer_id"], "order", "decision {n}");
        let seen = event("impression", "e-1", first);
        assert_eq!(server.client.record(&[seen]).await["accepted"], 1);
        assert_eq!(server.client.recorded(&answer).await["test"], true);
    }
    // After a restart the ledger is rebuilt from records that include those of the test.
    let server = server.restart(config).await;
    for n in 0..3 {
        assert!(shows_order(&server, &ask("c-1", 1)).await, "decision {n}");
    }
    assert!(!shows_order(&server, &ask("c-1", 1)).await);
    server.stop().await;
    for (_, entry) in super::journal_file::entries(&data) {
        let tested = entry.record.to_string().contains("\"test\":true");
        assert_eq!(entry.test, tested, "{}", entry.record);
    }
}
