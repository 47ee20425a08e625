//! The server's own secrets: what signs tokens, and what turns a customer's id into a subject.
//!
//! They live in `keys/token.json` in the data folder, made from the operating system's random numbers
//! at the first start. Nodes that shall believe each other's tokens share the file. Two generations
//! are alive at once: the newest signs, the one before still verifies, so that rotating disturbs
//! no token in the field.
//!
//! No secret signs anything itself: HKDF (RFC 5869) makes a key of each for every purpose, so that a
//! signature made for one purpose is worthless for another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};

use crate::domain::SubjectKey;

use super::token::TokenKind;

/// Bytes of a secret: as many as SHA-256 can use.
const SECRET_BYTES: usize = 32;

/// Key ids take four bits of a token.
const KIDS: u8 = 16;

/// A secret as the file has it.
type Secret = [u8; SECRET_BYTES];

/// Why the keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is not of the form that this release writes.
    #[error("{} is not a key file: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it. Never quotes the file.
        reason: String,
    },
    /// Every user of the machine can read the file.
    #[error("{} can be read by everyone on this machine; run: chmod o= {}", path.display(), path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system has no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
}

/// The file, as it is on disk.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u8,
    /// Newest first, at most two.
    generations: Vec<GenerationFile>,
    /// Never rotated: with another one, every customer is a stranger to the ledger.
    pepper: String,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GenerationFile {
    kid: u8,
    secret: String,
}

/// The keys made of one secret.
#[derive(Clone)]
pub(super) struct Generation {
    kid: u8,
    events: [hmac::Key; TokenKind::ALL.len()],
    context: hmac::Key,
}

impl Generation {
    fn new(kid: u8, secret: &Secret) -> Generation {
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
        Ok(Keys {
            newest: first,
            previous: None,
            pepper: derive(&secret()?, b"subject"),
        })
    }

    /// The keys of the data folder `data`, made there if there are none.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, is damaged, or can be read by everyone.
    pub fn load_or_create(data: &Path) -> Result<Keys, KeysError> {
        match Keys::load(data) {
            Err(KeysError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let path = path(data);
                let file = KeyFile::generate()?;
                file.write(&path)?;
                file.keys(&path)
            }
            found => found,
        }
    }

    /// The keys of the data folder `data`, which must be there.
    ///
    /// # Errors
    ///
    /// The file cannot be read, is damaged, or can be read by everyone.
    pub fn load(data: &Path) -> Result<Keys, KeysError> {
        let path = path(data);
        KeyFile::read(&path)?.keys(&path)
    }

