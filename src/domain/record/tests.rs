//! Both forms are the same record, and no bytes bring a reader down.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Packs, and expects both forms to say the same to everybody; the packed record.
#[track_caller]
fn check(packer: &mut Packer, value: &impl Serialize) -> Record {
    let text = serde_json::to_string(value).unwrap();
    let packed = packer.pack(value);
    assert!(matches!(packed.0, Form::Packed(_)), "{text}");
    assert_eq!(packed.json().unwrap(), text);
    let mut behind = b"before".to_vec();
    packed.write_json(&mut behind).unwrap();
    assert_eq!(behind, format!("before{text}").into_bytes());
    let said: Value = read(&packed).unwrap();
    assert_eq!(said, serde_json::from_str::<Value>(&text).unwrap());
    packed
}

#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
struct Candidate<'a> {
    #[serde(borrow)]
    offer: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    base: Option<f64>,
    odds: Option<f64>,
    /// Not among the names that are known.
    my_own_name: (u8, i64),
}

#[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
struct All<'a> {
    v: u32,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    candidates: Vec<Candidate<'a>>,
    map: BTreeMap<String, [f64; 2]>,
    nothing: Vec<u8>,
    unit: (),
    letter: char,
    numbers: (u64, i64, u16, i8, f64, f64),
}

fn all(candidates: usize) -> All<'static> {
    let one = |i: usize| Candidate {
        offer: format!("offer_{i}").into(),
        base: (!i.is_multiple_of(3)).then_some(0.1 + 0.2),
        odds: Some(1.0 / (i + 1) as f64),
        my_own_name: (i as u8, -1 - i as i64),
    };
    All {
        v: 1,
        kind: "tab\tquote\" é".into(),
        candidates: (0..candidates).map(one).collect(),
        map: [
            (String::new(), [1.0, -0.0]),
            ("a\"b".into(), [f64::MAX, 0.1]),
        ]
        .into(),
        nothing: Vec::new(),
        unit: (),
        letter: '"',
        numbers: (u64::MAX, i64::MIN, 300, -5, -0.0, 5e-324),
    }
}

