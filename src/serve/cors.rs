//! Which pages may read our answers: those of the origins that publishable keys list, exactly.
//!
//! The origin is echoed and never `*`, credentials are never allowed (we know no cookies), and every
//! answer varies by origin, so that no cache hands one page's permission to another. Without keys, on
//! loopback, every origin is allowed: that is the demo. `sendBeacon` needs none of this; its
//! `text/plain` is posted without asking, and the tokens in it are the proof.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

use super::auth::Auth;

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
/// What the SDK sends beyond what every page may: JSON bodies, its key, and trace ids.
const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, traceparent");
/// Two hours, the longest that Chromium keeps a preflight's answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Whether a request is a browser's question before the real one. It is to be answered with 204 and
/// [`allow`]'s headers, whatever its path.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Adds to `answer` what lets a page of that `Origin` read it. A page of another origin gets `Vary`
/// only, and its browser keeps the answer from it.
pub fn allow(auth: &Auth, origin: Option<HeaderValue>, preflight: bool, answer: &mut HeaderMap) {
    answer.append(VARY, HeaderValue::from_static("origin"));
    let Some(origin) = origin else {
        return;
    };
    if !origin.to_str().is_ok_and(|text| auth.allows_origin(text)) {
        return;
    }
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::api_key::KeyDigest;
    use crate::serve::auth::{AuthConfig, PublishableKey};
    use http::header::ACCESS_CONTROL_ALLOW_CREDENTIALS;

    fn keyed() -> Auth {
        let config = AuthConfig {
            publishable_keys: vec![PublishableKey {
                digest: KeyDigest::of("page"),
                origins: vec!["https://shop.example".to_owned()],
            }],
            ..AuthConfig::default()
        };
        Auth::new(config).unwrap()
    }

    #[track_caller]
    fn check(auth: &Auth, origin: Option<&str>, allowed: bool) {
        let sent: Option<HeaderValue> = origin.map(|origin| origin.parse().unwrap());
        for preflight in [false, true] {
            let mut answer = HeaderMap::new();
            allow(auth, sent.clone(), preflight, &mut answer);
            let echoed = answer.get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(echoed, sent.as_ref().filter(|_| allowed), "{origin:?}");
            let methods = answer.contains_key(ACCESS_CONTROL_ALLOW_METHODS);
            assert_eq!(methods, preflight && allowed, "{origin:?}");
            assert_eq!(answer[VARY], "origin");
            assert!(!answer.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        }
    }

    #[test]
    fn only_listed_origins_are_echoed() {
        check(&keyed(), Some("https://shop.example"), true);
        for other in [
            "https://shop.example.evil.example",
            "http://shop.example",
            "https://shop.example:8443",
            "null",
        ] {
            check(&keyed(), Some(other), false);
        }
        check(&keyed(), None, false);
    }

    #[test]
    fn without_keys_every_origin_is() {
        let open = Auth::new(AuthConfig::default()).unwrap();
        check(&open, Some("http://localhost:5173"), true);
        check(&open, None, false);
    }

    #[test]
    fn a_preflight_is_told_from_other_options() {
        let mut headers = HeaderMap::new();
        assert!(!is_preflight(&Method::OPTIONS, &headers));
        headers.insert(ORIGIN, HeaderValue::from_static("https://shop.example"));
        headers.insert(
            ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("POST"),
        );
        assert!(is_preflight(&Method::OPTIONS, &headers));
        assert!(!is_preflight(&Method::POST, &headers));
    }
}
