//! One model input: from an attribute's value to the number that a model gets.

use crate::decide::condition::{Attr, Key};
use crate::decide::words::Words;
use crate::domain::Oddity;

/// Where one model input comes from and what becomes of odd values.
#[derive(Clone, Debug)]
pub struct Input {
    /// Such as `tenure` or `offer.margin`.
    pub name: Box<str>,
    /// From the request, or from each offer (then the values are in `LiveModel::own`).
    pub source: InputSource,
    /// What the value must be.
    pub kind: InputKind,
    /// Instead of a missing, mistyped or unheard-of value: NaN, or the declared default.
    pub missing: f64,
}

/// Where a model input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputSource {
    /// The request, by vocabulary key.
    Request(Key),
    /// The offer.
    Offer,
}

/// What a model input must be.
#[derive(Clone, Debug)]
pub enum InputKind {
    /// A number; booleans count as 0 and 1.
    Number,
    /// A string, as its place in a list.
    Category(Words),
}

impl Input {
    /// The number that a model gets for an attribute's value.
    ///
    /// # Errors
    /// Why the value is none; then the model gets [`Input::missing`].
    pub fn encode(&self, value: Attr<'_>) -> Result<f64, Oddity> {
        match (&self.kind, value) {
            (_, Attr::Missing) => Err(Oddity::Missing),
            (InputKind::Number, Attr::Number(n)) => Ok(n),
            (InputKind::Number, Attr::Flag(f)) => Ok(f64::from(u8::from(f))),
            (InputKind::Category(words), Attr::Text(t)) => {
                words.place(t).map(f64::from).ok_or(Oddity::Unknown)
            }
            _ => Err(Oddity::Mistyped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: InputKind, value: Attr<'_>, expected: Result<f64, Oddity>) {
        let input = Input {
            name: "x".into(),
            source: InputSource::Offer,
            kind,
            missing: -1.0,
        };
        assert_eq!(input.encode(value), expected, "{input:?}");
    }

    #[test]
    fn values_become_numbers_or_say_why_not() {
        let category = || InputKind::Category(Words::new(["a", "b"]));
        check(InputKind::Number, Attr::Number(2.5), Ok(2.5));
        check(InputKind::Number, Attr::Flag(true), Ok(1.0));
        check(InputKind::Number, Attr::Text("2.5"), Err(Oddity::Mistyped));
        check(InputKind::Number, Attr::Missing, Err(Oddity::Missing));
        check(category(), Attr::Text("b"), Ok(1.0));
        check(category(), Attr::Text("c"), Err(Oddity::Unknown));
        check(category(), Attr::Number(1.0), Err(Oddity::Mistyped));
        check(category(), Attr::Flag(false), Err(Oddity::Mistyped));
        check(category(), Attr::Missing, Err(Oddity::Missing));
    }
}
