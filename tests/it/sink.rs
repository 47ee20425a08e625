//! The Redis sink against a real redis-server: exactly once, whatever happens to it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use offerd::domain::record::Packer;
use offerd::domain::{Ack, Entry, EntryKind, Millis, Record};
use offerd::journal::sink::{ErrorCode, RedisConfig, STREAMS_KEY, Sink, SinkHandle, StartError};
use offerd::journal::{Journal, JournalConfig, Position};
use redis::aio::MultiplexedConnection;
use redis::{Value, cmd};

use crate::redis_server::{Proxy, RedisServer, available, eventually};

const NOW: Millis = Millis(1_795_000_000_000);
const NODE: &str = "n1";

/// Packed, and every other one as releases of before wrote them.
fn record(n: u64) -> Record {
    #[derive(serde::Serialize)]
    struct Numbered {
        n: u64,
    }
    match n % 2 {
        0 => Packer::default().pack(&Numbered { n }),
        _ => format!("{{\"n\":{n}}}").into(),
    }
}

fn entry(n: u64) -> Entry {
    let kinds = [
        EntryKind::Decision,
        EntryKind::Impression,
        EntryKind::PhaseView,
    ];
    Entry {
        kind: kinds[n as usize % 3] as u8,
        test: n % 7 == 3,
        at: NOW.0 + n as i64,
        keys: Vec::new(),
        decision: (n % 3 != 2).then_some(u128::from(n) << 64),
        route: n / 3,
        subject: None,
        shown: Vec::new(),
        hold_until: 0,
        id: format!("e-{n}"),
        offer: Some("sports_pack".to_owned()),
        placement: None,
        phase: Some("en_route".to_owned()),
        propensity: Some(0.8125),
        model: None,
        record: record(n),
    }
}

/// A journal, a Redis and what belongs to them.
struct Bench {
    dir: tempfile::TempDir,
    server: RedisServer,
    journal: Journal,
    written: u64,
}

impl Bench {
    async fn new(arguments: &[&str]) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let redis = dir.path().join("redis");
        std::fs::create_dir(&redis).unwrap();
        Bench {
            server: RedisServer::start(&redis, arguments).await,
            journal: open(&dir.path().join("journal")),
            dir,
            written: 0,
        }
    }

    fn config(&self) -> RedisConfig {
        RedisConfig {
            url: self.server.url(),
            partitions: 4,
            batch_entries_max: 3,
            batch_age_ms_max: 0,
            retry_ms_min: 2,
            retry_ms_max: 20,
            checkpoint_ms: 10,
            idle_check_ms: 100,
            ..RedisConfig::default()
        }
    }

    fn sink(&self, config: RedisConfig) -> SinkHandle {
        let dir = self.dir.path().join("journal");
        Sink::start(config, NODE, &dir, self.journal.clone()).unwrap()
    }

    async fn write(&mut self, n: u64) {
        let entries = (self.written..self.written + n).map(|n| (entry(n), Ack::Durable));
        self.written += n;
        for answer in self.journal.append_all(entries.collect()).await {
            answer.unwrap();
        }
    }

    /// Every stream's ids, as the journal has them.
    fn expected(&self) -> BTreeMap<String, Vec<String>> {
        self.expected_of(4)
    }

    /// The same, for a number of partitions.
    fn expected_of(&self, partitions: u64) -> BTreeMap<String, Vec<String>> {
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let read = self
            .journal
            .reader(Position::START)
            .next_batch(usize::MAX, usize::MAX);
        for (position, entry) in read.unwrap() {
            if entry.kind() != Some(EntryKind::Snapshot) {
                let class = if entry.test { "test" } else { "events" };
                let key = format!("{{offerd:{:02}}}:{class}:{NODE}", entry.route % partitions);
                expected.entry(key).or_default().push(position.to_string());
            }
        }
        expected
    }

    /// Waits until everything is shipped, and compares.
    async fn check_complete(&self, sink: &SinkHandle) {
        self.check_complete_of(sink, 4).await;
    }

    /// The same, for a number of partitions.
    async fn check_complete_of(&self, sink: &SinkHandle, partitions: u64) {
        let drained = sink.drained(self.journal.committed());
        let drained = tokio::time::timeout(Duration::from_secs(30), drained).await;
        assert_eq!(drained, Ok(true), "{:#?}", sink.status());
        let mut client = self.server.client().await;
        let expected = self.expected_of(partitions);
        let mut keys: Vec<String> = cmd("SMEMBERS")
            .arg(STREAMS_KEY)
            .query_async(&mut client)
            .await
            .unwrap();
        keys.sort_unstable();
        assert!(keys.iter().eq(expected.keys()), "{keys:?}");
        for (key, ids) in expected {
            assert_eq!(stream(&mut client, &key).await, ids, "{key}");
        }
    }

    /// Compares while things are going wrong: nothing out of order, nothing left out.
    async fn check_prefixes(&self, client: &mut MultiplexedConnection) {
        for (key, ids) in self.expected() {
            let kind: String = cmd("TYPE").arg(&key).query_async(client).await.unwrap();
            if kind == "stream" {
                let found = stream(client, &key).await;
                assert_eq!(found, ids[..found.len()], "{key}");
            }
        }
    }
}

