//! `offerd catalog check FILE`: every mistake in a catalog, before it goes anywhere near a server.

use std::path::Path;
use std::process::ExitCode;

use crate::control::catalog::{Mistakes, limits, read};
use crate::decide::snapshot::Catalog;
use crate::domain::OfferClass;

/// The file is a catalog.
const DONE: u8 = 0;
/// The file has mistakes.
const FAILED: u8 = 1;
/// There is no such file, or it is no text.
const WRONG_USE: u8 = 2;

/// Checks the catalog at `path` and prints what it found, as JSON where `json` is set.
#[must_use]
pub fn check(path: &Path, json: bool) -> ExitCode {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(message) => {
            eprintln!("failed to read {}: {message}", path.display());
            return ExitCode::from(WRONG_USE);
        }
    };
    let result = read(&text);
    if json {
        println!("{}", as_json(path, result.as_deref()));
    } else {
        print!("{}", as_text(path, result.as_deref()));
    }
    ExitCode::from(if result.is_ok() { DONE } else { FAILED })
}

/// The file's text. Looks at its size first: a wrong path may lead to something enormous.
fn text_of(path: &Path) -> Result<String, String> {
    let told = |error: std::io::Error| error.to_string();
    let bytes = std::fs::metadata(path).map_err(told)?.len();
    if bytes > limits::FILE_BYTES_MAX as u64 {
        let max = limits::FILE_BYTES_MAX;
        return Err(format!("expected at most {max} bytes, found {bytes}"));
    }
    std::fs::read_to_string(path).map_err(told)
}

/// One line per mistake, as compilers print them, so that editors can jump there.
fn as_text(path: &Path, result: Result<&Catalog, &Mistakes>) -> String {
    let path = path.display();
    match result {
        Ok(catalog) => {
            let offers = catalog.offers.len();
            let placements = catalog.placements.len();
            let classes = counts(catalog).map(|(class, n)| format!("{n} {class}"));
            let classes = classes.collect::<Vec<_>>().join(", ");
            format!("{path}: {offers} offers ({classes}) in {placements} placements, no mistakes\n")
        }
        Err(mistakes) => {
            let lines = mistakes.all().iter().map(|mistake| match mistake.line {
                Some(_) => format!("{path}:{mistake}\n"),
                None => format!("{path}: {mistake}\n"),
            });
            let lines: String = lines.collect();
            let count = mistakes.all().len();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            format!("{lines}{count} {noun}\n")
        }
    }
}

fn as_json(path: &Path, result: Result<&Catalog, &Mistakes>) -> serde_json::Value {
    let file = path.display().to_string();
    match result {
        Ok(catalog) => serde_json::json!({
            "file": file,
            "ok": true,
            "digest": catalog.digest,
            "offers": catalog.offers.len(),
            "placements": catalog.placements.len(),
            "mistakes": [],
        }),
        Err(mistakes) => serde_json::json!({ "file": file, "ok": false, "mistakes": mistakes }),
    }
}

fn counts(catalog: &Catalog) -> impl Iterator<Item = (OfferClass, usize)> {
    OfferClass::ALL.iter().map(|&class| {
        let of_class = catalog.offers.iter().filter(|offer| offer.class == class);
        (class, of_class.count())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[operator]\ncurrency = \"USD\"\ntime_zone = \"UTC\"\n";

    #[test]
    fn exit_codes_tell_mistakes_from_files_that_are_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.toml");
        assert_eq!(check(&path, false), ExitCode::from(WRONG_USE));
        std::fs::write(&path, GOOD).unwrap();
        assert_eq!(check(&path, false), ExitCode::from(DONE));
        std::fs::write(&path, "x = 1").unwrap();
        assert_eq!(check(&path, true), ExitCode::from(FAILED));
        std::fs::write(&path, [0xFF, 0xFE]).unwrap();
        assert_eq!(check(&path, true), ExitCode::from(WRONG_USE), "not UTF-8");
    }

    #[test]
    fn mistakes_are_lines_that_editors_jump_to() {
        let path = Path::new("my.toml");
        let told = |text: &str| as_text(path, read(text).as_deref());
        let good = "my.toml: 0 offers (0 care, 0 service, 0 upsell, 0 partner, 0 content) in 0 placements, no mistakes\n";
        assert_eq!(told(GOOD), good);
        let bad = told(&GOOD.replace("UTC", "Mars"));
        let expected = "my.toml:3:1: operator.time_zone: expected an IANA time zone such as \
                        \"America/Denver\", found \"Mars\"\n1 mistake\n";
        assert_eq!(bad, expected);
    }

    #[test]
    fn json_carries_the_same() {
        let path = Path::new("my.toml");
        let told = |text: &str| as_json(path, read(text).as_deref());
        assert_eq!(told(GOOD)["ok"], true);
        let bad = told("{\"operator\": 1}");
        assert_eq!(bad["ok"], false);
        assert_eq!(bad["mistakes"][0]["path"], "operator");
        assert_eq!(bad["mistakes"][0]["line"], serde_json::Value::Null);
    }
}
