//! Reading one table of a catalog: key by key, noting every mistake and going on.
//!
//! A reader asks for the keys it knows; what nobody asked for is a mistake too. A value of the
//! wrong kind reads as absent, so that one mistake is told once and the rest is still looked at.

use std::ops::RangeInclusive;
use std::str::FromStr;

use super::limits::{ID_CHARS_MAX, LIST_MAX};
use super::mistake::{Notes, Place, Placed, did_you_mean};
use super::tree::{Node, Value};
use crate::domain::UnknownWord;

/// A table that is being read.
pub(super) struct Fields<'a> {
    /// Where the table is.
    pub place: Place,
    node: &'a Node,
    notes: &'a Notes,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

/// A value on its way to being read.
#[derive(Clone)]
pub(super) struct Item<'a> {
    /// Where it is.
    pub place: Place,
    /// What it is.
    pub node: &'a Node,
    /// Where mistakes go.
    pub notes: &'a Notes,
}

impl<'a> Fields<'a> {
    /// Opens a table; anything else is a mistake.
    pub fn open(item: Item<'a>) -> Option<Fields<'a>> {
        let Item { place, node, notes } = item;
        let fields = Fields {
            place,
            node,
            notes,
            known: Vec::new(),
            refused: Vec::new(),
        };
        if !matches!(node.value, Value::Table(_)) {
            notes.add(&fields.place, format!("expected a table, found {node}"));
            return None;
        }
        fields.note_doubles();
        Some(fields)
    }

    /// The value of `key`, unless it is absent or null.
    pub fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let (key, node) = self.entries().iter().find(|(k, _)| k.text == key)?;
        if matches!(node.value, Value::Null) {
            return None;
        }
        let place = self.place.key(&key.text, key.offset);
        Some(Item {
            place,
            node,
            notes: self.notes,
        })
    }

