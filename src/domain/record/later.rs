//! A part of a record that is read when it is asked for, if it is.
//!
//! Who learns from a decision asks about the one candidate of two hundred that was shown. In a packed record a
//! part's place is enough to come back to it, and to pass over the others costs a tenth of reading them. Of
//! text it is read at once: what comes as text is not in a hurry.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::BorrowedBytesDeserializer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, SeqAccess, Visitor,
};

use super::unpack::{Head, Malformed, Reader, Shapes, malformed};

/// What a [`Later`] asks its deserializer for by way of a newtype's name, as `serde_json::RawValue` does.
pub(super) const LATER: &str = "$offerd::record::Later";

/// A value that is, or can be, read.
#[derive(Clone, Debug)]
pub struct Later<'a, T>(Held<'a, T>);

#[derive(Clone, Debug)]
enum Held<'a, T> {
    Read(T),
    Packed(Place<'a>),
}

/// Where in a packed record a value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub record: &'a [u8],
    pub at: usize,
}

/// What can be found in a list by one of its fields.
pub trait Keyed {
    /// The field's name.
    const KEY: &'static str;

    /// Its text.
    fn key(&self) -> &str;
}

impl<'a, T: Deserialize<'a> + Clone> Later<'a, T> {
    /// Reads it.
    ///
    /// # Errors
    /// When a packed record is damaged there, or of other contents.
    pub fn read(&self) -> Result<T, Malformed> {
        self.part(T::clone)
    }

    /// Reads a part of it: as a `U` that asks for less, or `of` the whole where that was read at once.
    ///
    /// # Errors
    /// As [`Later::read`].
    pub fn part<U: Deserialize<'a>>(&self, of: impl FnOnce(&T) -> U) -> Result<U, Malformed> {
        match &self.0 {
            Held::Read(value) => Ok(of(value)),
            Held::Packed(place) => {
                U::deserialize(&mut Shapes::of(place.record)?.values_from(place.at))
            }
        }
    }
}

impl<'a, T: Deserialize<'a> + Keyed + Clone> Later<'a, Vec<T>> {
    /// The first of the list whose key is that text; the others are not read.
    ///
    /// # Errors
    /// As [`Later::read`].
    pub fn find(&self, key: &str) -> Result<Option<T>, Malformed> {
        match &self.0 {
            Held::Read(list) => Ok(list.iter().find(|one| one.key() == key).cloned()),
            Held::Packed(place) => {
                let shapes = Shapes::of(place.record)?;
                let mut reader = shapes.values_from(place.at);
                if reader.seek(T::KEY, key)? {
                    return T::deserialize(&mut reader).map(Some);
                }
                Ok(None)
            }
        }
    }
}

impl Reader<'_, '_> {
    /// Moves from a list of objects to the first whose field `name` is that text; whether there is one.
    fn seek(&mut self, name: &str, text: &str) -> Result<bool, Malformed> {
        let Head::Array(len) = self.head()? else {
            return malformed("it is no list");
        };
        // Most have the same shape.
        let mut known = None;
        for _ in 0..len {
            let start = self.rest;
            let tag = self.rest.first();
            let (place, fields) = match known {
                Some((same, place, fields)) if same == tag => {
                    self.byte()?;
                    (place, fields)
                }
                _ => match self.head()? {
                    Head::Object(names) => {
                        let place = (0..names.len()).find(|at| names.get(*at) == Some(name));
                        known = Some((tag, place, names.len()));
                        (place, names.len())
                    }
                    Head::Map(len) if self.has(len, name, text)? => {
                        self.rest = start;
                        return Ok(true);
                    }
                    Head::Map(_) => continue,
                    _ => return malformed("a list holds something else than objects"),
                },
            };
            if let Some(place) = place {
                if place > 0 {
                    self.pass(place)?;
                }
                if self.is_text(text) {
                    self.rest = start;
                    return Ok(true);
                }
                self.pass(fields - place)?;
            } else {
                self.pass(fields)?;
            }
        }
        Ok(false)
    }

    /// Passes over so many names and values; whether the value of that name is that text.
    fn has(&mut self, len: usize, name: &str, text: &str) -> Result<bool, Malformed> {
        let mut has = false;
        for _ in 0..len {
            let is_name = self.is_text(name);
            self.pass(1)?;
            has |= is_name && self.is_text(text);
            self.pass(1)?;
        }
        Ok(has)
    }
}

impl<'a> Place<'a> {
    /// The two things that a place is, one after the other.
    pub(super) fn told(self) -> Told<'a> {
        Told(Some(self.record), Some(self.at))
    }
}

