//! The bytes of a segment: one header, then records.
//!
//! ```text
//! header   magic 8 | version u32 | crc32c u32 | node u64 | number u64 | follows segment u64
//!          | follows offset u64 | seq u64 and ms i64 of the last record before it
//! record   magic 4 | len u32 | crc32c u32 | seq u64 | ms i64 | payload (len bytes, postcard Entry)
//! ```
//!
//! Integers are little-endian. A record's checksum also covers `len`, so a record is believed as a
//! whole or not at all. Its magic starts with a byte that UTF-8 text never holds: the search for the
//! next record after damage is not led astray by text inside.
//!
//! `follows` is what makes repairs free of destruction: a segment says where the journal really
//! ended when it was begun, and everything between that place and the segment is void. A torn tail,
//! a group that the disk refused half-way and a file whose `fdatasync` failed are all cut off in
//! this one way, at the moment at which the new segment's name appears, and never by halves.

use crate::domain::Entry;

use super::Position;

/// The one format this release writes and reads.
pub const VERSION: u32 = 1;
/// Bytes before the first record.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a record before its payload.
pub const RECORD_HEAD_BYTES: usize = 28;
/// The longest payload: a record is read into memory only after its length has been checked.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// The longest record.
pub const RECORD_BYTES_MAX: usize = RECORD_HEAD_BYTES + PAYLOAD_BYTES_MAX;

const HEADER_MAGIC: [u8; 8] = *b"OFFERDWL";
pub(super) const RECORD_MAGIC: [u8; 4] = [0xFF, 0xF6, 0xA5, 0xC3];

/// A place in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The segment's number.
    pub segment: u64,
    /// Bytes from its start.
    pub offset: u64,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Hash of the node's name.
    pub node: u64,
    /// The number in the file's name.
    pub number: u64,
    /// Where the journal ended before this segment; what lies between is void.
    pub follows: Place,
    /// The last record before it.
    pub before: Position,
}

/// Why 64 bytes are not a header that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFault {
    /// Not ours, or damaged.
    Damaged,
    /// Ours, of another version.
    Version(u32),
}

impl Header {
    /// The header as it stands in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.node.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.follows.segment.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.follows.offset.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.before.seq.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.before.ms.to_le_bytes());
        let crc = header_crc(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// # Errors
    /// When the bytes are not a header of this version.
    pub fn decode(bytes: &[u8]) -> Result<Header, HeaderFault> {
        let bytes: &[u8; HEADER_BYTES] = bytes
            .get(..HEADER_BYTES)
            .and_then(|b| b.try_into().ok())
            .ok_or(HeaderFault::Damaged)?;
        if bytes[..8] != HEADER_MAGIC || u32_at(bytes, 12) != header_crc(bytes) {
            return Err(HeaderFault::Damaged);
        }
        match u32_at(bytes, 8) {
            VERSION => Ok(Header {
                node: u64_at(bytes, 16),
                number: u64_at(bytes, 24),
                follows: Place {
                    segment: u64_at(bytes, 32),
                    offset: u64_at(bytes, 40),
                },
                before: Position {
                    seq: u64_at(bytes, 48),
                    ms: u64_at(bytes, 56).cast_signed(),
                },
            }),
            other => Err(HeaderFault::Version(other)),
        }
    }
}

fn header_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// An entry whose encoding is longer than [`PAYLOAD_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// Appends the record of `entry` at `position` to `out`; on error `out` is as it was.
///
/// # Errors
/// When the payload would be too long.
pub fn encode_record(out: &mut Vec<u8>, position: Position, entry: &Entry) -> Result<(), TooLarge> {
    let start = out.len();
    out.extend_from_slice(&[0; RECORD_HEAD_BYTES]);
    let encoded = postcard::to_io(entry, &mut *out).is_ok();
    let payload = out.len() - start - RECORD_HEAD_BYTES;
    if !encoded || payload > PAYLOAD_BYTES_MAX {
        out.truncate(start);
        return Err(TooLarge);
    }
    let len = u32::try_from(payload)
        .expect("checked to be at most 1 MiB")
        .to_le_bytes();
    let record = &mut out[start..];
    record[..4].copy_from_slice(&RECORD_MAGIC);
    record[4..8].copy_from_slice(&len);
    record[12..20].copy_from_slice(&position.seq.to_le_bytes());
    record[20..28].copy_from_slice(&position.ms.to_le_bytes());
    let crc = record_crc(record);
    record[8..12].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}

fn record_crc(record: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&record[4..8]), &record[12..])
}