    /// The value of `key`; absence is a mistake.
    pub fn need(&mut self, key: &'static str, expected: &str) -> Option<Item<'a>> {
        let item = self.take(key);
        if item.is_none() {
            let message = format!("expected the key `{key}`, {expected}; found none");
            self.notes.add(&self.place, message);
        }
        item
    }

    /// Every entry, for tables whose keys the operator makes up.
    pub fn take_all(&mut self) -> Vec<(&'a str, Item<'a>)> {
        let entries = self.entries().iter().map(|(key, node)| {
            let place = self.place.key(&key.text, key.offset);
            (
                key.text.as_str(),
                Item {
                    place,
                    node,
                    notes: self.notes,
                },
            )
        });
        entries.collect()
    }

    /// The table under `key`.
    pub fn table(&mut self, key: &'static str) -> Option<Fields<'a>> {
        self.take(key).and_then(Fields::open)
    }

    /// The entries of the list under `key`; none where it is absent.
    pub fn list(&mut self, key: &'static str, entries_max: usize) -> Vec<Item<'a>> {
        self.take(key)
            .map_or_else(Vec::new, |item| item.list(entries_max))
    }

    /// A key that this version does not support: better refused than silently without effect.
    pub fn refuse(&mut self, key: &'static str) {
        self.refused.push(key);
        if let Some((key, _)) = self.entries().iter().find(|(k, _)| k.text == key) {
            let message = format!(
                "this version does not support `{}` yet; expected it to be left out",
                key.text
            );
            self.notes
                .add(&self.place.key(&key.text, key.offset), message);
        }
    }

    /// Where mistakes go.
    pub fn notes(&self) -> &'a Notes {
        self.notes
    }

    /// Notes a mistake of the table as a whole.
    pub fn note(&self, message: impl Into<String>) {
        self.notes.add(&self.place, message);
    }

    /// Closes the table: what nobody asked for is a mistake.
    pub fn close(self) {
        for (key, _) in self.entries() {
            let text = key.text.as_str();
            if !self.known.contains(&text) && !self.refused.contains(&text) {
                let near = did_you_mean(&key.text, self.known.iter().copied());
                let place = self.place.key(&key.text, key.offset);
                let message = match near.as_str() {
                    "" => format!("unknown key; expected one of {}", self.known.join(", ")),
                    near => format!("unknown key{near}"),
                };
                self.notes.add(&place, message);
            }
        }
    }

    fn entries(&self) -> &'a [(super::tree::Key, Node)] {
        match &self.node.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// TOML refuses a key that is there twice, JSON does not.
    fn note_doubles(&self) {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in self.entries() {
            if !seen.insert(&key.text) {
                let place = self.place.key(&key.text, key.offset);
                self.notes
                    .add(&place, "expected each key once, found it again");
            }
        }
    }
}

impl<'a> Item<'a> {
    /// Notes a mistake here.
    pub fn note(&self, message: impl Into<String>) {
        self.notes.add(&self.place, message);
    }

    /// Notes that this is not what it should be.
    fn unexpected<T>(&self, expected: &str) -> Option<T> {
        self.note(format!("expected {expected}, found {}", self.node));
        None
    }

    /// With the value it was read as.
    pub fn placed<T>(self, value: T) -> Placed<T> {
        Placed {
            value,
            place: self.place,
        }
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        match self.node.value {
            Value::Flag(flag) => Some(flag),
            _ => self.unexpected("true or false"),
        }
    }

    /// A whole number within `range`.
    pub fn integer(&self, range: RangeInclusive<i64>) -> Option<i64> {
        match self.node.value {
            Value::Integer(i) if range.contains(&i) => Some(i),
            _ => self.unexpected(&format!(
                "a whole number from {} to {}",
                range.start(),
                range.end()
            )),
        }
    }

    /// A whole number within `range` that a smaller type holds.
    pub fn small<T: TryFrom<i64>>(&self, range: RangeInclusive<i64>) -> Option<T> {
        let integer = self.integer(range)?;
        T::try_from(integer).ok()
    }

    /// A finite number within `range`.
    pub fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let number = match self.node.value {
            Value::Integer(i) => Some(i as f64),
            Value::Number(n) => Some(n),
            _ => None,
        };
        number.filter(|n| range.contains(n)).or_else(|| {
            self.unexpected(&format!(
                "a number from {} to {}",
                range.start(),
                range.end()
            ))
        })
    }

    /// Text of 1 to `chars_max` characters, none of them a control character.
    pub fn text(&self, chars_max: usize) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text)
                if (1..=chars_max).contains(&text.chars().count())
                    && !text.trim().is_empty()
                    && !text.chars().any(char::is_control) =>
            {
                Some(text)
            }
            Value::Text(text) if text.chars().count() > chars_max => {
                let found = text.chars().count();
                self.note(format!(
                    "expected at most {chars_max} characters, found {found}"
                ));
                None
            }
            _ => self.unexpected(&format!("text of 1 to {chars_max} characters on one line")),
        }
    }

    /// Text that `parse` makes something of.
    pub fn parsed<T>(&self, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        match &self.node.value {
            Value::Text(text) => parse(text),
            _ => None,
        }
        .or_else(|| self.unexpected(expected))
    }

    /// A name that other programs use: letters, digits, `_`, `-` and `.`.
    pub fn id(&self) -> Option<&'a str> {
        let text = self.text(ID_CHARS_MAX)?;
        if text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        {
            return Some(text);
        }
        self.unexpected("an id of letters, digits, `_`, `-` and `.`")
    }

    /// A word of a closed vocabulary.
    pub fn word<W: FromStr<Err = UnknownWord>>(&self) -> Option<W> {
        let text = self.quoted()?;
        text.parse()
            .map_err(|unknown: UnknownWord| self.note_word(text, unknown.expected))
            .ok()
    }

    /// What one of these words stands for.
    pub fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.quoted()?;
        let meaning = words.iter().find(|(word, _)| *word == text);
        if meaning.is_none() {
            let words = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
            self.note_word(text, &words);
        }
        meaning.map(|(_, meaning)| *meaning)
    }

    fn quoted(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.unexpected("a word in quotes"),
        }
    }

    fn note_word(&self, text: &str, expected: &[&str]) {
        let near = did_you_mean(text, expected.iter().copied());
        let expected = expected.join(", ");
        self.note(format!(
            "expected one of {expected}; found {}{near}",
            self.node
        ));
    }

    /// A date, a time or both, quoted or as TOML has them.
    pub fn time_text(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) | Value::Time(text) => Some(text),
            _ => None,
        }
    }

    /// The entries of a list.
    pub fn list(&self, entries_max: usize) -> Vec<Item<'a>> {
        let Value::List(nodes) = &self.node.value else {
            self.note(format!("expected a list, found {}", self.node));
            return Vec::new();
        };
        if nodes.len() > entries_max {
            let found = nodes.len();
            self.note(format!(
                "expected at most {entries_max} entries, found {found}"
            ));
        }
        let items = nodes
            .iter()
            .enumerate()
            .take(entries_max)
            .map(|(i, node)| Item {
                place: self.place.index(i, node.offset),
                node,
                notes: self.notes,
            });
        items.collect()
    }

    /// A list of ids, each once.
    pub fn ids(&self) -> Vec<Placed<Box<str>>> {
        ids(self.list(LIST_MAX))
    }

    /// A list of ids, each once and at least one.
    pub fn some_ids(&self) -> Vec<Placed<Box<str>>> {
        ids(self.some(LIST_MAX))
    }

    /// A list of words of a closed vocabulary, at least one.
    pub fn words<W: FromStr<Err = UnknownWord>>(&self) -> Vec<Placed<W>> {
        self.some(LIST_MAX)
            .into_iter()
            .filter_map(|item| item.word().map(|word| item.placed(word)))
            .collect()
    }

    /// The entries of a list that must not be empty: "for nobody" is written by leaving it all out.
    pub fn some(&self, entries_max: usize) -> Vec<Item<'a>> {
        let items = self.list(entries_max);
        if items.is_empty() && matches!(self.node.value, Value::List(_)) {
            self.note(
                "expected at least one entry, or the key to be left out; found an empty list",
            );
        }
        items
    }
}

fn ids(items: Vec<Item<'_>>) -> Vec<Placed<Box<str>>> {
    let mut ids: Vec<Placed<Box<str>>> = Vec::new();
    for item in items {
        let Some(id) = item.id() else { continue };
        if ids.iter().any(|known| *known.value == *id) {
            item.note(format!("expected each entry once, found {id:?} again"));
        } else {
            ids.push(item.placed(id.into()));
        }
    }
    ids
}
