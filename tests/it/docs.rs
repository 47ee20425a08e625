//! Do the documents tell the truth, as far as a program can see?
//!
//! Goal: a renamed flag, file, setting or metric does not live on in a document.
//! Method: read every document as text and hold what it names against the program's own lists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document, with its path.
fn documents() -> Vec<(PathBuf, String)> {
    let at_root = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let docs = std::fs::read_dir(root().join("docs")).expect("there are docs");
    let docs = docs.map(|entry| entry.expect("a folder can be read to its end").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|e| e == "md"));
    let models = root().join("models/README.md");
    let paths = at_root.iter().map(|name| root().join(name)).chain(docs);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path);
        let text = text.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, shown(&text))
    };
    paths.chain([models]).map(read).collect()
}

/// The text without its comments, which nobody is shown.
fn shown(text: &str) -> String {
    let mut parts = text.split("<!--");
    let first = parts.next().unwrap_or_default().to_owned();
    let rests = parts.filter_map(|rest| Some(rest.split_once("-->")?.1));
    rests.fold(first, |text, rest| text + rest)
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What stands between `open` and `close`, everywhere in `text`.
fn between<'a>(text: &'a str, open: &'a str, close: char) -> impl Iterator<Item = &'a str> {
    let rests = text.split(open).skip(1);
    rests.filter_map(move |rest| Some(rest.split_once(close)?.0))
}

/// The fenced blocks of `text` in `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let parts: Vec<&str> = text.split("```").collect();
    let fenced = parts.iter().skip(1).step_by(2);
    let in_language = fenced.filter_map(|block| {
        let (first, rest) = block.split_once('\n')?;
        (first == language).then_some(rest)
    });
    in_language.collect()
}

/// The words of `text` that `is_part` holds for and that begin with `prefix`.
fn words<'a>(text: &'a str, prefix: &str, is_part: fn(char) -> bool) -> BTreeSet<&'a str> {
    text.split(|c| !is_part(c))
        .filter(|word| word.starts_with(prefix) && word.len() > prefix.len())
        .collect()
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for (path, text) in documents() {
        let folder = path.parent().expect("a file is in a folder");
        for link in between(&text, "](", ')') {
            if link.contains("://") || link.starts_with('#') {
                continue;
            }
            let file = link.split('#').next().unwrap_or_default();
            assert!(
                folder.join(file).exists(),
                "{}: {link} leads nowhere",
                path.display()
            );
            links += 1;
        }
    }
    assert!(links > 15, "only {links} links: they are not being seen");
}

#[test]
fn the_index_lists_every_page() {
    let index = document("docs/README.md");
    for (path, _) in documents() {
        let name = path.file_name().expect("a file").to_string_lossy();
        if path.parent() == Some(&root().join("docs")) && name != "README.md" {
            assert!(
                index.contains(&format!("({name})")),
                "docs/README.md: {name} is missing"
            );
        }
    }
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_offerd"))
        .args(command)
        .arg("--help")
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("help is UTF-8")
}

fn is_flag_part(c: char) -> bool {
    c.is_ascii_lowercase() || c == '-'
}

/// The flags of the load harness, another package's program: the names its arguments are given, else
/// those of their fields.
fn loadtest_flags() -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for text in sources(&root().join("loadtest/src")) {
        for argument in text.split("#[arg(").skip(1) {
            let (settings, rest) = argument.split_once('\n').unwrap_or_default();
            let named = between(settings, "long = \"", '"').next();
            let field = rest.trim().trim_start_matches("pub ").split_once(": ");
            let name = named.or(field.map(|(field, _)| field));
            flags.extend(name.map(|name| format!("--{}", name.replace('_', "-"))));
        }
    }
    flags
}

/// Every source file's text below `folder`.
fn sources(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("it has sources");
    let paths = entries.map(|entry| entry.expect("a folder can be read to its end").path());
    let texts = paths.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => std::fs::read_to_string(path).into_iter().collect(),
    });
    texts.collect()
}

