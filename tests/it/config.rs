//! Does `offerd.toml` tell the truth, and does a wrong setting stop the start by its name?

use std::path::{Path, PathBuf};
use std::process::Command;

use offerd::config::{Config, ConfigError};
use toml::{Table, Value};

fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("offerd.toml")
}

/// Every key below `table`, by its full path.
fn keys(table: &Table, path: &str, found: &mut Vec<String>) {
    for (key, value) in table {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        match value {
            Value::Table(inner) => keys(inner, &path, found),
            _ => found.push(path),
        }
    }
}

fn keys_of(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    keys(table, "", &mut found);
    found.sort();
    found
}

#[test]
fn the_shipped_file_is_the_defaults() {
    let read = Config::read(Some(&shipped())).expect("the shipped file reads");
    assert_eq!(read, Config::default());
    read.check().expect("the defaults are in range");
}

#[test]
fn the_shipped_file_lists_every_setting_and_explains_it() {
    let text = std::fs::read_to_string(shipped()).expect("it is there");
    let written: Table = text.parse().expect("it is TOML");
    let defaults = Table::try_from(Config::default()).expect("settings are plain data");
    assert_eq!(keys_of(&written), keys_of(&defaults));
    // The operators' limits are the public port's, explained there.
    let explained = text.lines().zip(text.lines().skip(1));
    let mut section = "";
    for (before, line) in explained {
        section = if line.starts_with('[') { line } else { section };
        let is_setting = !line.starts_with(['#', '[']) && line.contains(" = ");
        if is_setting && section != "[admin.limits]" {
            assert!(before.starts_with("# "), "{section} {line}: no explanation");
        }
    }
}

/// Reads `text` as a configuration file and checks it.
fn result(text: &str) -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("wrong.toml");
    std::fs::write(&path, text).expect("it can be written");
    Config::read(Some(&path))?.check()
}

#[track_caller]
fn check(text: &str, parts: &[&str]) {
    let error = match result(text) {
        Ok(()) => panic!("{text}: expected an error with {parts:?}"),
        Err(error) => error.to_string(),
    };
    for part in parts {
        assert!(
            error.contains(part),
            "{text}: expected {part:?} in: {error}"
        );
    }
}

