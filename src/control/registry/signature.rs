//! Who vouches for a model: an Ed25519 signature (RFC 8032) over what identifies it.
//!
//! The digest is the manifest's, which names the artifact's: a signature covers every byte of both,
//! calibration and feature list too. The instant keeps two signings of one version apart in an audit.

use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ModelsConfig;

/// A signature as it is pushed along.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// When it was made, RFC 3339.
    pub created: String,
    /// 64 bytes, base64.
    pub signature: String,
}

/// Why a push is not vouched for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, and one is needed.
    #[error("is required: models.signing_keys is set")]
    Missing,
    /// It is not of its form.
    #[error("{0}")]
    Form(&'static str),
    /// No configured key made it.
    #[error("no key of models.signing_keys made it over this name, version and manifest")]
    Wrong,
}

/// What is signed: five lines, the last without an end.
#[must_use]
pub fn message(name: &str, version: &str, manifest: &str, created: &str) -> String {
    let digest = crate::model::digest(manifest.as_bytes());
    format!("offerd model 1\n{name}\n{version}\n{digest}\n{created}")
}

/// Whether a configured key signed this model; always, where none is configured.
pub(super) fn verify(
    config: &ModelsConfig,
    name: &str,
    version: &str,
    manifest: &str,
    signature: Option<&Signature>,
) -> Result<(), SignatureError> {
    if config.signing_keys.is_empty() {
        return Ok(());
    }
    let signature = signature.ok_or(SignatureError::Missing)?;
    if signature.created.parse::<jiff::Timestamp>().is_err() {
        return Err(SignatureError::Form(
            "created: expected an RFC 3339 instant",
        ));
    }
    let bytes = STANDARD.decode(&signature.signature).ok();
    let bytes = bytes.filter(|b| b.len() == 64);
    let bytes = bytes.ok_or(SignatureError::Form(
        "signature: expected 64 bytes in base64",
    ))?;
    let message = message(name, version, manifest, &signature.created);
    let made_it = |key: Vec<u8>| {
        let key = UnparsedPublicKey::new(&ED25519, key);
        key.verify(message.as_bytes(), &bytes).is_ok()
    };
    let vouched = config.keys().flatten().any(made_it);
    vouched.then_some(()).ok_or(SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn signed(by: u8, manifest: &str) -> Signature {
        let created = "2026-11-20T08:00:00Z";
        let message = message("m", "1", manifest, created);
        Signature {
            created: created.into(),
            signature: STANDARD.encode(pair(by).sign(message.as_bytes())),
        }
    }

    #[track_caller]
    fn check(signature: Option<Signature>, expected: Result<(), SignatureError>) {
        let keys = [2, 1].map(|seed| STANDARD.encode(pair(seed).public_key()));
        let config = ModelsConfig {
            signing_keys: keys.into(),
            ..ModelsConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
        let found = verify(&config, "m", "1", "{}", signature.as_ref());
        assert_eq!(found, expected);
    }

    #[test]
    fn only_configured_keys_vouch() {
        check(Some(signed(1, "{}")), Ok(()));
        check(Some(signed(2, "{}")), Ok(()));
        check(Some(signed(3, "{}")), Err(SignatureError::Wrong));
        check(Some(signed(1, "{ }")), Err(SignatureError::Wrong));
        check(None, Err(SignatureError::Missing));
        let mut later = signed(1, "{}");
        later.created = "2026-11-21T08:00:00Z".into();
        check(Some(later), Err(SignatureError::Wrong));
        let none = verify(&ModelsConfig::default(), "m", "1", "{}", None);
        assert_eq!(none, Ok(()));
    }

    #[test]
    fn what_is_no_signature_says_so() {
        let broken = |created: &str, signature: &str| Signature {
            created: created.into(),
            signature: signature.into(),
        };
        let created = SignatureError::Form("created: expected an RFC 3339 instant");
        check(Some(broken("yesterday", "")), Err(created));
        let short = SignatureError::Form("signature: expected 64 bytes in base64");
        check(Some(broken("2026-11-20T08:00:00Z", "AAAA")), Err(short));
    }
}