fn open(dir: &Path) -> Journal {
    let config = JournalConfig {
        dir: dir.to_owned(),
        group_commit_ms_max: 0,
        ..JournalConfig::default()
    };
    Journal::open(config, NOW, &mut |_, _| {}).unwrap().0
}

async fn stream(client: &mut MultiplexedConnection, key: &str) -> Vec<String> {
    let entries: Vec<(String, Vec<String>)> = cmd("XRANGE")
        .arg(key)
        .arg("-")
        .arg("+")
        .query_async(client)
        .await
        .unwrap();
    entries.into_iter().map(|(id, _)| id).collect()
}

async fn run(client: &mut MultiplexedConnection, command: &str) -> Value {
    let mut words = command.split(' ');
    let mut cmd = cmd(words.next().unwrap());
    for word in words {
        cmd.arg(if word == "''" { "" } else { word });
    }
    cmd.query_async(client).await.unwrap_or(Value::Nil)
}

fn errors(sink: &SinkHandle, code: ErrorCode) -> u64 {
    sink.status()
        .errors
        .get(code.as_str())
        .copied()
        .unwrap_or(0)
}

#[tokio::test]
async fn every_entry_is_in_its_stream_with_its_fields() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    bench.write(50).await;
    let mut snapshot = entry(1_000);
    snapshot.kind = EntryKind::Snapshot as u8;
    bench.journal.append(snapshot, Ack::Durable).await.unwrap();
    let sink = bench.sink(bench.config());
    bench.check_complete(&sink).await;
    bench.write(50).await;
    bench.check_complete(&sink).await;

    let mut client = bench.server.client().await;
    let first: Vec<(String, Vec<String>)> = cmd("XRANGE")
        .arg(("{offerd:00}:events:n1", "-", "+", "COUNT", 3))
        .query_async(&mut client)
        .await
        .unwrap();
    let (id, fields) = &first[0];
    assert_eq!(id.rsplit_once('-').unwrap().1, "1");
    let expected = [
        ["v", "1"],
        ["type", "decision"],
        ["id", "e-0"],
        ["decision", "00000000-0000-0000-0000-000000000000"],
        ["at", "2026-11-18T11:06:40.000Z"],
        ["node", "n1"],
        ["seq", "1"],
        ["offer", "sports_pack"],
        ["phase", "en_route"],
        ["propensity", "0.8125"],
        ["json", "{\"n\":0}"],
    ];
    assert_eq!(
        fields.iter().map(String::as_str).collect::<Vec<_>>(),
        expected.concat()
    );
    let (_, without_decision) = &first[2];
    assert_eq!(
        without_decision[2..8],
        [
            "type",
            "phase_view",
            "id",
            "e-2",
            "at",
            "2026-11-18T11:06:40.002Z"
        ]
    );

    let status = sink.status();
    assert!(
        status.connected && status.blocked.is_empty() && status.errors.is_empty(),
        "{status:#?}"
    );
    assert_eq!((status.entries_applied, status.lag_entries), (100, 0));
    let server = status.server.unwrap();
    assert_eq!(server.append_only, Some(false));
    assert!(server.warnings().iter().any(|w| w.contains("appendonly")));
    sink.stop().await;
}

#[tokio::test]
async fn what_an_entry_does_not_have_is_left_out_and_nothing_else() {
    if !available() {
        return;
    }
    for entries_max in [0, 1_000] {
        let bench = Bench::new(&[]).await;
        let mut expected = Vec::new();
        for has in 0..1_u64 << 6 {
            let word = |bit: u64, word: &str| (has >> bit & 1 == 1).then(|| word.to_owned());
            let mut entry = entry(has);
            entry.test = false;
            entry.decision = word(0, "").map(|_| 1);
            entry.offer = word(1, "o");
            // What is empty is there all the same.
            entry.placement = word(2, "");
            entry.phase = word(3, "ph");
            entry.propensity = word(4, "").map(|_| 0.25);
            entry.model = word(5, "m");
            let id = "00000000-0000-0000-0000-000000000001";
            let (name, at) = (format!("e-{has}"), format!("2026-11-18T11:06:40.{has:03}Z"));
            let (kind, seq, json) = (
                entry.kind().unwrap().as_str(),
                (has + 1).to_string(),
                entry.record.to_string(),
            );
            let fields = [
                (true, "v", "1"),
                (true, "type", kind),
                (true, "id", &name),
                (has & 1 != 0, "decision", id),
                (true, "at", &at),
                (true, "node", NODE),
                (true, "seq", &seq),
                (has & 2 != 0, "offer", "o"),
                (has & 4 != 0, "placement", ""),
                (has & 8 != 0, "phase", "ph"),
                (has & 16 != 0, "propensity", "0.25"),
                (has & 32 != 0, "model", "m"),
                (true, "json", &json),
            ];
            let there = fields.into_iter().filter(|(there, ..)| *there);
            let words = there.flat_map(|(_, name, value)| [name.to_owned(), value.to_owned()]);
            expected.push(words.collect::<Vec<_>>());
            bench.journal.append(entry, Ack::Durable).await.unwrap();
        }
        let sink = bench.sink(RedisConfig {
            partitions: 1,
            // So that a batch has many forms.
            batch_entries_max: 50,
            stream_entries_max: entries_max,
            ..bench.config()
        });
        bench.check_complete_of(&sink, 1).await;
        let mut client = bench.server.client().await;
        let found: Vec<(String, Vec<String>)> = cmd("XRANGE")
            .arg(("{offerd:00}:events:n1", "-", "+"))
            .query_async(&mut client)
            .await
            .unwrap();
        let found: Vec<_> = found.into_iter().map(|(_, fields)| fields).collect();
        assert_eq!(found, expected);
        sink.stop().await;
    }
}

