//! The single rules that checks are made of: lengths, ranges, words, and the sum of all strings.
//!
//! Each takes the name of its field and gives it back in the error; callers put the path in front.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::scalar::{Text, Whole};
use super::{Malformed, limits};
use crate::domain::{Lists, UnknownWord};

/// How many more bytes of text a message may hold.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(limits::STRING_BYTES_MAX)
    }
}

impl Budget {
    /// An id, if told.
    pub fn id<'a>(
        &mut self,
        field: &str,
        told: &'a Option<Text<'a>>,
    ) -> Result<Option<&'a str>, Malformed> {
        told.as_ref()
            .map(|text| self.take(field, text, limits::ID_CHARS))
            .transpose()
    }

    /// A short word, if told.
    pub fn word<'a>(
        &mut self,
        field: &str,
        told: &'a Option<Text<'a>>,
    ) -> Result<Option<&'a str>, Malformed> {
        told.as_ref()
            .map(|text| self.take(field, text, limits::WORD_CHARS))
            .transpose()
    }

    /// A list of strings; empty where it is not told.
    pub fn list<'a>(
        &mut self,
        field: &str,
        told: &'a Option<Vec<Text<'a>>>,
        chars: RangeInclusive<usize>,
    ) -> Result<Lists<'a>, Malformed> {
        let told = told.as_deref().unwrap_or_default();
        at_most(field, told.len(), limits::LIST_MAX)?;
        let each = told.iter().enumerate();
        each.map(|(i, text)| {
            self.take("", text, chars.clone())
                .map_err(|e| e.within(format_args!("{field}[{i}]")))
        })
        .collect()
    }

    /// One string of so many printable characters.
    pub fn take<'a>(
        &mut self,
        field: &str,
        text: &'a Text<'a>,
        chars: RangeInclusive<usize>,
    ) -> Result<&'a str, Malformed> {
        string(field, Some(text), chars)?;
        self.spend(field, text)?;
        Ok(text.as_str())
    }

    pub fn spend(&mut self, field: &str, text: &Text<'_>) -> Result<(), Malformed> {
        let most = limits::STRING_BYTES_MAX;
        self.0 = self.0.checked_sub(text.0.len()).ok_or_else(|| {
            Malformed::new(
                field,
                format_args!("all strings together must be at most {most} bytes"),
            )
        })?;
        Ok(())
    }
}

/// Checks that a string, if told, has so many characters, none of them a control character.
pub(super) fn string(
    field: &str,
    told: Option<&Text<'_>>,
    chars: RangeInclusive<usize>,
) -> Result<(), Malformed> {
    let Some(text) = told else { return Ok(()) };
    let (least, most) = (*chars.start(), *chars.end());
    if text.0.len() < least {
        return Err(Malformed::new(field, "must not be empty"));
    }
    at_most_chars(field, text, most)?;
    if !is_plain(text.0.as_bytes()) && text.0.chars().any(char::is_control) {
        return Err(Malformed::new(field, "must hold no control characters"));
    }
    Ok(())
}

/// Whether the text is ASCII without control characters, as nearly all is: told sixteen bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    let odd = |b: &u8| !(b' '..=b'~').contains(b);
    !bytes.iter().fold(false, |any, b| any | odd(b))
}

pub(super) fn at_most_chars(field: &str, text: &Text<'_>, most: usize) -> Result<(), Malformed> {
    // There are never more characters than bytes, so counting them is rarely needed.
    if text.0.len() <= most || text.0.chars().count() <= most {
        return Ok(());
    }
    let got = text.0.chars().count();
    Err(Malformed::new(
        field,
        format_args!("must be at most {most} characters, got {got}"),
    ))
}

/// A whole number within `range`, if told.
pub(super) fn range(
    field: &str,
    told: Option<Whole>,
    range: RangeInclusive<i64>,
) -> Result<Option<i64>, Malformed> {
    match told {
        Some(Whole(got)) if !range.contains(&got) => {
            let (least, most) = (range.start(), range.end());
            Err(Malformed::new(
                field,
                format_args!("must be {least} to {most}, got {got}"),
            ))
        }
        Some(Whole(got)) => Ok(Some(got)),
        None => Ok(None),
    }
}

/// A word of a closed vocabulary, if told.
pub(super) fn word<T: FromStr<Err = UnknownWord>>(
    field: &str,
    told: &Option<Text<'_>>,
) -> Result<Option<T>, Malformed> {
    let told = told.as_ref().map(|text| text.as_str().parse());
    told.transpose().map_err(|e| Malformed::new(field, e))
}

pub(super) fn missing(field: impl Display) -> Malformed {
    Malformed::new(field.to_string(), "is required")
}

pub(super) fn at_most(field: &str, got: usize, most: usize) -> Result<(), Malformed> {
    if got <= most {
        return Ok(());
    }
    Err(Malformed::new(
        field,
        format_args!("must be at most {most} entries, got {got}"),
    ))
}

/// A checked number in the type that the domain keeps it in.
pub(super) fn narrow<T: TryFrom<i64>>(value: i64) -> T {
    match T::try_from(value) {
        Ok(value) => value,
        Err(_) => unreachable!("every range in `limits` fits the domain's type"),
    }
}

/// The beginning of a name, to be repeated in an error.
pub(super) fn brief<'a>(name: &'a Text<'a>) -> &'a str {
    let most = *limits::WORD_CHARS.end();
    match name.0.char_indices().nth(most) {
        Some((end, _)) => &name.0[..end],
        None => &name.0,
    }
}
