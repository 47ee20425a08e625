//! The packed form's values, one behind the other.

use super::form::{
    ARRAY, F64, FALSE, I64, LONG_ARRAY, LONG_TEXT, NULL, SHORT_ARRAY_MAX, SHORT_TEXT_MAX,
    SMALL_MAX, TEXT, TRUE, U16, U64,
};

/// Bytes under way. A length beyond 32 bits is cut off: then so is the record's, and whoever ends it sees that.
#[derive(Debug, Default)]
pub(super) struct Out(pub Vec<u8>);

impl Out {
    #[inline]
    pub fn null(&mut self) {
        self.0.push(NULL);
    }

    #[inline]
    pub fn flag(&mut self, v: bool) {
        self.0.push(if v { TRUE } else { FALSE });
    }

    #[inline]
    pub fn natural(&mut self, v: u64) {
        match (u8::try_from(v), u16::try_from(v)) {
            (Ok(v), _) if v <= SMALL_MAX => self.0.push(v),
            (_, Ok(v)) => self.tagged(U16, v.to_le_bytes()),
            _ => self.tagged(U64, v.to_le_bytes()),
        }
    }

    #[inline]
    pub fn integer(&mut self, v: i64) {
        match u64::try_from(v) {
            Ok(v) => self.natural(v),
            Err(_) => self.tagged(I64, v.to_le_bytes()),
        }
    }

    /// Most of what is written: in one piece, with one look at the buffer's room. What JSON cannot say is null
    /// here too: both forms are the same record.
    #[inline]
    pub fn double(&mut self, v: f64) {
        if !v.is_finite() {
            return self.null();
        }
        let mut bytes = [F64; 1 + size_of::<f64>()];
        bytes[1..].copy_from_slice(&v.to_le_bytes());
        self.0.extend_from_slice(&bytes);
    }

    #[inline]
    pub fn text(&mut self, v: &str) {
        self.ascii(v.as_bytes());
    }

    /// Text that is known to be some.
    #[inline]
    pub fn ascii(&mut self, v: &[u8]) {
        self.length(TEXT, SHORT_TEXT_MAX, LONG_TEXT, v.len());
        self.0.extend_from_slice(v);
    }

    #[inline]
    pub fn array(&mut self, len: usize) {
        self.length(ARRAY, SHORT_ARRAY_MAX, LONG_ARRAY, len);
    }

    /// The first byte of something that has a length, or it and the length.
    #[inline]
    fn length(&mut self, short: u8, short_max: usize, long: u8, len: usize) {
        if len <= short_max {
            self.0.push(short | len as u8);
        } else {
            self.tagged(long, (len as u32).to_le_bytes());
        }
    }

    pub fn tagged<const N: usize>(&mut self, tag: u8, bytes: [u8; N]) {
        self.0.reserve(1 + N);
        self.0.push(tag);
        self.0.extend_from_slice(&bytes);
    }
}
