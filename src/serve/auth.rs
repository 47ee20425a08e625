//! Who calls, and what that lets them do.
//!
//! Three kinds of key, of which the configuration holds digests only. Without any key configured the
//! server trusts its callers, and so it listens on loopback alone ([`AuthConfig::check_binding`]).

use std::collections::HashSet;
use std::net::SocketAddr;

use http::HeaderMap;
use http::header::{AUTHORIZATION, ORIGIN};
use serde::{Deserialize, Serialize};

use super::api_key::KeyDigest;

/// Keys of one kind, at most: a lookup looks at every one of them.
const KEYS_MAX: usize = 256;

/// The longest header value that is taken for a key.
const BEARER_BYTES_MAX: usize = 256;

/// Which keys the server knows; a section of the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Digests of the operator's servers' keys.
    pub secret_keys: Vec<KeyDigest>,
    /// The keys of pages and apps.
    pub publishable_keys: Vec<PublishableKey>,
    /// Digests of the keys for the admin listener.
    pub admin_keys: Vec<KeyDigest>,
}

/// The key of a page or an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishableKey {
    /// The key's digest.
    pub digest: KeyDigest,
    /// Where its pages come from, such as `https://shop.example`: exact, no patterns. Empty for an app,
    /// which has no origin: then no browser may use the key.
    #[serde(default)]
    pub origins: Vec<String>,
}

/// A mistake in [`AuthConfig`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthConfigError {
    /// The list is too long.
    #[error("{field} has {found} keys; it may have at most {KEYS_MAX}")]
    TooMany {
        /// The setting.
        field: &'static str,
        /// How many it has.
        found: usize,
    },
    /// One key twice, possibly as two kinds.
    #[error(
        "secret_keys, publishable_keys, admin_keys: {digest} is listed twice; a key has one kind"
    )]
    Twice {
        /// The key's digest.
        digest: KeyDigest,
    },
    /// Not an origin.
    #[error(
        "publishable_keys: {origin:?} is not an origin: scheme, host and, if it is not the scheme's own, \
         port, in lower case, such as https://shop.example"
    )]
    Origin {
        /// What was found.
        origin: String,
    },
}

/// One of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Decisions and events.
    Public,
    /// The operators'.
    Admin,
}

/// Listening where strangers are, without keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "refusing to listen on {address} without keys: set {setting} (make a key with `offerd keys new`) \
     or listen on a loopback address such as 127.0.0.1"
)]
pub struct BindingRefused {
    /// The address asked for.
    pub address: SocketAddr,
    /// The setting that would allow it.
    pub setting: &'static str,
}

impl AuthConfig {
    /// Whether the listener may listen on `address`.
    ///
    /// # Errors
    ///
    /// The address is not loopback, and the keys that would guard it are not configured.
    pub fn check_binding(&self, port: Port, address: SocketAddr) -> Result<(), BindingRefused> {
        let (guarded, setting) = match port {
            Port::Public => (self.guards_public(), "auth.secret_keys"),
            Port::Admin => (!self.admin_keys.is_empty(), "auth.admin_keys"),
        };
        if guarded || address.ip().to_canonical().is_loopback() {
            return Ok(());
        }
        Err(BindingRefused { address, setting })
    }

    fn guards_public(&self) -> bool {
        !self.secret_keys.is_empty() || !self.publishable_keys.is_empty()
    }

    /// Checks that the lists are short enough, name no key twice, and hold origins as browsers write them.
    ///
    /// # Errors
    ///
    /// See [`AuthConfigError`].
    pub fn check(&self) -> Result<(), AuthConfigError> {
        for (field, found) in [
            ("secret_keys", self.secret_keys.len()),
            ("publishable_keys", self.publishable_keys.len()),
            ("admin_keys", self.admin_keys.len()),
        ] {
            if found > KEYS_MAX {
                return Err(AuthConfigError::TooMany { field, found });
            }
        }
        let publishable = self.publishable_keys.iter().map(|key| &key.digest);
        let mut seen = HashSet::new();
        for &digest in self
            .secret_keys
            .iter()
            .chain(&self.admin_keys)
            .chain(publishable)
        {
            if !seen.insert(digest) {
                return Err(AuthConfigError::Twice { digest });
            }
        }
        let mut origins = self.publishable_keys.iter().flat_map(|key| &key.origins);
        match origins.find(|origin| !is_origin(origin)) {
            Some(origin) => Err(AuthConfigError::Origin {
                origin: origin.clone(),
            }),
            None => Ok(()),
        }
    }
}

/// Whether `text` is an origin as a browser writes it (RFC 6454, section 6.1).
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:[]".contains(&b);
    !host.is_empty() && host.bytes().all(plain) && !host.ends_with(default_port)
}

/// Who calls the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Nobody we know: may post events, whose tokens are their own proof, and read public files.
    Anonymous,
    /// A page or an app: may ask for decisions too, and sees no scores.
    Publishable,
    /// An operator's server, or anyone at all where no keys are configured: may do everything.
    Secret,
}

