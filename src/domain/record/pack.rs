//! Writing the packed form.
//!
//! Which fields an object has is found out while it is written, by walking a tree: each node is a list of
//! names, and from it leads one way for each name that ever came next. Names are compared by where
//! they are in memory, since the same field of the same type is the same constant, so that a step takes a few
//! instructions; and where the walk ends, the shape's definition lies ready to be copied. The tree has as
//! many nodes as the types that are written have fields, and stays from one record to the next.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};

use super::form::{self, FORM, LONG_TEXT, MAP, OBJECT, OTHER_NAME, SHAPES_MAX, TEXT};
use super::out::Out;
use super::write::Writing;
use super::{Record, json};

/// Writes records. Keep one for each thread that does: it knows the shapes it has met.
#[derive(Debug, Default)]
pub struct Packer {
    writer: Writer,
    writing: Writing,
}

/// The record under way, and what is known of shapes.
#[derive(Debug)]
struct Writer {
    out: Out,
    /// The first is the object without fields.
    nodes: Vec<Node>,
    /// The shapes of the record under way, as nodes.
    shapes: Vec<usize>,
    /// Counts records.
    record: u64,
}

#[derive(Debug, Default)]
struct Node {
    /// Fields that came next, and where they lead.
    next: Vec<(&'static str, usize)>,
    /// The shape's definition.
    definition: Vec<u8>,
    /// The last record with this shape, and its number there.
    seen: (u64, u8),
}

/// What the packed form cannot say; the record is written as text then.
#[derive(Debug)]
struct Unpackable;

impl fmt::Display for Unpackable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the packed form cannot say it")
    }
}

impl std::error::Error for Unpackable {}

impl ser::Error for Unpackable {
    fn custom<T: fmt::Display>(_: T) -> Unpackable {
        Unpackable
    }
}

impl Default for Writer {
    fn default() -> Writer {
        let root = Node {
            definition: vec![0],
            ..Node::default()
        };
        Writer {
            out: Out::default(),
            nodes: vec![root],
            shapes: Vec::new(),
            record: 0,
        }
    }
}

impl Packer {
    /// The value as a record, which takes no more memory than its bytes: it may wait in a queue.
    ///
    /// What the packed form cannot say (an `f32`, an enum's variant with content, more than 32 different kinds of objects) is
    /// written as text.
    ///
    /// # Panics
    /// Where the value's own `Serialize` fails, or a map's key is not a string: ours do neither.
    pub fn pack(&mut self, value: &impl Serialize) -> Record {
        let writer = &mut self.writer;
        writer.begin();
        match value.serialize(&mut *writer).and_then(|()| writer.finish()) {
            Ok(()) => Record::packed(writer.out.0.as_slice().into()),
            Err(Unpackable) => {
                let mut text = String::new();
                json::write(value, &mut text);
                text.into()
            }
        }
    }

    /// What `write` puts down, as a record: one value, most likely an object. For what every decision writes.
    ///
    /// # Panics
    /// Where it has more than 32 different kinds of objects, or 4 GiB: ours have a few, and kilobytes.
    pub fn write(&mut self, write: impl FnOnce(&mut Writing)) -> Record {
        self.writing.begin();
        write(&mut self.writing);
        Record::packed(self.writing.finish().into())
    }
}

impl Writer {
    fn begin(&mut self) {
        self.out.0.clear();
        self.out.0.push(FORM);
        self.shapes.clear();
        self.record += 1;
    }

    fn finish(&mut self) -> Result<(), Unpackable> {
        let at = u32::try_from(self.out.0.len()).map_err(|_| Unpackable)?;
        for shape in &self.shapes {
            let definition = &self.nodes[*shape].definition;
            self.out.0.extend_from_slice(definition);
        }
        self.out.0.extend_from_slice(&at.to_le_bytes());
        Ok(())
    }

    /// Where a name leads to from a node, for the first time.
    #[cold]
    fn grow(&mut self, from: usize, name: &'static str) -> Result<usize, Unpackable> {
        let mut definition = self.nodes[from].definition.clone();
        if !form::is_name(name) {
            return Err(Unpackable);
        }
        definition[0] = definition[0].checked_add(1).ok_or(Unpackable)?;
        match form::place(name) {
            Some(place) => definition.push(place),
            None => {
                let len = u8::try_from(name.len()).map_err(|_| Unpackable)?;
                definition.extend([OTHER_NAME, len]);
                definition.extend_from_slice(name.as_bytes());
            }
        }
        let to = self.nodes.len();
        self.nodes.push(Node {
            definition,
            ..Node::default()
        });
        self.nodes[from].next.push((name, to));
        Ok(to)
    }

