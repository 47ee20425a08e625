//! The server's own secrets: what signs tokens, and what turns a customer's id into a subject.
//!
//! Two generations are alive at once: the newest signs, the one before still verifies, so that
//! rotating disturbs no token in the field. Where they are kept is [`super::key_file`]'s business.
//!
//! No secret signs anything itself: HKDF (RFC 5869) makes a key of each for every purpose, so that a
//! signature made for one purpose is worthless for another.

use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

use crate::domain::SubjectKey;

use super::key_file::KeysError;
use super::token::TokenKind;

/// Bytes of a secret: as many as SHA-256 can use.
const SECRET_BYTES: usize = 32;

/// Key ids take four bits of a token.
pub(super) const KIDS: u8 = 16;

/// What keys are derived from.
pub(super) type Secret = [u8; SECRET_BYTES];

/// The keys made of one secret.
#[derive(Clone)]
pub(super) struct Generation {
    kid: u8,
    events: [hmac::Key; TokenKind::ALL.len()],
    context: hmac::Key,
}

impl Generation {
    pub(super) fn new(kid: u8, secret: &Secret) -> Generation {
        Generation {
            kid,
            events: [
                derive(secret, b"event/any"),
                derive(secret, b"event/impression"),
                derive(secret, b"event/click"),
            ],
            context: derive(secret, b"context"),
        }
    }

    pub(super) fn kid(&self) -> u8 {
        self.kid
    }

    /// What signs event tokens of that kind.
    pub(super) fn event(&self, kind: TokenKind) -> &hmac::Key {
        &self.events[kind as usize]
    }

    /// What signs context tokens.
    pub(super) fn context(&self) -> &hmac::Key {
        &self.context
    }
}

/// The key for one purpose.
fn derive(secret: &Secret, purpose: &[u8]) -> hmac::Key {
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"offerd/v1");
    let purpose = [purpose];
    let prk = salt.extract(secret);
    let key = prk
        .expand(&purpose, hmac::HMAC_SHA256)
        .expect("HKDF gives up to 255 times the 32 bytes asked for");
    key.into()
}

/// The keys of a running server.
#[derive(Clone)]
pub struct Keys {
    newest: Generation,
    previous: Option<Generation>,
    pepper: hmac::Key,
}

impl std::fmt::Debug for Keys {
    /// Ids only: secrets do not belong in logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("kids", &self.kids())
            .finish_non_exhaustive()
    }
}

/// Whose id a subject is made of. The two never meet: a customer called like an appointment is
/// somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectOf<'a> {
    /// The customer's id.
    Customer(&'a str),
    /// The appointment's id, where the customer's is not to be used.
    Appointment(&'a str),
}

impl Keys {
    /// Fresh keys that are written nowhere.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers.
    pub fn generate() -> Result<Keys, KeysError> {
        let first = Generation::new(0, &secret()?);
        Ok(Keys::of(first, None, &secret()?))
    }

    pub(super) fn of(newest: Generation, previous: Option<Generation>, pepper: &Secret) -> Keys {
        Keys {
            newest,
            previous,
            pepper: derive(pepper, b"subject"),
        }
    }

    /// The ids of the keys that verify, newest first.
    #[must_use]
    pub fn kids(&self) -> Vec<u8> {
        self.generations().map(Generation::kid).collect()
    }

    /// The keyed hash under which the ledger knows somebody.
    #[must_use]
    pub fn subject(&self, of: SubjectOf<'_>) -> SubjectKey {
        let (domain, id) = match of {
            SubjectOf::Customer(id) => (b"customer\0".as_slice(), id),
            SubjectOf::Appointment(id) => (b"appointment\0".as_slice(), id),
        };
        let mut context = hmac::Context::with_key(&self.pepper);
        context.update(domain);
        context.update(id.as_bytes());
        let tag = context.sign();
        let half = tag.as_ref()[..16].try_into().expect("a tag is 32 bytes");
        SubjectKey(u128::from_be_bytes(half))
    }

    pub(super) fn newest(&self) -> &Generation {
        &self.newest
    }

    pub(super) fn of_kid(&self, kid: u8) -> Option<&Generation> {
        self.generations().find(|g| g.kid == kid)
    }

    pub(super) fn generations(&self) -> impl Iterator<Item = &Generation> {
        std::iter::once(&self.newest).chain(&self.previous)
    }
}

/// A new secret from the operating system's random numbers.
pub(super) fn secret() -> Result<Secret, KeysError> {
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| KeysError::Random)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_keep_customers_and_appointments_apart() {
        let keys = Keys::generate().unwrap();
        let customer = keys.subject(SubjectOf::Customer("7"));
        assert_ne!(customer, keys.subject(SubjectOf::Appointment("7")));
        assert_ne!(customer, keys.subject(SubjectOf::Customer("8")));
        let other = Keys::generate().unwrap();
        assert_ne!(customer, other.subject(SubjectOf::Customer("7")));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", Keys::generate().unwrap()),
            "Keys { kids: [0], .. }"
        );
    }
}
