//! The small values of wire messages: text that borrows, whole numbers, instants, features.
//!
//! They are looser than what they stand for, because a value outside its range must still be read
//! to be named in an error: a [`Whole`] holds any integer, and `validate` says which are allowed.

use std::borrow::Cow;
use std::fmt;

use jiff::fmt::temporal::DateTimePrinter;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::domain::Millis;

/// Text borrowed from the body where it has no escapes, owned otherwise.
///
/// `Cow` alone would not do: inside an `Option` or a `Vec`, serde always makes an owned one of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text<'a>(pub Cow<'a, str>);

impl Text<'_> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Cow::Owned(text))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Cow::Borrowed(text))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(text.into())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(text.to_owned().into())
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// A whole number of any size; what does not fit stops at the ends of the range.
///
/// `3.0` is read as 3, because JSON and its schemas know no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Whole(pub i64);

impl From<u32> for Whole {
    fn from(value: u32) -> Whole {
        Whole(i64::from(value))
    }
}

impl From<u64> for Whole {
    fn from(value: u64) -> Whole {
        Whole(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Whole, E> {
                Ok(Whole(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Whole, E> {
                Ok(value.into())
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Whole, E> {
                if value.fract() == 0.0 {
                    // A cast from a float stops at the ends of the range.
                    Ok(Whole(value as i64))
                } else {
                    Err(E::invalid_type(serde::de::Unexpected::Float(value), &self))
                }
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// An instant: RFC 3339 text in JSON, a timestamp in protos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(pub Millis);

impl Instant {
    /// What an error says about anything else.
    const EXPECTED: &'static str = "an RFC 3339 instant such as 2026-11-21T13:00:00Z";

    /// The instant that `text` tells, or `None` if it is not RFC 3339.
    #[must_use]
    pub fn parse(text: &str) -> Option<Instant> {
        // Jiff also reads hours without minutes and zones in brackets; RFC 3339 knows neither.
        let bytes = text.as_bytes();
        let punctuated = bytes.len() >= "2026-11-21T13:00:00Z".len()
            && (bytes[4], bytes[7], bytes[13], bytes[16]) == (b'-', b'-', b':', b':')
            && matches!(bytes[10], b'T' | b't' | b' ')
            && !text.ends_with(']');
        let timestamp: jiff::Timestamp = punctuated.then(|| text.parse().ok())??;
        Some(Instant(Millis(timestamp.as_millisecond())))
    }
}

impl TryFrom<offerd_proto::Timestamp> for Instant {
    type Error = &'static str;

    fn try_from(stamp: offerd_proto::Timestamp) -> Result<Instant, &'static str> {
        let timestamp = jiff::Timestamp::new(stamp.seconds, stamp.nanos);
        let valid = timestamp.ok().filter(|_| stamp.nanos >= 0);
        valid
            .map(|t| Instant(Millis(t.as_millisecond())))
            .ok_or("must be an instant between the years 1 and 9999, with 0 to 999999999 nanos")
    }
}

impl From<Instant> for offerd_proto::Timestamp {
    fn from(instant: Instant) -> offerd_proto::Timestamp {
        let ms = instant.0.0;
        offerd_proto::Timestamp {
            seconds: ms.div_euclid(1000),
            nanos: i32::try_from(ms.rem_euclid(1000)).expect("below 1000") * 1_000_000,
        }
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(timestamp) => timestamp.fmt(f),
            // Beyond the year 9999 there is nothing to tell apart.
            Err(_) => jiff::Timestamp::MAX.fmt(f),
        }
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // As `Display` does, without the formatting machinery: every offer of an answer has one.
        const PRINTER: DateTimePrinter = DateTimePrinter::new();
        match jiff::Timestamp::from_millisecond(self.0.0) {
            Ok(timestamp) => serializer.serialize_str(&PRINTER.timestamp_to_string(&timestamp)),
            Err(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Instant;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Instant::EXPECTED)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Instant, E> {
                Instant::parse(text)
                    .ok_or_else(|| E::custom(format_args!("expected {}", Instant::EXPECTED)))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// A feature's value: a number, a string or a boolean.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// A number of any size; JSON has no infinities, protos do.
    Number(f64),
    /// A string.
    Text(Text<'a>),
    /// A boolean.
    Flag(bool),
}

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Scalar::Number(number) => serializer.serialize_f64(*number),
            Scalar::Text(text) => text.serialize(serializer),
            Scalar::Flag(flag) => serializer.serialize_bool(*flag),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a string or a boolean")
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Flag(flag))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number as f64))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number as f64))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Number(number))
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.into()))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(text.to_owned().into()))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_wherever_it_can_be() {
        let list: Vec<Option<Text<'_>>> = serde_json::from_str(r#"["plain", "a\"b"]"#).unwrap();
        let borrowed: Vec<bool> = list
            .iter()
            .map(|t| matches!(t, Some(Text(Cow::Borrowed(_)))))
            .collect();
        assert_eq!(borrowed, [true, false]);
    }

    #[track_caller]
    fn whole(json: &str, expected: Option<i64>) {
        let read = serde_json::from_str::<Whole>(json).ok().map(|w| w.0);
        assert_eq!(read, expected, "{json}");
    }

    #[test]
    fn whole_numbers() {
        whole("3", Some(3));
        whole("3.0", Some(3));
        whole("-0", Some(0));
        whole("1e300", Some(i64::MAX));
        whole("18446744073709551615", Some(i64::MAX));
        whole("1.5", None);
        whole("\"1\"", None);
        whole("1e400", None);
    }

    #[track_caller]
    fn instant(text: &str, expected: Option<i64>) {
        assert_eq!(Instant::parse(text).map(|i| i.0.0), expected, "{text}");
    }

    #[test]
    fn instants() {
        instant("1970-01-01T00:00:01Z", Some(1_000));
        instant("1970-01-01t00:00:01.25z", Some(1_250));
        instant("1970-01-01T01:00:00+01:00", Some(0));
        instant("1970-01-01T00:00Z", None);
        instant("1970-01-01T00:00:00", None);
        instant("1970-01-01T00:00:00+00:00[UTC]", None);
        instant("", None);
        instant("ääääääääääääääääääää", None);
    }

    #[test]
    fn an_instant_survives_both_forms() {
        for ms in [0, -1, 1_763_730_000_123, i64::MAX, i64::MIN / 2_000] {
            let instant = Instant(Millis(ms));
            let json = serde_json::to_string(&instant).unwrap();
            assert_eq!(json, format!("\"{instant}\""));
            if ms.abs() > 1 << 50 {
                continue;
            }
            assert_eq!(Instant::parse(&instant.to_string()), Some(instant));
            assert_eq!(
                Instant::try_from(offerd_proto::Timestamp::from(instant)),
                Ok(instant)
            );
        }
    }
}
