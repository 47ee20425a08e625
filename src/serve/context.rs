//! Context tokens: what an operator's server says about a customer, carried by a browser that cannot
//! alter it.
//!
//! The operator's server posts the `customer` and the `technician` of a decision request with its secret
//! key and gets a token that is good for minutes; the page sends the token with its publishable key.
//! What the token says wins over what the page says.
//!
//! The text is `v1.PAYLOAD.MAC`, both base64url without padding, the MAC a whole HMAC-SHA256 over
//! everything before it, under a key used for nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::domain::Millis;

use super::keys::Keys;

/// The longest life of a context token, and the one it gets unless a shorter one is asked for.
pub const CONTEXT_AGE_S_MAX: u32 = 15 * 60;

/// The longest text: it travels in every request of a page.
pub const CONTEXT_BYTES_MAX: usize = 4 * 1_024;

const PREFIX: &str = "v1.";

/// What a context token says, one JSON object. `wire::Context` knows what may be in it.
pub type Vouched = Map<String, Value>;

/// What is signed.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// Until when it is good, seconds since 1970.
    exp: i64,
    /// What the operator's server vouches for.
    ctx: Vouched,
}

/// Why a context token was refused, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// It is not of the form `v1.PAYLOAD.MAC`.
    #[error("not a context token of this server's form")]
    Malformed,
    /// Its signature is not ours, or of a key that is no longer valid.
    #[error("the context token's signature does not verify")]
    Forged,
    /// Its time is over.
    #[error("the context token has expired")]
    Expired,
    /// It would be, or is, longer than 4,096 bytes.
    #[error("a context token is at most 4096 bytes; send fewer features")]
    TooLarge,
    /// A life outside the range was asked for.
    #[error("a context token lives from 1 to 900 seconds")]
    Lifetime,
}

impl ContextError {
    /// The published code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            ContextError::Malformed => "context_malformed",
            ContextError::Forged => "context_forged",
            ContextError::Expired => "context_expired",
            ContextError::TooLarge => "context_too_large",
            ContextError::Lifetime => "context_lifetime",
        }
    }
}

impl Keys {
    /// Signs `context`, good for `age_s` seconds from `now`.
    ///
    /// # Errors
    ///
    /// [`ContextError::TooLarge`] and [`ContextError::Lifetime`].
    pub fn sign_context(
        &self,
        context: Vouched,
        now: Millis,
        age_s: u32,
    ) -> Result<String, ContextError> {
        if !(1..=CONTEXT_AGE_S_MAX).contains(&age_s) {
            return Err(ContextError::Lifetime);
        }
        let claims = Claims {
            exp: now.0.div_euclid(1_000) + i64::from(age_s),
            ctx: context,
        };
        let claims = serde_json::to_vec(&claims).expect("JSON values become JSON");
        let mut text = String::from(PREFIX);
        URL_SAFE_NO_PAD.encode_string(claims, &mut text);
        let mac = hmac::sign(self.newest().context(), text.as_bytes());
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(mac, &mut text);
        if text.len() > CONTEXT_BYTES_MAX {
            return Err(ContextError::TooLarge);
        }
        Ok(text)
    }

    /// What a context token says, once its signature and time are known to be good.
    ///
    /// # Errors
    ///
    /// Any [`ContextError`] but `Lifetime`.
    pub fn read_context(&self, text: &str, now: Millis) -> Result<Vouched, ContextError> {
        if text.len() > CONTEXT_BYTES_MAX {
            return Err(ContextError::TooLarge);
        }
        let (signed, mac) = text.rsplit_once('.').ok_or(ContextError::Malformed)?;
        let payload = signed.strip_prefix(PREFIX).ok_or(ContextError::Malformed)?;
        let mac = URL_SAFE_NO_PAD
            .decode(mac)
            .map_err(|_| ContextError::Malformed)?;
        let ours = self
            .generations()
            .any(|g| hmac::verify(g.context(), signed.as_bytes(), &mac).is_ok());
        if !ours {
            return Err(ContextError::Forged);
        }
        // Only what we signed ourselves is ever parsed.
        let claims = URL_SAFE_NO_PAD
            .decode(payload)
            .map_err(|_| ContextError::Malformed)?;
        let claims: Claims =
            serde_json::from_slice(&claims).map_err(|_| ContextError::Malformed)?;
        // No leeway: a life of minutes, on nodes that agree to within seconds.
        if now.0.div_euclid(1_000) >= claims.exp {
            return Err(ContextError::Expired);
        }
        Ok(claims.ctx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: Millis = Millis(1_763_730_000_000);

    fn context(id: &str) -> Vouched {
        let customer =
            json!({ "customer": { "id": id, "features": { "tenure": 14, "rate": 0.1 } } });
        customer.as_object().cloned().unwrap()
    }

    #[test]
    fn a_context_reads_back_until_its_time_is_over() {
        let keys = Keys::generate().unwrap();
        let text = keys.sign_context(context("c-1"), NOW, 900).unwrap();
        assert_eq!(keys.read_context(&text, NOW), Ok(context("c-1")));
        assert_eq!(
            keys.read_context(&text, NOW.plus(899_999)),
            Ok(context("c-1"))
        );
        let expired = keys.read_context(&text, NOW.plus(900_000));
        assert_eq!(expired, Err(ContextError::Expired));
    }

    #[test]
    fn no_altered_context_is_accepted() {
        let keys = Keys::generate().unwrap();
        let text = keys.sign_context(context("c-1"), NOW, 900).unwrap();
        for at in 0..text.len() {
            for other in "AZaz09-_. \u{0}".chars() {
                let mut altered = text.clone();
                altered.replace_range(at..=at, &other.to_string());
                let found = keys.read_context(&altered, NOW);
                assert_eq!(found.is_ok(), altered == text, "{other:?} at {at}");
            }
        }
        let other = Keys::generate().unwrap().read_context(&text, NOW);
        assert_eq!(other, Err(ContextError::Forged));
    }

    #[test]
    fn the_limits_hold_at_n_and_n_plus_one() {
        let keys = Keys::generate().unwrap();
        let lengths = 2_900..3_000;
        let texts = lengths.map(|n| keys.sign_context(context(&"x".repeat(n)), NOW, 1));
        let (fit, too_long): (Vec<_>, Vec<_>) = texts.partition(Result::is_ok);
        let longest = fit.iter().flatten().map(String::len).max().unwrap();
        assert!((CONTEXT_BYTES_MAX - 2..=CONTEXT_BYTES_MAX).contains(&longest));
        assert!(too_long.contains(&Err(ContextError::TooLarge)));
        for (age_s, ok) in [(0, false), (1, true), (900, true), (901, false)] {
            let found = keys.sign_context(context("c"), NOW, age_s);
            assert_eq!(found.is_ok(), ok, "{age_s} s");
        }
    }

    #[test]
    fn what_is_no_context_token_is_malformed() {
        let keys = Keys::generate().unwrap();
        for bad in ["", "v1", "v1.", "v2.e30.e30", "v1.e30.?", "e30.e30"] {
            let found = keys.read_context(bad, NOW);
            assert_eq!(found, Err(ContextError::Malformed), "{bad}");
        }
        let long = "x".repeat(CONTEXT_BYTES_MAX + 1);
        assert_eq!(keys.read_context(&long, NOW), Err(ContextError::TooLarge));
    }
}
