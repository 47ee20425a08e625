//! How a record is written down: packed in the journal, JSON for people and other programs.
//!
//! A record is a JSON object to everybody outside. Most records of a busy server are read by nobody but
//! its own learner and its own shipper, and writing seventeen digits for each of a thousand numbers is
//! most of what a decision would cost. So the journal holds a packed form of the same object,
//! and [`Record::json`] makes of it, byte for byte, what `serde_json` would have written.
//!
//! Both forms are read through [`read`]: journals of before, NDJSON files and Redis Streams hold text.

mod form;
pub mod json;
mod later;
mod out;
mod pack;
mod text;
mod unpack;
mod write;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::{Serialize, Serializer};

pub use self::form::Name;
pub use self::later::{Keyed, Later};
pub use self::pack::Packer;
pub use self::unpack::Malformed;
pub use self::write::{Object, Value, Writing};

/// One record, in whichever form it was written.
///
/// In the journal's envelope it is a string of bytes: text, as releases before this one wrote it, or a form
/// of ours, which begins with a byte below 32 as no JSON does.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Form);

#[derive(Clone, PartialEq, Eq)]
enum Form {
    Text(String),
    Packed(Vec<u8>),
}

/// Bytes that are no record of a form this release knows.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Text that is no such JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// Packed, and not what was asked for, or damaged.
    #[error(transparent)]
    Packed(#[from] Malformed),
}

/// Reads a record, in text or packed; what it borrows are the record's own strings.
///
/// # Errors
/// When it is neither, or not a `T`.
pub fn read<'de, T: Deserialize<'de>>(
    record: &'de (impl AsRef<[u8]> + ?Sized),
) -> Result<T, ReadError> {
    let record = record.as_ref();
    if form::is_packed(record) {
        return Ok(unpack::from_bytes(record)?);
    }
    Ok(serde_json::from_slice(record)?)
}

impl Record {
    fn packed(bytes: Vec<u8>) -> Record {
        Record(Form::Packed(bytes))
    }

    /// The record as JSON: one object, no line breaks.
    ///
    /// # Errors
    /// When the packed form is damaged, which a record with a right checksum is not.
    pub fn json(&self) -> Result<Cow<'_, str>, Malformed> {
        match &self.0 {
            Form::Text(text) => Ok(text.into()),
            Form::Packed(packed) => {
                let mut out = Vec::new();
                text::write(packed, &mut out)?;
                match String::from_utf8(out) {
                    Ok(text) => Ok(text.into()),
                    Err(_) => unpack::malformed("text is not UTF-8"),
                }
            }
        }
    }

    /// Puts the record as JSON behind what is in `out`.
    ///
    /// # Errors
    /// As [`Record::json`]; `out` is then as it was.
    pub fn write_json(&self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match &self.0 {
            Form::Text(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(())
            }
            Form::Packed(packed) => text::write(packed, out),
        }
    }

    /// The record as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Text(text) => text.as_bytes(),
            Form::Packed(packed) => packed,
        }
    }

    /// How many bytes it takes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl Default for Record {
    fn default() -> Record {
        Record(Form::Text(String::new()))
    }
}

impl AsRef<[u8]> for Record {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<String> for Record {
    fn from(json: String) -> Record {
        Record(Form::Text(json))
    }
}

impl From<&str> for Record {
    fn from(json: &str) -> Record {
        json.to_owned().into()
    }
}

/// As JSON.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.json() {
            Ok(json) => f.write_str(&json),
            Err(error) => write!(f, "({error})"),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_bytes())
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }
}

/// Takes a record out of its envelope.
struct Bytes;

impl de::Visitor<'_> for Bytes {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record, in text or packed")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Record, E> {
        self.visit_byte_buf(bytes.to_owned())
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Record, E> {
        if form::is_packed(&bytes) {
            return Ok(Record::packed(bytes));
        }
        // A later form of ours is nothing to guess at.
        match String::from_utf8(bytes) {
            Ok(text) if !text.starts_with(|c| c < ' ') => Ok(text.into()),
            _ => Err(E::custom(
                "a record of a form that this release does not know",
            )),
        }
    }
}

#[cfg(test)]
mod tests;
