//! The text of a catalog as a tree that remembers where everything was written.
//!
//! TOML and JSON become the same tree, so that one reader serves the file and the admin API.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistakes, Notes, Place};

/// A value and where it begins.
#[derive(Debug)]
pub(super) struct Node {
    /// Byte offset in the text; `None` in JSON.
    pub offset: Option<usize>,
    /// What it is.
    pub value: Value,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Value {
    /// Absent, in JSON.
    Null,
    /// `true` or `false`.
    Flag(bool),
    /// A whole number that 64 bits hold.
    Integer(i64),
    /// Any other number.
    Number(f64),
    /// A string.
    Text(String),
    /// A date, a time of day or both, as TOML has them without quotes.
    Time(String),
    /// `[…]`.
    List(Vec<Node>),
    /// `{…}`; JSON may name a key twice, and the reader then says so.
    Table(Vec<(Key, Node)>),
}

/// A key of a table and where it stands.
#[derive(Debug)]
pub(super) struct Key {
    /// Byte offset in the text; `None` in JSON.
    pub offset: Option<usize>,
    /// Without quotes.
    pub text: String,
}

impl Node {
    /// Parses TOML 1.1.
    pub fn from_toml(text: &str) -> Result<Node, Mistakes> {
        let (table, errors) = DeTable::parse_recoverable(text);
        let notes = Notes::default();
        for error in errors {
            let offset = Some(error.span().map_or(0, |span| span.start));
            let place = Place {
                offset,
                path: String::new(),
            };
            notes.add(&place, format!("not TOML: {}", error.message()));
        }
        notes.into_mistakes(text)?;
        let offset = Some(table.span().start);
        let value = table_of(table.into_inner());
        Ok(Node { offset, value })
    }

    /// Parses JSON.
    pub fn from_json(text: &str) -> Result<Node, Mistakes> {
        serde_json::from_str(text).map_err(|error| {
            let narrow = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
            let at = (narrow(error.line()), narrow(error.column()));
            Mistakes::one(Some(at), format!("not JSON: {error}"))
        })
    }

    /// The same as JSON; times become strings, and what JSON has no word for becomes null.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Flag(flag) => (*flag).into(),
            Value::Integer(integer) => (*integer).into(),
            Value::Number(number) => (*number).into(),
            Value::Text(text) | Value::Time(text) => text.as_str().into(),
            Value::List(nodes) => nodes.iter().map(Node::to_json).collect(),
            Value::Table(entries) => entries
                .iter()
                .map(|(key, node)| (key.text.clone(), node.to_json()))
                .collect(),
        }
    }
}

impl fmt::Display for Node {
    /// As a mistake tells what it found.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHARS_MAX: usize = 40;
        match &self.value {
            Value::Null => f.write_str("null"),
            Value::Flag(flag) => write!(f, "{flag}"),
            Value::Integer(integer) => write!(f, "{integer}"),
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(text) if text.chars().count() > CHARS_MAX => {
                let start: String = text.chars().take(CHARS_MAX).collect();
                write!(f, "{start:?}…")
            }
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Time(time) => write!(f, "the time {time}"),
            Value::List(_) => f.write_str("a list"),
            Value::Table(_) => f.write_str("a table"),
        }
    }
}

fn table_of(table: DeTable<'_>) -> Value {
    let entries = table.into_iter().map(|(key, node)| {
        let key = Key {
            offset: Some(key.span().start),
            text: key.into_inner().into_owned(),
        };
        (key, node_of(node))
    });
    Value::Table(entries.collect())
}

fn node_of(node: Spanned<DeValue<'_>>) -> Node {
    let offset = Some(node.span().start);
    let value = match node.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or_else(
                // Too large for 64 bits: whoever expects an integer shall tell the range.
                |_| Value::Number(integer.as_str().parse().unwrap_or(f64::INFINITY)),
                Value::Integer,
            ),
        DeValue::Float(float) => Value::Number(float.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Flag(flag),
        DeValue::Datetime(time) => Value::Time(time.to_string()),
        DeValue::Array(nodes) => Value::List(nodes.into_iter().map(node_of).collect()),
        DeValue::Table(table) => table_of(table),
    };
    Node { offset, value }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor)?;
        Ok(Node {
            offset: None,
            value,
        })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Flag(flag))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::Integer(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(i64::try_from(integer).map_or(Value::Number(integer as f64), Value::Integer))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Value::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((text, node)) = map.next_entry::<String, Node>()? {
            entries.push((Key { offset: None, text }, node));
        }
        Ok(Value::Table(entries))
    }
}
