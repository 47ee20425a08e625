//! Reading the packed form, without copying its text.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor};

use super::form::{
    self, ARRAY, DEPTH_MAX, F64, FALSE, FORM, I64, LONG_ARRAY, LONG_TEXT, MAP, NAMES, NULL, OBJECT,
    OTHER_NAME, SHAPES_MAX, SMALL_MAX, TAIL_BYTES, TEXT, TRUE, U16, U64,
};
use super::later::{LATER, Place};

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
    let shapes = Shapes::of(record)?;
    let mut reader = shapes.values();
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A packed record, with the names of its fields, object by object.
#[derive(Debug)]
pub(super) struct Shapes<'de> {
    record: &'de [u8],
    /// Where values end and shapes begin.
    end: usize,
    shapes: Vec<Shape<'de>>,
}

#[derive(Debug)]
enum Shape<'de> {
    /// All among [`NAMES`]: their places.
    Known(&'de [u8]),
    Other(Vec<&'de str>),
}

/// The names of an object, in the order of its values.
#[derive(Clone, Copy)]
pub(super) enum Names<'de, 's> {
    /// Places among [`NAMES`].
    Known(&'de [u8]),
    Other(&'s [&'de str]),
}

impl<'de> Names<'de, '_> {
    pub(super) fn len(self) -> usize {
        match self {
            Names::Known(places) => places.len(),
            Names::Other(names) => names.len(),
        }
    }

    pub(super) fn get(self, at: usize) -> Option<&'de str> {
        match self {
            Names::Known(places) => NAMES.get(usize::from(*places.get(at)?)).copied(),
            Names::Other(names) => names.get(at).copied(),
        }
    }
}

impl<'de> Shapes<'de> {
    pub(super) fn of(record: &'de [u8]) -> Result<Shapes<'de>, Malformed> {
        let split = || {
            let (before, tail) = record.split_last_chunk::<TAIL_BYTES>()?;
            let end = usize::try_from(u32::from_le_bytes(*tail)).ok()?;
            let (value, shapes) = before.split_at_checked(end)?;
            (value.first() == Some(&FORM)).then_some((end, shapes))
        };
        let Some((end, mut bytes)) = split() else {
            return malformed("not a packed record");
        };
        let mut shapes = Vec::with_capacity(SHAPES_MAX);
        while let Some((count, rest)) = bytes.split_first() {
            bytes = rest;
            let Some(shape) = shape(&mut bytes, usize::from(*count)) else {
                return malformed("a shape is damaged");
            };
            shapes.push(shape);
        }
        Ok(Shapes {
            record,
            end,
            shapes,
        })
    }

    /// A reader of the record's value.
    pub(super) fn values(&self) -> Reader<'de, '_> {
        self.values_from(1)
    }

    /// A reader of the value at that place, and of those behind it.
    pub(super) fn values_from(&self, at: usize) -> Reader<'de, '_> {
        Reader {
            rest: self.record.get(at..self.end).unwrap_or_default(),
            shapes: self,
            depth: 0,
        }
    }

    pub(super) fn get(&self, number: usize) -> Result<Names<'de, '_>, Malformed> {
        match self.shapes.get(number) {
            Some(Shape::Known(places)) => Ok(Names::Known(places)),
            Some(Shape::Other(names)) => Ok(Names::Other(names)),
            None => malformed("an object has a shape that is not there"),
        }
    }
}

fn shape<'de>(bytes: &mut &'de [u8], count: usize) -> Option<Shape<'de>> {
    if let Some((places, rest)) = bytes.split_at_checked(count)
        && places.iter().all(|place| usize::from(*place) < NAMES.len())
    {
        *bytes = rest;
        return Some(Shape::Known(places));
    }
    let names = (0..count).map(|_| name(bytes));
    names.collect::<Option<_>>().map(Shape::Other)
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
    Object(Names<'de, 's>),
    /// So many names, each before its value, follow.
    Map(usize),
}

/// How many bytes a value takes that begins with that byte; 0 where more must be known.
static BYTES: [u8; 256] = bytes();

const fn bytes() -> [u8; 256] {
    let mut bytes = [0; 256];
    let mut tag = 0;
    while tag < bytes.len() {
        bytes[tag] = match tag as u8 {
            ..=SMALL_MAX | NULL | FALSE | TRUE => 1,
            text @ TEXT..OBJECT => 1 + (text - TEXT),
            F64 | U64 | I64 => 1 + size_of::<u64>() as u8,
            U16 => 1 + size_of::<u16>() as u8,
            _ => 0,
        };
        tag += 1;
    }
    bytes
}

/// A place among values.
pub(super) struct Reader<'de, 's> {
    /// From the place on, as far as values go.
    pub(super) rest: &'de [u8],
    pub(super) shapes: &'s Shapes<'de>,
    depth: u32,
}

