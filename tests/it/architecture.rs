//! Dependencies point one way, and some places name some things never.
//!
//! Goal: the arrows and the "nevers" of ARCHITECTURE.md stay true without anybody watching.
//! Method: read the sources as text, without comments, strings and what is under `#[cfg(test)]`, and
//! compare the paths they name with the two tables below. To allow something new, change a table (and
//! ARCHITECTURE.md): that is the moment to think twice.

mod scan;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use scan::{after, heads, names, without_tests, without_text};

/// Every room of `src/` and the other rooms that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("main", &["cmd", "app", "config"]),
    (
        "cmd",
        &[
            "app",
            "config",
            "control",
            "decide",
            "domain",
            "journal",
            "learn",
            "ledger",
            "model",
            "serve",
            "telemetry",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "config",
            "control",
            "decide",
            "domain",
            "journal",
            "learn",
            "ledger",
            "listener",
            "model",
            "serve",
            "telemetry",
            "web",
        ],
    ),
    // It puts together the sections that the parts declare beside their code.
    (
        "config",
        &["control", "journal", "learn", "ledger", "listener", "serve"],
    ),
    (
        "serve",
        &[
            "decide",
            "domain",
            "journal",
            "ledger",
            "listener",
            "telemetry",
        ],
    ),
    (
        "admin",
        &[
            "control",
            "domain",
            "journal",
            "learn",
            "ledger",
            "telemetry",
        ],
    ),
    (
        "control",
        &[
            "decide",
            "domain",
            "journal",
            "learn",
            "ledger",
            "model",
            "telemetry",
        ],
    ),
    ("learn", &["decide", "domain", "journal", "model"]),
    ("decide", &["domain", "model"]),
    ("ledger", &["domain", "telemetry"]),
    ("journal", &["domain", "telemetry"]),
    ("model", &["domain"]),
    ("domain", &[]),
    // Its labels are domain's vocabularies, so that the number of series is fixed.
    ("telemetry", &["domain"]),
    // They know nothing of offers.
    ("listener", &[]),
    ("web", &[]),
];

/// Names that some places must not contain.
struct Ban {
    /// Beginnings of paths that it is about.
    within: &'static [&'static str],
    /// Beginnings of paths in there that it is not about.
    except: &'static [&'static str],
    /// Whole identifiers, or paths made of them.
    names: &'static [&'static str],
    because: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        within: &["src/decide", "src/model", "src/domain"],
        except: &[],
        names: &[
            "tokio",
            "async",
            "Instant::now",
            "SystemTime",
            "Zoned::now",
            "Timestamp::now",
            "rand",
        ],
        because: "a decision is made again from its record: no runtime, no clock, no dice",
    },
    Ban {
        within: &["src/decide", "src/model", "src/domain"],
        except: &[],
        names: &[
            "redis",
            "metrics",
            "tracing",
            "Mutex",
            "RwLock",
            "thread_local",
        ],
        because: "a decision returns what happened; others store, count and log it",
    },
    Ban {
        within: &["src/decide", "src/domain"],
        except: &[],
        names: &["std::fs", "std::net", "std::env", "std::process"],
        because: "a decision sees the request, the snapshot and the facts, and nothing else",
    },
    Ban {
        within: &["src"],
        except: &[
            "src/serve/wire",
            "src/serve/proto",
            "src/serve/grpc",
            "src/admin/grpc",
            // Hands the descriptors to reflection.
            "src/app.rs",
        ],
        names: &["offerd_proto"],
        because: "no wire type goes further than the conversions beside its service",
    },
    Ban {
        within: &["src/serve"],
        except: &[],
        names: &["redis"],
        because: "Redis being away or slow changes no answer and no latency",
    },
    Ban {
        within: &["src"],
        except: &["src/main.rs"],
        names: &["anyhow"],
        because: "errors below main are typed",
    },
    Ban {
        within: &["loadtest/src"],
        except: &[],
        names: &["offerd"],
        because: "the load harness is a client like any other",
    },
];

