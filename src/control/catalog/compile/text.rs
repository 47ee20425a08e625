//! Text with `{{key|fallback}}` placeholders → spans.

use super::names::Names;
use crate::control::catalog::limits::PLACEHOLDERS_MAX;
use crate::control::catalog::mistake::{Notes, Placed};
use crate::decide::inputs::{Fixed, Vocabulary, canonical};
use crate::decide::snapshot::{Span, Text};

/// Compiles a text; none at all is empty.
pub(super) fn compile(
    text: Option<Placed<Box<str>>>,
    names: &Names,
    vocabulary: &mut Vocabulary,
    notes: &Notes,
) -> Text {
    let Some(Placed { value, place }) = text else {
        return Text::default();
    };
    let mut spans = Vec::new();
    let mut rest: &str = &value;
    let mut placeholders = 0;
    while let Some(open) = rest.find("{{") {
        literal(&mut spans, &rest[..open]);
        let Some(close) = rest[open..].find("}}") else {
            notes.add(
                &place,
                "expected `}}` after `{{`, found the end of the text",
            );
            rest = "";
            break;
        };
        let inside = &rest[open + 2..open + close];
        rest = &rest[open + close + 2..];
        placeholders += 1;
        match placeholder(inside, names) {
            Ok((key, fallback)) => spans.push(Span::Placeholder {
                key: vocabulary.key(key),
                fallback: fallback.into(),
            }),
            Err(message) => notes.add(&place, message),
        }
    }
    literal(&mut spans, rest);
    if placeholders > PLACEHOLDERS_MAX {
        let message =
            format!("expected at most {PLACEHOLDERS_MAX} placeholders, found {placeholders}");
        notes.add(&place, message);
    }
    Text(spans)
}

fn literal(spans: &mut Vec<Span>, text: &str) {
    if !text.is_empty() {
        spans.push(Span::Literal(text.into()));
    }
}

/// The key and the fallback of `key|fallback`.
fn placeholder<'t>(inside: &'t str, names: &Names) -> Result<(&'t str, &'t str), String> {
    // A value may always be missing, or withheld: the author must have thought of it.
    let Some((key, fallback)) = inside.split_once('|') else {
        return Err(format!(
            "expected a fallback, as in {{{{{inside}|there}}}}, because the value may be missing; found none"
        ));
    };
    let key = key.trim();
    names.attribute(key)?;
    let list = [
        Fixed::Skills,
        Fixed::Stock,
        Fixed::Segments,
        Fixed::Products,
    ];
    if list.iter().any(|fixed| fixed.as_str() == canonical(key)) {
        return Err(format!(
            "expected a single value to put into the text, found the list `{key}`"
        ));
    }
    Ok((key, fallback))
}