#[test]
fn what_is_no_setting_is_refused_by_line() {
    check(
        "[journal]\nretain_day = 3",
        &["wrong.toml", "line 2", "retain_day", "retain_days"],
    );
    check("[jurnal]\n", &["line 1", "jurnal"]);
    check("[public.limits]\n\nbody_s = 3", &["line 3", "body_s"]);
    check(
        "[[auth.publishable_keys]]\nkey = 3",
        &["line 2", "key", "digest"],
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_refused_by_line() {
    check(
        "[node]\nthreads = 'two'",
        &["line 2", "threads", "invalid type"],
    );
    check(
        "[admission]\nin_flight_max = -1",
        &["line 2", "in_flight_max"],
    );
    check(
        "[public]\naddress = 'here'",
        &["line 2", "address", "socket address"],
    );
    check(
        "[auth]\nsecret_keys = ['ofsk_abc']",
        &["line 2", "offerd keys new"],
    );
    check(
        "[journal]\nwrite_policy = 'wait'",
        &["line 2", "write_policy", "reject"],
    );
}

#[test]
fn a_value_outside_its_range_is_refused_by_its_full_path() {
    for (setting, message) in [
        ("node.id = 'a b'", "node.id: expected 1 to 32 letters"),
        ("node.data = ''", "node.data: "),
        ("node.threads = 1025", "node.threads: expected 0 to 1024"),
        (
            "public.limits.h1_buffer_bytes = 1",
            "public.limits.h1_buffer_bytes is 1; it must be from 8192 to 1048576",
        ),
        ("admin.limits.body_ms = 0", "admin.limits.body_ms is 0"),
        (
            "auth.publishable_keys = [{ digest = 'DIGEST', origins = ['shop.example'] }]",
            "auth.publishable_keys: ",
        ),
        (
            "auth.secret_keys = ['DIGEST', 'DIGEST']",
            "auth.secret_keys, publishable_keys, admin_keys: sha256:00",
        ),
        (
            "admission.in_flight_max = 0",
            "admission.in_flight_max is 0; it must be from 1",
        ),
        (
            "admission.click_share_percent = 91",
            "admission.click_share_percent is 91; it must be from 1 to 90",
        ),
        (
            "decisions.hold_ms = 999",
            "decisions.hold_ms is 999; it must be from 1000 to 1073741823",
        ),
        ("decisions.hold_ms = 1073741824", "decisions.hold_ms is "),
        ("deadlines.default_ms = 60001", "deadlines.default_ms is "),
        (
            "deadlines.model_ms_min = 1001",
            "deadlines.model_ms_min is 1001; it must be from 0 to 1000",
        ),
        (
            "tokens.click_age_s_max = 0",
            "tokens.click_age_s_max is 0; it must be from 1 to 34560000",
        ),
        ("tokens.leeway_s = 3601", "tokens.leeway_s is 3601"),
        ("catalog.poll_ms = 9", "catalog.poll_ms: expected 10 to"),
        ("journal.segment_bytes_max = 1", "journal.segment_bytes_max"),
        (
            "journal.dedup_days = 36",
            "journal.dedup_days must be 1 to retain_days",
        ),
        ("redis.url = 'localhost'", "redis.url must be like redis://"),
        ("redis.partitions = 101", "redis.partitions must be 1 to"),
        (
            "ledger.customers_max = 1",
            "ledger.customers_max is 1, expected 16384 to",
        ),
        (
            "ledger.horizon_days = 36",
            "ledger.horizon_days: is 36; it must be at most journal.retain_days, 35",
        ),
        ("log.filter = 'offerd=loud'", "log.filter: expected a level"),
        (
            "public.address = '0.0.0.0:8080'",
            "public.address: refusing to listen on 0.0.0.0:8080 without keys: set auth.secret_keys",
        ),
        (
            "admin.address = '[::]:8081'",
            "admin.address: refusing to listen on [::]:8081 without keys: set auth.admin_keys",
        ),
        (
            "admin.address = '127.0.0.1:8080'",
            "admin.address: is 127.0.0.1:8080, which is public.address",
        ),
    ] {
        let text = setting.replace("DIGEST", &format!("sha256:{}", "0".repeat(64)));
        check(&text, &[message]);
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    for text in ["", "[journal]\nretain_days = 400", "node.threads = 2"] {
        result(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// Starts the program in an empty folder with `text` as its ./offerd.toml.
fn start(text: &str, catalog: Option<&str>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("it can be written");
    };
    write("offerd.toml", text);
    if let Some(catalog) = catalog {
        write("catalog.toml", catalog);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_offerd"))
        .args(["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), said)
}

#[test]
fn the_program_exits_with_64_and_names_the_setting() {
    const CATALOG: &str = r#"
operator = { currency = "USD", time_zone = "UTC" }
caps = { selling = [{ count = 9, per = "year" }] }
"#;
    for (text, catalog, named) in [
        ("[journal]\nretain_day = 3", None, "retain_day"),
        ("[node]\nthreads = 'two'", None, "threads"),
        ("tokens.leeway_s = 3601", None, "tokens.leeway_s"),
        ("catalog.file = 'none.toml'", None, "catalog.file"),
        (
            "catalog.file = 'catalog.toml'",
            Some("operator = 1"),
            "operator",
        ),
        (
            "catalog.file = 'catalog.toml'",
            Some(CATALOG),
            "caps.selling[0]: expected a window of at most 840 hours",
        ),
    ] {
        let (code, said) = start(text, catalog);
        assert_eq!(code, Some(64), "{text}: {said}");
        assert!(said.contains(named), "{text}: expected {named:?} in {said}");
    }
}