/// What is wrong with a file, given its path in the repository and its text.
fn violations(path: &str, text: &str) -> Vec<String> {
    let code = without_tests(&without_text(text));
    let mut found = Vec::new();
    if let Some(room) = room(path) {
        match ARROWS.iter().find(|(name, _)| *name == room) {
            None => found.push(format!("{path}: {room} is a new room: add it to ARROWS")),
            Some((_, allowed)) => {
                let named = rooms_named(path, &code).into_iter();
                let wrong = named.filter(|to| *to != room && !allowed.contains(&to.as_str()));
                found.extend(wrong.map(|to| format!("{path}: {room} must not name {to}")));
            }
        }
    }
    for ban in BANS {
        let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| path.starts_with(prefix));
        if starts(ban.within) && !starts(ban.except) {
            let named = ban.names.iter().filter(|name| names(&code, name));
            found.extend(named.map(|name| format!("{path}: names {name}, but {}", ban.because)));
        }
    }
    found
}

/// The room that a file of `src/` is in.
fn room(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split('/').next()?;
    Some(first.strip_suffix(".rs").unwrap_or(first))
}

/// How many modules deep a file of `src/` is: 0 for the crate's root.
fn depth(path: &str) -> usize {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    match path {
        "lib" | "main" => 0,
        _ => path.trim_end_matches("/mod").split('/').count(),
    }
}

/// The rooms that code names, by `crate::`, by enough `super::`, or by `offerd::` from the binary.
fn rooms_named(path: &str, code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for start in ["crate", "offerd"] {
        for rest in after(code, start) {
            rooms.extend(heads(rest));
        }
    }
    let up = vec!["super"; depth(path)].join("::");
    if !up.is_empty() {
        // Inside an inline module this many steps may end lower: count what is a room for certain.
        let known = |name: &String| ARROWS.iter().any(|(room, _)| room == name);
        let reached = after(code, &up).into_iter().flat_map(heads);
        rooms.extend(reached.filter(known));
    }
    rooms
}

/// Every source file below `folder`, by its path in the repository.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join(folder)];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let paths = entries.map(|entry| entry.expect("a folder can be read to its end").path());
        let (inner, files): (Vec<PathBuf>, _) = paths.partition(|path| path.is_dir());
        folders.extend(inner);
        for file in files
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == "rs"))
        {
            let path = file.strip_prefix(root).expect("it is below the root");
            let path = path
                .to_str()
                .expect("our own names are UTF-8")
                .replace('\\', "/");
            sources.push((path, fs::read_to_string(file).expect("sources are UTF-8")));
        }
    }
    sources
}

#[test]
fn architecture_dependencies_point_one_way() {
    let sources: Vec<_> = ["src", "loadtest/src"]
        .into_iter()
        .flat_map(sources)
        .collect();
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
    // A scanner that sees nothing would find nothing wrong.
    let decide = sources
        .iter()
        .filter(|(path, _)| path.starts_with("src/decide/"));
    let named: BTreeSet<String> = decide
        .flat_map(|(path, text)| rooms_named(path, text))
        .collect();
    assert!(
        named.contains("domain") && named.contains("model"),
        "{named:?}"
    );
}

#[track_caller]
fn check(path: &str, text: &str, expected: &[&str]) {
    let found = violations(path, text);
    let matching = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, part)| found.contains(part));
    assert!(
        matching,
        "{path} with {text:?}: {found:?}, expected {expected:?}"
    );
}

