//! Event tokens: proof that this offer was really decided, here, for this customer.
//!
//! A token carries all that an event needs to be attributed, so no node has to remember a decision
//! to count its conversion. It is binary and signed rather than a JWT: a quarter of the length, no
//! algorithm field to attack and nothing to parse before the signature is known to be good.
//!
//! ```text
//! byte  0      version (high 4 bits, now 1), key id (low 4 bits)
//!       1      kind (bits 0-1), test (2), unmeasured (3), sells (4), phase (5-7)
//!       2..6   issued, seconds since 1970
//!       6..22  decision id
//!      22      slot: the placement's index in the request
//!      23      rank, from 1
//!      24..32  offer, hash of its id
//!      32..36  placement, low half of the hash of its id
//!      36..38  creative, low quarter of the hash of its id
//!      38..42  model, low half of the hash of its name and version
//!      42..58  subject, zero for none
//!      58..66  propensity, IEEE 754 double
//!      66..82  HMAC-SHA256 of bytes 0..66, first 16 bytes
//! ```
//!
//! Numbers are big endian; the text is base64url without padding, 110 characters. Each kind is
//! signed with a key of its own (see [`super::keys`]), so no token passes for another kind.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::domain::{DecisionId, EventType, Millis, NameHash, Phase, Propensity, SubjectKey};

use super::keys::Keys;

/// The layout's version; another one is another reader.
const VERSION: u8 = 1;
const BODY_BYTES: usize = 66;
const MAC_BYTES: usize = 16;
const BYTES: usize = BODY_BYTES + MAC_BYTES;

/// The length of a token's text.
pub const TOKEN_CHARS: usize = (BYTES * 4).div_ceil(3);

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TokenKind {
    /// The offer's own token: may be posted as any event about the offer or an element of it.
    Any,
    /// In the tracking URL of an image: proves a showing and nothing more.
    Impression,
    /// In the tracking URL of a link: proves a click and nothing more.
    Click,
}

impl TokenKind {
    /// Every kind, by its number.
    pub const ALL: [TokenKind; 3] = [TokenKind::Any, TokenKind::Impression, TokenKind::Click];

    /// Whether a token of this kind may be posted as `event`.
    #[must_use]
    pub fn allows(self, event: EventType) -> bool {
        match self {
            TokenKind::Any => event.takes_token(),
            TokenKind::Impression => {
                matches!(event, EventType::Impression | EventType::Viewable)
            }
            TokenKind::Click => event == EventType::Click,
        }
    }
}

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Token {
    /// What it may be used for.
    pub kind: TokenKind,
    /// Decided for a `test` request.
    pub test: bool,
    /// The customer withholds measurement: its events are answered and not recorded.
    pub unmeasured: bool,
    /// The offer's class sells.
    pub sells: bool,
    /// The appointment's phase when it was decided.
    pub phase: Phase,
    /// When it was decided, to the second below.
    pub issued: Millis,
    /// The decision.
    pub decision: DecisionId,
    /// The placement's index in the request.
    pub slot: u8,
    /// The offer's rank at that placement, from 1.
    pub rank: u8,
    /// Hash of the offer's id.
    pub offer: NameHash,
    /// [`hash32`] of the placement's id.
    pub placement: u32,
    /// [`hash16`] of the creative's id.
    pub creative: u16,
    /// [`hash32`] of the model's name and version.
    pub model: u32,
    /// Whom the ledger books the offer on.
    pub subject: Option<SubjectKey>,
    /// The probability with which the offer was drawn.
    pub propensity: Propensity,
}

/// The low half of a name's hash: enough to tell a catalog's few hundred names apart.
#[must_use]
pub fn hash32(name: &str) -> u32 {
    NameHash::of(name).low()
}

/// The low quarter of a name's hash: enough to tell the few creatives of one offer apart.
#[must_use]
pub fn hash16(name: &str) -> u16 {
    (NameHash::of(name).0 & 0xFFFF) as u16
}

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token of this version.
    #[error("not a token of this server's form: 110 characters of base64url")]
    Malformed,
    /// Its signature is not ours, or of a key that is no longer valid.
    #[error("the token's signature does not verify")]
    Forged,
    /// It is too old for this event.
    #[error("the token is too old for this type of event")]
    Expired,
    /// It is for other events.
    #[error("the token does not prove this type of event")]
    WrongKind,
    /// It was issued in the future: some clock is wrong.
    #[error("the token was issued in the future")]
    NotYetValid,
}

impl TokenError {
    /// The published code.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            TokenError::Malformed => "token_malformed",
            TokenError::Forged => "token_forged",
            TokenError::Expired => "token_expired",
            TokenError::WrongKind => "token_wrong_kind",
            TokenError::NotYetValid => "token_not_yet_valid",
        }
    }
}