/// What the front of some bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A whole record with a right checksum.
    Record {
        /// Where it says it stands.
        position: Position,
        /// The encoded entry.
        payload: &'a [u8],
        /// Its length with its head.
        bytes: usize,
    },
    /// The start of what may be a record of this many bytes.
    Short(usize),
    /// No record.
    Bad,
}

/// Reads the record at the front of `bytes`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    let seen = bytes.len().min(RECORD_MAGIC.len());
    if bytes[..seen] != RECORD_MAGIC[..seen] {
        return Parsed::Bad;
    }
    if bytes.len() < RECORD_HEAD_BYTES {
        return Parsed::Short(RECORD_HEAD_BYTES);
    }
    let payload = u32_at(bytes, 4) as usize;
    if payload > PAYLOAD_BYTES_MAX {
        return Parsed::Bad;
    }
    let whole = RECORD_HEAD_BYTES + payload;
    let Some(record) = bytes.get(..whole) else {
        return Parsed::Short(whole);
    };
    if u32_at(record, 8) != record_crc(record) {
        return Parsed::Bad;
    }
    Parsed::Record {
        position: Position {
            ms: u64_at(record, 20).cast_signed(),
            seq: u64_at(record, 12),
        },
        payload: &record[RECORD_HEAD_BYTES..],
        bytes: whole,
    }
}

/// The entry in a record's payload; `None` where this release cannot read it.
#[must_use]
pub fn decode_entry(payload: &[u8]) -> Option<Entry> {
    postcard::from_bytes(payload).ok()
}

/// The hash under which a node's name stands in headers.
#[must_use]
pub fn node_hash(node: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(node.as_bytes())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::entry;
    use super::*;

    const POSITION: Position = Position {
        ms: 1_763_730_000_000,
        seq: 7,
    };

    #[test]
    fn a_record_reads_back_as_written() {
        let entry = entry(3, &[1, u128::MAX]);
        let mut bytes = Vec::new();
        encode_record(&mut bytes, POSITION, &entry).unwrap();
        let Parsed::Record {
            position,
            payload,
            bytes: whole,
        } = parse(&bytes)
        else {
            panic!("{:?}", parse(&bytes));
        };
        assert_eq!((position, whole), (POSITION, bytes.len()));
        assert_eq!(decode_entry(payload), Some(entry));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, POSITION, &entry(3, &[1])).unwrap();
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                !matches!(parse(&bytes), Parsed::Record { .. }),
                "bit {bit} flipped"
            );
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..cut]), Parsed::Short(n) if n > cut));
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_believed() {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, POSITION, &entry(3, &[])).unwrap();
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(parse(&bytes), Parsed::Bad);
        let mut large = entry(3, &[]);
        large.record = "x".repeat(PAYLOAD_BYTES_MAX).into();
        let before = bytes.clone();
        assert_eq!(encode_record(&mut bytes, POSITION, &large), Err(TooLarge));
        assert_eq!(bytes, before);
    }

    #[test]
    fn a_header_reads_back_and_a_damaged_one_does_not() {
        let header = Header {
            node: node_hash("node-1"),
            number: 9,
            follows: Place {
                segment: 8,
                offset: 4711,
            },
            before: Position { ms: -1, seq: 12 },
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        assert_eq!(Header::decode(&bytes[..63]), Err(HeaderFault::Damaged));
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes), Err(HeaderFault::Damaged), "{bit}");
        }
    }
}