#[test]
fn architecture_check_sees_arrows_however_they_are_written() {
    let wrong = &["decide must not name ledger"];
    check("src/decide/mod.rs", "use crate::ledger::Ledger;", wrong);
    check(
        "src/decide/mod.rs",
        "use crate::{domain::Millis, ledger};",
        wrong,
    );
    check(
        "src/decide/mod.rs",
        "use crate::{\n domain::{Facts, Money},\n ledger::{self, Account},\n};",
        wrong,
    );
    check(
        "src/decide/mod.rs",
        "fn f() { crate :: ledger::f(); }",
        wrong,
    );
    check("src/decide/mod.rs", "pub use super::ledger;", wrong);
    check(
        "src/decide/score.rs",
        "pub use super::super::{ledger};",
        wrong,
    );
    check(
        "src/decide/condition/eval.rs",
        "use super::super::super::ledger::X;",
        wrong,
    );
    check(
        "src/decide.rs",
        "const X: char = '\"'; use crate::ledger; const Y: char = '\"';",
        wrong,
    );
    check(
        "src/decide.rs",
        "fn f<'a>(x: &'a str) {} use crate::ledger; fn g<'a>() {}",
        wrong,
    );
    check(
        "src/decide.rs",
        "#[cfg(test)]\nmod tests { use crate::serve; }\nuse crate::ledger;",
        wrong,
    );
    check(
        "src/decide.rs",
        "#[cfg(test)] use crate::{serve}; use crate::ledger;",
        wrong,
    );
    check(
        "src/decide.rs",
        "use crate::*;",
        &["decide must not name *"],
    );
    check(
        "src/serve/grpc.rs",
        "use crate::control::X;",
        &["serve must not name control"],
    );
    check(
        "src/control/mod.rs",
        "use crate::serve::X;",
        &["control must not name serve"],
    );
    check(
        "src/listener/mod.rs",
        "use crate::domain::Millis;",
        &["listener must not name domain"],
    );
    check(
        "src/web.rs",
        "use crate::serve::Public;",
        &["web must not name serve"],
    );
    check(
        "src/telemetry.rs",
        "use crate::journal::Journal;",
        &["telemetry must not name journal"],
    );
    check(
        "src/main.rs",
        "use offerd::decide::decide;",
        &["main must not name decide"],
    );
    check(
        "src/main.rs",
        "use offerd::{cmd, ledger};",
        &["main must not name ledger"],
    );
    check("src/attic/mod.rs", "", &["attic is a new room"]);
}

#[test]
fn architecture_check_lets_pass_what_is_allowed() {
    check(
        "src/decide/mod.rs",
        "use crate::{domain, model::Scorer};",
        &[],
    );
    check("src/decide/mod.rs", "use crate::decide::score;", &[]);
    check("src/decide/score.rs", "use super::ledger;", &[]);
    check(
        "src/decide/mod.rs",
        "// use crate::ledger;\n/* crate::serve /* tokio */ crate::app */",
        &[],
    );
    check(
        "src/decide/mod.rs",
        r###"const A: &str = "use crate::ledger; \" tokio";"###,
        &[],
    );
    check(
        "src/decide/mod.rs",
        r###"const A: &str = r#"crate::ledger "tokio" "#;"###,
        &[],
    );
    check(
        "src/decide/mod.rs",
        "#[cfg(test)]\nmod tests { use crate::ledger; fn f() { tokio() } }",
        &[],
    );
    check(
        "src/decide/mod.rs",
        "#[cfg(test)]\nfn f(x: [u8; 2]) { crate::ledger::f() }",
        &[],
    );
    check("src/main.rs", "use offerd::{app, cmd};", &[]);
}

#[test]
fn architecture_check_sees_what_must_not_be_named() {
    check("src/decide/mod.rs", "use tokio::time;", &["names tokio"]);
    check(
        "src/model/mod.rs",
        "let t = std::time::Instant::now();",
        &["names Instant::now"],
    );
    check(
        "src/domain/ids.rs",
        "let id = rand::random();",
        &["names rand"],
    );
    check("src/domain/ids.rs", "let rand_a = random;", &[]);
    check(
        "src/domain/time.rs",
        "SystemTime::now()",
        &["names SystemTime"],
    );
    check(
        "src/decide/mod.rs",
        "metrics::counter!(\"x\")",
        &["names metrics"],
    );
    check(
        "src/decide/mod.rs",
        "static X: Mutex<u8> = Mutex::new(1);",
        &["names Mutex"],
    );
    check(
        "src/decide/mod.rs",
        "static X: std::sync::RwLock<u8>;",
        &["names RwLock"],
    );
    check(
        "src/decide/mod.rs",
        "std::fs::read(path)",
        &["names std::fs"],
    );
    check(
        "src/journal/entry.rs",
        "use offerd_proto::v1;",
        &["names offerd_proto"],
    );
    check("src/serve/wire/decide.rs", "use offerd_proto::v1;", &[]);
    check("src/serve/http.rs", "use redis::Client;", &["names redis"]);
    check(
        "src/app.rs",
        "fn f() -> anyhow::Result<()>",
        &["names anyhow"],
    );
    check("src/main.rs", "fn main() -> anyhow::Result<()>", &[]);
    check(
        "loadtest/src/main.rs",
        "use offerd::domain;",
        &["names offerd"],
    );
    check("loadtest/src/main.rs", "use offerd_proto::v1;", &[]);
}
