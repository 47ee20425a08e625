//! `offerd train` as a command: the same log from three places, and a table of somebody else's.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::redis_server::{self, RedisServer};
use crate::train::{exploring, log, through_a_journal};

fn train(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
    command.arg("train").args(arguments).output().unwrap()
}

#[track_caller]
fn figures(arguments: &[&str]) -> Value {
    let output = train(arguments);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check_refused(arguments: &[&str], code: i32, told: &str) {
    let output = train(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(told), "{arguments:?}: {text}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_the_same_from_a_folder_a_file_and_redis() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    let snapshot = exploring();
    let records = log(&snapshot, 11, 2_500).records;
    // A data folder, as a server leaves it.
    let catalogs = place("data/control/catalogs");
    fs::create_dir_all(&catalogs).unwrap();
    fs::create_dir_all(place("data/journal")).unwrap();
    let digest = &snapshot.catalog.digest;
    fs::write(catalogs.join(digest), &*snapshot.catalog.source).unwrap();
    through_a_journal(&place("data/journal"), &records).await;
    // A file, as `offerd export` writes it, and the catalog beside it.
    let (file, catalog) = (place("log.ndjson"), place("catalog.toml"));
    fs::write(&file, records.join("\n") + "\n").unwrap();
    fs::write(&catalog, &*snapshot.catalog.source).unwrap();
    let rows = |from: &str, more: &[&str]| {
        let out = place("rows.csv");
        let output = train(&[&["--from", from, "--rows-out", text(&out)], more].concat());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{from}: {told}");
        fs::read_to_string(out).unwrap()
    };
    let of_folder = rows(text(&place("data")), &[]);
    assert!(of_folder.lines().count() > 2_000, "{}", of_folder.len());
    let given = ["--catalog", text(&catalog)];
    assert_eq!(rows(text(&file), &given), of_folder);
    check_refused(
        &["--from", text(&file), "--rows-out", text(&place("x"))],
        1,
        "give one with --catalog",
    );
    check_refused(
        &[
            "--from",
            text(&file),
            "--target",
            "click",
            "--out",
            text(&place("x")),
        ],
        1,
        "must be conversion for a log",
    );
    if !redis_server::available() {
        return;
    }
    let redis = RedisServer::start(dir.path(), &["--save", "", "--appendonly", "no"]).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut pipeline = redis::pipe();
    for stream in ["{offerd:00}:events:a", "{offerd:00}:test:a"] {
        pipeline.cmd("SADD").arg("offerd:streams").arg(stream);
        for (place, record) in records.iter().enumerate() {
            let id = format!("{}-0", place + 1);
            pipeline
                .cmd("XADD")
                .arg(stream)
                .arg(id)
                .arg("json")
                .arg(record);
        }
    }
    pipeline.exec(&mut connection).unwrap();
    assert_eq!(rows(&redis.url(), &given), of_folder);
}

#[test]
fn a_table_of_somebody_elses_is_learnt_as_elsewhere() {
    let shared = std::env::var_os("OFFERD_SHARED").map_or("../shared".into(), PathBuf::from);
    let file = shared.join("data/telco/Telco-Customer-Churn.csv");
    if !file.exists() {
        eprintln!("skipped: {} is not there", file.display());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model");
    for (format, calibration) in [("linear", "platt"), ("smartcore", "isotonic")] {
        let figures = figures(&[
            "--from",
            text(&file),
            "--target",
            "Churn",
            "--format",
            format,
            "--calibration",
            calibration,
            "--name",
            "churn",
            "--out",
            text(&out),
            "--json",
        ]);
        let held_out = |name: &str| figures["held_out"][name].as_f64().unwrap();
        // scikit-learn's logistic regression: AUC .8447, log-loss .4179, ECE .022; two standard errors
        // of an AUC of so many rows are .02.
        assert!(
            (0.825..0.865).contains(&held_out("auc")),
            "{format}: {figures}"
        );
        assert!(
            (0.39..0.445).contains(&held_out("log_loss")),
            "{format}: {figures}"
        );
        assert!(held_out("ece") < 0.045, "{format}: {figures}");
        let features = figures["features"].as_array().unwrap();
        // The id went by itself; TotalCharges is a number with gaps.
        assert_eq!(features.len(), 19, "{figures}");
        let plot = fs::read_to_string(out.join("calibration.svg")).unwrap();
        assert_eq!(plot.matches("<circle").count(), 10);
        assert!(out.join("report.json").exists() && out.join("manifest.json").exists());
    }
    check_refused(
        &["--from", text(&file), "--out", text(&out)],
        1,
        "has no column conversion: name the one that says what happened with --target",
    );
    check_refused(
        &[
            "--from",
            text(&file),
            "--target",
            "gender",
            "--out",
            text(&out),
        ],
        1,
        "record 2, gender: `Female`",
    );
}

#[test]
fn wrong_use_is_told() {
    check_refused(
        &["--from", "http://x", "--out", "m"],
        2,
        "expected redis://HOST:PORT",
    );
    check_refused(&["--from", "simulator"], 2, "--out");
    check_refused(&["--split", "luck", "--out", "m"], 2, "one of time, hash");
    check_refused(
        &["--weight-max", "0", "--out", "m"],
        2,
        "a number from 1 to 1000",
    );
    check_refused(
        &["--from", "no-such-folder", "--out", "m"],
        1,
        "no journal in",
    );
    check_refused(
        &["--from", "no-such.csv", "--out", "m"],
        1,
        "failed to read no-such.csv",
    );
}
