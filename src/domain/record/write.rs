//! Writing the packed form value by value, without serde in between.
//!
//! A decision writes its record while somebody waits, and most of it is a row of five numbers for each
//! candidate. serde tells every field by a name that has to be found again, and every value through an answer
//! that may be an error. Here a field's name is a number at compile time, an object's shape is made as its fields
//! are written, and nothing fails. What is written is the same to the byte.

use super::form::{FORM, Name, OBJECT, SHAPES_MAX};
use super::out::Out;
use crate::domain::{DecisionId, NameHash, SubjectKey};

/// A record under way, and the shapes that it has so far.
#[derive(Debug, Default)]
pub struct Writing {
    out: Out,
    shapes: Vec<Shape>,
    /// The shape that came last, which most often comes next: objects stand in lists.
    last: usize,
}

/// Fields of one object at most: then its shape is one comparison.
const FIELDS_MAX: usize = 31;

/// How many fields an object has, and which.
type Shape = [u8; 1 + FIELDS_MAX];

/// An object under way.
#[derive(Debug)]
#[must_use = "an object ends with `end`"]
pub struct Object<'a> {
    writing: &'a mut Writing,
    /// Where its first byte is.
    at: usize,
    shape: Shape,
}

impl Writing {
    pub(super) fn begin(&mut self) {
        self.out.0.clear();
        self.out.0.push(FORM);
        self.shapes.clear();
    }

    pub(super) fn finish(&mut self) -> &[u8] {
        let at = u32::try_from(self.out.0.len()).expect("a record is kilobytes");
        for shape in &self.shapes {
            let end = 1 + usize::from(shape[0]);
            self.out.0.extend_from_slice(&shape[..end]);
        }
        self.out.0.extend_from_slice(&at.to_le_bytes());
        &self.out.0
    }

    /// Writes a value.
    #[inline]
    pub fn put(&mut self, value: impl Value) {
        value.put(self);
    }

    /// Begins an array; so many values follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.out.array(len);
    }

    /// Writes an array.
    #[inline]
    pub fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Writing, T),
    ) {
        self.array(values.len());
        values.for_each(|value| write(self, value));
    }

    /// Begins an object, whose fields follow.
    #[inline]
    pub fn object(&mut self) -> Object<'_> {
        let at = self.out.0.len();
        // Becomes the shape's number once that is known.
        self.out.0.push(OBJECT);
        Object {
            writing: self,
            at,
            shape: [0; 1 + FIELDS_MAX],
        }
    }

    /// The number of a shape in this record.
    #[inline]
    fn number(&mut self, shape: &Shape) -> usize {
        if self.shapes.get(self.last) != Some(shape) {
            self.find(shape);
        }
        self.last
    }

    fn find(&mut self, shape: &Shape) {
        let known = self.shapes.iter().position(|known| known == shape);
        self.last = known.unwrap_or_else(|| {
            assert!(self.shapes.len() < SHAPES_MAX, "too many kinds of objects");
            self.shapes.push(*shape);
            self.shapes.len() - 1
        });
    }
}

impl Object<'_> {
    /// Writes a field.
    #[inline]
    pub fn put(&mut self, name: Name, value: impl Value) {
        value.put(self.field(name));
    }

    /// Writes a field where there is something to write.
    #[inline]
    pub fn put_some<V: Value>(&mut self, name: Name, value: Option<V>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// Writes a field's name; its value follows.
    #[inline]
    pub fn field(&mut self, name: Name) -> &mut Writing {
        self.shape[0] += 1;
        self.shape[usize::from(self.shape[0])] = name as u8;
        self.writing
    }

    /// Writes no more of it.
    #[inline]
    pub fn end(self) {
        let number = self.writing.number(&self.shape);
        self.writing.out.0[self.at] = OBJECT | number as u8;
    }
}

/// What can be written.
pub trait Value {
    /// Writes it.
    fn put(self, to: &mut Writing);
}

/// Values as `serde_json` would have them.
macro_rules! values {
    ($($type:ty: |$value:ident, $out:ident| $put:expr;)+) => {
        $(impl Value for $type {
            #[inline]
            fn put(self, to: &mut Writing) {
                let ($value, $out) = (self, &mut to.out);
                $put;
            }
        })+
    };
}

values! {
    bool: |v, out| out.flag(v);
    u8: |v, out| out.natural(v.into());
    u32: |v, out| out.natural(v.into());
    u64: |v, out| out.natural(v);
    i32: |v, out| out.integer(v.into());
    i64: |v, out| out.integer(v);
    f64: |v, out| out.double(v);
    &str: |v, out| out.text(v);
    // Ids as their texts are.
    DecisionId: |v, out| out.ascii(&v.text());
    SubjectKey: |v, out| out.ascii(&v.text());
    NameHash: |v, out| out.ascii(&v.text());
}

impl<V: Value> Value for Option<V> {
    #[inline]
    fn put(self, to: &mut Writing) {
        match self {
            Some(value) => value.put(to),
            None => to.out.null(),
        }
    }
}

impl Value for &[&str] {
    #[inline]
    fn put(self, to: &mut Writing) {
        to.list(self.iter(), |to, text| to.out.text(text));
    }
}
