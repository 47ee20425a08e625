//! From the packed form to JSON, value by value: nothing in between is built.
//!
//! The shipper does this with every record there is, and its thread is what Redis waits for. So names are ready
//! made, each with its quotes, and texts are looked at eight bytes at a time and copied in pieces of one size:
//! a call of `memcpy` for six letters costs more than they do.

use super::form::{
    ARRAY, DEPTH_MAX, F64, FALSE, I64, LONG_ARRAY, LONG_TEXT, MAP, NAMES, NULL, OBJECT, SMALL_MAX,
    TEXT, TRUE, U16, U64,
};
use super::json;
use super::unpack::{Malformed, Names, Reader, Shapes, malformed};

/// Text for each packed byte, about: numbers of 17 digits take 9 bytes packed, and names nothing.
const GROWTH: usize = 3;

/// Puts the record as JSON, which is UTF-8, behind what is in `out`; on error `out` is as it was.
pub(super) fn write(packed: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let shapes = Shapes::of(packed)?;
    let start = out.len();
    out.reserve(packed.len() * GROWTH);
    let mut writer = Writer {
        reader: shapes.values(),
        out,
    };
    let written = writer.value(0).and_then(|()| writer.reader.end());
    written.inspect_err(|_| out.truncate(start))
}

struct Writer<'a, 'de> {
    reader: Reader<'de, 'a>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_, '_> {
    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        match self.reader.byte()? {
            v @ ..=9 => self.out.push(b'0' + v),
            v @ 10..=SMALL_MAX => self.integer(v),
            tag @ TEXT..OBJECT => return self.text(usize::from(tag - TEXT)),
            tag @ OBJECT..ARRAY => return self.object(usize::from(tag - OBJECT), depth),
            tag @ ARRAY..NULL => return self.array(usize::from(tag - ARRAY), depth),
            NULL => self.out.extend_from_slice(b"null"),
            FALSE => self.out.extend_from_slice(b"false"),
            TRUE => self.out.extend_from_slice(b"true"),
            F64 => {
                let v = f64::from_le_bytes(self.reader.bytes()?);
                self.double(v);
            }
            U64 => {
                let v = u64::from_le_bytes(self.reader.bytes()?);
                self.integer(v);
            }
            I64 => {
                let v = i64::from_le_bytes(self.reader.bytes()?);
                self.integer(v);
            }
            U16 => {
                let v = u16::from_le_bytes(self.reader.bytes()?);
                self.integer(v);
            }
            LONG_TEXT => {
                let len = self.reader.length()?;
                return self.text(len);
            }
            LONG_ARRAY => {
                let len = self.reader.length()?;
                return self.array(len, depth);
            }
            MAP => {
                let len = self.reader.length()?;
                return self.map(len, depth);
            }
            _ => return malformed("a value is of no known kind"),
        }
        Ok(())
    }

    fn integer(&mut self, v: impl itoa::Integer) {
        let mut buffer = itoa::Buffer::new();
        self.out.extend_from_slice(buffer.format(v).as_bytes());
    }

    /// As `json::write` has it.
    fn double(&mut self, v: f64) {
        if let Some(cents) = json::cents(v) {
            let mut text = [0; json::CENTS_BYTES];
            digits(self.out, json::cents_text(cents, &mut text).as_bytes());
        } else if v.is_finite() {
            let mut buffer = zmij::Buffer::new();
            digits(self.out, buffer.format_finite(v).as_bytes());
        } else {
            self.out.extend_from_slice(b"null");
        }
    }

    fn array(&mut self, len: usize, depth: u32) -> Result<(), Malformed> {
        let depth = deeper(depth)?;
        self.out.push(b'[');
        for i in 0..len {
            if i > 0 {
                self.out.push(b',');
            }
            self.value(depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, shape: usize, depth: u32) -> Result<(), Malformed> {
        let depth = deeper(depth)?;
        let open = self.out.len();
        match self.reader.shapes.get(shape)? {
            Names::Known(places) => {
                for place in places {
                    let Some(field) = FIELDS.get(usize::from(*place)) else {
                        return malformed("a name is none");
                    };
                    piece(self.out, &field.text, field.len);
                    self.value(depth)?;
                }
            }
            Names::Other(names) => {
                for name in names {
                    // What a name may be needs no escapes.
                    self.out.extend_from_slice(b",\"");
                    self.out.extend_from_slice(name.as_bytes());
                    self.out.extend_from_slice(b"\":");
                    self.value(depth)?;
                }
            }
        }
        self.close(open);
        Ok(())
    }

    fn map(&mut self, len: usize, depth: u32) -> Result<(), Malformed> {
        let depth = deeper(depth)?;
        let open = self.out.len();
        for _ in 0..len {
            self.out.push(b',');
            match self.reader.byte()? {
                tag @ TEXT..OBJECT => self.text(usize::from(tag - TEXT))?,
                LONG_TEXT => {
                    let len = self.reader.length()?;
                    self.text(len)?;
                }
                _ => return malformed("a map's name is not text"),
            }
            self.out.push(b':');
            self.value(depth)?;
        }
        self.close(open);
        Ok(())
    }

    /// Ends an object, whose fields each have a comma before them: the first one's is where it opens.
    fn close(&mut self, open: usize) {
        match self.out.get_mut(open) {
            Some(first) => *first = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }

    fn text(&mut self, len: usize) -> Result<(), Malformed> {
        // Most of it is short, and something stands behind it.
        if len <= PIECE
            && let Some(ahead) = self.reader.rest.first_chunk::<PIECE>()
            && is_plain(ahead, len)
        {
            self.reader.rest = &self.reader.rest[len..];
            self.out.push(b'"');
            piece(self.out, ahead, len);
            self.out.push(b'"');
            return Ok(());
        }
        let Ok(text) = std::str::from_utf8(self.reader.take(len)?) else {
            return malformed("text is not UTF-8");
        };
        if json::is_plain(text.as_bytes()) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            let escaped = serde_json::to_string(text).expect("a string is JSON");
            self.out.extend_from_slice(escaped.as_bytes());
        }
        Ok(())
    }
}

fn deeper(depth: u32) -> Result<u32, Malformed> {
    if depth == DEPTH_MAX {
        return malformed("values lie too deep in each other");
    }
    Ok(depth + 1)
}

/// Bytes that are copied in one piece, whatever is wanted of them: two of the widest registers that every x86-64 has.
const PIECE: usize = 32;

/// Appends the first `len` bytes.
#[inline]
fn piece(out: &mut Vec<u8>, bytes: &[u8; PIECE], len: usize) {
    let end = out.len() + len;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// Appends a number's text. Those of seventeen digits, which most probabilities have, are two pieces that overlap.
#[inline]
fn digits(out: &mut Vec<u8>, text: &[u8]) {
    const HALF: usize = PIECE / 2;
    let end = out.len() + text.len();
    match (text.first_chunk::<HALF>(), text.last_chunk::<HALF>()) {
        (Some(first), Some(last)) if text.len() <= PIECE => {
            out.extend_from_slice(first);
            out.truncate(end - HALF);
            out.extend_from_slice(last);
        }
        _ => out.extend_from_slice(text),
    }
}

/// Whether the first `len` bytes are ASCII without anything to escape.
#[inline]
fn is_plain(bytes: &[u8; PIECE], len: usize) -> bool {
    let (words, _) = bytes.as_chunks::<8>();
    let mut left = len;
    for word in words {
        let word = u64::from_le_bytes(*word);
        if left < 8 {
            // What is behind the text reads as spaces.
            let kept = (1_u64 << (8 * left)) - 1;
            return !is_odd(word & kept | each(b' ') & !kept);
        }
        if is_odd(word) {
            return false;
        }
        left -= 8;
    }
    true
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Whether any of eight bytes is a control character, a quote, a backslash or not ASCII. A byte below `n` <= 128
/// borrows from its highest bit when `n` is taken from it (Warren, "Hacker's Delight", 6-1).
#[inline]
fn is_odd(word: u64) -> bool {
    let below = |word: u64, n: u8| word.wrapping_sub(each(n)) & !word;
    let quote = below(word ^ each(b'"'), 1);
    let backslash = below(word ^ each(b'\\'), 1);
    (below(word, b' ') | quote | backslash | word) & each(0x80) != 0
}

/// A field's name as it stands in an object: behind a comma, in quotes, before its colon.
struct Field {
    text: [u8; PIECE],
    len: usize,
}

/// By their place among [`NAMES`].
static FIELDS: [Field; NAMES.len()] = fields();

const fn fields() -> [Field; NAMES.len()] {
    const NONE: Field = Field {
        text: [0; PIECE],
        len: 0,
    };
    let mut fields = [NONE; NAMES.len()];
    let mut at = 0;
    while at < NAMES.len() {
        let name = NAMES[at].as_bytes();
        let field = &mut fields[at];
        field.text[0] = b',';
        field.text[1] = b'"';
        let mut i = 0;
        while i < name.len() {
            field.text[2 + i] = name[i];
            i += 1;
        }
        field.text[2 + i] = b'"';
        field.text[3 + i] = b':';
        field.len = 4 + i;
        at += 1;
    }
    fields
}
