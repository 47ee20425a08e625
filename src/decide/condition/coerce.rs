//! How JavaScript turns one type into another (ECMA-262, chapter 7.1), which is what the published
//! conditions are defined by: `"8" > 5`, `null * 1 === 0`, `["a", "b"] + "" === "a,b"`.

use std::cmp::Ordering;
use std::fmt::{self, Write};

use serde_json::{Number, Value};

use super::node::{Literal, Operand};
use super::{Attr, RENDERED_BYTES_MAX};

/// A JSON number as the only kind of number JavaScript has.
pub(super) fn number(number: &Number) -> f64 {
    number.as_f64().unwrap_or(f64::NAN)
}

/// Whether an `if` would take it.
pub(super) fn truthy(value: Attr<'_>) -> bool {
    match value {
        Attr::Missing | Attr::Null => false,
        Attr::Flag(flag) => flag,
        Attr::Number(number) => number != 0.0 && !number.is_nan(),
        Attr::Text(text) => !text.is_empty(),
        Attr::List(_) | Attr::Json(_) => true,
    }
}

/// The value as a number; NaN where it is none.
pub(super) fn to_number(value: Attr<'_>) -> f64 {
    match value {
        Attr::Missing | Attr::Null => 0.0,
        Attr::Flag(flag) => f64::from(u8::from(flag)),
        Attr::Number(number) => number,
        Attr::Text(text) => text_to_number(text),
        Attr::List(_) | Attr::Json(_) => with_text(value, text_to_number).unwrap_or(f64::NAN),
    }
}

fn text_to_number(text: &str) -> f64 {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{FEFF}');
    let radix = |digits: &str, radix| {
        let all_digits = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix));
        let digits = digits.chars().filter_map(|c| c.to_digit(radix));
        let value = digits.fold(0.0, |n, d| n * f64::from(radix) + f64::from(d));
        if all_digits { value } else { f64::NAN }
    };
    match text.as_bytes() {
        [] => 0.0,
        [b'0', b'x' | b'X', ..] => radix(&text[2..], 16),
        [b'0', b'o' | b'O', ..] => radix(&text[2..], 8),
        [b'0', b'b' | b'B', ..] => radix(&text[2..], 2),
        _ => match text {
            "Infinity" | "+Infinity" => f64::INFINITY,
            "-Infinity" => f64::NEG_INFINITY,
            // Rust also reads `inf` and `nan` as numbers.
            _ if text
                .bytes()
                .any(|b| b.is_ascii_alphabetic() && !matches!(b, b'e' | b'E')) =>
            {
                f64::NAN
            }
            _ => text.parse().unwrap_or(f64::NAN),
        },
    }
}

/// `read` applied to the value as text; `None` where the text would be longer than
/// [`RENDERED_BYTES_MAX`], which a plain string never is.
pub(super) fn with_text<R>(value: Attr<'_>, read: impl FnOnce(&str) -> R) -> Option<R> {
    if let Attr::Text(text) = value {
        return Some(read(text));
    }
    let mut text = Rendered {
        bytes: [0; RENDERED_BYTES_MAX],
        len: 0,
    };
    render(value, &mut text).ok()?;
    let text = std::str::from_utf8(&text.bytes[..text.len]).expect("only whole strings go in");
    Some(read(text))
}

/// Text of bounded length on the stack.
struct Rendered {
    bytes: [u8; RENDERED_BYTES_MAX],
    len: usize,
}

impl Write for Rendered {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Writes the value as `String(value)` has it.
pub(super) fn render(value: Attr<'_>, out: &mut impl Write) -> fmt::Result {
    match value.plain() {
        Attr::Missing | Attr::Null => out.write_str("null"),
        Attr::Flag(flag) => write!(out, "{flag}"),
        Attr::Number(number) => render_number(number, out),
        Attr::Text(text) => out.write_str(text),
        Attr::Json(Value::Object(_)) => out.write_str("[object Object]"),
        list => {
            for (i, item) in items(list).into_iter().flatten().enumerate() {
                if i > 0 {
                    out.write_char(',')?;
                }
                // In a list, and only there, null is nothing.
                if item != Attr::Null {
                    render(item, out)?;
                }
            }
            Ok(())
        }
    }
}

/// Writes a number as `Number::toString` has it: the shortest digits that read back, in
/// exponential notation from 1e21 up and below 1e-6.
fn render_number(number: f64, out: &mut impl Write) -> fmt::Result {
    let size = number.abs();
    if number.is_infinite() {
        out.write_str(if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        })
    } else if size == 0.0 {
        out.write_char('0')
    } else if size >= 1e21 {
        write!(Exponential(out), "{number:e}")
    } else if size < 1e-6 {
        write!(out, "{number:e}")
    } else {
        write!(out, "{number}")
    }
}

/// Puts the plus into `1e21` that Rust leaves out.
struct Exponential<'a, W>(&'a mut W);

impl<W: Write> Write for Exponential<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        match text.split_once('e') {
            Some((mantissa, exponent)) => write!(self.0, "{mantissa}e+{exponent}"),
            None => self.0.write_str(text),
        }
    }
}

