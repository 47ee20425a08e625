//! Reading a body: JSON, bounded in size and depth, with errors that name the field.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::limits::{BODY_BYTES_MAX, DEPTH_MAX};
use super::nesting::nests_deeper;
use super::quick::{self, Quick};
use super::{Malformed, Problem, Refusal};

/// How much of a value an error repeats.
const DETAIL_CHARS_MAX: usize = 256;

/// Reads `body` as one JSON object, borrowing its text.
///
/// What the quick reader gives up on, serde reads.
///
/// # Errors
///
/// [`Refusal::TooLarge`] above 64 KiB; otherwise [`Refusal::Malformed`] naming the field, or `body` where it
/// is not JSON at all.
pub fn parse<'a, T>(body: &'a [u8]) -> Result<T, Problem>
where
    T: Deserialize<'a>,
    Object<T>: Quick<'a>,
{
    if body.len() <= BODY_BYTES_MAX
        && let Ok(text) = std::str::from_utf8(body)
        && let Some(object) = quick::read::<Object<T>>(text)
    {
        return Ok(object.0);
    }
    thoroughly(body)
}

/// Reads anything, and tells what is wrong with it.
pub(super) fn thoroughly<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    if body.len() > BODY_BYTES_MAX {
        let got = body.len();
        return Err(Refusal::TooLarge.problem().with_detail(format_args!(
            "must be at most {BODY_BYTES_MAX} bytes, got {got}"
        )));
    }
    if nests_deeper(body, DEPTH_MAX) {
        let detail = format!("must not nest deeper than {DEPTH_MAX} levels");
        return Err(Malformed::new("body", detail).into());
    }
    match serde_json::from_slice::<Object<T>>(body) {
        Ok(object) => Ok(object.0),
        Err(error) => Err(explain::<T>(body, &error).into()),
    }
}

/// Reads the body again, slowly, to tell where it went wrong.
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8], error: &serde_json::Error) -> Malformed {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let path = match serde_path_to_error::deserialize::<_, Object<T>>(&mut reader) {
        Err(again) if again.inner().is_data() => again.path().to_string(),
        // Not JSON, or something after its end: there is no field to name.
        _ => String::new(),
    };
    let field = match path.as_str() {
        "" | "." => "body",
        path => path,
    };
    let shorten = |text: &str| text.chars().take(DETAIL_CHARS_MAX).collect::<String>();
    Malformed::new(shorten(field), shorten(&error.to_string()))
}

/// A message that only an object is read as. Serde's own structs also read arrays, field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object<T>(pub T);

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::wire::DecisionRequest;

    #[track_caller]
    fn check(body: &str, field: &str, detail: &str) {
        let problem = parse::<DecisionRequest<'_>>(body.as_bytes()).expect_err("malformed");
        assert_eq!(problem.field.as_deref(), Some(field), "{body}");
        let told = problem.detail.unwrap_or_default();
        assert!(told.contains(detail), "{body}: {told}");
    }

    #[test]
    fn errors_name_the_field_and_the_type() {
        check("", "body", "EOF");
        check("{", "body", "EOF");
        check("[]", "body", "expected an object");
        check("{} {}", "body", "trailing characters");
        check(r#"{"channel": 3}"#, "channel", "expected a string");
        check(r#"{"test": "yes"}"#, "test", "expected a boolean");
        check(
            r#"{"placements": [{"id": "a"}, {"count": "1"}]}"#,
            "placements[1].count",
            "expected a whole number",
        );
        check(
            r#"{"placements": [["a", 1]]}"#,
            "placements[0]",
            "expected an object",
        );
        check(
            r#"{"appointment": {"window_start": "soon"}}"#,
            "appointment.window_start",
            "RFC 3339",
        );
        check(
            r#"{"customer": {"features": {"tenure": [1]}}}"#,
            "customer.features.tenure",
            "expected a number, a string or a boolean",
        );
        check(
            r#"{"customer": {"features": {"tenure": 1e400}}}"#,
            "body",
            "number out of range",
        );
        check(
            r#"{"test": true, "test": true}"#,
            "body",
            "duplicate field `test`",
        );
    }

    #[test]
    fn depth_and_size_stop_where_they_say() {
        let nested = |n: usize| format!("{{\"x\": {}{}}}", "[".repeat(n - 1), "]".repeat(n - 1));
        for (depth, fine) in [(15, true), (16, true), (17, false), (30_000, false)] {
            let body = nested(depth);
            let read = parse::<DecisionRequest<'_>>(body.as_bytes());
            assert_eq!(read.is_ok(), fine, "depth {depth}");
        }
        for (size, fine) in [(65_535, true), (65_536, true), (65_537, false)] {
            let body = format!("{{{}}}", " ".repeat(size - 2));
            let read = parse::<DecisionRequest<'_>>(body.as_bytes());
            assert_eq!(read.is_ok(), fine, "{size} bytes");
            if let Err(problem) = read {
                assert_eq!(problem.refusal, Refusal::TooLarge);
            }
        }
    }

    #[test]
    fn a_long_value_is_not_repeated_whole() {
        let body = format!(r#"{{"test": "{}"}}"#, "x".repeat(60_000));
        let problem = parse::<DecisionRequest<'_>>(body.as_bytes()).expect_err("mistyped");
        assert!(problem.to_json().len() < 1_000);
    }
}
