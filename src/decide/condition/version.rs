//! Versions, compared the way GrowthBook pads them: nearly SemVer, but total.
//!
//! `v1.2.3-rc.1+build` loses its `v` and its build and falls apart at dots and dashes. Runs of digits
//! are padded to five places so that comparing text compares numbers, and a version of exactly three
//! parts gets a fourth, `~`, which sorts after any pre-release. Anything that is no text and no number
//! is version 0.

use std::cmp::Ordering;

use super::Attr;
use super::coerce::with_text;

/// Digits are padded to this many places.
const PLACES: usize = 5;

/// The padded form of a version.
pub(super) fn padded(version: &str) -> Box<str> {
    pieces(version).collect::<String>().into()
}

/// Compares a value, as a version, with the padded form of another.
pub(super) fn compare(value: Attr<'_>, expected: &str) -> Option<Ordering> {
    let order = |version: &str| {
        let actual = pieces(version).flat_map(str::encode_utf16);
        actual.cmp(expected.encode_utf16())
    };
    match value {
        Attr::Text(_) | Attr::Number(_) => with_text(value, order),
        _ => Some(order("0")),
    }
}

/// The padded form in pieces: fill, part, dash, fill, part, …
fn pieces(version: &str) -> impl Iterator<Item = &str> {
    const FILL: &str = "     ";
    const _: () = assert!(FILL.len() == PLACES);

    let version = if version.is_empty() { "0" } else { version };
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split_once('+').map_or(version, |(core, _)| core);
    let parts = version.split(['-', '.']);
    let release = (parts.clone().count() == 3).then_some("~");
    parts.chain(release).enumerate().flat_map(|(i, part)| {
        let dash = if i == 0 { "" } else { "-" };
        let numeric = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let fill = if numeric {
            PLACES.saturating_sub(part.len())
        } else {
            0
        };
        [dash, &FILL[..fill], part]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(a: &str, expected: Ordering, b: &str) {
        assert_eq!(
            compare(Attr::Text(a), &padded(b)),
            Some(expected),
            "{a} and {b}"
        );
        assert_eq!(
            compare(Attr::Text(b), &padded(a)),
            Some(expected.reverse()),
            "{b} and {a}"
        );
    }

    #[test]
    fn pads_as_published() {
        assert_eq!(&*padded("v1.2.3-rc.1+build"), "    1-    2-    3-rc-    1");
        assert_eq!(&*padded("1.0.0"), "    1-    0-    0-~");
        assert_eq!(&*padded("100000.2"), "100000-    2");
        assert_eq!(&*padded(""), "    0");
        assert_eq!(&*padded("1..x"), "    1--x-~");
    }

    #[test]
    fn orders_releases_after_their_candidates() {
        check("1.0.0-rc.1", Ordering::Less, "1.0.0");
        check("1.0.0-beta.2", Ordering::Less, "1.0.0-beta.11");
        check("9.9.9", Ordering::Less, "10.0.0");
        check("v1.0.0+a", Ordering::Equal, "1.0.0+b");
    }

    #[test]
    fn what_is_no_version_is_version_0() {
        for value in [
            Attr::Missing,
            Attr::Null,
            Attr::Flag(true),
            Attr::List(&["9"]),
            Attr::Text(""),
        ] {
            assert_eq!(
                compare(value, &padded("0")),
                Some(Ordering::Equal),
                "{value:?}"
            );
        }
        assert_eq!(
            compare(Attr::Number(2.5), &padded("2.5")),
            Some(Ordering::Equal)
        );
    }
}
