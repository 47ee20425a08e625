//! The quick reader of JSON: what nearly every sender sends, read in one pass.
//!
//! Serde reads anything into anything, which costs a body of a kilobyte five times what it takes to look
//! at its bytes. This reader knows the wire types, fills their fields as it meets them, and gives up at
//! the first thing that is out of the ordinary. What it gives up on serde reads again, from the
//! beginning, and tells what is wrong with it, if anything is; so this reader has no errors of its own.
//! What it does read is what serde would have read: the rarer forms of texts, numbers and unknown values
//! are handed to serde one by one, and a test compares the two on bodies made at random.

pub(in crate::serve) mod proto;

use serde::de::IgnoredAny;

use super::limits::DEPTH_MAX;
use super::nesting::nests_deeper;
use super::scalar::{Instant, Scalar, Text, Whole};

/// What the quick reader can read.
pub trait Quick<'a>: Sized {
    /// Reads a value, or gives up.
    fn quick(from: &mut Cursor<'a>) -> Option<Self>;
}

/// The whole of `body` as one value, or `None` where serde has to look.
pub(super) fn read<'a, T: Quick<'a>>(body: &'a str) -> Option<T> {
    let mut cursor = Cursor {
        body,
        at: 0,
        depth: 0,
    };
    cursor.space();
    let value = T::quick(&mut cursor)?;
    cursor.space();
    (cursor.at == body.len()).then_some(value)
}

/// How far a body has been read.
#[derive(Debug)]
pub struct Cursor<'a> {
    body: &'a str,
    at: usize,
    /// How many brackets are open.
    depth: usize,
}

/// Which fields of an object have been told: none may be told twice.
#[derive(Default)]
pub(super) struct Told(u32);

impl Told {
    /// Notes a field by its number, up to 31; `None` if it was noted before.
    pub(super) fn once(&mut self, field: u32) -> Option<()> {
        let before = self.0;
        self.0 |= 1 << field;
        (before != self.0).then_some(())
    }
}

/// Implements [`Quick`] for objects: each field by its name, which is the name in JSON unless another is given.
///
/// A field that a type has and the list has not is an error of the compiler.
macro_rules! quick_objects {
    ($($type:ident $(<$life:lifetime>)? { $($field:ident $(= $name:literal)?),+ $(,)? })+) => {$(
        impl<'a> $crate::serve::wire::quick::Quick<'a> for Object<$type $(<$life>)?> {
            fn quick(from: &mut $crate::serve::wire::quick::Cursor<'a>) -> Option<Self> {
                #[expect(non_camel_case_types, reason = "named like the fields, which are numbered so")]
                enum Number { $($field),+ }
                let mut read = $type::default();
                let $type { $($field),+ } = &mut read;
                let mut told = $crate::serve::wire::quick::Told::default();
                from.object(|from, name| {
                    $(if name == $crate::serve::wire::quick::name_of!($field $(= $name)?) {
                        told.once(Number::$field as u32)?;
                        *$field = $crate::serve::wire::quick::Quick::quick(from)?;
                        return Some(());
                    })+
                    from.skip()
                })?;
                Some(Object(read))
            }
        }
    )+};
}

/// The name of a field in JSON.
macro_rules! name_of {
    ($field:ident = $name:literal) => {
        $name
    };
    ($field:ident) => {
        stringify!($field)
    };
}

pub(super) use {name_of, quick_objects};

impl<'a> Cursor<'a> {
    /// The next byte, or 0 at the end, which is nowhere allowed.
    fn byte(&self) -> u8 {
        self.body.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Passes over `byte`, if that is the next.
    fn take(&mut self, byte: u8) -> Option<()> {
        if self.byte() != byte {
            return None;
        }
        self.at += 1;
        Some(())
    }

    fn space(&mut self) {
        while matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// What is left, if it begins in between two characters.
    fn rest(&self) -> Option<&'a str> {
        self.body.get(self.at..)
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest()?.starts_with(word).then_some(())?;
        self.at += word.len();
        Some(())
    }

    /// Reads what is between `open` and `close`, entry by entry, each with the space before it read.
    #[inline]
    fn between(
        &mut self,
        open: u8,
        close: u8,
        mut entry: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.take(open)?;
        self.depth += 1;
        self.space();
        if self.take(close).is_none() {
            loop {
                entry(self)?;
                self.space();
                let byte = self.byte();
                self.at += 1;
                match byte {
                    b',' => self.space(),
                    _ if byte == close => break,
                    _ => return None,
                }
            }
        }
        self.depth -= 1;
        Some(())
    }

    /// Reads an object, giving each name to `field`, which reads the value. A name with escapes is left to serde.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut field: impl FnMut(&mut Self, &'a str) -> Option<()>,
    ) -> Option<()> {
        self.between(b'{', b'}', |from| {
            let name = from.plain()?;
            from.colon()?;
            field(from, name)
        })
    }

    fn colon(&mut self) -> Option<()> {
        self.space();
        self.take(b':')?;
        self.space();
        Some(())
    }

