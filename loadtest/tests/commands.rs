//! The commands as people run them, against a real offerd.
//!
//! Goal: each command starts its servers, sends, judges, reports and cleans up. Method: run the program
//! and read its JSON. offerd is the one beside this program (`cargo test --workspace` builds it), or
//! what `LOADTEST_OFFERD` names; without one, each test says so and passes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The server to test with.
fn offerd() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_BIN_EXE_loadtest")).with_file_name("offerd");
    let told = std::env::var_os("LOADTEST_OFFERD").map(PathBuf::from);
    let program = told.unwrap_or(beside);
    if program.exists() {
        return Some(program);
    }
    eprintln!("not tested: there is no {}", program.display());
    None
}

/// A small one: a push proves and tries a model first, and a large one takes its time on a busy machine.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/propensity-linear")
}

/// A file that goes with its test.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> File {
        let name = format!("loadtest-commands-{}-{name}", std::process::id());
        File(std::env::temp_dir().join(name))
    }

    fn json(&self) -> Value {
        let text = std::fs::read(&self.0).expect("the report is written");
        serde_json::from_slice(&text).expect("the report is JSON")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn loadtest(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).output().expect("the program runs")
}

/// Runs a command on a server of its own and reads its report.
#[track_caller]
fn report(offerd: &Path, command: &str, more: &[&str]) -> (Output, Value) {
    let file = File::new(&format!("{command}{}", more.concat().len()));
    let mut arguments = vec![
        command,
        "--offerd",
        offerd.to_str().expect("a path that is text"),
    ];
    arguments.extend(["--json", file.0.to_str().expect("a path that is text")]);
    arguments.extend(["--warm-up", "200ms"]);
    arguments.extend(more);
    let output = loadtest(&arguments);
    if output.status.code() == Some(2) || !file.0.exists() {
        panic!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let json = file.json();
    (output, json)
}

/// The measured phase of the run of that name.
#[track_caller]
fn phase<'a>(report: &'a Value, run: &str, phase: &str) -> &'a Value {
    let runs = report["runs"].as_array().expect("a list");
    let run = runs
        .iter()
        .find(|r| r["name"] == run)
        .expect("there is such a run");
    let phases = run["phases"].as_array().expect("a list");
    phases
        .iter()
        .find(|p| p["name"] == phase)
        .expect("there is such a phase")
}

fn sum(kinds: &Value) -> u64 {
    let kinds = kinds.as_object().expect("counts by kind");
    kinds.values().filter_map(Value::as_u64).sum()
}

#[test]
fn whole_visits_through_every_door() {
    let Some(offerd) = offerd() else { return };
    for door in ["http", "h2c", "grpc"] {
        let more = [
            "--door", door, "--rate", "300", "--for", "2s", "--spread", "poisson",
        ];
        let (output, report) = report(&offerd, "run", &more);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{door}: {text}");
        let load = phase(&report, "offerd", "load");
        assert_eq!(load["answered"], load["planned"], "{door}: {text}");
        assert_eq!(
            load["checked"], load["planned"],
            "{door}: every answer of a visit is looked into"
        );
        assert_eq!(
            sum(&load["wrong"]) + sum(&load["failed"]),
            0,
            "{door}: {text}"
        );
        // Visits ask, and report what they saw.
        for counted in ["offers", "events_accepted"] {
            assert!(
                load[counted].as_u64() > Some(50),
                "{door} {counted}: {load}"
            );
        }
        assert!(load["decisions"]["p50_us"].as_f64() > Some(0.0));
        assert!(load["events"]["count"].as_u64() > Some(50));
        assert!(
            load["cpu_us"].as_f64() > Some(0.0),
            "{door}: the server's process was watched"
        );
        assert_eq!(
            sum(&load["models"]),
            load["decisions"]["count"].as_u64().unwrap(),
            "{door}"
        );
    }
}

