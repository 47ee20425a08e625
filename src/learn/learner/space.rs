//! The columns that terms are learnt on: names that keep their numbers.
//!
//! A catalog that gains a placement or a feature adds columns at the end; one that loses them leaves them
//! where they are, unused. So what was learnt stays true whatever the next catalog looks like.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::decide::posterior::{Columns, INTERCEPT_NAME};
use crate::decide::snapshot::Catalog;

/// Columns that may ever be named. A name beyond is not learnt on until the learner is begun anew.
pub const COLUMNS_MAX: usize = 512;

/// Names and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Space {
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl From<Vec<String>> for Space {
    fn from(names: Vec<String>) -> Space {
        let numbers = names.iter().cloned().zip(0..).collect();
        Space { names, numbers }
    }
}

impl From<Space> for Vec<String> {
    fn from(space: Space) -> Vec<String> {
        space.names
    }
}

impl Space {
    /// Gives every column of the catalog a number.
    pub fn admit(&mut self, catalog: &Catalog) {
        Columns::names(catalog, |name| {
            if self.names.len() < COLUMNS_MAX && !self.numbers.contains_key(name) {
                let number = u16::try_from(self.names.len()).expect("COLUMNS_MAX fits");
                self.numbers.insert(name.to_owned(), number);
                self.names.push(name.to_owned());
            }
        });
        debug_assert_eq!(self.names[0], INTERCEPT_NAME);
    }

    /// Where a catalog's requests have them.
    #[must_use]
    pub fn columns(&self, catalog: &Catalog) -> Columns {
        Columns::new(catalog, |name| self.numbers.get(name).copied())
    }

    /// How many there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.names.len()
    }

    /// Their names, by number.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}
