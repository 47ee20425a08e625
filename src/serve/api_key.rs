//! API keys: how they look, how they are made, and what is kept of them.
//!
//! A key is a prefix that tells people and secret scanners what it is, 32 random bytes, and a checksum
//! over both, so that a typing error is told from a wrong key. Only its SHA-256 is kept: with
//! 256 random bits there is nothing to guess, and so no need of a slow hash.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Who holds a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// An operator's server: may ask for everything.
    Secret,
    /// A page or an app, so everybody: sees no scores and works from listed origins only.
    Publishable,
    /// An operator's people and tools: the admin listener.
    Admin,
}

impl KeyKind {
    /// Every kind, in order.
    pub const ALL: [KeyKind; 3] = [KeyKind::Secret, KeyKind::Publishable, KeyKind::Admin];

    /// The word it goes by on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            KeyKind::Secret => "secret",
            KeyKind::Publishable => "publishable",
            KeyKind::Admin => "admin",
        }
    }

    /// What its keys begin with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            KeyKind::Secret => "ofsk_",
            KeyKind::Publishable => "ofpk_",
            KeyKind::Admin => "ofa_",
        }
    }
}

/// Text that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFormError {
    /// It begins with none of the prefixes or has the wrong length.
    #[error("not a key: ofsk_, ofpk_ or ofa_ and 48 characters of base64url")]
    Form,
    /// Its checksum is wrong: it was mistyped or cut.
    #[error("the key's checksum is wrong: it was mistyped or cut")]
    Checksum,
}

/// The SHA-256 of a key's text, written `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

/// Text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a key's digest: sha256: and 64 hexadecimal digits; make one with `offerd keys new`")]
pub struct DigestFormError;

const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// Makes a key of that kind. The text is for its holder; keep only [`KeyDigest::of`] it.
///
/// `None` where the operating system has no random numbers.
#[must_use]
pub fn generate(kind: KeyKind) -> Option<String> {
    let mut bytes = [0; RANDOM_BYTES + CHECKSUM_BYTES];
    SystemRandom::new().fill(&mut bytes[..RANDOM_BYTES]).ok()?;
    let checksum = checksum(kind, &bytes[..RANDOM_BYTES]);
    bytes[RANDOM_BYTES..].copy_from_slice(&checksum);
    Some(format!(
        "{}{}",
        kind.prefix(),
        URL_SAFE_NO_PAD.encode(bytes)
    ))
}

/// The kind of a well-formed key.
///
/// # Errors
///
/// The text is not of a key's form, or mistyped.
pub fn kind_of(key: &str) -> Result<KeyKind, KeyFormError> {
    let (kind, rest) = KeyKind::ALL
        .into_iter()
        .find_map(|kind| Some((kind, key.strip_prefix(kind.prefix())?)))
        .ok_or(KeyFormError::Form)?;
    let bytes: [u8; RANDOM_BYTES + CHECKSUM_BYTES] = URL_SAFE_NO_PAD
        .decode(rest)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(KeyFormError::Form)?;
    let (random, found) = bytes.split_at(RANDOM_BYTES);
    if checksum(kind, random) != found {
        return Err(KeyFormError::Checksum);
    }
    Ok(kind)
}

fn checksum(kind: KeyKind, random: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let sum = crc32c::crc32c(kind.prefix().as_bytes());
    crc32c::crc32c_append(sum, random).to_be_bytes()
}

impl KeyDigest {
    /// The digest of a key's text.
    #[must_use]
    pub fn of(key: &str) -> KeyDigest {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        KeyDigest(digest.as_ref().try_into().expect("SHA-256 gives 32 bytes"))
    }

    /// Compares without an early exit.
    #[must_use]
    pub fn same(&self, other: &KeyDigest) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |acc, (a, b)| std::hint::black_box(acc | (a ^ b))) == 0
    }
}

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyDigest {
    type Err = DigestFormError;

    fn from_str(text: &str) -> Result<KeyDigest, DigestFormError> {
        let hex = text.strip_prefix("sha256:").ok_or(DigestFormError)?;
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(DigestFormError);
        }
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|_| DigestFormError)?;
        }
        Ok(KeyDigest(bytes))
    }
}

impl Serialize for KeyDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyDigest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_kind() {
        for kind in KeyKind::ALL {
            let key = generate(kind).unwrap();
            assert_eq!(key.len(), kind.prefix().len() + 48);
            assert_eq!(kind_of(&key), Ok(kind));
            assert_ne!(generate(kind), Some(key));
        }
    }

    #[test]
    fn a_typing_error_is_noticed() {
        let key = generate(KeyKind::Secret).unwrap();
        for at in 5..key.len() {
            let mut typo = key.clone();
            let other = if key.as_bytes()[at] == b'x' { "y" } else { "x" };
            typo.replace_range(at..=at, other);
            assert_eq!(kind_of(&typo), Err(KeyFormError::Checksum), "at {at}");
        }
        let renamed = key.replace("ofsk_", "ofpk_");
        assert_eq!(kind_of(&renamed), Err(KeyFormError::Checksum));
        for bad in ["", "ofsk_", &key[..key.len() - 1], &key[1..]] {
            assert_eq!(kind_of(bad), Err(KeyFormError::Form), "{bad}");
        }
    }

    #[test]
    fn a_digest_reads_back_as_written() {
        let digest = KeyDigest::of("abc");
        // FIPS 180-4's example.
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), known);
        assert_eq!(known.parse(), Ok(digest));
        assert!(digest.same(&KeyDigest::of("abc")) && !digest.same(&KeyDigest::of("abd")));
        for bad in [
            "",
            "sha256:",
            &known[7..],
            &known.replace('b', "g"),
            &known[..70],
        ] {
            assert_eq!(bad.parse::<KeyDigest>(), Err(DigestFormError), "{bad}");
        }
    }
}