/// How long a token proves what; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// Seconds for `impression` and `viewable`: a page left open longer was not waiting for us.
    pub impression_age_s_max: u32,
    /// Seconds for `click` and `dismiss`.
    pub click_age_s_max: u32,
    /// Seconds for `order`, `conversion` and `reversal`: the longest attribution window.
    pub conversion_age_s_max: u32,
    /// Seconds by which the clocks of two nodes may differ.
    pub leeway_s: u32,
}

impl Default for TokenConfig {
    fn default() -> TokenConfig {
        TokenConfig {
            impression_age_s_max: 30 * 60,
            click_age_s_max: 24 * 3_600,
            conversion_age_s_max: 30 * 24 * 3_600,
            leeway_s: 60,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be from {min} to {max}")]
pub struct TokenConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it was set to.
    pub found: u32,
    /// The smallest value that works.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// 400 days: no attribution window looks back further.
const AGE_S_MAX: u32 = 400 * 24 * 3_600;
/// An hour: clocks further apart are broken, and so would be every token's age.
const LEEWAY_S_MAX: u32 = 3_600;

impl TokenConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    ///
    /// Names the first one that is not.
    pub fn check(&self) -> Result<(), TokenConfigError> {
        let age = |field, found| (field, found, 1, AGE_S_MAX);
        for (field, found, min, max) in [
            age("impression_age_s_max", self.impression_age_s_max),
            age("click_age_s_max", self.click_age_s_max),
            age("conversion_age_s_max", self.conversion_age_s_max),
            ("leeway_s", self.leeway_s, 0, LEEWAY_S_MAX),
        ] {
            if !(min..=max).contains(&found) {
                return Err(TokenConfigError {
                    field,
                    found,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }

    fn age_s_max(&self, event: EventType) -> u32 {
        match event {
            EventType::Impression | EventType::Viewable => self.impression_age_s_max,
            EventType::Click | EventType::Dismiss | EventType::Element => self.click_age_s_max,
            EventType::Order | EventType::Conversion | EventType::Reversal => {
                self.conversion_age_s_max
            }
            // These carry no token; `TokenKind::allows` refuses one.
            EventType::PhaseView | EventType::Feedback => 0,
        }
    }
}

impl Token {
    /// Whether the token proves `event` when the server hears of it at `now`.
    ///
    /// # Errors
    ///
    /// The token is of a wrong kind, too old, or from the future.
    pub fn check(
        &self,
        event: EventType,
        now: Millis,
        config: &TokenConfig,
    ) -> Result<(), TokenError> {
        if !self.kind.allows(event) {
            return Err(TokenError::WrongKind);
        }
        let age_ms = now.since(self.issued);
        let leeway_ms = i64::from(config.leeway_s) * 1_000;
        if age_ms < -leeway_ms {
            return Err(TokenError::NotYetValid);
        }
        if age_ms > i64::from(config.age_s_max(event)) * 1_000 + leeway_ms {
            return Err(TokenError::Expired);
        }
        Ok(())
    }

    fn write(&self, kid: u8) -> [u8; BODY_BYTES] {
        let issued = u32::try_from(self.issued.0.max(0) / 1_000).unwrap_or(u32::MAX);
        let flags = self.kind as u8
            | u8::from(self.test) << 2
            | u8::from(self.unmeasured) << 3
            | u8::from(self.sells) << 4
            | (self.phase as u8) << 5;
        let mut body = [0; BODY_BYTES];
        body[0] = VERSION << 4 | kid;
        body[1] = flags;
        body[2..6].copy_from_slice(&issued.to_be_bytes());
        body[6..22].copy_from_slice(&self.decision.0.to_be_bytes());
        body[22] = self.slot;
        body[23] = self.rank;
        body[24..32].copy_from_slice(&self.offer.0.to_be_bytes());
        body[32..36].copy_from_slice(&self.placement.to_be_bytes());
        body[36..38].copy_from_slice(&self.creative.to_be_bytes());
        body[38..42].copy_from_slice(&self.model.to_be_bytes());
        body[42..58].copy_from_slice(&self.subject.map_or(0, |s| s.0).to_be_bytes());
        body[58..66].copy_from_slice(&self.propensity.get().to_be_bytes());
        body
    }

    /// `None` where the bytes are none that [`Token::write`] gives.
    fn read(body: &[u8; BODY_BYTES]) -> Option<Token> {
        let flags = body[1];
        let subject = u128::from_be_bytes(part(body, 42));
        Some(Token {
            kind: *TokenKind::ALL.get(usize::from(flags & 3))?,
            test: flags & 4 != 0,
            unmeasured: flags & 8 != 0,
            sells: flags & 16 != 0,
            phase: Phase::from_index(flags >> 5)?,
            issued: Millis(i64::from(u32::from_be_bytes(part(body, 2))) * 1_000),
            decision: DecisionId(u128::from_be_bytes(part(body, 6))),
            slot: body[22],
            rank: body[23],
            offer: NameHash(u64::from_be_bytes(part(body, 24))),
            placement: u32::from_be_bytes(part(body, 32)),
            creative: u16::from_be_bytes(part(body, 36)),
            model: u32::from_be_bytes(part(body, 38)),
            subject: (subject != 0).then_some(SubjectKey(subject)),
            propensity: Propensity::new(f64::from_be_bytes(part(body, 58)))?,
        })
    }
}

fn part<const N: usize>(body: &[u8; BODY_BYTES], at: usize) -> [u8; N] {
    body[at..at + N]
        .try_into()
        .expect("a slice of N bytes fits an array of N bytes")
}

/// A token's text, on the stack: signing allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenText([u8; TOKEN_CHARS]);

impl TokenText {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64url is ASCII")
    }
}

impl AsRef<str> for TokenText {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for TokenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Keys {
    /// Signs `token` with the newest key.
    #[must_use]
    pub fn sign(&self, token: &Token) -> TokenText {
        let generation = self.newest();
        let body = token.write(generation.kid());
        let mut bytes = [0; BYTES];
        bytes[..BODY_BYTES].copy_from_slice(&body);
        bytes[BODY_BYTES..].copy_from_slice(&mac(generation.event(token.kind), &body));
        let mut text = [0; TOKEN_CHARS];
        URL_SAFE_NO_PAD
            .encode_slice(bytes, &mut text)
            .expect("82 bytes are 110 characters");
        TokenText(text)
    }

    /// Verifies a token's text and gives what it says. Whether it proves anything now is
    /// [`Token::check`]'s to say.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`] or [`TokenError::Forged`].
    pub fn read(&self, text: &str) -> Result<Token, TokenError> {
        if text.len() != TOKEN_CHARS {
            return Err(TokenError::Malformed);
        }
        let mut bytes = [0; BYTES];
        // Strict: no padding, and none but zeros in the bits beyond the last byte, so that a token
        // has exactly one text.
        let read = URL_SAFE_NO_PAD.decode_slice_unchecked(text, &mut bytes);
        if read != Ok(BYTES) || bytes[0] >> 4 != VERSION {
            return Err(TokenError::Malformed);
        }
        let (body, found) = bytes.split_at(BODY_BYTES);
        let body: &[u8; BODY_BYTES] = body.try_into().expect("split there");
        let kind = TokenKind::ALL
            .get(usize::from(body[1] & 3))
            .ok_or(TokenError::Malformed)?;
        let generation = self.of_kid(body[0] & 15).ok_or(TokenError::Forged)?;
        let expected = mac(generation.event(*kind), body);
        if !same(&expected, found) {
            return Err(TokenError::Forged);
        }
        Token::read(body).ok_or(TokenError::Malformed)
    }

    /// [`Keys::read`], then [`Token::check`].
    ///
    /// # Errors
    ///
    /// Any [`TokenError`].
    pub fn open(
        &self,
        text: &str,
        event: EventType,
        now: Millis,
        config: &TokenConfig,
    ) -> Result<Token, TokenError> {
        let token = self.read(text)?;
        token.check(event, now, config)?;
        Ok(token)
    }
}

fn mac(key: &hmac::Key, body: &[u8]) -> [u8; MAC_BYTES] {
    let tag = hmac::sign(key, body);
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&tag.as_ref()[..MAC_BYTES]);
    mac
}

/// Compares without an early exit, so that timing does not tell how much of a guess was right.
///
/// ring verifies whole tags only, and ours are cut.
fn same(expected: &[u8; MAC_BYTES], found: &[u8]) -> bool {
    let difference = expected
        .iter()
        .zip(found)
        .fold(0, |acc, (a, b)| std::hint::black_box(acc | (a ^ b)));
    difference == 0 && found.len() == MAC_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Millis = Millis(1_763_730_000_000);

    fn keys() -> Keys {
        Keys::generate().unwrap()
    }

    fn token(kind: TokenKind) -> Token {
        Token {
            kind,
            test: false,
            unmeasured: false,
            sells: true,
            phase: Phase::EnRoute,
            issued: NOW,
            decision: DecisionId::v7(NOW, 7),
            slot: 0,
            rank: 1,
            offer: NameHash::of("sports_pack"),
            placement: hash32("tracker_hero"),
            creative: hash16("sports_pack.en"),
            model: hash32("propensity@2026-11-20.1"),
            subject: Some(SubjectKey(5)),
            propensity: Propensity::new(0.82).unwrap(),
        }
    }

    prop_compose! {
        fn tokens()(
            kind in 0..3usize, flags in 0..8u8, phase in 0..7u8, issued in 0..=u32::MAX,
            decision: u128, slot: u8, rank: u8, offer: u64, names: (u32, u16, u32),
            subject: Option<u128>, propensity in f64::MIN_POSITIVE..=1.0,
        ) -> Token {
            Token {
                kind: TokenKind::ALL[kind],
                test: flags & 1 != 0,
                unmeasured: flags & 2 != 0,
                sells: flags & 4 != 0,
                phase: Phase::from_index(phase).unwrap(),
                issued: Millis(i64::from(issued) * 1_000),
                decision: DecisionId(decision),
                slot,
                rank,
                offer: NameHash(offer),
                placement: names.0,
                creative: names.1,
                model: names.2,
                subject: subject.filter(|s| *s != 0).map(SubjectKey),
                propensity: Propensity::new(propensity).unwrap(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_token_reads_back_as_signed(token in tokens()) {
            let keys = keys();
            let text = keys.sign(&token);
            prop_assert_eq!(text.as_str().len(), 110);
            prop_assert_eq!(keys.read(text.as_str()), Ok(token));
        }

        #[test]
        fn arbitrary_text_is_never_a_token(text in "[A-Za-z0-9_-]{110}|\\PC{0,200}") {
            prop_assert!(keys().read(&text).is_err());
        }
    }

    /// Goal: no altered token is accepted. Method: every single bit of many tokens' bytes, and every
    /// other character at every place of one token's text; over 100,000 alterations.
    #[test]
    fn no_altered_token_is_accepted() {
        let keys = keys();
        let mut tried = 0;
        for n in 0..160u8 {
            let mut token = token(TokenKind::ALL[usize::from(n % 3)]);
            token.slot = n;
            let mut bytes = URL_SAFE_NO_PAD.decode(keys.sign(&token).as_str()).unwrap();
            for bit in 0..BYTES * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let text = URL_SAFE_NO_PAD.encode(&bytes);
                assert!(keys.read(&text).is_err(), "bit {bit} of token {n}");
                bytes[bit / 8] ^= 1 << (bit % 8);
                tried += 1;
            }
        }
        let text = keys.sign(&token(TokenKind::Any)).to_string();
        for at in 0..text.len() {
            for other in (0..=127u8).map(char::from) {
                let mut altered = text.clone();
                altered.replace_range(at..=at, &other.to_string());
                let accepted = keys.read(&altered).is_ok();
                assert_eq!(accepted, altered == text, "{other:?} at {at}");
                tried += 1;
            }
        }
        assert!(tried > 100_000, "{tried}");
    }

    #[track_caller]
    fn check(kind: TokenKind, event: EventType, age_s: i64, expected: Result<(), TokenError>) {
        let now = NOW.plus(age_s * 1_000);
        let found = token(kind).check(event, now, &TokenConfig::default());
        assert_eq!(found, expected, "{kind:?} as {event} after {age_s} s");
    }

    #[test]
    fn each_type_of_event_has_its_own_window() {
        let windows = [
            (EventType::Impression, 1_800),
            (EventType::Viewable, 1_800),
            (EventType::Click, 86_400),
            (EventType::Dismiss, 86_400),
            (EventType::Element, 86_400),
            (EventType::Order, 2_592_000),
            (EventType::Conversion, 2_592_000),
            (EventType::Reversal, 2_592_000),
        ];
        for (event, window) in windows {
            check(TokenKind::Any, event, 0, Ok(()));
            check(TokenKind::Any, event, window + 60, Ok(()));
            check(TokenKind::Any, event, window + 61, Err(TokenError::Expired));
            check(TokenKind::Any, event, -60, Ok(()));
            check(TokenKind::Any, event, -61, Err(TokenError::NotYetValid));
        }
    }

    #[test]
    fn a_tracking_url_proves_its_own_event_only() {
        for event in EventType::ALL.iter().copied() {
            let wrong = Err(TokenError::WrongKind);
            let view = matches!(event, EventType::Impression | EventType::Viewable);
            let click = event == EventType::Click;
            let pick = |ok| if ok { Ok(()) } else { wrong };
            check(TokenKind::Any, event, 0, pick(event.takes_token()));
            check(TokenKind::Impression, event, 0, pick(view));
            check(TokenKind::Click, event, 0, pick(click));
        }
    }

    #[test]
    fn another_server_does_not_believe_it() {
        let text = keys().sign(&token(TokenKind::Any));
        assert_eq!(keys().read(text.as_str()), Err(TokenError::Forged));
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let keys = keys();
        let good = keys.sign(&token(TokenKind::Any)).to_string();
        let long = format!("{good}A");
        let other_version = good.replacen('E', "I", 1);
        for bad in ["", "x", &good[1..], &long, &"é".repeat(55), &other_version] {
            assert_eq!(keys.read(bad), Err(TokenError::Malformed), "{bad}");
        }
    }
}
