//! What a listener counts. Plain atomics: whoever renders metrics reads them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a connection was closed before its client wanted it, or a request's body given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Nothing came.
    FirstByte,
    /// A header was begun and not finished.
    Header,
    /// A body, or one gRPC message, was begun and not finished.
    Body,
    /// No request came.
    Idle,
    /// The reader took nothing.
    WriteStall,
    /// The connection was old.
    Age,
    /// The drain took too long.
    Drain,
}

impl Timeout {
    /// Every kind, in order.
    pub const ALL: [Timeout; 7] = [
        Timeout::FirstByte,
        Timeout::Header,
        Timeout::Body,
        Timeout::Idle,
        Timeout::WriteStall,
        Timeout::Age,
        Timeout::Drain,
    ];

    /// The word it goes by in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Timeout::FirstByte => "first_byte",
            Timeout::Header => "header",
            Timeout::Body => "body",
            Timeout::Idle => "idle",
            Timeout::WriteStall => "write_stall",
            Timeout::Age => "age",
            Timeout::Drain => "drain",
        }
    }
}

/// Counters of one listener since it was bound.
#[derive(Debug, Default)]
pub struct ListenerStats {
    pub(super) accepted: AtomicU64,
    pub(super) refused_full: AtomicU64,
    pub(super) refused_per_ip: AtomicU64,
    pub(super) accept_errors: AtomicU64,
    pub(super) active: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) panics: AtomicU64,
    timeouts: [AtomicU64; Timeout::ALL.len()],
}

impl ListenerStats {
    /// Connections taken on.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Connections closed at once because `connections_max` were open.
    #[must_use]
    pub fn refused_full(&self) -> u64 {
        self.refused_full.load(Relaxed)
    }

    /// Connections closed at once because their address had `connections_per_ip_max` open.
    #[must_use]
    pub fn refused_per_ip(&self) -> u64 {
        self.refused_per_ip.load(Relaxed)
    }

    /// Failures of `accept` itself, such as too many open files.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn active(&self) -> u64 {
        self.active.load(Relaxed)
    }

    /// Requests whose header was read.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Requests answered with 500 because their handler panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// How often a timer of that kind ran out.
    #[must_use]
    pub fn timeouts(&self, kind: Timeout) -> u64 {
        self.timeouts[kind as usize].load(Relaxed)
    }

    pub(super) fn timed_out(&self, kind: Timeout) {
        self.timeouts[kind as usize].fetch_add(1, Relaxed);
    }
}