#[tokio::test]
async fn a_connection_cut_anywhere_loses_nothing_and_repeats_nothing() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let proxy = Proxy::start(bench.server.address()).await;
    let config = RedisConfig {
        url: proxy.url.clone(),
        ..bench.config()
    };
    let sink = bench.sink(config);
    bench.write(9).await;
    bench.check_complete(&sink).await;
    // Replies first: a lost reply is an applied batch that looks like none.
    for bytes in [0, 1, 40, 100, 200, 400] {
        Proxy::cut_after(&proxy.replies, bytes);
        bench.write(24).await;
        eventually("the reply is cut", async || Proxy::has_cut(&proxy.replies)).await;
        bench.check_complete(&sink).await;
    }
    for bytes in (0..6_000).step_by(397) {
        Proxy::cut_after(&proxy.requests, bytes);
        bench.write(24).await;
        eventually("the request is cut", async || {
            Proxy::has_cut(&proxy.requests)
        })
        .await;
        bench.check_complete(&sink).await;
    }
    assert_eq!(sink.status().suffixes_lost, 0);
    sink.stop().await;
}

#[tokio::test]
async fn a_killed_redis_with_an_append_only_file_continues() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&["--appendonly", "yes"]).await;
    let sink = bench.sink(bench.config());
    for _ in 0..3 {
        bench.write(40).await;
        bench.server.kill();
        bench.write(10).await;
        bench.server.restart().await;
        bench.check_complete(&sink).await;
    }
    // What a closed journal holds is shipped as well.
    bench.server.kill();
    bench.write(10).await;
    bench.journal.close().await;
    bench.server.restart().await;
    bench.check_complete(&sink).await;
    sink.stop().await;
}

#[tokio::test]
async fn an_empty_redis_is_filled_again() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let sink = bench.sink(bench.config());
    bench.write(60).await;
    bench.check_complete(&sink).await;
    bench.server.kill();
    bench.server.restart().await;
    // Without a new entry: the sink notices by itself.
    eventually("the loss is noticed", async || {
        sink.status().suffixes_lost > 0
    })
    .await;
    bench.check_complete(&sink).await;
    // While the sink is down, its checkpoint remembers.
    sink.stop().await;
    bench.server.kill();
    bench.server.restart().await;
    bench.write(5).await;
    let sink = bench.sink(bench.config());
    eventually("the loss is noticed", async || {
        sink.status().suffixes_lost > 0
    })
    .await;
    bench.check_complete(&sink).await;
    sink.stop().await;
}

#[tokio::test]
async fn a_lost_suffix_is_sent_again() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let sink = bench.sink(bench.config());
    bench.write(40).await;
    bench.check_complete(&sink).await;
    let mut client = bench.server.client().await;
    run(&mut client, "SAVE").await;
    bench.write(40).await;
    bench.check_complete(&sink).await;
    let before = sink.status().entries_applied;
    bench.server.kill();
    bench.server.restart().await;
    eventually("the loss is noticed", async || {
        sink.status().suffixes_lost > 0
    })
    .await;
    bench.check_complete(&sink).await;
    assert_eq!(
        sink.status().entries_applied - before,
        40,
        "exactly the suffix"
    );
    sink.stop().await;
}

#[tokio::test]
async fn without_its_checkpoint_nothing_is_sent_twice() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let sink = bench.sink(bench.config());
    bench.write(60).await;
    bench.check_complete(&sink).await;
    sink.stop().await;
    std::fs::remove_file(bench.dir.path().join("journal/sink.redis.checkpoint")).unwrap();
    bench.write(6).await;
    let sink = bench.sink(bench.config());
    bench.check_complete(&sink).await;
    assert_eq!(sink.status().entries_applied, 6);
    sink.stop().await;

    let other = RedisConfig {
        partitions: 5,
        ..bench.config()
    };
    let dir = bench.dir.path().join("journal");
    let refused = Sink::start(other, NODE, &dir, bench.journal.clone());
    assert!(matches!(
        refused,
        Err(StartError::Partitions { before: 4, now: 5 })
    ));
}

