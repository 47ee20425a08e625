//! The lines of LightGBM's text: `key=value`, in blocks that end at an empty line.

use std::fmt::Display;
use std::str::FromStr;

use crate::model::ArtifactError;

/// A text that is read line by line.
pub(super) struct Lines<'a> {
    rest: &'a str,
    number: usize,
}

impl<'a> Lines<'a> {
    pub fn of(text: &'a [u8]) -> Result<Lines<'a>, ArtifactError> {
        let rest = std::str::from_utf8(text)
            .map_err(|e| complain("text", format!("is not UTF-8: {e}")))?;
        Ok(Lines { rest, number: 0 })
    }

    /// The next line, without its end.
    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.number += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    fn here(&self) -> String {
        format!("line {}", self.number)
    }

    /// Takes a line that must say `word`.
    pub fn expect(&mut self, word: &str) -> Result<(), ArtifactError> {
        match self.next() {
            Some(line) if line.trim() == word => Ok(()),
            _ => Err(complain(&self.here(), format!("must be `{word}`"))),
        }
    }

    /// The next pair of this block, a line without `=` with an empty value; `None` after its last.
    pub fn pair(&mut self) -> Result<Option<(&'a str, &'a str)>, ArtifactError> {
        match self.next() {
            None => Err(complain(
                &self.here(),
                "is the last: the file has no `end of trees`",
            )),
            Some("") => Ok(None),
            Some(line) => Ok(Some(line.split_once('=').unwrap_or((line, "")))),
        }
    }

    /// Goes to the block of the given tree; false where there are no more.
    pub fn next_tree(&mut self, tree: usize) -> Result<bool, ArtifactError> {
        loop {
            match self.pair()? {
                None => {}
                Some(("end of trees", "")) => return Ok(false),
                Some(("Tree", index)) if index.parse() == Ok(tree) => return Ok(true),
                Some(_) => {
                    let problem = format!("must be `Tree={tree}` or `end of trees`");
                    return Err(complain(&self.here(), problem));
                }
            }
        }
    }
}

/// One number.
pub(super) fn number<T: FromStr<Err: Display>>(key: &str, text: &str) -> Result<T, ArtifactError> {
    (text.trim().parse()).map_err(|e: T::Err| complain(key, format!("is `{}`: {e}", clip(text))))
}

/// Numbers separated by spaces; what `into` held before is gone.
pub(super) fn numbers<T: FromStr<Err: Display>>(
    key: &str,
    text: &str,
    into: &mut Vec<T>,
) -> Result<(), ArtifactError> {
    into.clear();
    for word in text.split_ascii_whitespace() {
        let number = word.parse().map_err(|e: T::Err| {
            let at = format!("{key}[{}]", into.len());
            complain(&at, format!("is `{}`: {e}", clip(word)))
        })?;
        into.push(number);
    }
    Ok(())
}

/// The beginning of a text that may be megabytes.
fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

pub(super) fn complain(at: &str, problem: impl Into<String>) -> ArtifactError {
    ArtifactError::new(at, problem)
}
