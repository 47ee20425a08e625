//! What a listener tolerates, setting by setting.

use serde::{Deserialize, Serialize};

/// The limits and timers of one listening socket; a section of the configuration file.
///
/// Times are in milliseconds. The defaults suit a port that strangers can reach: without timers of
/// our own, hyper waits for ever for a first byte and a slow reader keeps its answer in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerConfig {
    /// Connections open at once; more are closed as soon as they are accepted.
    pub connections_max: usize,
    /// Connections open at once from one address (an IPv6 /64 counts as one). Loopback is exempt:
    /// whatever runs on this machine (a proxy, a load test) is the operator's own.
    pub connections_per_ip_max: usize,
    /// Connections the kernel keeps waiting until they are accepted.
    pub backlog: u32,
    /// A new connection must send something within this time.
    pub first_byte_ms: u64,
    /// A request's header must be complete this long after its first byte (HTTP/1), and the
    /// connection preface likewise (HTTP/2).
    pub header_ms: u64,
    /// A request's whole body must have arrived this long after its header. For gRPC it holds for
    /// each message, because a stream of them may live long.
    pub body_ms: u64,
    /// A connection without a request in flight is closed after this time, and so is a gRPC stream
    /// whose client has been silent this long while the server waits for a message.
    pub idle_ms: u64,
    /// A connection is closed gracefully at this age, so that clients spread over new nodes. What
    /// is in flight has `drain_ms_max` to finish; a gRPC stream open longer is cut and reopened.
    pub age_ms: u64,
    /// How far the age varies from one connection to the next, in percent: clients that came
    /// together must not leave together.
    pub age_jitter_percent: u64,
    /// A reader that takes nothing for this long loses its connection.
    pub write_stall_ms: u64,
    /// A draining connection is cut after this time.
    pub drain_ms_max: u64,
    /// HTTP/1: bytes of a request's header, and of the connection's buffers.
    pub h1_buffer_bytes: usize,
    /// HTTP/1: header lines in a request.
    pub h1_headers_max: usize,
    /// HTTP/2: requests in flight on one connection.
    pub h2_streams_max: u32,
    /// HTTP/2: bytes a client may send ahead on one stream. hyper's default of 1 MiB would let
    /// 10,000 connections pin 10 GiB.
    pub h2_stream_window_bytes: u32,
    /// HTTP/2: bytes a client may send ahead on one connection.
    pub h2_connection_window_bytes: u32,
    /// HTTP/2: bytes of a request's header list.
    pub h2_header_list_bytes: u32,
    /// HTTP/2: streams a client may reset before we have looked at them (rapid reset,
    /// CVE-2023-44487); more closes the connection.
    pub h2_pending_resets_max: usize,
    /// HTTP/2: streams we may have to reset for a client's errors (RUSTSEC-2024-0003); more closes
    /// the connection.
    pub h2_error_resets_max: usize,
    /// HTTP/2: how often a ping asks whether the client still lives.
    pub h2_ping_ms: u64,
    /// HTTP/2: how long the answer to a ping may take.
    pub h2_ping_timeout_ms: u64,
}

impl Default for ListenerConfig {
    fn default() -> ListenerConfig {
        ListenerConfig {
            connections_max: 10_000,
            connections_per_ip_max: 200,
            backlog: 1_024,
            first_byte_ms: 5_000,
            header_ms: 5_000,
            body_ms: 10_000,
            idle_ms: 60_000,
            age_ms: 600_000,
            age_jitter_percent: 10,
            write_stall_ms: 10_000,
            drain_ms_max: 20_000,
            h1_buffer_bytes: 16 * 1_024,
            h1_headers_max: 64,
            h2_streams_max: 100,
            h2_stream_window_bytes: 64 * 1_024,
            h2_connection_window_bytes: 128 * 1_024,
            h2_header_list_bytes: 16 * 1_024,
            h2_pending_resets_max: 20,
            h2_error_resets_max: 64,
            h2_ping_ms: 20_000,
            h2_ping_timeout_ms: 10_000,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {found}; it must be from {min} to {max}")]
pub struct ListenerConfigError {
    /// The setting's name.
    pub field: &'static str,
    /// What it was set to.
    pub found: u64,
    /// The smallest value that works.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl ListenerConfig {
    /// Refuses values that would make the listener useless or hyper panic.
    ///
    /// # Errors
    ///
    /// Names the first setting that is out of range.
    pub fn check(&self) -> Result<(), ListenerConfigError> {
        // A day: longer than any timer here can mean.
        const DAY_MS: u64 = 86_400_000;
        // The largest window RFC 9113 allows.
        const WINDOW_MAX: u64 = (1 << 31) - 1;
        const MIB: u64 = 1 << 20;
        let rules = [
            ("connections_max", self.connections_max as u64, 1, MIB),
            (
                "connections_per_ip_max",
                self.connections_per_ip_max as u64,
                1,
                MIB,
            ),
            ("backlog", u64::from(self.backlog), 1, 65_535),
            ("first_byte_ms", self.first_byte_ms, 1, DAY_MS),
            ("header_ms", self.header_ms, 1, DAY_MS),
            ("body_ms", self.body_ms, 1, DAY_MS),
            ("idle_ms", self.idle_ms, 1, DAY_MS),
            ("age_ms", self.age_ms, 1, DAY_MS),
            ("age_jitter_percent", self.age_jitter_percent, 0, 50),
            ("write_stall_ms", self.write_stall_ms, 1, DAY_MS),
            ("drain_ms_max", self.drain_ms_max, 0, DAY_MS),
            // hyper panics below 8 KiB.
            ("h1_buffer_bytes", self.h1_buffer_bytes as u64, 8_192, MIB),
            ("h1_headers_max", self.h1_headers_max as u64, 1, 1_000),
            ("h2_streams_max", u64::from(self.h2_streams_max), 1, 10_000),
            (
                "h2_stream_window_bytes",
                u64::from(self.h2_stream_window_bytes),
                1_024,
                WINDOW_MAX,
            ),
            (
                "h2_connection_window_bytes",
                u64::from(self.h2_connection_window_bytes),
                65_535,
                WINDOW_MAX,
            ),
            (
                "h2_header_list_bytes",
                u64::from(self.h2_header_list_bytes),
                1_024,
                MIB,
            ),
            (
                "h2_pending_resets_max",
                self.h2_pending_resets_max as u64,
                1,
                MIB,
            ),
            (
                "h2_error_resets_max",
                self.h2_error_resets_max as u64,
                1,
                MIB,
            ),
            ("h2_ping_ms", self.h2_ping_ms, 1, DAY_MS),
            ("h2_ping_timeout_ms", self.h2_ping_timeout_ms, 1, DAY_MS),
        ];
        for (field, found, min, max) in rules {
            if !(min..=max).contains(&found) {
                return Err(ListenerConfigError {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(ListenerConfig::default().check(), Ok(()));
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let config = ListenerConfig {
            h1_buffer_bytes: 8_191,
            ..ListenerConfig::default()
        };
        let error = config.check().unwrap_err();
        assert_eq!(
            error.to_string(),
            "h1_buffer_bytes is 8191; it must be from 8192 to 1048576"
        );
    }

    #[test]
    fn unknown_settings_are_errors_and_absent_ones_defaults() {
        let config: ListenerConfig = toml::from_str("idle_ms = 7").unwrap();
        assert_eq!(config.idle_ms, 7);
        assert_eq!(config.body_ms, ListenerConfig::default().body_ms);
        let error = toml::from_str::<ListenerConfig>("idel_ms = 7").unwrap_err();
        assert!(error.to_string().contains("idel_ms"), "{error}");
    }
}
