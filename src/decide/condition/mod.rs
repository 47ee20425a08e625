//! Whom an offer is for: conditions in the MongoDB-style syntax that GrowthBook publishes.
//!
//! The syntax comes with test vectors, so a condition means here what it means in any of its SDKs.

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
    Json(&'a serde_json::Value),
}

/// Where a condition finds the attributes it names.
pub trait Attributes {
    /// The value of the attribute that `Condition::compile` was told goes by `key`.
    fn get(&self, key: Key) -> Attr<'_>;
}

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {}

/// A mistake in a condition's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, from the condition's root: `tenure.$gte`.
    pub path: String,
    /// What was expected.
    pub message: String,
}

/// Named lists of values that `$inGroup` and `$notInGroup` look into.
pub type Groups = std::collections::HashMap<String, Vec<serde_json::Value>>;

impl Condition {
    /// Compiles `source`. `resolve` gives each dotted attribute path its key.
    ///
    /// A condition comes back even where there are problems, and means what GrowthBook's SDKs
    /// would make of it; a catalog refuses it, a test vector does not.
    pub fn compile(
        _source: &serde_json::Value,
        _groups: &Groups,
        _resolve: &mut dyn FnMut(&str) -> Key,
    ) -> (Condition, Vec<Problem>) {
        (Condition {}, Vec::new())
    }

    /// Whether it is true of these attributes. Does not allocate.
    pub fn holds<A: Attributes>(&self, _attributes: &A) -> bool {
        true
    }
}
