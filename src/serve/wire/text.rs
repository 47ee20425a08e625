//! A creative's text with its placeholders filled in.
//!
//! What is filled in is data and stays data: the text goes out as a JSON string, and a page must set
//! it as text. Nothing here escapes for HTML.

use std::borrow::Cow;
use std::fmt::Write;

use crate::decide::condition::{Attr, Attributes};
use crate::decide::snapshot::{Span, Text};

/// Renders `text`, borrowing it where it has no placeholders.
pub(super) fn render<'a>(text: &'a Text, attributes: &impl Attributes) -> Cow<'a, str> {
    match text.0.as_slice() {
        [] => Cow::Borrowed(""),
        [Span::Literal(text)] => Cow::Borrowed(text),
        spans => {
            let mut out = String::new();
            for span in spans {
                match span {
                    Span::Literal(text) => out.push_str(text),
                    Span::Placeholder { key, fallback } => {
                        fill(&mut out, attributes.get(*key), fallback);
                    }
                }
            }
            Cow::Owned(out)
        }
    }
}

/// Writes an attribute as people read it. What has no words in every language (a flag, an object)
/// takes the fallback.
fn fill(out: &mut String, value: Attr<'_>, fallback: &str) {
    match value {
        Attr::Number(number) if number.is_finite() => write_number(out, number),
        Attr::Text(text) if !text.is_empty() => out.push_str(text),
        Attr::List(list) if !list.is_empty() => out.push_str(&list.join(", ")),
        Attr::Json(serde_json::Value::String(text)) => out.push_str(text),
        Attr::Json(serde_json::Value::Number(number)) => {
            write_number(out, number.as_f64().unwrap_or_default());
        }
        _ => out.push_str(fallback),
    }
}

/// At most two decimals, and none that say nothing: 14, 0.5, 9.99.
fn write_number(out: &mut String, number: f64) {
    let start = out.len();
    write!(out, "{number:.2}").expect("writing into a string cannot fail");
    let kept = out[start..]
        .trim_end_matches('0')
        .trim_end_matches('.')
        .len();
    out.truncate(start + kept);
    if &out[start..] == "-0" {
        out.replace_range(start.., "0");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::condition::Key;

    struct One<'a>(Attr<'a>);

    impl Attributes for One<'_> {
        fn get(&self, _: Key) -> Attr<'_> {
            self.0
        }
    }

    #[track_caller]
    fn check(value: Attr<'_>, expected: &str) {
        let key = Key(0);
        let text = Text(vec![
            Span::Literal("for ".into()),
            Span::Placeholder {
                key,
                fallback: "you".into(),
            },
        ]);
        assert_eq!(render(&text, &One(value)), expected, "{value:?}");
    }

    #[test]
    fn values_read_as_people_write_them() {
        check(Attr::Number(14.0), "for 14");
        check(Attr::Number(100.0), "for 100");
        check(Attr::Number(9.99), "for 9.99");
        check(Attr::Number(0.5), "for 0.5");
        check(Attr::Number(1.0 / 3.0), "for 0.33");
        check(Attr::Number(-0.001), "for 0");
        check(Attr::Number(1e15), "for 1000000000000000");
        check(Attr::Text("Ana {{x}} <b>"), "for Ana {{x}} <b>");
        check(Attr::List(&["wifi", "tv"]), "for wifi, tv");
    }

    #[test]
    fn what_has_no_words_takes_the_fallback() {
        let empty = Attr::List(&[]);
        for value in [
            Attr::Missing,
            Attr::Null,
            Attr::Flag(true),
            Attr::Text(""),
            empty,
        ] {
            check(value, "for you");
        }
    }

    #[test]
    fn plain_text_is_borrowed() {
        let text = Text(vec![Span::Literal("plain".into())]);
        let rendered = render(&text, &One(Attr::Missing));
        assert!(matches!(rendered, Cow::Borrowed("plain")));
    }
}
