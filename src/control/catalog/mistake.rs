//! What is wrong with a catalog: where, and what was expected instead.
//!
//! All of it is told at once, because a marketer who fixes one line wants to hear about the others
//! now and not after the next upload.

use std::cell::RefCell;
use std::fmt;

use serde::Serialize;

use super::limits::MISTAKES_MAX;

/// Everything wrong with a catalog, in the order of its lines; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Mistakes(Vec<Mistake>);

/// One thing wrong with a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// The line it is on, from 1; `None` where the text is JSON.
    pub line: Option<u32>,
    /// The character in the line, from 1; `None` where the line is.
    pub column: Option<u32>,
    /// Where it is in the catalog, such as `offer[3].flight.start`, counting from 0.
    pub path: String,
    /// What was expected and what was found.
    pub message: String,
}

impl Mistakes {
    /// Every mistake, in the order of the lines.
    #[must_use]
    pub fn all(&self) -> &[Mistake] {
        &self.0
    }

    /// These; `None` where there are none.
    pub(super) fn of(mistakes: Vec<Mistake>) -> Option<Mistakes> {
        (!mistakes.is_empty()).then_some(Mistakes(mistakes))
    }

    /// Mistakes that concern the text as a whole, told without a reader.
    pub(super) fn one(line: Option<(u32, u32)>, message: String) -> Mistakes {
        Mistakes(vec![Mistake {
            line: line.map(|l| l.0),
            column: line.map(|l| l.1),
            path: String::new(),
            message,
        }])
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Where a value was written.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Byte offset in the text; `None` where the text is JSON.
    pub offset: Option<usize>,
    /// Such as `offer[3].flight.start`.
    pub path: String,
}

impl Place {
    /// The place of `key` in the table at this place.
    pub fn key(&self, key: &str, offset: Option<usize>) -> Place {
        let plain = !key.is_empty()
            && key
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'));
        let key = if plain { key } else { &format!("{key:?}") };
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Place { offset, path }
    }

    /// The place of the entry at `index` of the list at this place.
    pub fn index(&self, index: usize, offset: Option<usize>) -> Place {
        let path = format!("{}[{index}]", self.path);
        Place { offset, path }
    }
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub place: Place,
}

/// Collects mistakes while the readers go on.
#[derive(Default)]
pub(super) struct Notes(RefCell<Vec<(Place, String)>>);

impl Notes {
    /// Notes a mistake. Beyond [`MISTAKES_MAX`] they are counted by nobody and dropped.
    pub fn add(&self, place: &Place, message: impl Into<String>) {
        let mut notes = self.0.borrow_mut();
        if notes.len() < MISTAKES_MAX {
            notes.push((place.clone(), message.into()));
        }
    }

    /// What was noted, with offsets turned into lines of `text`.
    pub fn into_mistakes(self, text: &str) -> Result<(), Mistakes> {
        let mut notes = self.0.into_inner();
        if notes.is_empty() {
            return Ok(());
        }
        notes.sort_by_key(|(place, _)| place.offset);
        let lines = Lines::of(text);
        let all = notes.into_iter().map(|(place, message)| {
            let position = place.offset.map(|offset| lines.position(text, offset));
            Mistake {
                line: position.map(|p| p.0),
                column: position.map(|p| p.1),
                path: place.path,
                message,
            }
        });
        Err(Mistakes(all.collect()))
    }
}

/// Where each line of a text begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        let after = text.match_indices('\n').map(|(i, _)| i + 1);
        Lines(std::iter::once(0).chain(after).collect())
    }

    /// Line and column of a byte offset, both from 1; columns count characters.
    fn position(&self, text: &str, offset: usize) -> (u32, u32) {
        let line = self.0.partition_point(|&start| start <= offset).max(1) - 1;
        let column = text
            .get(self.0[line]..offset)
            .map_or(0, |before| before.chars().count());
        let one_based = |i: usize| u32::try_from(i + 1).unwrap_or(u32::MAX);
        (one_based(line), one_based(column))
    }
}

/// The word of `known` that `word` was probably meant to be.
pub(super) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|k| (distance(word, k), k))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// `; did you mean …?` where a known word is near, else nothing.
pub(super) fn did_you_mean<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    nearest(word, known).map_or_else(String::new, |k| format!("; did you mean `{k}`?"))
}

/// Insertions, deletions and replacements from `a` to `b` (Levenshtein 1966), ignoring case.
fn distance(a: &str, b: &str) -> usize {
    // Ids are short; anything longer is not a slip of the finger and would cost a square of time.
    const CHARS_MAX: usize = 80;
    let lower = |s: &str| s.chars().flat_map(char::to_lowercase).collect::<Vec<_>>();
    if a.len().max(b.len()) > CHARS_MAX {
        return usize::MAX;
    }
    let (a, b) = (lower(a), lower(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested() {
        let known = ["placements", "phases", "price_minor"];
        assert_eq!(nearest("placments", known), Some("placements"));
        assert_eq!(nearest("Phases", known), Some("phases"));
        assert_eq!(nearest("phase", known), Some("phases"));
        assert_eq!(nearest("budget", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn offsets_become_lines_and_columns() {
        let text = "a = 1\né = 2\n\nz";
        let lines = Lines::of(text);
        for (offset, expected) in [
            (0, (1, 1)),
            (4, (1, 5)),
            (6, (2, 1)),
            (11, (2, 5)),
            (14, (4, 1)),
        ] {
            assert_eq!(lines.position(text, offset), expected, "offset {offset}");
        }
        assert_eq!(lines.position(text, 900), (4, 1), "past the end");
    }

    #[test]
    fn notes_stop_at_the_limit() {
        let notes = Notes::default();
        for _ in 0..=MISTAKES_MAX {
            notes.add(&Place::default(), "again");
        }
        let told = notes.into_mistakes("").expect_err("there are mistakes");
        assert_eq!(told.all().len(), MISTAKES_MAX);
    }
}
