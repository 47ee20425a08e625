//! How long the caller will wait, and how much work that leaves room for.
//!
//! tonic keeps its own reading of `grpc-timeout` to itself and only cuts requests off with it. We
//! answer before the deadline with less instead: the prior rather than the model, then nothing at all.

use std::time::{Duration, Instant};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::domain::Effort;

/// The header in which gRPC clients send how long they wait.
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// What a deadline leaves room for; a section of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadlineConfig {
    /// Milliseconds for callers that do not say how long they wait. An answer after that long is for
    /// nobody: the placement was drawn without it.
    pub default_ms: u32,
    /// With less than this many milliseconds left, the prior scores instead of the model.
    pub model_ms_min: u32,
}

impl Default for DeadlineConfig {
    fn default() -> DeadlineConfig {
        DeadlineConfig {
            default_ms: 1_000,
            model_ms_min: 1,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be from {min} to {max}")]
pub struct DeadlineConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it was set to.
    pub found: u32,
    /// The smallest value that works.
    pub min: u32,
    /// The largest.
    pub max: u32,
}

/// A minute: no page waits so long for an offer.
const DEFAULT_MS_MAX: u32 = 60_000;

impl DeadlineConfig {
    /// Checks that every setting is within its range.
    ///
    /// # Errors
    ///
    /// Names the first one that is not.
    pub fn check(&self) -> Result<(), DeadlineConfigError> {
        for (field, found, min, max) in [
            ("default_ms", self.default_ms, 1, DEFAULT_MS_MAX),
            // More than the default would mean that the model never scores.
            ("model_ms_min", self.model_ms_min, 0, self.default_ms),
        ] {
            if !(min..=max).contains(&found) {
                return Err(DeadlineConfigError {
                    field,
                    found,
                    min,
                    max,
                });
            }
        }
        Ok(())
    }
}

/// A `grpc-timeout` header that is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grpc-timeout must be 1 to 8 digits and one of the units H, M, S, m, u, n")]
pub struct TimeoutFormError;

/// What the `grpc-timeout` header says, if it is there.
///
/// # Errors
///
/// The header is not of the form that gRPC over HTTP/2 defines.
pub fn grpc_timeout(headers: &HeaderMap) -> Result<Option<Duration>, TimeoutFormError> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else {
        return Ok(None);
    };
    let Some((unit, digits)) = value.as_bytes().split_last() else {
        return Err(TimeoutFormError);
    };
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TimeoutFormError);
    }
    // Eight digits fit with room to spare, and so do 99,999,999 hours in seconds.
    let n = digits
        .iter()
        .fold(0, |n, digit| n * 10 + u64::from(digit - b'0'));
    let timeout = match unit {
        b'H' => Duration::from_secs(n * 3_600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return Err(TimeoutFormError),
    };
    Ok(Some(timeout))
}

/// The instant after which the answer is for nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline of a request that arrived at `arrived`: the tighter of what its header and its
    /// body say, or the default.
    #[must_use]
    pub fn new(
        arrived: Instant,
        grpc_timeout: Option<Duration>,
        deadline_ms: Option<u32>,
        config: &DeadlineConfig,
    ) -> Deadline {
        let ms = |ms| Duration::from_millis(u64::from(ms));
        let said = [grpc_timeout, deadline_ms.map(ms)];
        let wait = said.into_iter().flatten().min();
        let wait = wait.unwrap_or(ms(config.default_ms));
        // A wait of centuries may leave the clock's range; a day is as good.
        let day = Duration::from_secs(86_400);
        Deadline(arrived + wait.min(day))
    }

    /// How long is left at `now`; nothing once it has passed.
    #[must_use]
    pub fn left(self, now: Instant) -> Duration {
        self.0.saturating_duration_since(now)
    }

    /// What is left room for at `now`.
    #[must_use]
    pub fn effort(self, now: Instant, config: &DeadlineConfig) -> Effort {
        let left = self.left(now);
        if left.is_zero() {
            Effort::Nothing
        } else if left < Duration::from_millis(u64::from(config.model_ms_min)) {
            Effort::PriorOnly
        } else {
            Effort::Full
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<Duration, TimeoutFormError>) {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, text.parse().unwrap());
        assert_eq!(grpc_timeout(&headers), expected.map(Some), "{text:?}");
    }

    #[test]
    fn every_unit_is_understood() {
        check("2H", Ok(Duration::from_secs(7_200)));
        check("3M", Ok(Duration::from_secs(180)));
        check("42S", Ok(Duration::from_secs(42)));
        check("13m", Ok(Duration::from_millis(13)));
        check("2u", Ok(Duration::from_micros(2)));
        check("82n", Ok(Duration::from_nanos(82)));
        check("0m", Ok(Duration::ZERO));
        check("99999999H", Ok(Duration::from_secs(99_999_999 * 3_600)));
        assert_eq!(grpc_timeout(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "m",
            "82",
            "1s",
            "1h",
            "82f",
            "-1m",
            "+1m",
            "1.5S",
            " 1m",
            "1 m",
            "1mm",
            "123456789H",
            "1é",
        ] {
            check(bad, Err(TimeoutFormError));
        }
    }

    #[track_caller]
    fn check_effort(
        grpc_ms: Option<u64>,
        deadline_ms: Option<u32>,
        passed_us: u64,
        expected: Effort,
    ) {
        let config = DeadlineConfig {
            default_ms: 100,
            model_ms_min: 2,
        };
        let arrived = Instant::now();
        let grpc = grpc_ms.map(Duration::from_millis);
        let deadline = Deadline::new(arrived, grpc, deadline_ms, &config);
        let now = arrived + Duration::from_micros(passed_us);
        let found = deadline.effort(now, &config);
        assert_eq!(found, expected, "{grpc_ms:?} {deadline_ms:?} {passed_us}");
    }

    #[test]
    fn the_tighter_deadline_decides_how_much_is_done() {
        use Effort::{Full, Nothing, PriorOnly};
        check_effort(None, None, 98_000, Full);
        check_effort(None, None, 98_001, PriorOnly);
        check_effort(None, None, 100_000, Nothing);
        check_effort(Some(50), Some(20), 18_000, Full);
        check_effort(Some(20), Some(50), 18_001, PriorOnly);
        check_effort(Some(20), None, 20_000, Nothing);
        check_effort(None, Some(20), 90_000, Nothing);
        check_effort(None, Some(500), 200_000, Full);
        check_effort(None, Some(0), 0, Nothing);
        check_effort(Some(u64::MAX), None, 200_000, Full);
    }
}
