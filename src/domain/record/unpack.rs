//! Reading the packed form, without copying its text.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::form::{
    self, ARRAY, DEPTH_MAX, F64, FALSE, FORM, I64, LONG_ARRAY, LONG_TEXT, MAP, NAMES, NULL, OBJECT,
    OTHER_NAME, SHAPES_MAX, SMALL_MAX, TAIL_BYTES, TEXT, TRUE, U16, U64,
};

/// A packed record that is damaged, or of other contents than were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(Box<str>);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

impl de::Error for Malformed {
    fn custom<T: fmt::Display>(problem: T) -> Malformed {
        Malformed(problem.to_string().into())
    }
}

#[cold]
pub(super) fn malformed<T>(problem: &'static str) -> Result<T, Malformed> {
    Err(Malformed(problem.into()))
}

/// The record's one value as a `T`.
pub(super) fn from_bytes<'de, T: Deserialize<'de>>(record: &'de [u8]) -> Result<T, Malformed> {
    let (body, shapes) = Shapes::of(record)?;
    let mut reader = Reader::new(body, &shapes);
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The names of a record's fields, object by object.
#[derive(Debug)]
pub(super) struct Shapes<'de> {
    names: Vec<&'de str>,
    /// Where each shape ends in `names`.
    ends: Vec<usize>,
}

impl<'de> Shapes<'de> {
    /// The bytes of a record's value, and its shapes.
    pub(super) fn of(record: &'de [u8]) -> Result<(&'de [u8], Shapes<'de>), Malformed> {
        let split = || {
            let (record, tail) = record.split_last_chunk::<TAIL_BYTES>()?;
            let at = usize::try_from(u32::from_le_bytes(*tail)).ok()?;
            let (value, shapes) = record.split_at_checked(at)?;
            Some((value.strip_prefix(&[FORM])?, shapes))
        };
        let Some((value, shapes)) = split() else {
            return malformed("not a packed record");
        };
        Ok((value, Shapes::read(shapes)?))
    }

    fn read(mut bytes: &'de [u8]) -> Result<Shapes<'de>, Malformed> {
        let mut shapes = Shapes {
            // Each takes a byte at least.
            names: Vec::with_capacity(bytes.len()),
            ends: Vec::with_capacity(SHAPES_MAX),
        };
        while let Some((count, rest)) = bytes.split_first() {
            bytes = rest;
            for _ in 0..*count {
                let Some(name) = name(&mut bytes) else {
                    return malformed("a shape is damaged");
                };
                shapes.names.push(name);
            }
            shapes.ends.push(shapes.names.len());
        }
        Ok(shapes)
    }

    fn get(&self, number: usize) -> Option<&[&'de str]> {
        let start = number
            .checked_sub(1)
            .map_or(Some(0), |n| self.ends.get(n).copied())?;
        self.names.get(start..*self.ends.get(number)?)
    }
}

fn name<'de>(bytes: &mut &'de [u8]) -> Option<&'de str> {
    let (place, rest) = bytes.split_first()?;
    *bytes = rest;
    if *place != OTHER_NAME {
        return NAMES.get(usize::from(*place)).copied();
    }
    let (len, rest) = rest.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*len))?;
    *bytes = rest;
    let name = std::str::from_utf8(name).ok()?;
    form::is_name(name).then_some(name)
}

/// What stands first in a value.
pub(super) enum Head<'de, 's> {
    Null,
    Flag(bool),
    Natural(u64),
    Negative(i64),
    Double(f64),
    Text(&'de str),
    /// So many values follow.
    Array(usize),
    /// A value for each name follows.
    Object(&'s [&'de str]),
    /// So many names, each before its value, follow.
    Map(usize),
}

/// A place among values.
pub(super) struct Reader<'de, 's> {
    rest: &'de [u8],
    shapes: &'s Shapes<'de>,
    depth: u32,
}

impl<'de, 's> Reader<'de, 's> {
    pub(super) fn new(body: &'de [u8], shapes: &'s Shapes<'de>) -> Reader<'de, 's> {
        Reader {
            rest: body,
            shapes,
            depth: 0,
        }
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        malformed("something stands behind the record's value")
    }

