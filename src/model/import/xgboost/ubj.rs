//! UBJSON (ubjson.org, draft 12), the binary form of JSON that XGBoost saves by default, for serde.
//!
//! Only what XGBoost writes: no high-precision numbers, no typed objects. Counts in the file are never
//! believed: every element takes at least a byte of it, so a count that lies runs into its end.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

/// Arrays within objects within arrays: XGBoost needs 10.
const DEPTH_MAX: u8 = 64;

/// Reads a whole document.
pub(super) fn from_slice<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut reader = Reader {
        bytes,
        at: 0,
        depth: 0,
    };
    let value = T::deserialize(&mut reader).map_err(|e| e.at(reader.at))?;
    match reader.at == bytes.len() {
        true => Ok(value),
        false => Err(reader.error("something follows the document's end")),
    }
}

/// What is wrong, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    problem: String,
    at: Option<usize>,
}

impl Error {
    fn at(self, at: usize) -> Error {
        let at = Some(self.at.unwrap_or(at));
        Error { at, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        self.at.map_or(Ok(()), |at| write!(f, " at byte {at}"))
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(problem: T) -> Error {
        Error {
            problem: problem.to_string(),
            at: None,
        }
    }
}

struct Reader<'de> {
    bytes: &'de [u8],
    at: usize,
    depth: u8,
}

impl<'de> Reader<'de> {
    fn error(&self, problem: impl Into<String>) -> Error {
        Error {
            problem: problem.into(),
            at: Some(self.at),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'de [u8], Error> {
        let rest = &self.bytes[self.at..];
        let taken = rest
            .get(..count)
            .ok_or_else(|| self.error(format!("ends {} bytes too early", count - rest.len())))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.take(N)?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    fn byte(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next marker, which stays.
    fn peek(&self) -> Result<u8, Error> {
        (self.bytes.get(self.at).copied()).ok_or_else(|| self.error("ends too early"))
    }

    fn integer(&mut self, marker: u8) -> Result<i64, Error> {
        Ok(match marker {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => self.byte()?.into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            other => return Err(self.unexpected(other, "an integer")),
        })
    }

    fn count(&mut self) -> Result<usize, Error> {
        let marker = self.byte()?;
        let count = self.integer(marker)?;
        usize::try_from(count).map_err(|_| self.error(format!("{count} is no count")))
    }

    fn text(&mut self) -> Result<&'de str, Error> {
        let count = self.count()?;
        let bytes = self.take(count)?;
        std::str::from_utf8(bytes).map_err(|e| self.error(e.to_string()))
    }

    fn unexpected(&self, marker: u8, wanted: &str) -> Error {
        let marker = char::from(marker).escape_default();
        self.error(format!("`{marker}` instead of {wanted}"))
    }

    fn value<V: Visitor<'de>>(&mut self, marker: u8, visitor: V) -> Result<V::Value, Error> {
        match marker {
            b'Z' => visitor.visit_unit(),
            b'T' => visitor.visit_bool(true),
            b'F' => visitor.visit_bool(false),
            b'd' => visitor.visit_f32(f32::from_be_bytes(self.array()?)),
            b'D' => visitor.visit_f64(f64::from_be_bytes(self.array()?)),
            b'S' => visitor.visit_borrowed_str(self.text()?),
            b'C' => visitor.visit_char(self.byte()?.into()),
            b'[' => self.nested(|reader| reader.elements(visitor)),
            b'{' => self.nested(|reader| visitor.visit_map(Entries { reader })),
            _ => match self.integer(marker) {
                Ok(integer) => visitor.visit_i64(integer),
                Err(error) => Err(error),
            },
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.depth == DEPTH_MAX {
            return Err(self.error(format!("is nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// An array after its bracket: until the closing one, or counted, or counted and of one type.
    fn elements<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let mut elements = Elements {
            marker: None,
            left: None,
            reader: self,
        };
        if elements.reader.peek()? == b'$' {
            elements.reader.at += 1;
            let marker = elements.reader.byte()?;
            // Not those that take no bytes, nor those with structure of their own.
            if !b"iUIlLdD".contains(&marker) {
                return Err(elements.reader.unexpected(marker, "a type of number"));
            }
            elements.marker = Some(marker);
        }
        if elements.reader.peek()? == b'#' {
            elements.reader.at += 1;
            elements.left = Some(elements.reader.count()?);
        } else if let Some(marker) = elements.marker {
            return Err(elements.reader.unexpected(marker, "a count"));
        }
        visitor.visit_seq(elements)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let marker = self.byte()?;
        self.value(marker, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? == b'Z' {
            self.at += 1;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The elements of an array.
struct Elements<'a, 'de> {
    reader: &'a mut Reader<'de>,
    /// What all of them are, if that was said.
    marker: Option<u8>,
    /// How many are left, if that was said.
    left: Option<usize>,
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.reader.peek()? == b']' => {
                self.reader.at += 1;
                return Ok(None);
            }
            None => {}
        }
        let value = match self.marker {
            Some(marker) => seed.deserialize(Typed {
                reader: self.reader,
                marker,
            }),
            None => seed.deserialize(&mut *self.reader),
        };
        value.map(Some)
    }
}

/// An element whose type was said before.
struct Typed<'a, 'de> {
    reader: &'a mut Reader<'de>,
    marker: u8,
}

impl<'de> Deserializer<'de> for Typed<'_, 'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.reader.value(self.marker, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The entries of an object; keys are texts without a marker.
struct Entries<'a, 'de> {
    reader: &'a mut Reader<'de>,
}

impl<'de> MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.reader.peek()? == b'}' {
            self.reader.at += 1;
            return Ok(None);
        }
        let key = self.reader.text()?;
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(&mut *self.reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[track_caller]
    fn check(bytes: &[u8], expected: Value) {
        assert_eq!(from_slice::<Value>(bytes), Ok(expected));
    }

    #[test]
    fn values_of_every_kind_are_read() {
        check(b"Z", json!(null));
        check(b"T", json!(true));
        check(b"i\xff", json!(-1));
        check(b"U\xff", json!(255));
        check(b"I\x01\x00", json!(256));
        check(b"l\x00\x01\x00\x00", json!(65_536));
        check(
            b"L\x00\x00\x00\x01\x00\x00\x00\x00",
            json!(4_294_967_296_u64),
        );
        check(b"d\x3f\x00\x00\x00", json!(0.5));
        check(b"D\x3f\xe0\x00\x00\x00\x00\x00\x00", json!(0.5));
        check(b"SU\x02ab", json!("ab"));
        check(b"[i\x01T]", json!([1, true]));
        check(b"[#i\x02i\x01T", json!([1, true]));
        check(b"[$U#i\x02\x01\x02", json!([1, 2]));
        check(b"{U\x01a{U\x01b[]}}", json!({"a": {"b": []}}));
    }

    #[track_caller]
    fn check_refused(bytes: &[u8], problem: &str) {
        let error = from_slice::<Value>(bytes).unwrap_err();
        assert!(error.to_string().contains(problem), "{error}");
    }

    #[test]
    fn lies_are_found_out() {
        check_refused(b"", "too early");
        check_refused(b"ZZ", "follows the document's end");
        check_refused(
            b"SL\x7f\xff\xff\xff\xff\xff\xff\xff",
            "too early at byte 10",
        );
        check_refused(b"[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff", "too early");
        check_refused(b"[#L\x7f\xff\xff\xff\xff\xff\xff\xff", "too early");
        check_refused(
            b"[$Z#L\x7f\xff\xff\xff\xff\xff\xff\xff",
            "`Z` instead of a type of number",
        );
        check_refused(b"[$d\x00", "instead of a count");
        check_refused(b"[#i\xff", "-1 is no count");
        check_refused(b"SU\x01\xff", "utf-8");
        check_refused(&[b'['; 100], "deeper than 64");
        check_refused(b"H", "`H` instead of an integer");
    }
}