#[tokio::test]
async fn a_frozen_redis_is_left_and_found_again() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let config = RedisConfig {
        response_timeout_ms: 100,
        connect_timeout_ms: 100,
        ..bench.config()
    };
    let sink = bench.sink(config);
    bench.write(20).await;
    bench.check_complete(&sink).await;
    bench.server.signal("STOP");
    bench.write(20).await;
    eventually("it times out", async || {
        errors(&sink, ErrorCode::Timeout) > 2
    })
    .await;
    assert!(!sink.status().connected || sink.status().lag_entries > 0);
    bench.server.signal("CONT");
    bench.check_complete(&sink).await;
    sink.stop().await;
}

/// How an error is brought about and cured.
struct Fault {
    code: ErrorCode,
    cause: &'static [&'static str],
    cure: &'static [&'static str],
}

const FAULTS: &[Fault] = &[
    Fault {
        code: ErrorCode::Oom,
        cause: &["CONFIG SET maxmemory 1"],
        cure: &["CONFIG SET maxmemory 0"],
    },
    Fault {
        code: ErrorCode::Readonly,
        cause: &["REPLICAOF 127.0.0.1 1"],
        cure: &["REPLICAOF NO ONE"],
    },
    Fault {
        code: ErrorCode::NoReplicas,
        cause: &["CONFIG SET min-replicas-to-write 1"],
        cure: &["CONFIG SET min-replicas-to-write 0"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -xadd"],
        cure: &["ACL SETUSER default +xadd"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -xsetid"],
        cure: &["ACL SETUSER default +xsetid"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -xinfo"],
        cure: &["ACL SETUSER default +xinfo"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -watch"],
        cure: &["ACL SETUSER default +watch"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -multi"],
        cure: &["ACL SETUSER default +multi"],
    },
    Fault {
        code: ErrorCode::NoPerm,
        cause: &["ACL SETUSER default -exec"],
        cure: &["ACL SETUSER default +exec"],
    },
    // The guard fails behind an open transaction, which cannot be left.
    Fault {
        code: ErrorCode::Protocol,
        cause: &["ACL SETUSER default -discard -watch"],
        cure: &["ACL SETUSER default +discard +watch"],
    },
    Fault {
        code: ErrorCode::NoAuth,
        cause: &[
            "CONFIG SET requirepass secret",
            "CLIENT KILL TYPE normal SKIPME yes",
        ],
        cure: &["CONFIG SET requirepass ''"],
    },
    // Redis says why and hangs up at once; who is still writing the handshake hears only the latter.
    Fault {
        code: ErrorCode::Io,
        cause: &[
            "CONFIG SET maxclients 1",
            "CLIENT KILL TYPE normal SKIPME yes",
        ],
        cure: &["CONFIG SET maxclients 1000"],
    },
    Fault {
        code: ErrorCode::WrongType,
        cause: &["SET {offerd:01}:events:n1 x"],
        cure: &["DEL {offerd:01}:events:n1"],
    },
    Fault {
        code: ErrorCode::Misconf,
        cause: &[
            "CONFIG SET appendonly no",
            "CONFIG SET stop-writes-on-bgsave-error yes",
        ],
        cure: &["CONFIG SET stop-writes-on-bgsave-error no"],
    },
];

#[tokio::test]
async fn every_error_at_every_position_leaves_no_hole() {
    if !available() {
        return;
    }
    for fault in FAULTS {
        let misconf = fault.code == ErrorCode::Misconf;
        // Redis refuses writes after a failed dump only where dumps are scheduled.
        let arguments: &[&str] = if misconf { &["--save", "3600 1"] } else { &[] };
        let mut bench = Bench::new(arguments).await;
        let mut client = bench.server.client().await;
        if misconf {
            run(&mut client, "CONFIG SET stop-writes-on-bgsave-error no").await;
            std::fs::remove_dir_all(bench.dir.path().join("redis")).unwrap();
            run(&mut client, "BGSAVE").await;
            eventually("the dump fails", async || {
                let info = run(&mut client, "INFO persistence").await;
                format!("{info:?}").contains("rdb_last_bgsave_status:err")
            })
            .await;
        }
        let sink = bench.sink(bench.config());
        for position in 0..8 {
            bench.write(position).await;
            bench.check_complete(&sink).await;
            let before = errors(&sink, fault.code);
            for command in fault.cause {
                run(&mut client, command).await;
            }
            bench.write(30).await;
            eventually(fault.cause[0], async || errors(&sink, fault.code) > before).await;
            let readable = matches!(fault.code, ErrorCode::Oom | ErrorCode::WrongType);
            if readable {
                bench.check_prefixes(&mut client).await;
            }
            for command in fault.cure {
                run(&mut client, command).await;
            }
            bench.check_complete(&sink).await;
        }
        sink.stop().await;
    }
}

/// *Goal:* a fault that comes and goes between two batches of one pipeline leaves no hole.
/// *Method:* one stream, a batch for each entry, and entries so large that Redis reads a pipeline in
/// several pieces; between them another connection causes and cures the fault as fast as it can.
#[tokio::test]
async fn a_fault_that_comes_and_goes_within_a_pipeline_leaves_no_hole() {
    const ROUNDS: u64 = 40;
    const ENTRIES: u64 = 30;
    if !available() {
        return;
    }
    let quick = [ErrorCode::Oom, ErrorCode::NoReplicas, ErrorCode::Readonly];
    for fault in FAULTS.iter().filter(|fault| quick.contains(&fault.code)) {
        let mut bench = Bench::new(&[]).await;
        let config = RedisConfig {
            partitions: 1,
            batch_entries_max: 1,
            retry_ms_max: 4,
            ..bench.config()
        };
        let sink = bench.sink(config);
        let mut client = bench.server.client().await;
        let toggling = tokio::spawn(async move {
            loop {
                for command in fault.cause.iter().chain(fault.cure) {
                    run(&mut client, command).await;
                }
            }
        });
        for _ in 0..ROUNDS {
            let entries = (bench.written..bench.written + ENTRIES).map(|n| {
                let mut entry = entry(n);
                entry.test = false;
                entry.record = format!("{{\"x\":\"{}\"}}", "x".repeat(6_000)).into();
                (entry, Ack::Durable)
            });
            let entries = entries.collect();
            bench.written += ENTRIES;
            for answer in bench.journal.append_all(entries).await {
                answer.unwrap();
            }
        }
        eventually(fault.cause[0], async || errors(&sink, fault.code) > 20).await;
        toggling.abort();
        assert!(toggling.await.unwrap_err().is_cancelled());
        let mut client = bench.server.client().await;
        for command in fault.cure {
            run(&mut client, command).await;
        }
        bench.check_complete_of(&sink, 1).await;
        sink.stop().await;
    }
}

/// What may happen while a batch is on its way, and what is done about it once the batch has arrived.
const MEANWHILE: &[(&str, &str)] = &[
    ("FLUSHALL", "PING"),
    ("DEL {offerd:00}:events:n1", "PING"),
    (
        "XTRIM {offerd:00}:events:n1 MAXLEN 0",
        "DEL {offerd:00}:events:n1",
    ),
    ("DEBUG RELOAD", "PING"),
    ("SWAPDB 0 1", "SWAPDB 0 1"),
    ("ACL SETUSER default -xadd", "ACL SETUSER default +xadd"),
    ("ACL SETUSER default -xsetid", "ACL SETUSER default +xsetid"),
    ("ACL SETUSER default -exec", "ACL SETUSER default +exec"),
    ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    (
        "CONFIG SET min-replicas-to-write 1",
        "CONFIG SET min-replicas-to-write 0",
    ),
    ("CLIENT KILL TYPE normal SKIPME yes", "PING"),
];

impl Bench {
    /// One connection through `proxy`, one stream.
    fn narrow(&self, proxy: &Proxy) -> RedisConfig {
        RedisConfig {
            url: proxy.url.clone(),
            partitions: 1,
            connections: 1,
            response_timeout_ms: 10_000,
            idle_check_ms: 3_600_000,
            ..self.config()
        }
    }

    /// Entries of that one stream.
    async fn write_events(&mut self, n: u64) {
        let entries = (self.written..self.written + n).map(|n| {
            let mut entry = entry(n);
            entry.test = false;
            (entry, Ack::Durable)
        });
        let entries = entries.collect();
        self.written += n;
        for answer in self.journal.append_all(entries).await {
            answer.unwrap();
        }
    }
}

/// How many commands the sink has queued; `None` outside of a transaction.
async fn queued(client: &mut MultiplexedConnection) -> Option<u64> {
    let list: String = cmd("CLIENT").arg("LIST").query_async(client).await.unwrap();
    let numbers = list.split(" multi=").skip(1);
    let numbers = numbers.filter_map(|rest| rest.split(' ').next()?.parse().ok());
    numbers.max()
}

/// *Goal:* whatever happens between any two bytes of a batch leaves no hole.
/// *Method:* a proxy holds the requests after so many bytes, before the guard, between guard and load,
/// among the entries and before `EXEC`; then it happens, and the rest arrives.
#[tokio::test]
async fn what_happens_while_a_batch_is_on_its_way_leaves_no_hole() {
    if !available() {
        return;
    }
    let mut within = 0;
    for (index, (cause, cure)) in MEANWHILE.iter().enumerate() {
        let mut bench = Bench::new(&[]).await;
        let proxy = Proxy::start(bench.server.address()).await;
        let sink = bench.sink(bench.narrow(&proxy));
        let mut client = bench.server.client().await;
        bench.write_events(4).await;
        bench.check_complete_of(&sink, 1).await;
        for bytes in (0..2_000).step_by(83) {
            proxy.hold_after(bytes + index as i64);
            bench.write_events(6).await;
            eventually("the requests are held", async || proxy.is_holding()).await;
            within += usize::from(queued(&mut client).await.is_some_and(|n| n > 0));
            run(&mut client, cause).await;
            proxy.release();
            // Until it has arrived, or the connection is found to be gone.
            eventually(cause, async || queued(&mut client).await.is_none()).await;
            run(&mut client, cure).await;
            eventually("all is well", async || {
                let status = sink.status();
                status.connected && status.blocked.is_empty()
            })
            .await;
            bench.write_events(1).await;
            bench.check_complete_of(&sink, 1).await;
        }
        sink.stop().await;
    }
    assert!(within > 100, "{within} times within a transaction");
}

/// *Goal:* a last id that somebody else sets while a batch is on its way takes no entry of the batch.
/// *Method:* as above, once the guard has been answered; the id is that of an entry within the batch.
#[tokio::test]
async fn an_id_set_by_somebody_else_takes_no_entry() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let proxy = Proxy::start(bench.server.address()).await;
    let sink = bench.sink(bench.narrow(&proxy));
    let mut client = bench.server.client().await;
    bench.write_events(4).await;
    bench.check_complete_of(&sink, 1).await;
    let key = "{offerd:00}:events:n1";
    let mut set = 0;
    for bytes in (0..1_200).step_by(23) {
        proxy.hold_after(bytes);
        bench.write_events(3).await;
        eventually("the requests are held", async || proxy.is_holding()).await;
        if queued(&mut client).await.is_some() {
            let there = stream(&mut client, key).await.len();
            let within = bench.expected_of(1)[key][there + 1].clone();
            let answer = run(&mut client, &format!("XSETID {key} {within}")).await;
            assert_eq!(answer, Value::Okay);
            set += 1;
        }
        proxy.release();
        bench.check_complete_of(&sink, 1).await;
    }
    assert!(set > 10, "{set} times");
    assert!(sink.status().errors.is_empty(), "{:?}", sink.status());
    sink.stop().await;
}

/// *Goal:* a connection that was given up and delivers all the same does no harm.
/// *Method:* the proxy holds a batch after its guard until the sink has shipped it by another one.
#[tokio::test]
async fn a_batch_that_arrives_too_late_is_not_taken() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let proxy = Proxy::start(bench.server.address()).await;
    let config = RedisConfig {
        response_timeout_ms: 200,
        ..bench.narrow(&proxy)
    };
    let sink = bench.sink(config);
    let mut client = bench.server.client().await;
    let mut late = 0;
    for bytes in (100..1_200).step_by(101) {
        bench.write_events(4).await;
        bench.check_complete_of(&sink, 1).await;
        proxy.hold_after(bytes);
        bench.write_events(3).await;
        eventually("the requests are held", async || proxy.is_holding()).await;
        let open = queued(&mut client).await.is_some();
        bench.check_complete_of(&sink, 1).await;
        assert!(errors(&sink, ErrorCode::Timeout) > 0);
        proxy.release();
        eventually("it is over", async || queued(&mut client).await.is_none()).await;
        late += usize::from(open);
        bench.check_complete_of(&sink, 1).await;
    }
    assert!(late > 3, "{late} times");
    sink.stop().await;
}

/// A user with the rights that docs/running.md names, and no other.
#[tokio::test]
async fn the_rights_in_the_manual_are_enough() {
    if !available() {
        return;
    }
    let manual = include_str!("../../docs/running.md");
    let rights = manual
        .lines()
        .find(|line| line.starts_with("ACL SETUSER offerd "))
        .unwrap();
    let mut bench = Bench::new(&[]).await;
    let mut client = bench.server.client().await;
    assert_eq!(run(&mut client, rights).await, Value::Okay);
    let address = bench.server.address();
    let sink = bench.sink(RedisConfig {
        url: format!("redis://offerd:password@{address}"),
        ..bench.config()
    });
    bench.write(40).await;
    bench.check_complete(&sink).await;
    run(&mut client, "FLUSHALL").await;
    bench.write(40).await;
    bench.check_complete(&sink).await;
    // What a changed stream is asked, and how a transaction is left.
    run(&mut client, "SET {offerd:01}:events:n1 x").await;
    bench.write(40).await;
    eventually("it is in the way", async || {
        errors(&sink, ErrorCode::WrongType) > 0
    })
    .await;
    run(&mut client, "DEL {offerd:01}:events:n1").await;
    bench.check_complete(&sink).await;
    let status = sink.status();
    assert!(!status.errors.contains_key("noperm"), "{status:?}");
    assert!(status.server.unwrap().version.is_some());
    sink.stop().await;
}

#[tokio::test]
async fn a_busy_and_a_loading_redis_are_waited_for() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let sink = bench.sink(bench.config());
    bench.write(60).await;
    bench.check_complete(&sink).await;
    let mut client = bench.server.client().await;
    run(&mut client, "CONFIG SET busy-reply-threshold 20").await;
    let mut looping = bench.server.client().await;
    let endless = tokio::spawn(async move {
        let mut script = cmd("EVAL");
        script.arg("while true do end").arg(0);
        // It is killed below, which is an error.
        let _ = script.exec_async(&mut looping).await;
    });
    eventually("the script blocks", async || {
        run(&mut client, "PING").await == Value::Nil
    })
    .await;
    bench.write(20).await;
    eventually("busy", async || errors(&sink, ErrorCode::Busy) > 0).await;
    run(&mut client, "SCRIPT KILL").await;
    endless.await.unwrap();
    bench.check_complete(&sink).await;

    run(&mut client, "SAVE").await;
    bench.server.kill();
    bench.write(20).await;
    // A tenth of a second for each key: long enough to be asked meanwhile.
    let slow = [
        "--key-load-delay",
        "100000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    bench.server.restart_with(&slow).await;
    eventually("loading", async || errors(&sink, ErrorCode::Loading) > 0).await;
    bench.check_complete(&sink).await;
    eventually("healed", async || sink.status().last_error.is_none()).await;
    assert_eq!(sink.status().suffixes_lost, 0);
    sink.stop().await;
}

#[tokio::test]
async fn what_changes_under_a_living_connection_is_repaired() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let config = RedisConfig {
        // The repair must come from the comparison, not from looking now and then.
        idle_check_ms: 3_600_000,
        ..bench.config()
    };
    let sink = bench.sink(config);
    let mut client = bench.server.client().await;
    let key = "{offerd:01}:events:n1";
    for position in 0..10 {
        bench.write(30 + position).await;
        bench.check_complete(&sink).await;
        let older: Vec<u8> = cmd("DUMP").arg(key).query_async(&mut client).await.unwrap();
        bench.write(30).await;
        bench.check_complete(&sink).await;
        let lost = sink.status().suffixes_lost;
        match position % 4 {
            0 => drop(run(&mut client, "FLUSHALL").await),
            1 => drop(run(&mut client, &format!("DEL {key}")).await),
            2 => drop(run(&mut client, "DEBUG RELOAD").await),
            _ => {
                let mut restore = cmd("RESTORE");
                restore.arg(key).arg(0).arg(older).arg("REPLACE");
                restore.exec_async(&mut client).await.unwrap();
            }
        }
        bench.write(30).await;
        bench.check_complete(&sink).await;
        let repaired = sink.status().suffixes_lost > lost;
        assert_eq!(
            repaired,
            position % 4 != 2,
            "{position}: a reload loses nothing"
        );
    }
    assert_eq!(sink.status().connections, 1);
    sink.stop().await;
}

#[tokio::test]
async fn a_stream_of_another_journal_is_refused_or_continued() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&[]).await;
    let mut client = bench.server.client().await;
    // Far ahead: nothing could be written. In the past: nothing is in the way.
    run(
        &mut client,
        "XADD {offerd:01}:events:n1 9999999999999-1 v 1",
    )
    .await;
    run(&mut client, "XADD {offerd:02}:events:n1 5-1 v 1").await;
    bench.write(40).await;
    let sink = bench.sink(bench.config());
    eventually("it is refused", async || {
        sink.status().blocked.iter().any(|b| b.refused)
    })
    .await;
    let length = async |client: &mut MultiplexedConnection, key: &str| {
        cmd("XLEN")
            .arg(key)
            .query_async::<usize>(client)
            .await
            .unwrap()
    };
    let wanted = bench.expected()["{offerd:02}:events:n1"].len() + 1;
    eventually("the others are shipped", async || {
        length(&mut client, "{offerd:02}:events:n1").await == wanted
    })
    .await;
    assert_eq!(length(&mut client, "{offerd:01}:events:n1").await, 1);
    let status = sink.status();
    assert_eq!(
        (status.blocked.len(), status.adopted),
        (1, 1),
        "{status:#?}"
    );
    assert_eq!(status.blocked[0].key, "{offerd:01}:events:n1");
    assert!(status.shipped < bench.journal.committed());
    // Once the foreign stream is out of the way, everything comes.
    run(
        &mut client,
        "DEL {offerd:01}:events:n1 {offerd:02}:events:n1",
    )
    .await;
    eventually("the loss is noticed", async || {
        sink.status().suffixes_lost > 0
    })
    .await;
    bench.check_complete(&sink).await;
    sink.stop().await;
}

