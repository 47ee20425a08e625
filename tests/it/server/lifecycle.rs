//! Start, stop, and everything that should keep the server from starting.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::process::Process;
use super::{PATIENCE, Server, ask_demo, config, event, journal_file, offers, until};

/// Everything the server sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Goal: SIGTERM is answered in order: not ready while still answering, then no new connection, then
/// what is in flight finishes, and what was acknowledged is on disk when the process is gone.
#[tokio::test]
async fn sigterm_drains() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), "[node]\nunready_ms = 300\n").await;
    let client = server.client.clone();
    assert_eq!(client.get("/readyz").await.status, StatusCode::OK);
    assert_eq!(client.get("/livez").await.status, StatusCode::OK);
    let answer = client.decide(&ask_demo("c-1")).await;
    let sold = event("conversion", "e-1", &offers(&answer)[0]);
    assert_eq!(client.record(&[sold]).await["accepted"], 1);

    // A request of which a part has come when the signal does.
    let body = ask_demo("c-2").to_string();
    let (begun, left) = body.split_at(40);
    let mut slow = TcpStream::connect(client.public).await.unwrap();
    let head = format!(
        "POST /v1/decisions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{begun}",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();

    server.signal("TERM");
    until("it says not ready", async || {
        client.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let admin = client.admin(Method::GET, "/readyz", "").await;
    assert_eq!(admin.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get("/livez").await.status, StatusCode::OK);
    let late = client.decide(&ask_demo("c-3")).await;
    assert!(!offers(&late).is_empty(), "not ready is not closed");
    until("nobody new is let in", async || {
        TcpStream::connect(client.public).await.is_err()
    })
    .await;
    slow.write_all(left.as_bytes()).await.unwrap();
    let finished = rest(&mut slow).await;
    assert!(finished.starts_with("HTTP/1.1 200"), "{finished}");
    assert!(
        finished.to_ascii_lowercase().contains("connection: close"),
        "{finished}"
    );
    assert_eq!(server.ended().await, Some(0));
    let log = server.log();
    assert!(log.contains("stopped") && !log.contains("ERROR"), "{log}");

    let counts = journal_file::counts(&dir.path().join("data"));
    assert_eq!((counts["decision"], counts["conversion"]), (3, 1));
    // The folder is free again, and whole.
    let mut server = Process::start(dir.path(), "").await;
    assert_eq!(server.client.appended("decision").await, 0);
    // A person at a terminal does not wait.
    server.signal("INT");
    assert_eq!(server.ended().await, Some(0));
}

/// Goal: two servers never write one folder.
#[tokio::test]
async fn a_second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), "").await;
    let second = Process::refused(dir.path(), "");
    assert_eq!(second.code, 1, "{second:?}");
    assert!(
        second.stderr.contains("in use by another process"),
        "{second:?}"
    );
    assert!(second.stderr.contains("data/journal"), "{second:?}");
    let answer = server.client.decide(&ask_demo("c-1")).await;
    assert!(!offers(&answer).is_empty(), "the first goes on");
    // Neither does one whose port is taken.
    let elsewhere = tempfile::tempdir().unwrap();
    let settings = format!("[public]\naddress = \"{}\"\n", server.client.public);
    let taken = Process::refused(elsewhere.path(), &settings);
    assert_eq!(taken.code, 1, "{taken:?}");
    let address = server.client.public.to_string();
    assert!(
        taken.stderr.contains(&address) && taken.stderr.contains("in use"),
        "{taken:?}"
    );
    assert!(
        !elsewhere.path().join("data").exists(),
        "and it has touched nothing"
    );
    assert_eq!(server.terminate().await, Some(0));
}