#[test]
fn floors_are_measured_in_the_same_run() {
    let Some(offerd) = offerd() else { return };
    let more = [
        "--scenario",
        "decisions",
        "--rate",
        "200",
        "--for",
        "1s",
        "--floor",
        "--rounds",
        "2",
    ];
    let html = File::new("page.html");
    let hgrm = File::new("latency.hgrm");
    let files = [
        "--html",
        html.0.to_str().unwrap(),
        "--hgrm",
        hgrm.0.to_str().unwrap(),
    ];
    let (output, report) = report(&offerd, "run", &[&more[..], &files[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for floor in ["bare hyper", "bare tonic"] {
        assert_eq!(phase(&report, floor, "load")["answered"], 200, "{text}");
        assert!(text.contains(&format!("offerd / {floor}, load:")), "{text}");
    }
    assert_eq!(report["runs"].as_array().unwrap().len(), 6);
    assert!(std::fs::read_to_string(&html.0).unwrap().contains("<svg"));
    assert!(std::fs::read_to_string(&hgrm.0).unwrap().contains("#[Max"));
}

#[test]
fn a_limit_is_a_rate_that_held() {
    let Some(offerd) = offerd() else { return };
    // An objective that any machine keeps at 50 and none at 20,000 in visits.
    let more = [
        "--slo",
        "p50=200ms",
        "--from",
        "50",
        "--within",
        "1",
        "--for",
        "500ms",
        "--timeout",
        "3s",
    ];
    let (output, report) = report(&offerd, "limit", &more);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let limit = report["figures"]["highest rate with p50=200ms"]
        .as_f64()
        .unwrap();
    assert!(limit >= 50.0, "{limit}");
    let best = &report["runs"][0];
    assert_eq!(
        best["name"],
        format!("{limit:.0}/s"),
        "the best rate's run comes first"
    );
}

#[test]
fn an_overload_is_told_by_its_parts() {
    let Some(offerd) = offerd() else { return };
    let more = [
        "--times",
        "5",
        "--for",
        "1s",
        "--capacity",
        "300",
        "--connections",
        "64",
    ];
    let (output, report) = report(&offerd, "overload", &more);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let planned = |name| phase(&report, "offerd", name)["planned"].as_u64().unwrap();
    assert_eq!(
        (planned("base"), planned("overload"), planned("recovery")),
        (270, 1_500, 270)
    );
    let figures = report["figures"].as_object().unwrap();
    for figure in ["overload: goodput / capacity", "recovery: p99 / p99 before"] {
        assert!(figures[figure].as_f64() > Some(0.0), "{text}");
    }
}

#[test]
fn swaps_are_answered_by_versions_that_were_pushed() {
    let Some(offerd) = offerd() else { return };
    let model = model();
    let more = [
        "--model",
        model.to_str().unwrap(),
        "--every",
        "300ms",
        "--rounds",
        "1",
    ];
    let load = ["--rate", "200", "--for", "6s", "--scenario", "decisions"];
    let (output, report) = report(&offerd, "swap", &[&more[..], &load[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    // A busy machine proves one version in the time that an idle one takes for ten.
    assert!(
        report["figures"]["versions pushed"].as_f64() >= Some(1.0),
        "{text}"
    );
    assert!(
        report["figures"]["versions that answered"].as_f64() >= Some(1.0),
        "{text}"
    );
    assert_eq!(
        sum(&phase(&report, "swapping", "load")["wrong"]),
        0,
        "{text}"
    );
}

#[test]
fn redis_standing_still_loses_nothing() {
    let Some(offerd) = offerd() else { return };
    if Command::new("redis-server")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("not tested: there is no redis-server");
        return;
    }
    for fault in ["redis-stopped", "redis-blackholed", "redis-killed"] {
        let more = ["--fault", fault, "--rate", "200", "--for", "1500ms"];
        let (output, report) = report(&offerd, "faults", &more);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}");
        let figures = report["figures"].as_object().unwrap();
        let lost = figures
            .iter()
            .filter(|(name, _)| name.ends_with("records lost"));
        let lost: Vec<f64> = lost.filter_map(|(_, n)| n.as_f64()).collect();
        assert_eq!(lost, [0.0, 0.0], "with and without: {text}");
        assert!(!text.contains("not everything in redis"), "{text}");
    }
}

#[test]
fn reports_are_merged_and_compared() {
    let Some(offerd) = offerd() else { return };
    let files: Vec<File> = (0..3).map(|n| File::new(&format!("part{n}"))).collect();
    let path = |n: usize| files[n].0.to_str().unwrap();
    for (n, rate) in [(0, "100"), (1, "200")] {
        let offerd = offerd.to_str().unwrap();
        let load = [
            "--rate",
            rate,
            "--for",
            "1s",
            "--scenario",
            "decisions",
            "--json",
            path(n),
        ];
        let output = loadtest(
            &[
                &["run", "--offerd", offerd, "--warm-up", "100ms"],
                &load[..],
            ]
            .concat(),
        );
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let merged = loadtest(&["merge", path(0), path(1), "--json", path(2)]);
    assert!(
        merged.status.success(),
        "{}",
        String::from_utf8_lossy(&merged.stderr)
    );
    assert_eq!(
        phase(&files[2].json(), "offerd", "load")["decisions"]["count"],
        300
    );

    let code = |condition: &str| {
        let output = loadtest(&["compare", path(0), path(1), "--fail-if", condition]);
        output.status.code()
    };
    assert_eq!(code("rate < 1.5x"), Some(0));
    assert_eq!(code("rate > 1.5x"), Some(1));
    assert_eq!(code("failed > 0"), Some(0));
    assert_eq!(code("speed > 1x"), Some(2), "a figure that there is not");
}

#[test]
fn wrong_use_is_told_apart() {
    for arguments in [
        &["run", "--rate", "fast"][..],
        &["run", "--url", "ftp://x"],
        &["run", "--phase", "lunch", "--url", "http://127.0.0.1:9"],
        &["limit", "--slo", "p99"],
        &["swap", "--url", "http://127.0.0.1:9"],
        &["faults"],
        &["compare", "no-such-file", "no-such-file"],
    ] {
        let output = loadtest(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
