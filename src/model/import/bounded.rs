//! A list that refuses to grow past its limit while it is read.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// At most `MAX` elements. The element after the last allowed one ends the reading, so memory
/// follows what was accepted, not what a file claims.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Bounded<T, const MAX: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_seq(Elements::<T, MAX>(PhantomData))
            .map(Bounded)
    }
}

/// An empty list, of whatever it would be.
impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Bounded(Vec::new())
    }
}

struct Elements<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Elements<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            if elements.len() == MAX {
                return Err(A::Error::custom(format_args!("more than {MAX} elements")));
            }
            elements.push(element);
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_at_its_limit() {
        let read = serde_json::from_str::<Bounded<u8, 2>>;
        assert_eq!(read("[1,2]").unwrap().0, [1, 2]);
        assert!(
            read("[1,2,3]")
                .unwrap_err()
                .to_string()
                .contains("more than 2")
        );
        assert!(read("7").unwrap_err().to_string().contains("at most 2"));
    }
}