    /// Has `read` read what lies in a value.
    pub(super) fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        if self.depth == DEPTH_MAX {
            return malformed("values lie too deep in each other");
        }
        self.depth += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    pub(super) fn head(&mut self) -> Result<Head<'de, 's>, Malformed> {
        let head = match self.byte()? {
            v @ ..=SMALL_MAX => Head::Natural(v.into()),
            tag @ TEXT..OBJECT => Head::Text(self.text(usize::from(tag - TEXT))?),
            tag @ OBJECT..ARRAY => match self.shapes.get(usize::from(tag - OBJECT)) {
                Some(names) => Head::Object(names),
                None => return malformed("an object has a shape that is not there"),
            },
            tag @ ARRAY..NULL => Head::Array(usize::from(tag - ARRAY)),
            NULL => Head::Null,
            FALSE => Head::Flag(false),
            TRUE => Head::Flag(true),
            F64 => Head::Double(f64::from_le_bytes(self.bytes()?)),
            U64 => Head::Natural(u64::from_le_bytes(self.bytes()?)),
            I64 => Head::Negative(i64::from_le_bytes(self.bytes()?)),
            U16 => Head::Natural(u16::from_le_bytes(self.bytes()?).into()),
            LONG_TEXT => {
                let len = self.length()?;
                Head::Text(self.text(len)?)
            }
            LONG_ARRAY => Head::Array(self.length()?),
            MAP => Head::Map(self.length()?),
            _ => return malformed("a value is of no known kind"),
        };
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        Ok(*byte)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        Ok(*bytes)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        // Lengths are of something that is there; what is not is noticed when it is read.
        Ok(u32::from_le_bytes(self.bytes()?) as usize)
    }

    fn text(&mut self, len: usize) -> Result<&'de str, Malformed> {
        let Some((text, rest)) = self.rest.split_at_checked(len) else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        match std::str::from_utf8(text) {
            Ok(text) => Ok(text),
            Err(_) => malformed("text is not UTF-8"),
        }
    }

    /// Passes over a value that nobody asked for.
    fn skip(&mut self) -> Result<(), Malformed> {
        let inside = match self.head()? {
            Head::Array(len) => len,
            Head::Object(names) => names.len(),
            Head::Map(len) => len.saturating_mul(2),
            _ => return Ok(()),
        };
        self.deeper(|reader| (0..inside).try_for_each(|_| reader.skip()))
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de, '_> {
    type Error = Malformed;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.head()? {
            Head::Null => visitor.visit_unit(),
            Head::Flag(v) => visitor.visit_bool(v),
            Head::Natural(v) => visitor.visit_u64(v),
            Head::Negative(v) => visitor.visit_i64(v),
            Head::Double(v) => visitor.visit_f64(v),
            Head::Text(v) => visitor.visit_borrowed_str(v),
            Head::Array(left) => self.deeper(|reader| {
                let mut elements = Elements { reader, left };
                let value = visitor.visit_seq(&mut elements)?;
                elements.end()?;
                Ok(value)
            }),
            Head::Object(names) => self.deeper(|reader| {
                let mut fields = Fields { reader, names };
                let value = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(value)
            }),
            Head::Map(left) => self.deeper(|reader| {
                let mut members = Elements { reader, left };
                let value = visitor.visit_map(&mut members)?;
                members.end()?;
                Ok(value)
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        if let Some((&NULL, rest)) = self.rest.split_first() {
            self.rest = rest;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        match self.head()? {
            Head::Text(variant) => visitor.visit_enum(variant.into_deserializer()),
            _ => malformed("an enum's variant is not a word"),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.skip()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier
    }
}

/// The rest of an array, or of a map.
struct Elements<'a, 'de, 's> {
    reader: &'a mut Reader<'de, 's>,
    left: usize,
}

impl Elements<'_, '_, '_> {
    fn end(self) -> Result<(), Malformed> {
        if self.left == 0 {
            return Ok(());
        }
        malformed("an array is longer than expected")
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de, '_> {
    type Error = Malformed;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Malformed> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(None);
        };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        // A length that is made up reserves no more than there are bytes.
        Some(self.left.min(self.reader.rest.len()))
    }
}

impl<'de> de::MapAccess<'de> for Elements<'_, 'de, '_> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Malformed> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        seed.deserialize(&mut *self.reader)
    }
}

/// The rest of an object.
struct Fields<'a, 'de, 's> {
    reader: &'a mut Reader<'de, 's>,
    names: &'s [&'de str],
}

impl Fields<'_, '_, '_> {
    fn end(self) -> Result<(), Malformed> {
        if self.names.is_empty() {
            return Ok(());
        }
        malformed("an object has more fields than expected")
    }
}

impl<'de> de::MapAccess<'de> for Fields<'_, 'de, '_> {
    type Error = Malformed;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Malformed> {
        let Some((name, rest)) = self.names.split_first() else {
            return Ok(None);
        };
        self.names = rest;
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        seed.deserialize(&mut *self.reader)
    }
}
