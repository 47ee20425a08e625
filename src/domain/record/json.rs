//! Writing JSON, byte for byte as `serde_json` writes it and in a third of the instructions.
//!
//! Most of what an answer or a record consists of needs no escaping: tokens, ids, words of ours, and names
//! of fields, which are Rust identifiers. `serde_json` looks every byte up in a table all the same,
//! and grows its buffer from 128 bytes by doubling. Here strings are looked through sixteen bytes at a
//! time, names are not looked through at all, and the caller says how long it will be. Numbers are
//! written by the crates that `serde_json` has write them, and the rare string with something to escape
//! by itself, so that there is one opinion on them.

use std::fmt::{self, Write as _};

use serde::ser::{self, Serialize};
use serde_json::Error;

/// Writes `value` behind what is in `out`.
///
/// # Panics
/// Where a value's own `Serialize` fails, or a map's key is not a string: ours do neither.
pub fn write(value: &impl Serialize, out: &mut String) {
    value
        .serialize(Writer(out))
        .expect("answers and records are plain data");
}

/// One value's place.
struct Writer<'a>(&'a mut String);

/// The rest of an array or an object, and what closes it.
struct Rest<'a> {
    out: &'a mut String,
    first: bool,
    close: &'static str,
}

impl Writer<'_> {
    /// What `serde_json` makes of it, for what is rare.
    fn by_serde(self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.raw(&serde_json::to_string(value)?)
    }

    fn raw(self, text: &str) -> Result<(), Error> {
        self.0.push_str(text);
        Ok(())
    }

    fn integer(self, v: impl itoa::Integer) -> Result<(), Error> {
        integer(self.0, v);
        Ok(())
    }
}

fn integer(out: &mut String, v: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(v));
}

/// A number, or null where it is none.
fn double(out: &mut String, v: f64) {
    match cents(v) {
        Some(cents) => out.push_str(cents_text(cents, &mut [0; CENTS_BYTES])),
        None if v.is_finite() => out.push_str(zmij::Buffer::new().format_finite(v)),
        None => out.push_str("null"),
    }
}

/// A string, with escapes where it needs them.
pub(super) fn text(out: &mut String, v: &str) {
    if !is_plain(v.as_bytes()) {
        out.push_str(&serde_json::to_string(v).expect("a string is JSON"));
        return;
    }
    out.push('"');
    out.push_str(v);
    out.push('"');
}