#[tokio::test]
async fn a_trimmed_stream_keeps_about_as_many_as_told() {
    if !available() {
        return;
    }
    let mut bench = Bench::new(&["--stream-node-max-entries", "10"]).await;
    let config = RedisConfig {
        partitions: 1,
        stream_entries_max: 20,
        ..bench.config()
    };
    let sink = bench.sink(config);
    bench.write(200).await;
    assert!(sink.drained(bench.journal.committed()).await);
    let mut client = bench.server.client().await;
    let left = stream(&mut client, "{offerd:00}:events:n1").await;
    assert!((20..40).contains(&left.len()), "{}", left.len());
    sink.stop().await;
    // Trimmed is not lost: nothing is sent again.
    let sink = bench.sink(RedisConfig {
        partitions: 1,
        stream_entries_max: 20,
        ..bench.config()
    });
    bench.write(1).await;
    assert!(sink.drained(bench.journal.committed()).await);
    assert_eq!(sink.status().entries_applied, 1);
    sink.stop().await;
}

/// *Goal:* an entry costs Redis little more through the sink than by itself, and the sink keeps up.
/// *Method:* a backlog in the journal is shipped by one sink, and the same entries' fields are sent
/// by `redis-benchmark` with one connection and a pipeline as deep as the sink's batches, to the same
/// server, in turn. Redis tells its own processor time, which others on the machine hardly change; the
/// rates they do. Run it with
/// `cargo test --release --test it shipping_rate -- --include-ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement: needs a release build and an idle machine"]
async fn shipping_rate() {
    const ENTRIES: u64 = 200_000;
    const ROUNDS: usize = 7;
    let mut bench = Bench::new(&[]).await;
    let record = "x".repeat(600);
    for first in (0..ENTRIES).step_by(1_000) {
        let entries = (first..first + 1_000).map(|n| {
            let mut entry = entry(3 * n);
            entry.test = false;
            entry.record = format!("{{\"x\":\"{record}\"}}").into();
            (entry, Ack::Durable)
        });
        for answer in bench.journal.append_all(entries.collect()).await {
            answer.unwrap();
        }
    }
    bench.written = ENTRIES;
    let mut client = bench.server.client().await;
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for round in 0..ROUNDS {
        run(&mut client, "FLUSHALL").await;
        let config = RedisConfig {
            url: bench.server.url(),
            ..RedisConfig::default()
        };
        let dir = bench.dir.path().join(format!("round-{round}"));
        let (before, start) = (processor_us(&mut client).await, std::time::Instant::now());
        let sink = Sink::start(config, NODE, &dir, bench.journal.clone()).unwrap();
        assert!(sink.drained(bench.journal.committed()).await);
        let ours = ENTRIES as f64 / start.elapsed().as_secs_f64();
        let our_us = (processor_us(&mut client).await - before) / ENTRIES as f64;
        assert_eq!(sink.status().entries_applied, ENTRIES);
        assert!(sink.status().errors.is_empty(), "{:?}", sink.status());
        sink.stop().await;
        run(&mut client, "FLUSHALL").await;
        let before = processor_us(&mut client).await;
        let peer = peer_rate(&bench.server.address(), &record, ENTRIES);
        let peer_us = (processor_us(&mut client).await - before) / ENTRIES as f64;
        eprintln!(
            "sink {ours:.0}/s at {our_us:.2} us of Redis each, redis-benchmark {peer:.0}/s at \
             {peer_us:.2} us; ratio of rates {:.2}, of processor time {:.2}",
            ours / peer,
            peer_us / our_us
        );
        ratios[0].push(ours / peer);
        ratios[1].push(peer_us / our_us);
    }
    for (name, ratios) in ["rates", "processor time"].into_iter().zip(&mut ratios) {
        ratios.sort_by(f64::total_cmp);
        let (least, most) = (ratios[0], ratios[ROUNDS - 1]);
        let median = ratios[ROUNDS / 2];
        eprintln!("{name}: median {median:.2}, {least:.2} to {most:.2}");
    }
}