#[test]
fn the_same_packer_writes_record_after_record() {
    let mut packer = Packer::default();
    for candidates in [0, 1, 2, 15, 16, 400, 3] {
        let value = all(candidates);
        let packed = check(&mut packer, &value);
        assert_eq!(read::<All<'_>>(&packed).unwrap(), value);
        let text: Record = serde_json::to_string(&value).unwrap().into();
        assert_eq!(read::<All<'_>>(&text).unwrap(), value);
        assert_eq!(
            packed,
            Packer::default().pack(&value),
            "whatever it wrote before"
        );
    }
}

#[test]
fn a_name_is_paid_for_once() {
    let mut packer = Packer::default();
    let mut size = |n: usize| packer.pack(&all(n)).len();
    // Its shape, the text's length and the text, two doubles, an array, a small number and a long one.
    assert_eq!(size(9) - size(8), 1 + (1 + 7) + 9 + 9 + 1 + 1 + 9);
}

#[test]
fn text_is_borrowed() {
    let packed = Packer::default().pack(&all(1));
    let read: All<'_> = read(&packed).unwrap();
    assert!(matches!(read.candidates[0].offer, Cow::Borrowed(_)));
}

#[test]
fn what_is_no_number_is_null() {
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        check(&mut Packer::default(), &(odd, 1.5));
    }
}

/// The form is what journals hold: these bytes must be read for ever.
#[test]
fn the_bytes_stay_what_they_are() {
    let candidate = Candidate {
        offer: "a".into(),
        base: None,
        odds: Some(0.5),
        my_own_name: (200, -2),
    };
    let packed = check(&mut Packer::default(), &candidate);
    let expected: &[u8] = &[
        1, 0xC0, 0x81, b'a', 0xF3, 0, 0, 0, 0, 0, 0, 0xE0, 0x3F, 0xE2, 0xF4, 200, 0, 0xF6, 0xFE,
        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 3, 40, 55, 0xFF, 11, b'm', b'y', b'_', b'o',
        b'w', b'n', b'_', b'n', b'a', b'm', b'e', 26, 0, 0, 0,
    ];
    assert_eq!(packed.as_bytes(), expected);
}

#[test]
fn known_names_stay_where_they_are() {
    let names = form::NAMES;
    for (place, name) in (0..).zip(names) {
        assert_eq!(
            form::place(name),
            Some(place),
            "{name} is there twice, or too many are"
        );
        assert!(form::is_name(name));
    }
    let joined = names[..73].join(" ");
    let pinned = xxhash_rust::xxh3::xxh3_64(joined.as_bytes());
    assert_eq!(pinned, 9_340_791_836_558_717_431, "{joined}");
}

#[derive(Serialize)]
enum Kind {
    Unit,
    Newtype(u8),
}

#[derive(Serialize)]
struct Long {
    list: Vec<Kind>,
}

/// With another shape for each set bit.
#[derive(Serialize)]
struct Bits {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    b: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    f: Option<bool>,
}

fn bits(n: usize) -> Vec<Bits> {
    let one = |n: usize| {
        let bit = |i: usize| (n >> i & 1 == 1).then_some(true);
        Bits {
            a: bit(0),
            b: bit(1),
            c: bit(2),
            d: bit(3),
            e: bit(4),
            f: bit(5),
        }
    };
    (0..n).map(one).collect()
}

#[test]
fn what_cannot_be_packed_is_text() {
    let mut packer = Packer::default();
    check(
        &mut packer,
        &Long {
            list: vec![Kind::Unit],
        },
    );
    check(&mut packer, &bits(32));
    let texts = [
        packer.pack(&Long {
            list: vec![Kind::Newtype(1)],
        }),
        packer.pack(&bits(33)),
    ];
    for (record, expected) in texts
        .iter()
        .zip([r#"{"list":[{"Newtype":1}]}"#, "[{},{\"a\":true},"])
    {
        assert!(matches!(record.0, Form::Text(_)), "{record}");
        assert!(record.to_string().starts_with(expected), "{record}");
    }
    check(&mut packer, &bits(32));
}

#[test]
fn damage_is_an_error() {
    let packed = Packer::default().pack(&all(2));
    let bytes = packed.as_bytes();
    let read_both = |bytes: &[u8]| {
        let mut out = b"before".to_vec();
        let written = text::write(bytes, &mut out);
        assert_eq!(written.is_err(), out == b"before");
        if let Ok(part) = unpack::from_bytes::<Later<'_, Value>>(bytes) {
            assert_eq!(part.read().is_err(), written.is_err());
        }
        let read = unpack::from_bytes::<Value>(bytes);
        assert_eq!(written.is_err(), read.is_err(), "{read:?}");
        read.is_ok()
    };
    assert!(read_both(bytes));
    for cut in 0..bytes.len() {
        assert!(!read_both(&bytes[..cut]), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x10, 0x80, 0xFF] {
            let mut bytes = bytes.to_vec();
            bytes[at] ^= flip;
            read_both(&bytes);
        }
    }
}

#[test]
fn text_is_escaped_wherever_in_it_that_is_due() {
    for odd in ["", "\"", "\\", "\n", "\u{1f}", "\u{7f}", "é", "\u{20ac}"] {
        for len in 0..70 {
            for at in [0, 6, 7, 8, 9, 30, 31, 32, 33, len] {
                let (before, behind) =
                    ("x".repeat(at.min(len)), "~".repeat(len.saturating_sub(at)));
                let text = format!("{before}{odd}{behind}");
                // With much behind it, and with nothing.
                check(&mut Packer::default(), &[text.as_str(), &"y".repeat(40)]);
                check(&mut Packer::default(), &text);
            }
        }
    }
}

#[test]
fn nothing_lies_deeper_than_the_stack_is() {
    for (deep, fine) in [(128, true), (129, false), (1 << 20, false)] {
        let mut bytes = vec![form::FORM];
        bytes.resize(deep, form::ARRAY | 1);
        bytes.push(form::ARRAY);
        let at = u32::try_from(bytes.len()).unwrap();
        bytes.extend(at.to_le_bytes());
        let record = Record::packed(bytes);
        assert_eq!(record.json().is_ok(), fine, "{deep}");
        assert_eq!(read::<Value>(&record).is_ok(), fine, "{deep}");
        // What is passed over takes no stack.
        read::<de::IgnoredAny>(&record).unwrap();
    }
}

#[test]
fn an_envelope_holds_either_form_and_no_other() {
    let records = [
        Record::default(),
        r#"{"v":1}"#.into(),
        Packer::default().pack(&all(3)),
    ];
    for record in records {
        let bytes = postcard::to_stdvec(&record).unwrap();
        assert_eq!(postcard::from_bytes::<Record>(&bytes).unwrap(), record);
    }
    // As releases before the packed form wrote it.
    let before = postcard::to_stdvec("{}").unwrap();
    assert_eq!(
        postcard::from_bytes::<Record>(&before).unwrap(),
        "{}".into()
    );
    for other in [&[2, 1, 2][..], &[0xFF], b"{\xFF}"] {
        let bytes = postcard::to_stdvec(&Record::packed(other.to_vec())).unwrap();
        assert!(postcard::from_bytes::<Record>(&bytes).is_err(), "{other:?}");
    }
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        ".{60,70}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_the_same_in_both_forms(value in values()) {
        check(&mut Packer::default(), &value);
    }

    #[test]
    fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..64), at in 0_u8..64) {
        bytes.insert(0, form::FORM);
        bytes.extend(u32::from(at).to_le_bytes());
        let record = Record::packed(bytes);
        prop_assert_eq!(record.json().is_ok(), read::<Value>(&record).is_ok());
    }
}
