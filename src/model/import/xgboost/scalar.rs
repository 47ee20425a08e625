//! A number as XGBoost's parameters have it: `1`, `"5E-1"` (before 3.0) or `"[5E-1]"` (since).

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::model::ArtifactError;

/// The number's text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scalar(String);

impl Scalar {
    /// The number; `name` is the parameter's.
    pub fn parse<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T, ArtifactError> {
        let text = self.0.trim();
        let inner = (text.strip_prefix('[').and_then(|t| t.strip_suffix(']'))).unwrap_or(text);
        inner.trim().parse().map_err(|e: T::Err| {
            let shown: String = text.chars().take(40).collect();
            ArtifactError::new(name, format!("is `{shown}`: {e}"))
        })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or a text with a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.into()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f32<E: Error>(self, number: f32) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        let one = (seq.next_element()?).ok_or_else(|| A::Error::custom("an empty list"))?;
        match seq.next_element::<Scalar>()? {
            None => Ok(one),
            Some(_) => Err(A::Error::custom("a list of more than one number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_is_understood() {
        for text in [
            "0.5",
            "\"5E-1\"",
            "\"[5E-1]\"",
            "[0.5]",
            "\"0.5\"",
            "\" [ 0.5 ] \"",
        ] {
            let scalar: Scalar = serde_json::from_str(text).unwrap();
            assert_eq!(scalar.parse("base_score"), Ok(0.5_f32), "{text}");
        }
        for text in ["null", "{}", "[]", "[1, 2]"] {
            assert!(serde_json::from_str::<Scalar>(text).is_err(), "{text}");
        }
        let two: Scalar = serde_json::from_str("\"[1,2]\"").unwrap();
        let error = two.parse::<f32>("base_score").unwrap_err();
        assert_eq!(
            error.to_string(),
            "artifact, base_score: is `[1,2]`: invalid float literal"
        );
    }
}