/// What Redis has spent on its commands so far.
async fn processor_us(client: &mut MultiplexedConnection) -> f64 {
    let info: String = cmd("INFO").arg("cpu").query_async(client).await.unwrap();
    let seconds = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse::<f64>().unwrap()
    };
    1e6 * (seconds("used_cpu_user:") + seconds("used_cpu_sys:"))
}

fn peer_rate(address: &str, record: &str, entries: u64) -> f64 {
    let (host, port) = address.split_once(':').unwrap();
    let id = "00000000-0000-0003-0000-000000000000";
    let output = std::process::Command::new("redis-benchmark")
        .args(["-h", host, "-p", port, "-c", "1", "-P", "512", "--csv"])
        .args(["-n", &entries.to_string(), "XADD", "k", "*"])
        .args([
            "v", "1", "type", "decision", "id", "e-100000", "decision", id,
        ])
        .args([
            "at",
            "2026-11-18T11:06:40.002Z",
            "node",
            NODE,
            "seq",
            "100000",
        ])
        .args([
            "offer",
            "sports_pack",
            "phase",
            "en_route",
            "propensity",
            "0.8125",
        ])
        .args(["json", &format!("{{\"x\":\"{record}\"}}")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let figures = text.lines().last().unwrap().rsplit("\",\"").nth(6).unwrap();
    figures.trim_matches('"').parse().unwrap()
}
