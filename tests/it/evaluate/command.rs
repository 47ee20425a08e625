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