    /// The ids of the keys that verify, newest first.
    #[must_use]
    pub fn kids(&self) -> Vec<u8> {
        let newest = std::iter::once(&self.newest);
        newest.chain(&self.previous).map(Generation::kid).collect()
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

/// Puts a new key in front of the data folder's keys and drops the one before the last; gives the
/// new key's id.
///
/// A running server signs with it from its next start on. Tokens of the dropped key end at once, so
/// rotate no more often than a token lives (30 days), unless that is the point.
///
/// # Errors
///
/// The file cannot be read or written, is damaged, or can be read by everyone.
pub fn rotate(data: &Path) -> Result<u8, KeysError> {
    let path = path(data);
    let mut file = KeyFile::read(&path)?;
    file.keys(&path)?;
    let kid = (file.generations[0].kid + 1) % KIDS;
    file.generations.insert(0, GenerationFile::new(kid)?);
    file.generations.truncate(2);
    file.write(&path)?;
    Ok(kid)
}

/// Where the keys of a data folder are.
#[must_use]
pub fn path(data: &Path) -> PathBuf {
    data.join("keys").join("token.json")
}

fn secret() -> Result<Secret, KeysError> {
    let mut secret = [0; SECRET_BYTES];
    SystemRandom::new()
        .fill(&mut secret)
        .map_err(|_| KeysError::Random)?;
    Ok(secret)
}

impl GenerationFile {
    fn new(kid: u8) -> Result<GenerationFile, KeysError> {
        Ok(GenerationFile {
            kid,
            secret: URL_SAFE_NO_PAD.encode(secret()?),
        })
    }
}

impl KeyFile {
    fn generate() -> Result<KeyFile, KeysError> {
        Ok(KeyFile {
            version: 1,
            generations: vec![GenerationFile::new(0)?],
            pepper: URL_SAFE_NO_PAD.encode(secret()?),
        })
    }

    fn read(path: &Path) -> Result<KeyFile, KeysError> {
        let io = |source| KeysError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        if exposed(&fs::metadata(path).map_err(io)?) {
            let path = path.to_owned();
            return Err(KeysError::Exposed { path });
        }
        let text = fs::read(path).map_err(io)?;
        serde_json::from_slice(&text).map_err(|e| {
            // The message may quote a value, and a value may be a secret.
            form(path, format!("line {}, column {}", e.line(), e.column()))
        })
    }

    /// Written beside and renamed, so that a crash leaves the old file or the new one.
    fn write(&self, path: &Path) -> Result<(), KeysError> {
        let text = serde_json::to_vec_pretty(self).expect("strings and numbers become JSON");
        write_secret(path, &text).map_err(|source| KeysError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }

    fn keys(&self, path: &Path) -> Result<Keys, KeysError> {
        if self.version != 1 {
            return Err(form(path, format!("version {} is not 1", self.version)));
        }
        let mut generations = Vec::new();
        for generation in &self.generations {
            if generation.kid >= KIDS {
                return Err(form(path, format!("a kid is from 0 to {}", KIDS - 1)));
            }
            let secret = decode(&generation.secret)
                .ok_or_else(|| form(path, "a secret is 32 bytes of base64url".to_owned()))?;
            generations.push(Generation::new(generation.kid, &secret));
        }
        let pepper = decode(&self.pepper)
            .ok_or_else(|| form(path, "the pepper is 32 bytes of base64url".to_owned()))?;
        let mut generations = generations.into_iter();
        let newest = generations.next();
        let previous = generations.next();
        match newest {
            Some(newest) if generations.next().is_none() => Ok(Keys {
                newest,
                previous,
                pepper: derive(&pepper, b"subject"),
            }),
            _ => Err(form(path, "one or two generations".to_owned())),
        }
    }
}

fn form(path: &Path, reason: String) -> KeysError {
    KeysError::Form {
        path: path.to_owned(),
        reason,
    }
}

fn decode(text: &str) -> Option<Secret> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// Whether everyone on the machine can get at a file. A group may: volumes of a cluster are often
/// given to one.
#[cfg(unix)]
fn exposed(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o007 != 0
}

#[cfg(not(unix))]
fn exposed(_: &fs::Metadata) -> bool {
    false
}

fn write_secret(path: &Path, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().expect("the keys are in a folder");
    fs::create_dir_all(folder)?;
    let beside = path.with_extension("new");
    // A left-over of a crash is in the way of `create_new`.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = private(OpenOptions::new().write(true).create_new(true)).open(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

/// For the owner alone, from the moment the file exists.
#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DecisionId, Millis, NameHash, Phase, Propensity};
    use crate::serve::token::{Token, TokenError};

    fn token() -> Token {
        Token {
            kind: TokenKind::Any,
            test: false,
            unmeasured: false,
            sells: false,
            phase: Phase::Scheduled,
            issued: Millis(0),
            decision: DecisionId(1),
            slot: 0,
            rank: 1,
            offer: NameHash(2),
            placement: 3,
            creative: 4,
            model: 5,
            subject: None,
            propensity: Propensity::ONE,
        }
    }

    #[test]
    fn keys_are_made_once_and_found_again() {
        let data = tempfile::tempdir().unwrap();
        let first = Keys::load_or_create(data.path()).unwrap();
        let again = Keys::load_or_create(data.path()).unwrap();
        let text = first.sign(&token());
        assert_eq!(again.read(text.as_str()), Ok(token()));
        let of = SubjectOf::Customer("c-18f2");
        assert_eq!(first.subject(of), again.subject(of));
    }

    #[test]
    fn the_key_before_the_newest_still_verifies() {
        let data = tempfile::tempdir().unwrap();
        let before = Keys::load_or_create(data.path()).unwrap();
        let text = before.sign(&token());
        for rotation in 1..=20 {
            assert_eq!(rotate(data.path()).unwrap(), rotation % KIDS);
            let after = Keys::load_or_create(data.path()).unwrap();
            let expected = match rotation {
                1 => Ok(token()),
                _ => Err(TokenError::Forged),
            };
            assert_eq!(after.read(text.as_str()), expected, "rotation {rotation}");
            assert_eq!(after.kids(), [rotation % KIDS, (rotation - 1) % KIDS]);
        }
    }

    #[test]
    fn subjects_keep_customers_and_appointments_apart() {
        let keys = Keys::generate().unwrap();
        let customer = keys.subject(SubjectOf::Customer("7"));
        assert_ne!(customer, keys.subject(SubjectOf::Appointment("7")));
        assert_ne!(customer, keys.subject(SubjectOf::Customer("8")));
        let other = Keys::generate().unwrap();
        assert_ne!(customer, other.subject(SubjectOf::Customer("7")));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_for_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        Keys::load_or_create(data.path()).unwrap();
        let path = path(data.path());
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let error = Keys::load_or_create(data.path()).unwrap_err();
        assert!(matches!(error, KeysError::Exposed { .. }), "{error}");
    }

    #[test]
    fn a_damaged_file_is_refused_without_quoting_it_and_left_as_it_is() {
        let data = tempfile::tempdir().unwrap();
        Keys::load_or_create(data.path()).unwrap();
        let path = path(data.path());
        let good = fs::read_to_string(&path).unwrap();
        let other_kid = good.replace("\"kid\": 0", "\"kid\": 16");
        let other_version = good.replace("\"version\": 1", "\"version\": 2");
        for bad in [
            "",
            "{}",
            &good[..good.len() / 2],
            &other_kid,
            &other_version,
        ] {
            fs::write(&path, bad).unwrap();
            let error = Keys::load_or_create(data.path()).unwrap_err();
            assert!(matches!(error, KeysError::Form { .. }), "{error}");
            assert!(rotate(data.path()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", Keys::generate().unwrap()),
            "Keys { kids: [0], .. }"
        );
    }
}