impl Caller {
    /// Whether the caller may ask for decisions.
    #[must_use]
    pub fn may_decide(self) -> bool {
        self != Caller::Anonymous
    }

    /// Whether the caller may sign contexts, send features of its own, and see scores.
    #[must_use]
    pub fn is_trusted(self) -> bool {
        self == Caller::Secret
    }
}

/// Why a caller was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The header is not `Authorization: Bearer KEY`: 401.
    #[error("the authorization header is not of the form: Bearer KEY")]
    Malformed,
    /// The key is not one of ours, or none was sent where one is needed: 401.
    #[error("no valid key was sent")]
    Unauthenticated,
    /// The key is ours and not for this: 403.
    #[error("this key may not be used from here or for this")]
    Forbidden,
}

/// The keys, ready for lookups.
#[derive(Clone, Debug)]
pub struct Auth {
    config: AuthConfig,
}

impl Auth {
    /// Checks the configuration.
    ///
    /// # Errors
    ///
    /// See [`AuthConfigError`].
    pub fn new(config: AuthConfig) -> Result<Auth, AuthConfigError> {
        config.check()?;
        Ok(Auth { config })
    }

    /// Whether everyone is trusted, because the public listener has no keys.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.config.guards_public()
    }

    /// Who sent a request with these headers to the public listener.
    ///
    /// # Errors
    ///
    /// A key was sent that is malformed, unknown, not for this listener, or not for this origin.
    /// Sending no key is no error here: see [`Caller::may_decide`].
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, AuthError> {
        if self.is_open() {
            return Ok(Caller::Secret);
        }
        let Some(key) = bearer(headers)? else {
            return Ok(Caller::Anonymous);
        };
        let digest = KeyDigest::of(key);
        if any(&self.config.secret_keys, &digest) {
            return Ok(Caller::Secret);
        }
        let pages = &self.config.publishable_keys;
        if let Some(page) = pages.iter().find(|page| page.digest.same(&digest)) {
            return match page.allows(headers) {
                true => Ok(Caller::Publishable),
                false => Err(AuthError::Forbidden),
            };
        }
        match any(&self.config.admin_keys, &digest) {
            true => Err(AuthError::Forbidden),
            false => Err(AuthError::Unauthenticated),
        }
    }

    /// Whether a request with these headers may use the admin listener.
    ///
    /// # Errors
    ///
    /// No admin key was sent, and there are some.
    pub fn admin(&self, headers: &HeaderMap) -> Result<(), AuthError> {
        if self.config.admin_keys.is_empty() {
            return Ok(());
        }
        let key = bearer(headers)?.ok_or(AuthError::Unauthenticated)?;
        match any(&self.config.admin_keys, &KeyDigest::of(key)) {
            true => Ok(()),
            false => Err(AuthError::Unauthenticated),
        }
    }

    /// Which admin key a request came with, as the beginning of its digest; `anonymous` without one.
    #[must_use]
    pub fn admin_name(&self, headers: &HeaderMap) -> String {
        match bearer(headers) {
            Ok(Some(key)) => {
                let digest = KeyDigest::of(key).to_string();
                let hex = digest.rsplit(':').next().unwrap_or(&digest);
                format!("key {}", hex.chars().take(12).collect::<String>())
            }
            _ => "anonymous".into(),
        }
    }

    /// Whether pages of `origin` may read the public listener's answers.
    pub(super) fn allows_origin(&self, origin: &str) -> bool {
        let pages = &self.config.publishable_keys;
        self.is_open() || pages.iter().any(|page| page.lists(origin))
    }
}

impl PublishableKey {
    fn lists(&self, origin: &str) -> bool {
        self.origins.iter().any(|listed| listed == origin)
    }

    /// A browser says where its page is from, and a page cannot keep it from doing so.
    fn allows(&self, headers: &HeaderMap) -> bool {
        match headers.get(ORIGIN) {
            None => self.origins.is_empty(),
            Some(origin) => origin.to_str().is_ok_and(|origin| self.lists(origin)),
        }
    }
}

/// Looks at every key, so that the time tells nothing about which one is near.
fn any(keys: &[KeyDigest], digest: &KeyDigest) -> bool {
    keys.iter()
        .fold(false, |found, key| found | key.same(digest))
}

