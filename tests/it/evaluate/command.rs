//! `offerd evaluate` as a command.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::shared;

fn evaluate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
    command.arg("evaluate").args(arguments).output().unwrap()
}

#[track_caller]
pub fn figures(arguments: &[&str]) -> Value {
    let output = evaluate(&[arguments, &["--json"]].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn check_refused(arguments: &[&str], code: i32, told: &str) {
    let output = evaluate(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(told), "{arguments:?}: {text}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_log_of_others_is_evaluated() {
    let file = |rest: &str| shared(&format!("ope_men{rest}"));
    let (Some(log), Some(odds), Some(answers)) = (
        file("_log.csv"),
        file("_action_dist.csv"),
        file("_qhat.csv.gz"),
    ) else {
        return;
    };
    let all = [
        "--log",
        text(&log),
        "--action-dist",
        text(&odds),
        "--qhat",
        text(&answers),
    ];
    let found = figures(&[&all[..], &["--bootstrap", "20"]].concat());
    let names: Vec<&str> = (found["estimates"].as_array().unwrap().iter())
        .map(|e| e["estimator"].as_str().unwrap())
        .collect();
    let usual = [
        "ipw",
        "snipw",
        "ipw-clip",
        "dm",
        "dr",
        "dr-clip",
        "sndr",
        "switch-dr",
        "dr-os",
    ];
    assert_eq!(names[..9], usual);
    let value = |name: &str| {
        let estimates = found["estimates"].as_array().unwrap();
        let one = estimates.iter().find(|e| e["estimator"] == name).unwrap();
        one["value"].as_f64().unwrap()
    };
    assert!((value("dr") - 0.004_503_077_738_059_958).abs() < 1e-12);
    // Without a model only those that need none; the log's own column says what is asked.
    let found = figures(&[
        "--log",
        text(&log),
        "--estimator",
        "snipw",
        "--estimator",
        "ipw-clip=5",
    ]);
    assert_eq!(found["estimates"].as_array().unwrap().len(), 2);
    let told = evaluate(&["--log", text(&log), "--bootstrap", "10"]);
    let told = String::from_utf8_lossy(&told.stdout);
    assert!(told.contains("snipw") && !told.contains("dr-os"), "{told}");
    // 46 clicks are not enough to believe anything.
    assert!(told.contains("46 conversions, needed 50"), "{told}");
}

#[test]
fn mistakes_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log.csv");
    fs::write(
        &log,
        "action,position,reward,pscore,pi_e\n0,0,1,0.5,0.5\n0,0,1,0,0.5\n",
    )
    .unwrap();
    let log = text(&log);
    check_refused(&[], 2, "--log");
    check_refused(&["--log", log, "--qhat", log], 2, "--action-dist");
    check_refused(&["--log", log, "--estimator", "best"], 2, "switch-dr");
    check_refused(&["--log", "no/such/file"], 1, "no/such/file");
    check_refused(
        &["--log", log],
        1,
        "row 2, pscore: expected a probability above 0, at most 1, found `0`",
    );
    fs::write(log, "action,position,reward,pscore,pi_e\n0,0,1,0.5,0.5\n").unwrap();
    check_refused(
        &["--log", log, "--estimator", "dr"],
        1,
        "needs a reward model",
    );
}

#[test]
fn slates_are_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("slates.csv");
    let rows = "slate_id,position,reward,pscore,evaluation_policy_pscore,pscore_cascade,evaluation_policy_pscore_cascade\n\
                1,0,1,0.25,0.5,0.5,0.5\n1,1,2,0.25,0.5,0.25,0.5\n2,0,0,0.5,0.25,0.5,0.25\n";
    fs::write(&log, rows).unwrap();
    let found = figures(&["--slates", text(&log)]);
    let value = |i: usize| found["estimates"][i]["value"].as_f64().unwrap();
    assert_eq!(found["estimates"].as_array().unwrap().len(), 4, "{found}");
    assert_eq!((value(0), value(2)), (3.0, 2.5));
}

/// A data folder as a server leaves it: the simulator's customers asked the demo operator.
async fn data(dir: &Path) -> String {
    use crate::train::{exploring, log, through_a_journal};
    let snapshot = exploring();
    let data = dir.join("data");
    let catalogs = data.join("control/catalogs");
    fs::create_dir_all(&catalogs).unwrap();
    fs::create_dir_all(data.join("journal")).unwrap();
    let digest = &snapshot.catalog.digest;
    fs::write(catalogs.join(digest), &*snapshot.catalog.source).unwrap();
    through_a_journal(&data.join("journal"), &log(&snapshot, 11, 1_500).records).await;
    text(&data).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn own_records_are_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path()).await;
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/models/propensity-linear");
    let all = [
        "--from",
        &data,
        "--window-minutes",
        "0",
        "--bootstrap",
        "50",
    ];
    let found = figures(&[&all[..], &["--model", model]].concat());
    let verdict = &found["verdict"];
    assert_eq!(verdict["outcome"], "inconclusive", "{verdict}");
    assert_eq!(found["rows"], verdict["rows"]);
    let (new, logged) = (
        verdict["new"].as_f64().unwrap(),
        verdict["champion"].as_f64().unwrap(),
    );
    // The policy that made the log by its own odds, whose reward model is right on average.
    let mean = found["logged"].as_f64().unwrap();
    assert!(new > 0.0 && (logged - mean).abs() < 0.2 * mean, "{verdict}");
    assert_eq!(verdict["groups"].as_array().unwrap().len(), 7, "{verdict}");
    let estimates = found["estimates"].as_array().unwrap();
    let dr = estimates.iter().find(|e| e["estimator"] == "dr").unwrap();
    assert!(
        (dr["value"].as_f64().unwrap() - new).abs() < 1e-9 * new,
        "{dr} {verdict}"
    );
    // A model against itself: nothing to tell apart, whatever the log.
    let same = figures(&[&all[..], &["--model", model, "--champion", model]].concat());
    assert_eq!(same["verdict"]["difference"], 0.0, "{same}");
    check_refused(
        &["--from", "no/such/log.ndjson", "--catalog", "x"],
        1,
        "failed to read x",
    );
    check_refused(&["--from", "no/such/folder"], 1, "no/such/folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_what_others_read() {
    let dir = tempfile::tempdir().unwrap();
    let data = data(dir.path()).await;
    let export = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_offerd"));
        let output = command
            .args(["export", "--data", &data, "--format", format])
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (dsjson, csv) = (export("dsjson"), export("csv"));
    assert_eq!(dsjson.lines().count() + 1, csv.lines().count());
    let mut rewarded = 0;
    for (line, row) in dsjson.lines().zip(csv.lines().skip(1)) {
        let event: Value = serde_json::from_str(line).unwrap();
        let cells: Vec<&str> = row.split(',').collect();
        let odds: f64 = event["p"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| p.as_f64().unwrap())
            .sum();
        assert!((odds - 1.0).abs() < 1e-9, "{line}");
        assert_eq!(event["_label_Action"], event["a"][0]);
        assert_eq!(event["_label_probability"], event["p"][0]);
        let actions = event["c"]["_multi"].as_array().unwrap();
        assert_eq!(actions.len(), event["a"].as_array().unwrap().len());
        let chosen = &actions[event["_labelIndex"].as_u64().unwrap() as usize];
        assert_eq!(chosen["offer"]["id"], cells[4]);
        assert_eq!(
            event["_label_probability"].as_f64().unwrap(),
            cells[8].parse::<f64>().unwrap()
        );
        assert_eq!(
            -event["_label_cost"].as_f64().unwrap(),
            cells[7].parse::<f64>().unwrap()
        );
        rewarded += u32::from(cells[7] == "1");
    }
    assert!(rewarded > 10, "{rewarded}");
    let log = dir.path().join("log.csv");
    fs::write(&log, csv).unwrap();
    let found = figures(&["--log", text(&log), "--bootstrap", "10"]);
    assert_eq!(found["conversions"], rewarded);
    // Half of the choices explore evenly, so what does not explore earns more.
    assert!(
        (found["weights"]["mean"].as_f64().unwrap() - 1.0).abs() < 0.3,
        "{found}"
    );
}