    fn step(&mut self, from: usize, name: &'static str) -> Result<usize, Unpackable> {
        let same = |(known, _): &&(&'static str, usize)| std::ptr::eq(*known, name);
        match self.nodes[from].next.iter().find(same) {
            Some((_, to)) => Ok(*to),
            None => self.grow(from, name),
        }
    }

    /// The number of a node's shape in the record under way.
    fn shape(&mut self, node: usize) -> Result<u8, Unpackable> {
        let (record, number) = self.nodes[node].seen;
        if record == self.record {
            return Ok(number);
        }
        if self.shapes.len() == SHAPES_MAX {
            return Err(Unpackable);
        }
        let number = self.shapes.len() as u8;
        self.shapes.push(node);
        self.nodes[node].seen = (self.record, number);
        Ok(number)
    }
}

/// The rest of an array, whose length is told already, or of a map.
struct Elements<'a> {
    writer: &'a mut Writer,
    left: usize,
}

impl Elements<'_> {
    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Unpackable> {
        self.left = self.left.checked_sub(1).ok_or(Unpackable)?;
        value.serialize(&mut *self.writer)
    }

    fn close(self) -> Result<(), Unpackable> {
        if self.left == 0 {
            Ok(())
        } else {
            Err(Unpackable)
        }
    }
}

/// The rest of an object.
struct Fields<'a> {
    writer: &'a mut Writer,
    /// Where its first byte is.
    at: usize,
    node: usize,
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = Unpackable;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Impossible<(), Unpackable>;
    type SerializeMap = Elements<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<(), Unpackable>;

    fn serialize_bool(self, v: bool) -> Result<(), Unpackable> {
        self.out.flag(v);
        Ok(())
    }

    fn serialize_i8(self, v: i8) -> Result<(), Unpackable> {
        self.serialize_i64(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), Unpackable> {
        self.serialize_i64(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), Unpackable> {
        self.serialize_i64(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), Unpackable> {
        self.out.integer(v);
        Ok(())
    }

    fn serialize_u8(self, v: u8) -> Result<(), Unpackable> {
        self.serialize_u64(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), Unpackable> {
        self.serialize_u64(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), Unpackable> {
        self.serialize_u64(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), Unpackable> {
        self.out.natural(v);
        Ok(())
    }

    /// Read as a double it would be another number than its text is.
    fn serialize_f32(self, _: f32) -> Result<(), Unpackable> {
        Err(Unpackable)
    }

    fn serialize_f64(self, v: f64) -> Result<(), Unpackable> {
        self.out.double(v);
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Unpackable> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), Unpackable> {
        self.out.text(v);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Unpackable> {
        Err(Unpackable)
    }

    fn serialize_none(self) -> Result<(), Unpackable> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unpackable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Unpackable> {
        self.out.null();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Unpackable> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Unpackable> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Unpackable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Unpackable> {
        Err(Unpackable)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a>, Unpackable> {
        self.serialize_tuple(len.ok_or(Unpackable)?)
    }

    fn serialize_tuple(self, len: usize) -> Result<Elements<'a>, Unpackable> {
        self.out.array(len);
        Ok(Elements {
            writer: self,
            left: len,
        })
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Elements<'a>, Unpackable> {
        self.serialize_tuple(len)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Unpackable>, Unpackable> {
        Err(Unpackable)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'a>, Unpackable> {
        let len = len.ok_or(Unpackable)?;
        let members = u32::try_from(len).map_err(|_| Unpackable)?;
        self.out.tagged(MAP, members.to_le_bytes());
        Ok(Elements {
            writer: self,
            left: len,
        })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields<'a>, Unpackable> {
        let at = self.out.0.len();
        // Becomes the shape's number once that is known.
        self.out.0.push(OBJECT);
        Ok(Fields {
            writer: self,
            at,
            node: 0,
        })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Unpackable>, Unpackable> {
        Err(Unpackable)
    }
}

impl ser::SerializeStruct for Fields<'_> {
    type Ok = ();
    type Error = Unpackable;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Unpackable> {
        self.node = self.writer.step(self.node, name)?;
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Unpackable> {
        self.writer.out.0[self.at] = OBJECT | self.writer.shape(self.node)?;
        Ok(())
    }
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Unpackable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unpackable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unpackable> {
        self.close()
    }
}

impl ser::SerializeTuple for Elements<'_> {
    type Ok = ();
    type Error = Unpackable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unpackable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unpackable> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Elements<'_> {
    type Ok = ();
    type Error = Unpackable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unpackable> {
        self.element(value)
    }

    fn end(self) -> Result<(), Unpackable> {
        self.close()
    }
}

impl ser::SerializeMap for Elements<'_> {
    type Ok = ();
    type Error = Unpackable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unpackable> {
        let at = self.writer.out.0.len();
        self.element(key)?;
        match self.writer.out.0.get(at) {
            Some(&(LONG_TEXT | TEXT..OBJECT)) => Ok(()),
            _ => Err(Unpackable),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unpackable> {
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Unpackable> {
        self.close()
    }
}
