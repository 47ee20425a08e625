//! One row per rule: what is changed in the base catalog, and what is then told, and where.

use super::BASE;
use offerd::control::catalog::limits::{FILE_BYTES_MAX, MISTAKES_MAX};
use offerd::control::catalog::{read, read_json, read_toml};

/// Replaces `from` by `to` in the base catalog and expects exactly one mistake, at the place that
/// `to` marks with `«`.
#[track_caller]
fn check(from: &str, to: &str, path: &str, message: &str) {
    assert_eq!(BASE.matches(from).count(), 1, "{from} must be there once");
    let marked = BASE.replace(from, to);
    let (before, _) = marked.split_once('«').expect("the place is marked");
    let line = before.lines().count().max(1);
    let line = if before.ends_with('\n') {
        line + 1
    } else {
        line
    };
    let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
    let text = marked.replace('«', "");
    let mistakes = match read_toml(&text) {
        Ok(_) => panic!("{to}: no mistake was found"),
        Err(mistakes) => mistakes,
    };
    let all = mistakes.all();
    assert_eq!(all.len(), 1, "{to}: {mistakes}");
    let place = (
        all[0].line.unwrap_or(0) as usize,
        all[0].column.unwrap_or(0) as usize,
    );
    assert_eq!(
        (place, all[0].path.as_str()),
        ((line, column), path),
        "{to}: {mistakes}"
    );
    assert!(all[0].message.contains(message), "{to}: {mistakes}");
}

#[test]
fn the_operator_is_somebody_somewhere() {
    check(
        "[operator]",
        "«[operatr]\nx = 1\n[operator]",
        "operatr",
        "did you mean `operator`?",
    );
    check("\"USD\"", "\"usd\"", "operator.currency", "");
}

#[test]
fn offers() {
    check("id = \"sport\"\n", "«id = \"help\"\n", "offer[1].id", "");
}
