//! Identifiers: what a thing is called outside, and the small numbers it goes by inside.

use std::fmt;
use std::str::FromStr;

use xxhash_rust::xxh3::xxh3_64;

/// One decision: a UUID (version 7, so that ids sort by time) as 128 bits.
///
/// The draw is a hash of this id and the snapshot's salt, which is what makes a decision replayable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecisionId(pub u128);

impl DecisionId {
    /// A version 7 UUID from a time and 74 bits of `random` (RFC 9562, section 5.7).
    #[must_use]
    pub fn v7(at: super::Millis, random: u128) -> DecisionId {
        let ms = (at.0.max(0) as u128 & 0xFFFF_FFFF_FFFF) << 80;
        let rand_a = (random >> 64 & 0x0FFF) << 64;
        let rand_b = random & 0x3FFF_FFFF_FFFF_FFFF;
        DecisionId(ms | 0x7 << 76 | rand_a | 0b10 << 62 | rand_b)
    }

    /// A 64-bit hash of the id, the same on every machine: partitions and buckets are made of it.
    #[must_use]
    pub fn hash64(self) -> u64 {
        xxh3_64(&self.0.to_be_bytes())
    }
}

impl DecisionId {
    /// The id as text, without an allocation.
    #[must_use]
    pub fn text(self) -> [u8; 36] {
        let digits = hex(self.0);
        let mut text = [b'-'; 36];
        // Groups of 8, 4, 4, 4 and 12 digits, each but the first behind a dash.
        for (from, to) in [
            (0..8, 0),
            (8..12, 9),
            (12..16, 14),
            (16..20, 19),
            (20..32, 24),
        ] {
            text[to..to + from.len()].copy_from_slice(&digits[from]);
        }
        text
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.text()))
    }
}

impl fmt::Debug for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not an id of the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a UUID of the form 8-4-4-4-12 hexadecimal digits")]
pub struct ParseIdError;

impl FromStr for DecisionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<DecisionId, ParseIdError> {
        let bytes = text.as_bytes();
        if bytes.len() != 36 {
            return Err(ParseIdError);
        }
        let mut value = 0u128;
        for (i, &b) in bytes.iter().enumerate() {
            if matches!(i, 8 | 13 | 18 | 23) {
                if b != b'-' {
                    return Err(ParseIdError);
                }
                continue;
            }
            let digit = (b as char).to_digit(16).ok_or(ParseIdError)?;
            value = value << 4 | u128::from(digit);
        }
        Ok(DecisionId(value))
    }
}

/// A 64-bit hash of a name (an offer id, a placement id, …), the same on every machine and release.
///
/// Tokens and ledger entries carry it instead of the name: it survives a new catalog, in which the
/// same offer may sit at another index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameHash(pub u64);

impl NameHash {
    /// The hash of `name`.
    #[must_use]
    pub fn of(name: &str) -> NameHash {
        NameHash(xxh3_64(name.as_bytes()))
    }

    /// The hash as 16 hexadecimal digits.
    #[must_use]
    pub fn text(self) -> [u8; 16] {
        let mut text = [0; 16];
        for (part, digits) in text.as_chunks_mut().0.iter_mut().zip([32, 0]) {
            *part = hex8((self.0 >> digits) as u32);
        }
        text
    }

    /// The low half: enough to tell a few hundred names apart.
    #[must_use]
    pub fn low(self) -> u32 {
        (self.0 & 0xFFFF_FFFF) as u32
    }
}

/// Who a ledger entry is about: a keyed hash of the customer's id, or of the appointment's where the
/// customer withholds personalization. The id itself is never written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey(pub u128);

impl SubjectKey {
    /// The key as 32 hexadecimal digits.
    #[must_use]
    pub fn text(self) -> [u8; 32] {
        hex(self.0)
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ascii(&self.text()))
    }
}

fn ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("digits and dashes are ASCII")
}

/// The 32 hexadecimal digits: every answer and record has some of these, and `{:032x}` takes thirty times
/// as long.
fn hex(value: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (part, digits) in text.as_chunks_mut().0.iter_mut().zip([96, 64, 32, 0]) {
        *part = hex8((value >> digits) as u32);
    }
    text
}

/// Eight digits at once: the number's half bytes are spread over the bytes of one twice as long, and become
/// letters there.
fn hex8(value: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut digits = u64::from(value);
    digits = (digits | digits << 16) & 0x0000_FFFF_0000_FFFF;
    digits = (digits | digits << 8) & 0x00FF_00FF_00FF_00FF;
    digits = (digits | digits << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    // 1 in every byte that is 10 or more: adding 6 carries into its upper half.
    let letters = (digits + ONES * 6) >> 4 & ONES;
    let gap = u64::from(b'a' - b'9' - 1);
    (digits + ONES * u64::from(b'0') + letters * gap).to_be_bytes()
}

/// An offer's index in the catalog of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OfferIx(pub u32);

/// A creative's index within its offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreativeIx(pub u16);

/// A placement's index in the catalog of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacementIx(pub u16);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Millis;

    #[test]
    fn an_id_reads_back_as_written() {
        let id = DecisionId::v7(Millis(1_763_730_000_000), u128::MAX);
        let text = id.to_string();
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text, "019aa680-0880-7fff-bfff-ffffffffffff");
        assert_eq!(SubjectKey(id.0).to_string(), text.replace('-', ""));
        assert_eq!(NameHash(0xFEDC_BA98_7654_3210).text(), *b"fedcba9876543210");
        assert_eq!(NameHash(10).text(), *b"000000000000000a");
        assert_eq!(&text[14..15], "7", "version");
        assert!("89ab".contains(&text[19..20]), "variant");
        for bad in [
            "",
            "x",
            &text[1..],
            &text.replace('-', "0"),
            &format!("{text}0"),
        ] {
            assert_eq!(bad.parse::<DecisionId>(), Err(ParseIdError), "{bad}");
        }
    }

    #[test]
    fn ids_sort_by_time() {
        let earlier = DecisionId::v7(Millis(1_000), u128::MAX);
        let later = DecisionId::v7(Millis(1_001), 0);
        assert!(earlier < later);
    }
}
