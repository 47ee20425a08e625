//! Is an acknowledged event ever lost, or any event there twice, whatever moment the process dies at?

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use offerd::domain::EntryKind;
use offerd::journal::sink::STREAMS_KEY;
use serde_json::Value;
use tokio::sync::watch;

use super::client::Client;
use super::process::Process;
use super::{ask_demo, event, journal_file, offers, until};
use crate::redis_server::{self, RedisServer};

const KILLS: u64 = 10;
const CLIENTS: u64 = 4;

/// The next of a fixed sequence of numbers (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A customer who looks and buys without pause: the ids of the events that were acknowledged.
///
/// An event whose answer never came is sent again, as a page does, to whichever server is there.
async fn customer(
    me: u64,
    mut servers: watch::Receiver<Option<Client>>,
    decided: Arc<AtomicU64>,
) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for visit in 0_u64.. {
        let Some(answer) = send(
            &mut servers,
            "/v1/decisions",
            &ask_demo(&format!("c-{me}-{visit}")),
        )
        .await
        else {
            break;
        };
        decided.fetch_add(1, Ordering::Relaxed);
        let offer = &offers(&answer)[0];
        let ids = ["impression", "click", "conversion"].map(|kind| format!("{kind}-{me}-{visit}"));
        let events: Vec<Value> = ids
            .iter()
            .map(|id| event(id.split('-').next().unwrap(), id, offer))
            .collect();
        let Some(response) = send(
            &mut servers,
            "/v1/events",
            &serde_json::json!({ "events": events }),
        )
        .await
        else {
            break;
        };
        assert_eq!(response["rejected"], serde_json::json!([]), "{response}");
        acknowledged.extend(ids);
    }
    acknowledged
}

/// Posts until somebody answers; `None` when the load is over.
async fn send(
    servers: &mut watch::Receiver<Option<Client>>,
    path: &str,
    body: &Value,
) -> Option<Value> {
    loop {
        let client = servers.borrow_and_update().clone()?;
        match client.try_post(path, &[], body).await {
            Some(answer) => return Some(answer.ok()),
            // The server died. The next one is announced, unless it has been already.
            None => servers.changed().await.unwrap(),
        }
    }
}

/// What Redis' streams hold: `MS-SEQ` to the record.
async fn streamed(redis: &RedisServer) -> BTreeMap<String, String> {
    let mut connection = redis.client().await;
    let mut all = BTreeMap::new();
    let keys: Vec<String> = redis::cmd("SMEMBERS")
        .arg(STREAMS_KEY)
        .query_async(&mut connection)
        .await
        .unwrap();
    for key in keys {
        let entries: Vec<(String, Vec<(String, String)>)> = redis::cmd("XRANGE")
            .arg(&key)
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
            .await
            .unwrap();
        for (id, fields) in entries {
            let json = fields
                .into_iter()
                .find(|(name, _)| name == "json")
                .unwrap()
                .1;
            assert!(
                all.insert(id.clone(), json).is_none(),
                "{id} is in two streams"
            );
        }
    }
    all
}

/// Every record that is to be shipped, in the same form.
fn journaled(data: &Path) -> BTreeMap<String, String> {
    let shipped = journal_file::entries(data).into_iter();
    let shipped = shipped.filter(|(_, e)| e.kind() != Some(EntryKind::Snapshot));
    shipped
        .map(|(p, e)| (format!("{}-{}", p.ms, p.seq), e.record.to_string()))
        .collect()
}

/// Everything the journal holds is in Redis.
pub async fn drained(client: &Client, redis: &RedisServer, data: &Path) {
    until("everything is shipped", async || {
        let report = client.admin_get("/v1/reports/delivery").await;
        let settled = report["queued"] == 0 && report["lag_entries"] == 0;
        report["connected"] == true
            && settled
            && streamed(redis).await.len() == journaled(data).len()
    })
    .await;
    assert_eq!(streamed(redis).await, journaled(data));
}

/// Goal (R1): `kill -9` at ten seeded moments under load loses no acknowledged event, counts none twice,
/// leaves streams that say what the journal says, and decisions that can be made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_ten_times_under_load() {
    if !redis_server::available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let redis = RedisServer::start(dir.path(), &[]).await;
    let data = dir.path().join("data");
    let settings = format!("[redis]\nurl = \"{}\"\n", redis.url());
    let mut server = Process::start(dir.path(), &settings).await;
    let (announce, servers) = watch::channel(Some(server.client.clone()));
    let decided = Arc::new(AtomicU64::new(0));
    let customers: Vec<_> = (0..CLIENTS)
        .map(|me| tokio::spawn(customer(me, servers.clone(), Arc::clone(&decided))))
        .collect();
    let mut seed = 1;
    for _ in 0..KILLS {
        // However slow the machine, there is load when the process dies.
        let before = decided.load(Ordering::Relaxed);
        until("decisions are made", async || {
            decided.load(Ordering::Relaxed) > before
        })
        .await;
        tokio::time::sleep(Duration::from_millis(100 + next(&mut seed) % 500)).await;
        server.kill();
        server = Process::start(dir.path(), &settings).await;
        announce.send_replace(Some(server.client.clone()));
    }
    announce.send_replace(None);
    let mut acknowledged = Vec::new();
    for customer in customers {
        acknowledged.extend(customer.await.unwrap());
    }
    assert!(
        acknowledged.len() as u64 >= 3 * KILLS,
        "{}",
        acknowledged.len()
    );
    let last = server.client.decide(&ask_demo("last")).await;
    server.client.recorded(&last).await;
    drained(&server.client, &redis, &data).await;
    assert_eq!(server.terminate().await, Some(0));

    let (mut ids, mut keys) = (HashSet::new(), HashSet::new());
    for (position, entry) in journal_file::entries(&data) {
        for key in &entry.keys {
            assert!(
                keys.insert(*key),
                "{position:?}: {} is there twice",
                entry.id
            );
        }
        if entry.kind() != Some(EntryKind::Snapshot) {
            assert!(ids.insert(entry.id.clone()), "{} is there twice", entry.id);
        }
    }
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|id| !ids.contains(*id))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(journal_file::replay_all(&data) > 0);
}
