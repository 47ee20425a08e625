//! Text of a record, and values that may be text: borrowed wherever they stand.
//!
//! serde borrows a `Cow` that is a field, and copies one inside an `Option`, a list or a tuple; and it reads
//! an untagged enum by way of a tree. A record has a hundred of both, and the learner reads every record.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use super::FeatureRecord;

/// Text, borrowed from the record unless that writes it with escapes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Text<'a> {
        Text(text.into())
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(text.into())
    }
}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'a>, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(text.into())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(text.to_owned().into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
        Ok(text.into())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for FeatureRecord<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<FeatureRecord<'a>, D::Error> {
        deserializer.deserialize_any(FeatureVisitor)
    }
}

struct FeatureVisitor;

impl<'de> Visitor<'de> for FeatureVisitor {
    type Value = FeatureRecord<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a boolean, a number or a string")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<FeatureRecord<'de>, E> {
        Ok(FeatureRecord::Flag(flag))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<FeatureRecord<'de>, E> {
        Ok(FeatureRecord::Number(number))
    }

    // A record may come from elsewhere, where 14.0 is 14.
    fn visit_u64<E: Error>(self, number: u64) -> Result<FeatureRecord<'de>, E> {
        Ok(FeatureRecord::Number(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<FeatureRecord<'de>, E> {
        Ok(FeatureRecord::Number(number as f64))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<FeatureRecord<'de>, E> {
        TextVisitor
            .visit_borrowed_str(text)
            .map(FeatureRecord::Text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<FeatureRecord<'de>, E> {
        TextVisitor.visit_str(text).map(FeatureRecord::Text)
    }
}
