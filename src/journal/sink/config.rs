//! The `[redis]` section: where entries are shipped to, and what happens at each limit.

use serde::{Deserialize, Serialize};

/// How entries get to Redis. Every field has a default; an unknown key is an error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host[:port][/db]` or `redis+unix:///path`. One primary; its name may
    /// be resolved anew at every connection. Default empty: entries stay in the journal.
    pub url: String,
    /// Streams per node, 1 to 100 (the key has two digits). Entries of one decision share a stream.
    /// Changing it moves entries between streams, so the sink refuses a checkpoint of another
    /// number. Default 16.
    pub partitions: u16,
    /// Entries of one stream that are applied by one transaction, 1 to 16,384. Redis answers nobody
    /// else while it applies them. Default 512: about 1 ms.
    pub batch_entries_max: usize,
    /// Entries of one round, over all streams, 1 to 65,536. Halved after a timeout and grown
    /// again, so that a slow Redis gets what it can take. Default 4,096.
    pub round_entries_max: usize,
    /// Bytes of one round as the journal has them, 1 KiB to 64 MiB. As JSON they are up to three times as many; memory is
    /// about seven times this for each round in flight. Default 2 MiB.
    pub round_bytes_max: usize,
    /// Rounds begun before the first has ended, 1 to 16. Default 2: one is answered while the next is
    /// sent.
    pub rounds_in_flight_max: usize,
    /// Connections that share the streams, 1 to 16. Each waits for an answer once a batch, so a Redis
    /// that is far away needs more. Default 2: one sends while the other waits.
    pub connections: usize,
    /// How long the first entry after a pause waits for others to share its round trip with, at most
    /// 10,000. 0 sends at once. Default 5.
    pub batch_age_ms_max: u64,
    /// Longest wait for a connection, 1 to 60,000. Default 1,000.
    pub connect_timeout_ms: u64,
    /// Longest wait for a round trip's answers, 1 to 60,000. After it nothing is known of the round
    /// trip: the connection is given up and every stream asked for its top. Default 500.
    pub response_timeout_ms: u64,
    /// Upper bound of the first wait before trying again; doubled with every failure. The wait is
    /// uniform below the bound. Default 50.
    pub retry_ms_min: u64,
    /// Upper bound of every wait before trying again, at most 600,000. Default 5,000.
    pub retry_ms_max: u64,
    /// While there is nothing to ship, every stream's top is asked for this often, so that a Redis
    /// that lost its data is filled again without waiting for traffic. 100 to 3,600,000. Default
    /// 10,000.
    pub idle_check_ms: u64,
    /// Each stream is trimmed to about this many entries (`MAXLEN ~`). Default 0, never: trimming
    /// takes entries away whether or not a consumer has read them, and only the operator knows the
    /// slowest consumer. Redis' memory is then the limit: about 165 B plus the record per entry;
    /// set this, or trim with `XTRIM … MINID` once everything has been read.
    pub stream_entries_max: u64,
    /// The journal is told to keep this much more than what is shipped, in milliseconds, because
    /// Redis may lose what it has acknowledged (a restart from its last dump, a failover) and only
    /// the journal can fill it up again. Default 3,600,000: Redis' default `save 3600 1`.
    pub rewind_ms: u64,
    /// The checkpoint is written at most this often, 10 to 60,000. It may lag: what was sent after
    /// it is recognised by its id. Default 1,000.
    pub checkpoint_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> RedisConfig {
        RedisConfig {
            url: String::new(),
            partitions: 16,
            batch_entries_max: 512,
            round_entries_max: 4_096,
            round_bytes_max: 2 << 20,
            rounds_in_flight_max: 2,
            connections: 2,
            batch_age_ms_max: 5,
            connect_timeout_ms: 1_000,
            response_timeout_ms: 500,
            retry_ms_min: 50,
            retry_ms_max: 5_000,
            idle_check_ms: 10_000,
            stream_entries_max: 0,
            rewind_ms: 3_600_000,
            checkpoint_ms: 1_000,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis.{field} must be {expected}")]
pub struct ConfigError {
    /// The key.
    pub field: &'static str,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl RedisConfig {
    /// The URL without what must not be in a log.
    #[must_use]
    pub fn without_password(&self) -> String {
        let url = &self.url;
        match (url.find("://"), url.rfind('@')) {
            (Some(scheme), Some(at)) if scheme < at => {
                format!("{}://…{}", &url[..scheme], &url[at..])
            }
            _ => url.clone(),
        }
    }

    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        // Without a URL nothing is shipped, and nothing is wrong with that.
        let url_ok = self.url.is_empty() || redis::parse_redis_url(&self.url).is_some();
        let rules = [
            (
                url_ok,
                "url",
                "like redis://127.0.0.1:6379, or empty to ship nothing",
            ),
            (
                (1..=100).contains(&self.partitions),
                "partitions",
                "1 to 100",
            ),
            (
                (1..=16_384).contains(&self.batch_entries_max),
                "batch_entries_max",
                "1 to 16384",
            ),
            (
                (1..=65_536).contains(&self.round_entries_max),
                "round_entries_max",
                "1 to 65536",
            ),
            (
                (1 << 10..=64 << 20).contains(&self.round_bytes_max),
                "round_bytes_max",
                "1024 to 67108864",
            ),
            (
                (1..=16).contains(&self.rounds_in_flight_max),
                "rounds_in_flight_max",
                "1 to 16",
            ),
            (
                (1..=16).contains(&self.connections),
                "connections",
                "1 to 16",
            ),
            (
                self.batch_age_ms_max <= 10_000,
                "batch_age_ms_max",
                "0 to 10000",
            ),
            (
                (1..=60_000).contains(&self.connect_timeout_ms),
                "connect_timeout_ms",
                "1 to 60000",
            ),
            (
                (1..=60_000).contains(&self.response_timeout_ms),
                "response_timeout_ms",
                "1 to 60000",
            ),
            (
                (1..=self.retry_ms_max).contains(&self.retry_ms_min),
                "retry_ms_min",
                "1 to retry_ms_max",
            ),
            (
                self.retry_ms_max <= 600_000,
                "retry_ms_max",
                "at most 600000",
            ),
            (
                (100..=3_600_000).contains(&self.idle_check_ms),
                "idle_check_ms",
                "100 to 3600000",
            ),
            (
                self.rewind_ms <= 366 * 86_400_000,
                "rewind_ms",
                "0 to 31622400000",
            ),
            (
                (10..=60_000).contains(&self.checkpoint_ms),
                "checkpoint_ms",
                "10 to 60000",
            ),
        ];
        match rules.into_iter().find(|(ok, ..)| !ok) {
            Some((_, field, expected)) => Err(ConfigError { field, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        // There is no default address: without one nothing is shipped.
        let config = RedisConfig {
            url: "redis://127.0.0.1:6379".to_owned(),
            ..RedisConfig::default()
        };
        assert_eq!(config.check(), Ok(()));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let cases = [
            ("url = 'localhost'", "url"),
            ("url = ' '", "url"),
            ("partitions = 0", "partitions"),
            ("partitions = 101", "partitions"),
            ("batch_entries_max = 0", "batch_entries_max"),
            ("connections = 17", "connections"),
            ("response_timeout_ms = 0", "response_timeout_ms"),
            ("retry_ms_min = 6000", "retry_ms_min"),
        ];
        for (text, field) in cases {
            let url = if field == "url" {
                "localhost"
            } else {
                "redis://localhost"
            };
            let config = RedisConfig {
                url: url.to_owned(),
                ..toml::from_str(text).unwrap()
            };
            assert_eq!(config.check().unwrap_err().field, field, "{text}");
        }
        assert!(toml::from_str::<RedisConfig>("partition = 3").is_err());
    }
}
