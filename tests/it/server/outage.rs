//! Redis away, killed, and silent: answers keep coming, and what waited is shipped later.

use std::time::{Duration, Instant};

use hyper::StatusCode;

use super::crash::drained;
use super::{Server, ask_demo, config, event, offers, until};
use crate::redis_server::{self, RedisServer};

/// A few visits. No answer may have waited for Redis: its timeouts alone are longer.
async fn visits(server: &Server, name: &str) {
    for n in 0..10 {
        let since = Instant::now();
        let answer = server
            .client
            .decide(&ask_demo(&format!("{name}-{n}")))
            .await;
        let events =
            ["impression", "conversion"].map(|kind| event(kind, kind, &offers(&answer)[0]));
        let response = server.client.record(&events).await;
        assert_eq!(response["accepted"], 2);
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{:?}",
            since.elapsed()
        );
    }
    let ready = server.client.get("/readyz").await;
    assert_eq!(
        ready.status,
        StatusCode::OK,
        "static stability: degraded is not unready"
    );
}

async fn connected(server: &Server) -> bool {
    let report = server.client.admin_get("/v1/reports/delivery").await;
    report["connected"] == true
}

async fn lags(server: &Server) -> bool {
    let report = server.client.admin_get("/v1/reports/delivery").await;
    report["lag_entries"].as_u64().unwrap() > 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_may_be_away_die_or_hang() {
    if !redis_server::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut redis = RedisServer::start(dir.path(), &[]).await;
    let mut config = config(dir.path());
    config.redis.url = redis.url();
    config.redis.response_timeout_ms = 200;
    config.redis.retry_ms_max = 50;
    config.redis.idle_check_ms = 100;
    let data = config.node.data.clone();

    // Away at the start.
    redis.kill();
    let server = Server::start(config).await;
    visits(&server, "away").await;
    assert!(!connected(&server).await);
    let ready = server
        .client
        .admin(hyper::Method::GET, "/readyz", "")
        .await
        .ok();
    assert_eq!(ready["redis"], "away: records wait in the journal");
    redis.restart().await;
    drained(&server.client, &redis, &data).await;

    // Killed, with everything it held: it had been told not to save.
    redis.kill();
    visits(&server, "killed").await;
    redis.restart().await;
    drained(&server.client, &redis, &data).await;

    // Silent: the socket is open, and nothing comes.
    redis.signal("STOP");
    visits(&server, "stopped").await;
    until("records wait", async || lags(&server).await).await;
    redis.signal("CONT");
    drained(&server.client, &redis, &data).await;
    server.stop().await;
}
