//! Whom an offer is for: conditions in the MongoDB-style syntax that GrowthBook publishes.
//!
//! The syntax comes with test vectors, so a condition means here what it means in any of its SDKs.
//! The reference is their JavaScript: values are coerced and compared as that language does it
//! (`coerce`), and a missing attribute counts as `null`. A condition is compiled once, with its
//! catalog: names become keys, regular expressions and lists are prepared (`compile`, `operator`), so
//! that a request only walks a small tree (`eval`).
//!
//! What differs from the JavaScript, knowingly:
//! - regular expressions are the `regex` crate's, linear in time whatever is written: no
//!   look-around and no back-references (a [`Problem`]), and `\d` and `\w` know all of Unicode;
//! - objects are equal whatever the order of their members;
//! - a list or a number as text (`$regex` on a list) is looked at up to [`RENDERED_BYTES_MAX`].

mod coerce;
mod compile;
mod eval;
mod node;
mod operator;
mod set;
mod version;

use serde_json::Value;

use node::Node;

/// How deeply conditions may nest. People write three or four levels; 32 keeps the stack of a
/// request small. A deeper part is a [`Problem`] and never holds.
pub const DEPTH_MAX: u32 = 32;

/// How many tests and logical operators one condition may hold, so that no offer can make every
/// request slow. What is beyond is a [`Problem`] and never holds.
pub const NODES_MAX: u32 = 1_000;

/// How large a compiled regular expression may be, and its cache. A larger one is a [`Problem`]
/// and never matches.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// How long the text of a list or an object may become where a condition looks at it as text.
/// Longer text equals nothing and matches nothing.
pub const RENDERED_BYTES_MAX: usize = 1_024;

/// An attribute that conditions look at, by its number in a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub u32);

/// An attribute's value, borrowed from wherever it lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Attr<'a> {
    /// Not there.
    Missing,
    /// There, and null.
    Null,
    /// A boolean.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A string.
    Text(&'a str),
    /// A list of strings.
    List(&'a [&'a str]),
    /// Anything else, as JSON.
    Json(&'a Value),
}

impl<'a> Attr<'a> {
    /// What is at the dotted `path` inside `self`: members of objects, places in lists (`tags.0`)
    /// and their `length`. [`Attr::Missing`] where the path leads nowhere.
    #[must_use]
    pub fn at(self, path: &str) -> Attr<'a> {
        path.split('.')
            .fold(self, |value, step| value.member(step).plain())
    }

    fn member(self, name: &str) -> Attr<'a> {
        let found = match self {
            Attr::List(items) if name == "length" => return Attr::Number(items.len() as f64),
            Attr::List(items) => {
                let item = name.parse().ok().and_then(|i: usize| items.get(i));
                return item.map_or(Attr::Missing, |text| Attr::Text(text));
            }
            Attr::Json(Value::Array(items)) if name == "length" => {
                return Attr::Number(items.len() as f64);
            }
            Attr::Json(Value::Array(items)) => name.parse().ok().and_then(|i: usize| items.get(i)),
            Attr::Json(Value::Object(members)) => members.get(name),
            _ => None,
        };
        found.map_or(Attr::Missing, Attr::Json)
    }

    /// The same value, as JSON only where nothing simpler says it.
    fn plain(self) -> Attr<'a> {
        match self {
            Attr::Json(Value::Null) => Attr::Null,
            Attr::Json(Value::Bool(flag)) => Attr::Flag(*flag),
            Attr::Json(Value::Number(number)) => Attr::Number(coerce::number(number)),
            Attr::Json(Value::String(text)) => Attr::Text(text),
            other => other,
        }
    }
}

/// Where a condition finds the attributes it names.
pub trait Attributes {
    /// The value of the attribute that `Condition::compile` was told goes by `key`.
    fn get(&self, key: Key) -> Attr<'_>;
}

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    root: Node<Key>,
    source: Box<str>,
}

/// A mistake in a condition's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, from the condition's root: `tenure.$gte`. Empty for the root itself.
    pub path: String,
    /// What was expected.
    pub message: String,
}

/// Named lists of values that `$inGroup` and `$notInGroup` look into.
pub type Groups = std::collections::HashMap<String, Vec<Value>>;

impl Condition {
    /// Compiles `source`. `resolve` gives each dotted attribute path its key.
    ///
    /// A condition comes back even where there are problems, and means what GrowthBook's SDKs
    /// would make of it; a catalog refuses it, a test vector does not.
    pub fn compile(
        source: &Value,
        groups: &Groups,
        resolve: &mut dyn FnMut(&str) -> Key,
    ) -> (Condition, Vec<Problem>) {
        let (root, problems) = compile::compile(source, groups, resolve);
        let source = source.to_string().into();
        (Condition { root, source }, problems)
    }

    /// What it was compiled from, as JSON: with the same groups and names, conditions of the same source
    /// hold of the same attributes.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it is true of these attributes. Does not allocate, except that a regular
    /// expression grows its cache (to at most [`REGEX_BYTES_MAX`]) while it is new to a thread.
    pub fn holds<A: Attributes>(&self, attributes: &A) -> bool {
        eval::holds(&self.root, &|key: &Key| attributes.get(*key))
    }
}