/// A [`Place`] on its way through serde, which knows of none.
pub(super) struct Told<'de>(Option<&'de [u8]>, Option<usize>);

impl<'de> SeqAccess<'de> for Told<'de> {
    type Error = Malformed;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Malformed> {
        if let Some(record) = self.0.take() {
            let record = BorrowedBytesDeserializer::new(record);
            return seed.deserialize(record).map(Some);
        }
        let at = self.1.take();
        at.map(|at| seed.deserialize(at.into_deserializer()))
            .transpose()
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Later<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Later<'a, T>, D::Error> {
        deserializer
            .deserialize_newtype_struct(LATER, LaterVisitor(PhantomData))
            .map(Later)
    }
}

struct LaterVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for LaterVisitor<T> {
    type Value = Held<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(
        self,
        deserializer: D,
    ) -> Result<Held<'de, T>, D::Error> {
        T::deserialize(deserializer).map(Held::Read)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut place: A) -> Result<Held<'de, T>, A::Error> {
        match (place.next_element()?, place.next_element()?) {
            (Some(record), Some(at)) => Ok(Held::Packed(Place { record, at })),
            _ => Err(de::Error::invalid_length(0, &"a place")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::super::{Packer, Record, read};
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct One {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        score: Option<f64>,
        #[serde(skip_serializing_if = "String::is_empty", default)]
        offer: String,
        number: Vec<u16>,
    }

    impl Keyed for One {
        const KEY: &'static str = "offer";

        fn key(&self) -> &str {
            &self.offer
        }
    }

    #[derive(Serialize)]
    struct Whole {
        before: [u8; 2],
        list: Vec<One>,
        behind: &'static str,
    }

    #[derive(Deserialize)]
    struct Slim<'a> {
        #[serde(borrow)]
        list: Later<'a, Vec<One>>,
        behind: &'a str,
    }

    fn one(offer: impl Into<String>, number: u16) -> One {
        One {
            score: number.is_multiple_of(3).then_some(0.1),
            offer: offer.into(),
            number: vec![number; usize::from(number % 20)],
        }
    }

    fn both(list: &[One]) -> [Record; 2] {
        let whole = Whole {
            before: [1, 2],
            list: list.to_vec(),
            behind: "it",
        };
        let text = serde_json::to_string(&whole).unwrap();
        [Packer::default().pack(&whole), text.into()]
    }

    #[test]
    fn a_part_is_the_same_whenever_it_is_read() {
        let long = "l".repeat(100);
        let list: Vec<One> = (0..200)
            .map(|i| one(format!("o{i}"), i))
            .chain([one(&long, 300), one("", 1), one("o7", 77)])
            .collect();
        for record in both(&list) {
            let slim: Slim<'_> = read(&record).unwrap();
            assert_eq!(slim.behind, "it");
            assert_eq!(slim.list.read().unwrap(), list);
            for key in ["o0", "o7", "o199", &long] {
                let expected = list.iter().find(|one| one.offer == key);
                assert_eq!(slim.list.find(key).unwrap().as_ref(), expected, "{key}");
            }
            assert_eq!(slim.list.find("o200").unwrap(), None);
            let numbers = slim.list.part(|list| vec![(); list.len()]);
            assert_eq!(numbers.is_ok(), matches!(record.as_bytes()[0], b'{'));
        }
    }

    #[test]
    fn an_object_may_be_a_map() {
        let list = [one("a", 3), one("b", 4)];
        let value: serde_json::Value = serde_json::to_value(&list).unwrap();
        let packed = Packer::default().pack(&value);
        let read: Later<'_, Vec<One>> = read(&packed).unwrap();
        assert_eq!(read.find("b").unwrap().as_ref(), Some(&list[1]));
        assert_eq!(read.find("c").unwrap(), None);
    }

    #[test]
    fn an_empty_list_has_nothing_in_it() {
        for record in both(&[]) {
            let slim: Slim<'_> = read(&record).unwrap();
            assert_eq!(slim.list.find("a").unwrap(), None);
            assert_eq!(slim.list.read().unwrap(), []);
        }
    }

    #[test]
    fn what_is_no_list_of_objects_is_an_error() {
        for value in [serde_json::json!({"a": 1}), serde_json::json!([1, 2])] {
            let packed = Packer::default().pack(&value);
            let list: Later<'_, Vec<One>> = read(&packed).unwrap();
            assert!(list.find("a").is_err());
            assert!(list.read().is_err());
            assert!(read::<Later<'_, Vec<One>>>(&value.to_string()).is_err());
        }
    }
}