/// The items of a list; `None` for anything else.
pub(super) fn items<'a>(value: Attr<'a>) -> Option<impl ExactSizeIterator<Item = Attr<'a>>> {
    let (texts, values): (&[&str], &[Value]) = match value {
        Attr::List(texts) => (texts, &[]),
        Attr::Json(Value::Array(values)) => (&[], values),
        _ => return None,
    };
    let len = texts.len() + values.len();
    Some((0..len).map(move |i| match texts.get(i) {
        Some(text) => Attr::Text(text),
        None => Attr::Json(&values[i]).plain(),
    }))
}

/// The order of two strings in JavaScript: by UTF-16 units.
pub(super) fn compare_text(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

/// The order of two values for `<` and its kin; `None` where they do not compare.
pub(super) fn compare(value: Attr<'_>, operand: &Operand) -> Option<Ordering> {
    let textual = matches!(value, Attr::Text(_) | Attr::List(_) | Attr::Json(_));
    match &operand.text {
        Some(expected) if textual => with_text(value, |text| compare_text(text, expected)),
        _ => to_number(value).partial_cmp(&operand.number),
    }
}

/// `a === b`.
pub(super) fn identical(value: Attr<'_>, literal: &Literal) -> bool {
    match (value, literal) {
        (Attr::Missing | Attr::Null, Literal::Null) => true,
        (Attr::Flag(a), Literal::Flag(b)) => a == *b,
        (Attr::Number(a), Literal::Number(b)) => a == *b,
        (Attr::Text(a), Literal::Text(b)) => *a == **b,
        _ => false,
    }
}

/// Whether both have the same content, item by item and member by member.
pub(super) fn same(value: Attr<'_>, expected: &Value) -> bool {
    match (value, Attr::Json(expected).plain()) {
        (_, Attr::Json(Value::Array(expected))) => items(value).is_some_and(|items| {
            items.len() == expected.len() && items.zip(expected).all(|(item, e)| same(item, e))
        }),
        (Attr::Json(Value::Object(members)), Attr::Json(Value::Object(expected))) => {
            let same = |(name, expected)| {
                let member = members.get(name);
                member.is_some_and(|member| same(Attr::Json(member).plain(), expected))
            };
            members.len() == expected.len() && expected.iter().all(same)
        }
        (value, expected) => value == expected,
    }
}

/// The value without parts that this is; `None` for lists and objects.
pub(super) fn literal(value: &Value) -> Option<Literal> {
    Some(match value {
        Value::Null => Literal::Null,
        Value::Bool(flag) => Literal::Flag(*flag),
        Value::Number(n) => Literal::Number(number(n)),
        Value::String(text) => Literal::Text(text.as_str().into()),
        Value::Array(_) | Value::Object(_) => return None,
    })
}

/// The characters of a text in lower case.
pub(super) fn folded(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check_text(value: Value, expected: &str) {
        let text = with_text(Attr::Json(&value).plain(), str::to_owned);
        assert_eq!(text.as_deref(), Some(expected), "{value}");
    }

    #[test]
    fn values_become_text_as_in_javascript() {
        check_text(json!(null), "null");
        check_text(json!(true), "true");
        check_text(json!(5.0), "5");
        check_text(json!(-0.0), "0");
        check_text(json!(0.1), "0.1");
        check_text(json!(1e20), "100000000000000000000");
        check_text(json!(1e21), "1e+21");
        check_text(json!(-1.5e300), "-1.5e+300");
        check_text(json!(0.000001), "0.000001");
        check_text(json!(1.5e-7), "1.5e-7");
        check_text(json!(["a", null, 1, ["b", true]]), "a,,1,b,true");
        check_text(json!({"a": 1}), "[object Object]");
        check_text(json!([]), "");
    }

    #[test]
    fn text_of_a_long_list_is_no_text() {
        let long = json!(["x".repeat(RENDERED_BYTES_MAX), "y"]);
        assert_eq!(with_text(Attr::Json(&long), |_| ()), None);
        let longest = json!(["x".repeat(RENDERED_BYTES_MAX)]);
        assert_eq!(
            with_text(Attr::Json(&longest), str::len),
            Some(RENDERED_BYTES_MAX)
        );
    }

    #[track_caller]
    fn check_number(value: Value, expected: f64) {
        let number = to_number(Attr::Json(&value).plain());
        let both_nan = number.is_nan() && expected.is_nan();
        assert!(number == expected || both_nan, "{value} gave {number}");
    }

    #[test]
    fn values_become_numbers_as_in_javascript() {
        check_number(json!(null), 0.0);
        check_number(json!(true), 1.0);
        check_number(json!(""), 0.0);
        check_number(json!(" 12.5e1\n"), 125.0);
        check_number(json!("5."), 5.0);
        check_number(json!(".5"), 0.5);
        check_number(json!("0x1F"), 31.0);
        check_number(json!("0b101"), 5.0);
        check_number(json!("-Infinity"), f64::NEG_INFINITY);
        check_number(json!([]), 0.0);
        check_number(json!(["7"]), 7.0);
        for none in [
            json!("inf"),
            json!("nan"),
            json!("0x"),
            json!("-0x1"),
            json!("1_0"),
            json!("x"),
            json!([1, 2]),
            json!({}),
        ] {
            check_number(none, f64::NAN);
        }
    }
}
