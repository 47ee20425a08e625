//! A condition in the form in which requests walk it.

use std::cmp::Ordering;

use regex::Regex;
use serde_json::Value;

use super::set::Set;

/// A condition on something that has attributes, found by a `P`: a key at the root of a condition,
/// a dotted path inside the items of a list.
#[derive(Debug)]
pub(super) enum Node<P> {
    /// All of them hold; so it does when there are none.
    Every(Box<[Node<P>]>),
    /// At least one holds; none does when there are none.
    Any(Box<[Node<P>]>),
    /// It does not hold.
    Not(Box<Node<P>>),
    /// What is found there passes the test.
    At(P, Test),
}

impl<P> Node<P> {
    /// Holds of anything.
    pub(super) fn always() -> Node<P> {
        Node::Every(Box::default())
    }

    /// Holds of nothing.
    pub(super) fn never() -> Node<P> {
        Node::Any(Box::default())
    }
}

/// A test of one value.
#[derive(Debug)]
pub(super) enum Test {
    /// All of them pass.
    Every(Box<[Test]>),
    /// It does not pass.
    Not(Box<Test>),
    /// Nothing passes.
    Never,
    /// As text, it is this.
    Text(Box<str>),
    /// As text in lower case, it is this.
    TextFolded(Box<str>),
    /// As a number, it is this.
    Number(f64),
    /// It is there, and as true as this.
    Flag(bool),
    /// It is a list or an object with this content.
    Same(Value),
    /// It is this very value, of the same type. Lists and objects never are.
    Identical(Literal),
    /// It compares like this with the operand.
    Compare(Relation, Operand),
    /// It, as a version, compares like this with a padded version (see `version`).
    Version(Relation, Box<str>),
    /// It, or one of its items, is in the set.
    In(Set),
    /// It is a list in which each of these tests passes for some item.
    All(Box<[Test]>),
    /// It is a list whose length passes.
    Size(Box<Test>),
    /// It is a list with an item that passes.
    Element(Box<Element>),
    /// It is there (neither missing nor null), or not.
    Exists(bool),
    /// It is of this type.
    Kind(Kind),
    /// As text, it matches.
    Matches(Regex),
}

/// What `$elemMatch` asks of an item.
#[derive(Debug)]
pub(super) enum Element {
    /// The item itself passes.
    Value(Test),
    /// The item has attributes of which this holds.
    Object(Node<Path>),
}

/// Where in an item: names and places, with dots between them.
#[derive(Debug)]
pub(super) struct Path(pub(super) Box<str>);

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Flag(bool),
    Number(f64),
    Text(Box<str>),
}

/// The right-hand side of `<` and its kin: JavaScript compares as text only where both sides are
/// text, and as numbers otherwise.
#[derive(Debug)]
pub(super) struct Operand {
    /// NaN where it is no number: then nothing compares.
    pub(super) number: f64,
    pub(super) text: Option<Box<str>>,
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Relation {
    /// Whether values in this order are in this relation.
    pub(super) fn admits(self, order: Ordering) -> bool {
        match self {
            Relation::Equal => order.is_eq(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
        }
    }
}

/// The types that `$type` tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Flag,
    List,
    Object,
    /// Also what is missing.
    Null,
}

impl Kind {
    /// What conditions call them.
    pub(super) const WORDS: [(&'static str, Kind); 6] = [
        ("string", Kind::Text),
        ("number", Kind::Number),
        ("boolean", Kind::Flag),
        ("array", Kind::List),
        ("object", Kind::Object),
        ("null", Kind::Null),
    ];
}