impl<'a> Writer<'a> {
    fn open(self, open: &str, close: &'static str) -> Rest<'a> {
        self.0.push_str(open);
        Rest {
            out: self.0,
            first: true,
            close,
        }
    }

    fn open_variant(self, variant: &str, open: &str, close: &'static str) -> Rest<'a> {
        self.0.push('{');
        name(self.0, variant);
        self.open(open, close)
    }
}

/// A field's or variant's name: what Rust and our renames make it needs no escapes.
fn name(out: &mut String, name: &str) {
    debug_assert!(is_plain(name.as_bytes()), "{name}");
    out.push('"');
    out.push_str(name);
    out.push_str("\":");
}

/// Whether a string stands in JSON as it is.
///
/// Without a branch per byte, the compiler looks at sixteen of them at once. What is left over is looked at together with
/// bytes that were looked at already: one by one it would take longer than all the others.
#[inline]
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let odd = |b: &u8| (*b < b' ') | (*b == b'"') | (*b == b'\\');
    let any = |bytes: &[u8; 16]| bytes.iter().fold(false, |any, b| any | odd(b));
    let (chunks, rest) = bytes.as_chunks::<16>();
    if let Some(last) = bytes.last_chunk::<16>() {
        return !(chunks.iter().fold(false, |found, chunk| found | any(chunk)) | any(last));
    }
    match (rest.first_chunk(), rest.last_chunk()) {
        (Some(first), Some(last)) => !(is_odd(first) | is_odd(last)),
        _ => !rest.iter().fold(false, |any, b| any | odd(b)),
    }
}

/// Whether any of eight bytes needs an escape: a byte below `n` is the one whose difference to `n` borrows while
/// its own top bit is unset, and a byte that is a certain one is 0 once that is taken out of it.
#[inline]
fn is_odd(bytes: &[u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let all = u64::from_ne_bytes(*bytes);
    let below = |all: u64, n: u8| all.wrapping_sub(ONES * u64::from(n)) & !all;
    let is = |byte: u8| below(all ^ (ONES * u64::from(byte)), 1);
    (below(all, b' ') | is(b'"') | is(b'\\')) & (ONES << 7) != 0
}

/// The number in hundredths, where it is one of two decimals at most, as most that people send are.
///
/// A double that is the nearest to such a decimal of fewer than sixteen digits is the nearest to no
/// shorter one, so that decimal is what the shortest form of the number is.
pub(super) fn cents(v: f64) -> Option<i64> {
    let times = v * 100.0;
    // Rounded by hand: without SSE 4.1, which is not asked for, `round` is a call. Whether it is the right
    // integer, the division tells.
    let cents = (times + 0.5_f64.copysign(times)) as i64;
    // Zero may have a sign.
    let told = cents != 0 && cents.unsigned_abs() < 1_000_000_000_000_000;
    (told && cents as f64 / 100.0 == v).then_some(cents)
}

/// The longest number of hundredths: a sign, thirteen digits, a point and two.
pub(super) const CENTS_BYTES: usize = 20;

/// The number as text, at the end of `text`.
pub(super) fn cents_text(cents: i64, text: &mut [u8; CENTS_BYTES]) -> &str {
    let (whole, part) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    let mut at = text.len();
    let mut put = |byte: u8| {
        at -= 1;
        text[at] = byte;
    };
    if part % 10 != 0 {
        put(b'0' + (part % 10) as u8);
    }
    put(b'0' + (part / 10) as u8);
    put(b'.');
    let mut left = whole;
    loop {
        put(b'0' + (left % 10) as u8);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if cents < 0 {
        put(b'-');
    }
    std::str::from_utf8(&text[at..]).expect("digits are ASCII")
}

impl<'a> ser::Serializer for Writer<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Rest<'a>;
    type SerializeTuple = Rest<'a>;
    type SerializeTupleStruct = Rest<'a>;
    type SerializeTupleVariant = Rest<'a>;
    type SerializeMap = Rest<'a>;
    type SerializeStruct = Rest<'a>;
    type SerializeStructVariant = Rest<'a>;

    fn serialize_bool(self, v: bool) -> Result<(), Error> {
        self.raw(if v { "true" } else { "false" })
    }

    fn serialize_i8(self, v: i8) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_i16(self, v: i16) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_i32(self, v: i32) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_i64(self, v: i64) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_u8(self, v: u8) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_u16(self, v: u16) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_u32(self, v: u32) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_u64(self, v: u64) -> Result<(), Error> {
        self.integer(v)
    }

    fn serialize_f32(self, v: f32) -> Result<(), Error> {
        if v.is_finite() {
            return self.raw(zmij::Buffer::new().format_finite(v));
        }
        self.raw("null")
    }

    fn serialize_f64(self, v: f64) -> Result<(), Error> {
        double(self.0, v);
        Ok(())
    }

    fn serialize_char(self, v: char) -> Result<(), Error> {
        self.by_serde(&v)
    }

    fn serialize_str(self, v: &str) -> Result<(), Error> {
        text(self.0, v);
        Ok(())
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), Error> {
        self.by_serde(v)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.raw("null")
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.raw("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.raw("null")
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.0.push('{');
        name(self.0, variant);
        value.serialize(Writer(self.0))?;
        self.0.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Rest<'a>, Error> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Rest<'a>, Error> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Rest<'a>, Error> {
        Ok(self.open("[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Rest<'a>, Error> {
        Ok(self.open_variant(variant, "[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Rest<'a>, Error> {
        Ok(self.open("{", "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Rest<'a>, Error> {
        Ok(self.open("{", "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Rest<'a>, Error> {
        Ok(self.open_variant(variant, "{", "}}"))
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        // Ours are instants and numbers; whatever else comes is written again, with escapes.
        let start = self.0.len();
        self.0.push('"');
        write!(self.0, "{value}").expect("writing into a string cannot fail");
        if is_plain(&self.0.as_bytes()[start + 1..]) {
            self.0.push('"');
            return Ok(());
        }
        self.0.truncate(start);
        self.by_serde(value.to_string().as_str())
    }
}

impl Rest<'_> {
    fn next(&mut self) {
        if !self.first {
            self.out.push(',');
        }
        self.first = false;
    }

    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.next();
        value.serialize(Writer(self.out))
    }

    fn field(&mut self, key: &str, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.next();
        name(self.out, key);
        value.serialize(Writer(self.out))
    }

    fn close(self) -> Result<(), Error> {
        self.out.push_str(self.close);
        Ok(())
    }
}

impl ser::SerializeSeq for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTuple for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeMap for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let start = self.out.len();
        key.serialize(Writer(self.out))?;
        if self.out.as_bytes().get(start) != Some(&b'"') {
            return Err(ser::Error::custom("key must be a string"));
        }
        self.out.push(':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(Writer(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStruct for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Rest<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.field(key, value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;
    use serde_json::Value;

    use super::*;

    #[track_caller]
    fn check(value: &impl Serialize) {
        let mut out = String::from("before");
        write(value, &mut out);
        let expected = serde_json::to_string(value).unwrap();
        assert_eq!(out, format!("before{expected}"));
    }

    #[derive(Serialize)]
    enum Kind {
        Unit,
        Newtype(u8),
        Tuple(u8, bool),
        Struct { a: Option<u8>, b: () },
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(i64, char);

    #[derive(Serialize)]
    struct All<'a> {
        #[serde(rename = "type")]
        kind: Kind,
        list: Vec<Kind>,
        pair: (f64, Pair),
        unit: Unit,
        #[serde(skip_serializing_if = "Option::is_none")]
        absent: Option<u8>,
        text: Cow<'a, str>,
        map: BTreeMap<&'a str, [f32; 2]>,
    }

    #[test]
    fn every_shape_is_written_as_serde_json_writes_it() {
        check(&All {
            kind: Kind::Unit,
            list: vec![
                Kind::Newtype(1),
                Kind::Tuple(2, true),
                Kind::Struct { a: None, b: () },
            ],
            pair: (0.1, Pair(i64::MIN, '"')),
            unit: Unit,
            absent: None,
            text: "tab\tquote\" back\\ \u{1} é".into(),
            map: [("", [1.0, -0.0]), ("a\"b", [f32::MAX, 0.1])].into(),
        });
    }

    #[test]
    fn every_byte_and_every_odd_number_is() {
        for c in (0..=0x17F).filter_map(char::from_u32) {
            check(&c.to_string());
            check(&format!(
                "some sixteen bytes before {c} and some more after it"
            ));
            for len in 0..40 {
                check(&format!("{}{c}", "x".repeat(len)));
                check(&format!("{c}{}", "x".repeat(len)));
            }
        }
        for number in [
            0.0,
            -0.0,
            1e300,
            5e-324,
            f64::NAN,
            f64::INFINITY,
            1e16,
            0.1 + 0.2,
        ] {
            check(&number);
        }
    }

    #[test]
    fn display_with_something_to_escape_is_escaped() {
        struct Odd;
        impl Serialize for Odd {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str("a \"word\"")
            }
        }
        check(&Odd);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is(value in values()) {
            check(&value);
        }
    }
}