/// The key in the `Authorization` header, if there is one.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, AuthError> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| AuthError::Malformed)?;
    match text.split_once(' ') {
        Some((scheme, key))
            if scheme.eq_ignore_ascii_case("bearer") && key.len() <= BEARER_BYTES_MAX =>
        {
            Ok(Some(key.trim()))
        }
        _ => Err(AuthError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api_key::{KeyKind, generate};

    struct Keys {
        auth: Auth,
        secret: String,
        page: String,
        app: String,
        admin: String,
    }

    fn keys() -> Keys {
        let [secret, page, app, admin] = [
            KeyKind::Secret,
            KeyKind::Publishable,
            KeyKind::Publishable,
            KeyKind::Admin,
        ]
        .map(|kind| generate(kind).unwrap());
        let publishable = |key: &str, origins: &[&str]| PublishableKey {
            digest: KeyDigest::of(key),
            origins: origins.iter().map(ToString::to_string).collect(),
        };
        let auth = Auth::new(AuthConfig {
            secret_keys: vec![KeyDigest::of("an older one"), KeyDigest::of(&secret)],
            publishable_keys: vec![
                publishable(&page, &["https://shop.example"]),
                publishable(&app, &[]),
            ],
            admin_keys: vec![KeyDigest::of(&admin)],
        });
        Keys {
            auth: auth.unwrap(),
            secret,
            page,
            app,
            admin,
        }
    }

    fn headers(authorization: &str, origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [(AUTHORIZATION, authorization), (ORIGIN, origin)] {
            if !value.is_empty() {
                headers.insert(name, value.parse().unwrap());
            }
        }
        headers
    }

    #[test]
    fn a_key_says_who_calls() {
        let keys = keys();
        let Keys {
            secret,
            page,
            app,
            admin,
            ..
        } = &keys;
        let (shop, other) = ("https://shop.example", "https://evil.example");
        let stranger = generate(KeyKind::Secret).unwrap();
        for (key, origin, expected) in [
            ("", "", Ok(Caller::Anonymous)),
            ("", other, Ok(Caller::Anonymous)),
            (secret, "", Ok(Caller::Secret)),
            (page, shop, Ok(Caller::Publishable)),
            (page, other, Err(AuthError::Forbidden)),
            (page, "null", Err(AuthError::Forbidden)),
            (page, "", Err(AuthError::Forbidden)),
            (app, "", Ok(Caller::Publishable)),
            (app, shop, Err(AuthError::Forbidden)),
            (admin, "", Err(AuthError::Forbidden)),
            (&stranger, "", Err(AuthError::Unauthenticated)),
        ] {
            let authorization = match key {
                "" => String::new(),
                key => format!("Bearer {key}"),
            };
            let found = keys.auth.caller(&headers(&authorization, origin));
            assert_eq!(found, expected, "{key:?} from {origin:?}");
        }
    }

    #[test]
    fn only_bearer_is_understood() {
        let keys = keys();
        let lower = format!("bearer {}", keys.secret);
        assert_eq!(keys.auth.caller(&headers(&lower, "")), Ok(Caller::Secret));
        let long = format!("Bearer {}", "x".repeat(BEARER_BYTES_MAX + 1));
        for bad in ["Bearer", "Basic abc", &keys.secret, &long] {
            let found = keys.auth.caller(&headers(bad, ""));
            assert_eq!(found, Err(AuthError::Malformed), "{bad}");
        }
    }

    #[test]
    fn the_admin_listener_takes_admin_keys() {
        let keys = keys();
        let admin = |key: &str| keys.auth.admin(&headers(&format!("Bearer {key}"), ""));
        assert_eq!(admin(&keys.admin), Ok(()));
        assert_eq!(admin(&keys.secret), Err(AuthError::Unauthenticated));
        let none = keys.auth.admin(&HeaderMap::new());
        assert_eq!(none, Err(AuthError::Unauthenticated));
    }

    #[test]
    fn without_keys_everyone_is_trusted_on_loopback_only() {
        let open = Auth::new(AuthConfig::default()).unwrap();
        assert_eq!(open.caller(&HeaderMap::new()), Ok(Caller::Secret));
        assert_eq!(open.admin(&HeaderMap::new()), Ok(()));
        let keyed = keys().auth.config;
        for (address, loopback) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.0.2.1:1", false),
        ] {
            let address = address.parse().unwrap();
            for port in [Port::Public, Port::Admin] {
                let found = open.config.check_binding(port, address);
                assert_eq!(found.is_ok(), loopback, "{address}");
                assert_eq!(keyed.check_binding(port, address), Ok(()));
            }
        }
        let any = "0.0.0.0:8081".parse().unwrap();
        let refused = open.config.check_binding(Port::Admin, any).unwrap_err();
        assert!(refused.to_string().contains("auth.admin_keys"), "{refused}");
    }

    #[test]
    fn mistakes_in_the_configuration_are_named() {
        for bad in [
            "*",
            "https://*.shop.example",
            "https://shop.example/",
            "https://shop.example:443",
            "https://Shop.example",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "null",
        ] {
            let mut config = keys().auth.config;
            config.publishable_keys[0].origins = vec![bad.to_owned()];
            let expected = AuthConfigError::Origin {
                origin: bad.to_owned(),
            };
            assert_eq!(Auth::new(config).unwrap_err(), expected);
        }
        let mut config = keys().auth.config;
        let digest = config.admin_keys[0];
        config.secret_keys.push(digest);
        assert_eq!(
            Auth::new(config).unwrap_err(),
            AuthConfigError::Twice { digest }
        );
        let error = toml::from_str::<AuthConfig>("secret_keys = [\"ofsk_x\"]").unwrap_err();
        assert!(error.to_string().contains("offerd keys new"), "{error}");
    }
}