    /// Reads named values, in their order.
    pub(super) fn pairs<T: Quick<'a>>(&mut self, into: &mut Vec<(Text<'a>, T)>) -> Option<()> {
        self.between(b'{', b'}', |from| {
            let name = Text::quick(from)?;
            from.colon()?;
            into.push((name, T::quick(from)?));
            Some(())
        })
    }

    /// Passes over a value that nobody asked for, as serde does.
    pub(super) fn skip(&mut self) -> Option<()> {
        let rest = self.rest()?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let value = rest.get(..values.byte_offset())?;
        if nests_deeper(value.as_bytes(), DEPTH_MAX - self.depth) {
            return None;
        }
        self.at += value.len();
        Some(())
    }

    /// A text without escapes. Where there is none, nothing is passed over.
    #[inline]
    fn plain(&mut self) -> Option<&'a str> {
        if self.byte() != b'"' {
            return None;
        }
        let start = self.at + 1;
        let bytes = self.body.as_bytes();
        let end = special(bytes, start).filter(|end| bytes[*end] == b'"')?;
        self.at = end + 1;
        self.body.get(start..end)
    }

    /// Any text.
    #[cold]
    fn escaped(&mut self) -> Option<String> {
        let (start, bytes) = (self.at, self.body.as_bytes());
        self.take(b'"')?;
        loop {
            let at = special(bytes, self.at)?;
            match bytes[at] {
                b'"' => {
                    self.at = at + 1;
                    break;
                }
                b'\\' => self.at = at + 2,
                _ => return None,
            }
        }
        serde_json::from_str(self.body.get(start..self.at)?).ok()
    }

    /// A number. Whether an odd one is one at all must still be asked.
    #[inline]
    fn number(&mut self) -> Option<Number<'a>> {
        let start = self.at;
        if let Some((digits, places)) = self.decimal()
            && !is_of_number(self.byte())
        {
            return Some(Number::Plain(digits, places));
        }
        while is_of_number(self.byte()) {
            self.at += 1;
        }
        self.body.get(start..self.at).map(Number::Odd)
    }

    /// Digits with a sign, and how many of them are behind the point; nothing where a float could not hold them.
    fn decimal(&mut self) -> Option<(i64, u32)> {
        let negative = self.take(b'-').is_some();
        let first = self.byte();
        let (whole, before) = self.digits(0);
        let pointed = self.take(b'.').is_some();
        let (digits, behind) = if pointed {
            self.digits(whole)
        } else {
            (whole, 0)
        };
        let plain = (first != b'0' || before == 1)
            && before > 0
            && (behind > 0) == pointed
            && before + behind <= DIGITS_MAX as u32
            // Floats have a negative zero, and whole numbers have none.
            && !(negative && digits == 0);
        plain.then(|| (if negative { -digits } else { digits }, behind))
    }

    /// Digits that go on after `begun`, and how many; what they amount to is of use only where they are few.
    fn digits(&mut self, begun: i64) -> (i64, u32) {
        let (mut sum, mut count) = (begun, 0);
        while self.byte().is_ascii_digit() {
            let digit = i64::from(self.byte() - b'0');
            sum = sum.wrapping_mul(10).wrapping_add(digit);
            self.at += 1;
            count += 1;
        }
        (sum, count)
    }
}

/// A number as it was found.
enum Number<'a> {
    /// At most [`DIGITS_MAX`] digits with a sign, and how many of them are behind the point.
    Plain(i64, u32),
    /// The text of any other.
    Odd(&'a str),
}

/// Digits of a number that a float holds as a whole number, as it does the power of ten that it is divided by:
/// then the quotient is the float nearest to what was written (Clinger 1990).
const DIGITS_MAX: usize = 15;

const POWERS_OF_TEN: [f64; DIGITS_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
];

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

/// Where, from `at` on, the first byte is that ends a plain text: a quote, a backslash or a control character.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    // The highest bit of each byte below `n`; above the lowest such byte, of others too.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    while let Some(eight) = bytes.get(at..)?.first_chunk::<8>() {
        let word = u64::from_le_bytes(*eight);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = (quote | backslash | below(word, 0x20)) & (ONES << 7);
        if found != 0 {
            return Some(at + (found.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes[at..].iter().position(is_special).map(|i| at + i)
}

impl<'a, T: Quick<'a>> Quick<'a> for Option<T> {
    #[inline]
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        if from.byte() == b'n' {
            return from.word("null").map(|()| None);
        }
        T::quick(from).map(Some)
    }
}

impl<'a, T: Quick<'a>> Quick<'a> for Vec<T> {
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        let mut list = Vec::new();
        from.between(b'[', b']', |from| {
            list.push(T::quick(from)?);
            Some(())
        })?;
        Some(list)
    }
}

impl<'a> Quick<'a> for bool {
    #[inline]
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        let told = from.byte() == b't';
        from.word(if told { "true" } else { "false" })?;
        Some(told)
    }
}

impl<'a> Quick<'a> for Text<'a> {
    #[inline]
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        match from.plain() {
            Some(text) => Some(Text::from(text)),
            None => from.escaped().map(Text::from),
        }
    }
}

impl<'a> Quick<'a> for Whole {
    #[inline]
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        match from.number()? {
            Number::Plain(digits, 0) => Some(Whole(digits)),
            Number::Plain(digits, places) => {
                let one = 10_i64.pow(places);
                (digits % one == 0).then_some(Whole(digits / one))
            }
            Number::Odd(text) => serde_json::from_str(text).ok(),
        }
    }
}

impl<'a> Quick<'a> for Instant {
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        Instant::parse(from.plain()?)
    }
}

impl<'a> Quick<'a> for Scalar<'a> {
    #[inline]
    fn quick(from: &mut Cursor<'a>) -> Option<Self> {
        match from.byte() {
            b'"' => Text::quick(from).map(Scalar::Text),
            b't' | b'f' => bool::quick(from).map(Scalar::Flag),
            _ => match from.number()? {
                Number::Plain(digits, places) => Some(Scalar::Number(
                    digits as f64 / POWERS_OF_TEN[places as usize],
                )),
                Number::Odd(text) => serde_json::from_str(text).ok(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