impl<'de, 's> Reader<'de, 's> {
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

    #[inline]
    pub(super) fn head(&mut self) -> Result<Head<'de, 's>, Malformed> {
        let head = match self.byte()? {
            v @ ..=SMALL_MAX => Head::Natural(v.into()),
            tag @ TEXT..OBJECT => Head::Text(self.text(usize::from(tag - TEXT))?),
            tag @ OBJECT..ARRAY => Head::Object(self.shapes.get(usize::from(tag - OBJECT))?),
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

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let Some((byte, rest)) = self.rest.split_first() else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        Ok(*byte)
    }

    #[inline]
    pub(super) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let Some((bytes, rest)) = self.rest.split_first_chunk() else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        // Lengths are of something that is there; what is not is noticed when it is read.
        Ok(u32::from_le_bytes(self.bytes()?) as usize)
    }

    #[inline]
    fn text(&mut self, len: usize) -> Result<&'de str, Malformed> {
        match std::str::from_utf8(self.take(len)?) {
            Ok(text) => Ok(text),
            Err(_) => malformed("text is not UTF-8"),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'de [u8], Malformed> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return malformed("the record ends in the middle");
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// Passes over a value that nobody asks for.
    fn skip(&mut self) -> Result<(), Malformed> {
        self.pass(1)
    }

    /// Passes over so many values, without a look at what is in their texts. Which of them lies in which is no
    /// matter here, only how many are still to come: there is nothing to come back to.
    pub(super) fn pass(&mut self, mut left: usize) -> Result<(), Malformed> {
        let mut at = 0;
        while left > 0 {
            let Some(&tag) = self.rest.get(at) else {
                return malformed("the record ends in the middle");
            };
            left -= 1;
            match BYTES[usize::from(tag)] {
                0 => {
                    self.take(at)?;
                    at = 0;
                    left = left.saturating_add(self.pass_odd()?);
                }
                bytes => at += usize::from(bytes),
            }
        }
        self.take(at).map(|_| ())
    }

    /// Passes over what begins with a byte that [`BYTES`] does not tell everything about; how many values lie in it.
    fn pass_odd(&mut self) -> Result<usize, Malformed> {
        match self.byte()? {
            tag @ OBJECT..ARRAY => Ok(self.shapes.get(usize::from(tag - OBJECT))?.len()),
            tag @ ARRAY..NULL => Ok(usize::from(tag - ARRAY)),
            LONG_ARRAY => self.length(),
            MAP => Ok(self.length()?.saturating_mul(2)),
            LONG_TEXT => {
                let len = self.length()?;
                self.take(len).map(|_| 0)
            }
            _ => malformed("a value is of no known kind"),
        }
    }

    /// Whether the next value is that text.
    pub(super) fn is_text(&self, text: &str) -> bool {
        let Some((tag, rest)) = self.rest.split_first() else {
            return false;
        };
        let behind = match *tag {
            tag @ TEXT..OBJECT if usize::from(tag - TEXT) == text.len() => Some(rest),
            LONG_TEXT => rest
                .split_first_chunk()
                .filter(|(len, _)| u32::from_le_bytes(**len) as usize == text.len())
                .map(|(_, rest)| rest),
            _ => None,
        };
        behind.is_some_and(|bytes| bytes.starts_with(text.as_bytes()))
    }

    /// Where in the record it is.
    fn place(&self) -> Place<'de> {
        Place {
            record: self.shapes.record,
            at: self.shapes.end - self.rest.len(),
        }
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
                let mut fields = Fields {
                    reader,
                    names,
                    at: 0,
                };
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
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Malformed> {
        if name == LATER {
            let place = self.place();
            self.skip()?;
            return visitor.visit_seq(place.told());
        }
        visitor.visit_newtype_struct(self)
    }

    // What most values are is looked for first: the rest finds its way through `deserialize_any`.

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.rest.first() {
            Some(tag @ TEXT..OBJECT) => {
                self.rest = &self.rest[1..];
                visitor.visit_borrowed_str(self.text(usize::from(tag - TEXT))?)
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        self.deserialize_str(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Malformed> {
        match self.rest.first() {
            Some(&F64) => {
                self.rest = &self.rest[1..];
                visitor.visit_f64(f64::from_le_bytes(self.bytes()?))
            }
            _ => self.deserialize_any(visitor),
        }
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
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 char bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct identifier
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
    names: Names<'de, 's>,
    /// So many have been read.
    at: usize,
}

impl Fields<'_, '_, '_> {
    fn end(self) -> Result<(), Malformed> {
        if self.at == self.names.len() {
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
        let Some(name) = self.names.get(self.at) else {
            return Ok(None);
        };
        self.at += 1;
        seed.deserialize(BorrowedStrDeserializer::new(name))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Malformed> {
        seed.deserialize(&mut *self.reader)
    }
}