#[test]
fn flags_that_are_mentioned_exist() {
    let commands: &[&[&str]] = &[
        &[],
        &["serve"],
        &["catalog", "check"],
        &["train"],
        &["learn"],
        &["evaluate"],
        &["replay"],
        &["export"],
        &["simulate"],
        &["bandit"],
        &["model", "score"],
        &["model", "inspect"],
        &["model", "push"],
        &["model", "list"],
        &["model", "stage"],
        &["model", "rollback"],
        &["keys", "new"],
        &["keys", "rotate"],
        &["keys", "list"],
    ];
    let help: String = commands.iter().map(|command| help(command)).collect();
    let known = words(&help, "--", is_flag_part);
    // Flags of other programs that the documents tell people to run.
    let foreign = [
        "--release",
        "--data-binary",
        "--workspace",
        "--bench",
        "--no-deps",
        "--test",
        "--lib",
        "--nocapture",
        "--include-ignored",
        // Of the Python scripts beside the tests.
        "--full",
        "--costs",
        "--only",
    ];
    let loadtest = loadtest_flags();
    let scripts = sources(&root().join("scripts")).concat();
    let scripts = words(&scripts, "--", is_flag_part);
    let mut seen = 0;
    for (path, text) in documents() {
        for flag in words(&text, "--", is_flag_part) {
            // A rule of a table or a comment's end is no flag.
            let is_name = flag[2..].starts_with(|c: char| c.is_ascii_lowercase());
            if !is_name || foreign.contains(&flag) {
                continue;
            }
            seen += 1;
            assert!(
                known.contains(flag) || loadtest.contains(flag) || scripts.contains(flag),
                "{}: there is no flag {flag}",
                path.display()
            );
        }
    }
    assert!(seen > 10, "only {seen} flags: they are not being seen");
}

#[test]
fn commands_that_are_mentioned_exist() {
    let known = help(&[]);
    for (path, text) in documents() {
        for mentioned in between(&text, "`offerd ", '`') {
            let command = mentioned.split_whitespace().next().unwrap_or_default();
            if command.starts_with("--") {
                continue;
            }
            assert!(
                known.contains(&format!("\n  {command} ")),
                "{}: there is no command {command}",
                path.display()
            );
        }
    }
}

#[test]
fn the_metrics_listed_are_those_there_are() {
    let is_part = |c: char| c.is_ascii_lowercase() || c == '_';
    let page = document("docs/running.md");
    let listed: BTreeSet<&str> = between(&page, "| `offerd_", '`').collect();
    let listed: BTreeSet<String> = listed.iter().map(|n| format!("offerd_{n}")).collect();
    let source = document("src/telemetry.rs");
    let known: BTreeSet<String> = words(&source, "offerd_", is_part)
        .into_iter()
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, known);
    for (path, text) in documents() {
        for name in words(&text, "offerd_", is_part) {
            assert!(
                known.contains(name),
                "{}: there is no metric {name}",
                path.display()
            );
        }
    }
}

#[test]
fn settings_that_are_mentioned_exist() {
    let settings: toml::Table = document("offerd.toml").parse().expect("it is TOML");
    let mut seen = 0;
    let pages = ["docs/running.md", "docs/README.md", "README.md"].map(document);
    let mentioned = pages
        .iter()
        .flat_map(|page| page.split('`'))
        .filter(|word| {
            word.chars()
                .all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'))
        });
    for word in mentioned {
        let Some((section, key)) = word.split_once('.') else {
            continue;
        };
        let Some(section) = settings.get(section).and_then(toml::Value::as_table) else {
            continue;
        };
        assert!(section.contains_key(key), "there is no setting {word}");
        seen += 1;
    }
    assert!(seen > 10, "only {seen} settings: they are not being seen");
}

#[test]
fn examples_in_json_and_toml_parse() {
    let mut seen = 0;
    for (path, text) in documents() {
        for block in blocks(&text, "json") {
            // One value per block, or one per line.
            let values = serde_json::Deserializer::from_str(block).into_iter();
            for value in values {
                let value: Result<serde_json::Value, _> = value;
                value.unwrap_or_else(|e| panic!("{}: {e} in\n{block}", path.display()));
                seen += 1;
            }
        }
        for block in blocks(&text, "toml") {
            let parsed: Result<toml::Table, _> = block.parse();
            parsed.unwrap_or_else(|e| panic!("{}: {e} in\n{block}", path.display()));
            seen += 1;
        }
    }
    assert!(seen > 5, "only {seen} examples: they are not being seen");
}

#[test]
fn the_smallest_catalog_of_the_docs_is_one() {
    let page = document("docs/catalog.md");
    let smallest = blocks(&page, "toml")[0];
    offerd::control::catalog::read(smallest).unwrap_or_else(|m| panic!("{m}"));
}

#[test]
fn warnings_about_redis_are_quoted_word_for_word() {
    let source = document("src/journal/sink/server.rs");
    let page = document("docs/running.md");
    let section = page.split("## Redis").nth(1).expect("there is a section");
    let table = section.split("\n## ").next().unwrap_or_default();
    let quoted: Vec<&str> = between(table, "\n| `", '`').collect();
    assert_eq!(quoted.len(), 4, "{quoted:?}");
    for warning in quoted {
        assert!(source.contains(warning), "{warning}");
    }
}
