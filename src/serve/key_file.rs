//! Where the server's secrets are kept: `keys/token.json` in the data folder.
//!
//! Made at the first start, for its owner's eyes alone. Nodes that shall believe each other's tokens
//! share the file. A file that is there and not understood is never replaced: the tokens in the field
//! and the ledger's subjects hang on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::keys::{Generation, KIDS, Keys, Secret, secret};

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

impl Keys {
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
}

/// Puts a new key in front of the data folder's keys and drops the one before the last; gives the
/// new key's id.
///
/// A running server signs with it from its next start on. Tokens of the dropped key end at once, so
/// rotate no more often than a token lives (30 days), unless that is the point. Nodes that share keys
/// need the new file before any of them is started with it: a node does not believe a key it lacks.
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
        if newest.as_ref().map(Generation::kid) == previous.as_ref().map(Generation::kid) {
            return Err(form(
                path,
                "one or two generations, each of its own kid".to_owned(),
            ));
        }
        match newest {
            Some(newest) if generations.next().is_none() => Ok(Keys::of(newest, previous, &pepper)),
            _ => Err(form(
                path,
                "one or two generations, each of its own kid".to_owned(),
            )),
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
    use crate::serve::keys::SubjectOf;
    use crate::serve::token::{Token, TokenError, TokenKind};

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
        let generations = good.find("{\n      \"kid\"").unwrap()..good.find("\n  ],").unwrap();
        let one = &good[generations];
        let same_kid = good.replace(one, &format!("{one}, {one}"));
        let none = good.replace(one, "");
        let secret = KeyFile::read(&path).unwrap().generations[0].secret.clone();
        let short = good.replace(&secret, &secret[1..]);
        let number = good.replace("\"kid\": 0", &format!("\"kid\": \"{secret}\""));
        let other_kid = good.replace("\"kid\": 0", "\"kid\": 16");
        let other_version = good.replace("\"version\": 1", "\"version\": 2");
        for bad in [
            "",
            "{}",
            &good[..good.len() / 2],
            &other_kid,
            &other_version,
            &same_kid,
            &none,
            &short,
            &number,
        ] {
            fs::write(&path, bad).unwrap();
            let error = Keys::load_or_create(data.path()).unwrap_err();
            assert!(matches!(error, KeysError::Form { .. }), "{error}");
            assert!(!format!("{error:?}").contains(&secret[1..]), "{error:?}");
            assert!(rotate(data.path()).is_err());
            assert_eq!(fs::read_to_string(&path).unwrap(), bad);
        }
    }
}