/// Goal: a wrong setting is exit code 64 and its key, before anything is written.
#[test]
fn wrong_settings_are_named() {
    let cases = [
        ("[node]\nidd = \"a\"", "idd"),
        ("[nodes]\n", "nodes"),
        ("[node]\nid = \"a b\"", "node.id"),
        ("[node]\nid = 7", "id"),
        ("[node]\nunready_ms = 60001", "node.unready_ms"),
        (
            "[journal]\nqueue_entries_max = 0",
            "journal.queue_entries_max",
        ),
        ("[redis]\nurl = \"localhost\"", "redis.url"),
        (
            "[redis]\nurl = \"redis://127.0.0.1:1\"\npartitions = 101",
            "redis.partitions",
        ),
        ("[ledger]\nhorizon_days = 0", "ledger.horizon_days"),
        ("[log]\nfilter = \"offerd=chatty\"", "log.filter"),
        ("[catalog]\nfile = \"none.toml\"", "catalog.file"),
        ("[public]\naddress = \"127.0.0.1\"", "address"),
        ("[public]\naddress = \"0.0.0.0:0\"", "auth.secret_keys"),
        ("[admin]\naddress = \"0.0.0.0:0\"", "auth.admin_keys"),
        (
            "[public]\naddress = \"127.0.0.1:0\"\nlimits = { header_ms = 0 }",
            "header_ms",
        ),
        ("[auth]\nsecret_keys = [\"hunter2\"]", "secret_keys"),
        ("not toml", "offerd.toml"),
    ];
    for (settings, key) in cases {
        let dir = tempfile::tempdir().unwrap();
        let said = Process::refused(dir.path(), settings);
        assert_eq!(said.code, 64, "{settings}: {said:?}");
        assert!(said.stderr.contains(key), "{settings}: {said:?}");
        assert!(
            !said.stderr.contains("hunter2"),
            "no secret is printed: {said:?}"
        );
        assert_eq!(said.stdout, "", "{settings}");
        assert!(
            !dir.path().join("data").exists(),
            "{settings}: data was made"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.toml"), "placement = 7").unwrap();
    let said = Process::refused(dir.path(), "[catalog]\nfile = \"bad.toml\"");
    assert_eq!(said.code, 64, "{said:?}");
    assert!(said.stderr.contains("catalog refused"), "{said:?}");
    let told = said.stderr.matches("placement").count();
    let once = said
        .stderr
        .lines()
        .filter(|l| l.contains("placement"))
        .count();
    assert_eq!(told, once, "a mistake is told once: {said:?}");
    let said = Process::run(&["serve", "--no-such-flag"]);
    assert_eq!(said.code, 2, "{said:?}");
}

/// Goal: nothing of the operators' port answers on the public one, nor the other way round.
#[tokio::test]
async fn the_two_ports_have_nothing_in_common() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(config(dir.path())).await;
    let client = &server.client;
    for (method, path) in [
        (Method::GET, "/v1/catalog"),
        (Method::PUT, "/v1/catalog"),
        (Method::GET, "/v1/models"),
        (Method::PUT, "/v1/models/a/1"),
        (Method::GET, "/v1/decisions/0193"),
        (Method::POST, "/v1/replay"),
        (Method::GET, "/v1/reports/delivery"),
        (Method::GET, "/metrics"),
        (Method::GET, "/"),
    ] {
        let here = client
            .try_send(method.clone(), client.public, path, &[], "")
            .await
            .unwrap();
        assert_eq!(here.status, StatusCode::NOT_FOUND, "{method} {path}");
        let there = client.admin(method.clone(), path, "").await;
        assert_ne!(there.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    for (method, path) in [
        (Method::POST, "/v1/decisions"),
        (Method::POST, "/v1/events"),
        (Method::POST, "/v1/context"),
        (Method::GET, "/demo"),
        (Method::GET, "/sdk.js"),
        (Method::GET, "/openapi.json"),
    ] {
        let here = client.admin(method.clone(), path, "").await;
        assert_eq!(here.status, StatusCode::NOT_FOUND, "{method} {path}");
        let there = client
            .try_send(method.clone(), client.public, path, &[], "")
            .await
            .unwrap();
        assert_ne!(there.status, StatusCode::NOT_FOUND, "{method} {path}");
        let wrong = client
            .try_send(Method::DELETE, client.public, path, &[], "")
            .await
            .unwrap();
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(!wrong.header("allow").is_empty(), "{path}");
    }
    server.stop().await;
}

/// Goal: with keys, each opens its own door and no other.
#[tokio::test]
async fn keys_open_their_own_doors() {
    let made = |kind: &str, more: &[&str]| {
        let said = Process::run(&[&["keys", "new", kind, "--json"], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let said: Value = serde_json::from_str(&said.stdout).unwrap();
        let word = |name: &str| {
            said[name]
                .as_str()
                .unwrap_or_else(|| panic!("{said}"))
                .to_owned()
        };
        (word("key"), word("digest"))
    };
    let (secret, secret_digest) = made("secret", &[]);
    let (page, page_digest) = made("publishable", &["--origin", "https://shop.example"]);
    let (admin, admin_digest) = made("admin", &[]);
    let settings = format!(
        "[auth]\nsecret_keys = [\"{secret_digest}\"]\nadmin_keys = [\"{admin_digest}\"]\n\
         publishable_keys = [{{ digest = \"{page_digest}\", origins = [\"https://shop.example\"] }}]\n"
    );
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), &settings).await;
    let client = &server.client;
    let bearer = |key: &str| format!("Bearer {key}");
    let (secret, page, admin) = (bearer(&secret), bearer(&page), bearer(&admin));
    let shop = ("origin", "https://shop.example");
    let decide = async |headers: &[(&str, &str)]| {
        client.post("/v1/decisions", headers, &ask_demo("c")).await
    };

    assert_eq!(decide(&[]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        decide(&[("authorization", "Bearer nonsense")]).await.status,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        decide(&[("authorization", &admin)]).await.status.as_u16() / 100,
        4
    );
    let told = decide(&[("authorization", &secret)]).await.ok();
    assert!(offers(&told)[0]["propensity"].is_number(), "{told}");
    let other = ("origin", "https://evil.example");
    assert_eq!(
        decide(&[("authorization", &page), other]).await.status,
        StatusCode::FORBIDDEN
    );
    let seen = decide(&[("authorization", &page), shop]).await;
    assert_eq!(
        seen.header("access-control-allow-origin"),
        "https://shop.example"
    );
    let seen = seen.ok();
    for word in ["score", "propensity", "conversion_probability", "explored"] {
        assert!(offers(&seen)[0].get(word).is_none(), "{word}: {seen}");
    }
    // What a page says of its visitor is not believed; what the operator's server signed is.
    let said = json!({ "customer": { "id": "c-9", "features": { "tenure": 77 } } });
    let signed = client
        .post("/v1/context", &[("authorization", &secret)], &said)
        .await
        .ok();
    let mut request = ask_demo("c-1");
    request["context_token"] = signed["token"].clone();
    let admin_key = [("authorization", admin.as_str())];
    for (request, features) in [
        (ask_demo("c-1"), json!([])),
        (request, json!([["tenure", 77.0]])),
    ] {
        let headers = [("authorization", page.as_str()), shop];
        let answer = client.post("/v1/decisions", &headers, &request).await.ok();
        let path = format!("/v1/decisions/{}", answer["decision_id"].as_str().unwrap());
        let mut record = Value::Null;
        until("the decision is on record", async || {
            let got = client
                .try_send(Method::GET, client.admin, &path, &admin_key, "")
                .await
                .unwrap();
            record = got.json();
            got.status == StatusCode::OK
        })
        .await;
        assert_eq!(record["request"]["features"], features);
    }
    let forbidden = client
        .post("/v1/context", &[("authorization", &page), shop], &said)
        .await;
    assert_eq!(forbidden.status, StatusCode::FORBIDDEN);
    // A beacon has no key: its token is the proof.
    let sold = event("conversion", "e-1", &offers(&seen)[0]);
    assert_eq!(client.record(&[sold]).await["accepted"], 1);

    for (headers, status) in [
        (&[][..], StatusCode::UNAUTHORIZED),
        (
            &[("authorization", secret.as_str())],
            StatusCode::UNAUTHORIZED,
        ),
        (&admin_key, StatusCode::OK),
    ] {
        for path in [
            "/v1/catalog",
            "/v1/models",
            "/metrics",
            "/v1/reports/delivery",
            "/",
        ] {
            let answer = client
                .try_send(Method::GET, client.admin, path, headers, "")
                .await
                .unwrap();
            assert_eq!(answer.status, status, "{path} {headers:?}");
        }
    }
    assert_eq!(
        client.admin(Method::GET, "/readyz", "").await.status,
        StatusCode::OK
    );
    assert_eq!(server.terminate().await, Some(0));
}

/// Goal: what `offerd export` counts is what the server says it has delivered to its journal.
#[tokio::test]
async fn an_export_counts_what_was_delivered() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Process::start(dir.path(), "").await;
    let client = server.client.clone();
    let mut last = Value::Null;
    for n in 0..20 {
        let mut request = ask_demo(&format!("c-{n}"));
        request["test"] = json!(n % 5 == 0);
        last = client.decide(&request).await;
        let events = ["impression", "conversion"].map(|kind| event(kind, kind, &offers(&last)[0]));
        client.record(&events).await;
    }
    client.recorded(&last).await;
    let appended = client.admin_get("/v1/reports/delivery").await["appended"].clone();
    assert_eq!(appended["decision"], 20);
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let counted = |more: &[&str]| {
        let said = Process::run(&[&["export", "--data", data, "--count"], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let lines = said.stdout.lines();
        let pairs = lines.map(|line| {
            let (kind, n) = line.split_once(' ').unwrap();
            (kind.to_owned(), json!(n.parse::<u64>().unwrap()))
        });
        Value::Object(pairs.collect())
    };
    // While the server runs, and when it is gone.
    assert_eq!(counted(&["--test"]), appended);
    assert_eq!(server.terminate().await, Some(0));
    assert_eq!(counted(&["--test"]), appended);
    let real = json!({ "decision": 16, "conversion": 16 });
    assert_eq!(
        counted(&["--type", "decision", "--type", "conversion"]),
        real
    );
    let said = Process::run(&["export", "--data", data, "--type", "conversion"]);
    for line in said.stdout.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["type"], "conversion");
    }
    assert_eq!(said.stdout.lines().count(), 16);
}
