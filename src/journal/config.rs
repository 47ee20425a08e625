//! The `[journal]` section: what the journal may use, and what happens at each limit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::format::{HEADER_BYTES, RECORD_BYTES_MAX};

/// What a full disk costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WritePolicy {
    /// New entries are refused (events) or dropped (decisions) until space returns.
    #[default]
    Reject,
    /// The oldest segment is deleted, shipped or not, and its records are counted as lost.
    DropOldest,
}

/// The journal's limits. Every field has a default; an unknown key is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalConfig {
    /// Where the segments are: `journal` in the data folder. One process at a time, one node for ever.
    #[serde(skip)]
    pub dir: PathBuf,
    /// This node's name, 1 to 64 of `A-Z a-z 0-9 . _ -`. It is part of every stream's key, so the
    /// directory remembers it and refuses another. Set as `node.id`.
    #[serde(skip)]
    pub node: String,
    /// A segment of this length is followed by the next; deletion works in whole segments. It grows
    /// on while the next one is being made, to twice its length at most. 1 MiB + 92 B to 1 GiB.
    /// Default 64 MiB: a start scans it in well under a second.
    pub segment_bytes_max: u64,
    /// Entries waiting to be written. When full, decisions are dropped and counted and events are
    /// refused: nobody waits for the disk in a queue. Default 65,536: ten seconds of a slow disk.
    pub queue_entries_max: usize,
    /// Bytes waiting to be written, whichever limit is met first. Default 64 MiB.
    pub queue_bytes_max: usize,
    /// The longest time between `write` and `fdatasync` when nobody waits: what a power cut may
    /// cost, and how long readers lag behind. Default 100.
    pub flush_interval_ms: u64,
    /// How long a durable entry may wait for others to share its `fdatasync` with. Default 5.
    pub group_commit_ms_max: u64,
    /// A group of this size is synced at once. Default 64 KiB.
    pub group_commit_bytes: usize,
    /// Segments older than this are deleted once shipped. Default 35: beyond `dedup_days`.
    pub retain_days: u32,
    /// The directory never outgrows this by more than a segment: the oldest segment goes, and what
    /// was not shipped of it is counted as lost. Default 16 GiB.
    pub retain_bytes_max: u64,
    /// How long an idempotency key is remembered. Default 30.
    pub dedup_days: u32,
    /// Keys remembered at most, about 24 bytes each; beyond it the oldest go, counted. Default
    /// 4,000,000.
    pub dedup_keys_max: usize,
    /// What a full disk costs. Default `reject`.
    pub write_policy: WritePolicy,
}

impl Default for JournalConfig {
    fn default() -> JournalConfig {
        JournalConfig {
            dir: PathBuf::from("data/journal"),
            node: "node-1".to_owned(),
            segment_bytes_max: 64 << 20,
            queue_entries_max: 65_536,
            queue_bytes_max: 64 << 20,
            flush_interval_ms: 100,
            group_commit_ms_max: 5,
            group_commit_bytes: 64 << 10,
            retain_days: 35,
            retain_bytes_max: 16 << 30,
            dedup_days: 30,
            dedup_keys_max: 4_000_000,
            write_policy: WritePolicy::Reject,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal.{field} must be {expected}")]
pub struct ConfigError {
    /// The key.
    pub field: &'static str,
    /// What would have been accepted.
    pub expected: &'static str,
}

impl JournalConfig {
    /// # Errors
    /// The first setting outside its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let name_ok = (1..=64).contains(&self.node.len())
            && self
                .node
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let segment_min = (HEADER_BYTES + RECORD_BYTES_MAX) as u64;
        let rules = [
            (name_ok, "node", "1 to 64 of A-Z a-z 0-9 . _ -"),
            (
                (segment_min..=1 << 30).contains(&self.segment_bytes_max),
                "segment_bytes_max",
                "at least 1048668 (one record of the largest size) and at most 1 GiB",
            ),
            (
                (1..=1 << 24).contains(&self.queue_entries_max),
                "queue_entries_max",
                "1 to 16777216",
            ),
            (
                (RECORD_BYTES_MAX..=1 << 32).contains(&self.queue_bytes_max),
                "queue_bytes_max",
                "1048576 to 4294967296",
            ),
            (
                (1..=10_000).contains(&self.flush_interval_ms),
                "flush_interval_ms",
                "1 to 10000",
            ),
            (
                self.group_commit_ms_max <= 1_000,
                "group_commit_ms_max",
                "0 to 1000",
            ),
            (
                (1..=3650).contains(&self.retain_days),
                "retain_days",
                "1 to 3650",
            ),
            (
                self.retain_bytes_max >= self.segment_bytes_max,
                "retain_bytes_max",
                "at least segment_bytes_max",
            ),
            (
                (1..=self.retain_days).contains(&self.dedup_days),
                "dedup_days",
                "1 to retain_days (the index is rebuilt from what is retained)",
            ),
            (
                (1..=1 << 30).contains(&self.dedup_keys_max),
                "dedup_keys_max",
                "1 to 1073741824",
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
    fn the_defaults_are_in_range() {
        assert_eq!(JournalConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_bad_setting_is_named() {
        type Spoil = fn(&mut JournalConfig);
        let cases: [(&str, Spoil); 5] = [
            ("node", |c| c.node = "a b".to_owned()),
            ("node", |c| c.node.clear()),
            ("segment_bytes_max", |c| c.segment_bytes_max = 4096),
            ("retain_bytes_max", |c| c.retain_bytes_max = 1 << 20),
            ("dedup_days", |c| c.dedup_days = 36),
        ];
        for (field, spoil) in cases {
            let mut config = JournalConfig::default();
            spoil(&mut config);
            assert_eq!(config.check().map_err(|e| e.field), Err(field));
        }
    }

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<JournalConfig>("segment_bytes = 1").is_err());
        let config: JournalConfig = toml::from_str("write_policy = 'drop_oldest'").unwrap();
        assert_eq!(config.write_policy, WritePolicy::DropOldest);
    }
}
