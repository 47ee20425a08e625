//! What Redis may answer instead of yes, as a closed set of codes.
//!
//! Counting and reacting need a code, a person needs the sentence: the code is made here, the
//! sentence goes to the log and the status as it came.

use crate::domain::vocabulary;

vocabulary! {
    /// Why a batch was not taken. The words are metric labels.
    ErrorCode {
        /// The reply did not come in time. Whether the batch was applied is unknown.
        Timeout = "timeout",
        /// The connection broke or could not be made.
        Io = "io",
        /// The stream's top was not where the batch begins, or did not stay there: it was flushed,
        /// restored or written to.
        Moved = "moved",
        /// `maxmemory` is reached and nothing may be evicted.
        Oom = "oom",
        /// Redis cannot persist and therefore refuses writes.
        Misconf = "misconf",
        /// A replica: writes go to its primary.
        Readonly = "readonly",
        /// Redis is reading its dump.
        Loading = "loading",
        /// A script or a module blocks the server.
        Busy = "busy",
        /// Fewer replicas than `min-replicas-to-write`.
        NoReplicas = "noreplicas",
        /// A replica without its primary.
        MasterDown = "masterdown",
        /// Not authenticated, or the password is wrong.
        NoAuth = "noauth",
        /// The user may not run the command or touch the key.
        NoPerm = "noperm",
        /// The key holds something that is not a stream.
        WrongType = "wrongtype",
        /// `maxclients` is reached.
        MaxClients = "maxclients",
        /// A cluster node: the slot is elsewhere, moving, or not served.
        Cluster = "cluster",
        /// Not Redis at all: the journal could not be read.
        Journal = "journal",
        /// A reply that is not what the command promises.
        Protocol = "protocol",
        /// Anything else.
        Other = "other",
    }
}

impl ErrorCode {
    /// The code of an error reply, from its first word and its sentence.
    #[must_use]
    pub fn of_reply(code: &str, details: &str) -> ErrorCode {
        match code {
            "OOM" => ErrorCode::Oom,
            "MISCONF" => ErrorCode::Misconf,
            "READONLY" => ErrorCode::Readonly,
            "LOADING" => ErrorCode::Loading,
            "BUSY" => ErrorCode::Busy,
            "NOREPLICAS" => ErrorCode::NoReplicas,
            "MASTERDOWN" => ErrorCode::MasterDown,
            "NOAUTH" | "WRONGPASS" => ErrorCode::NoAuth,
            "NOPERM" => ErrorCode::NoPerm,
            "WRONGTYPE" => ErrorCode::WrongType,
            "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "CROSSSLOT" => ErrorCode::Cluster,
            _ if details.contains("max number of clients") => ErrorCode::MaxClients,
            // An entry at or below the top: somebody else has written to the stream.
            _ if details.contains("equal or smaller") => ErrorCode::Moved,
            _ => ErrorCode::Other,
        }
    }

    /// The code of an error of the network.
    #[must_use]
    pub fn of_io(kind: std::io::ErrorKind) -> ErrorCode {
        match kind {
            std::io::ErrorKind::TimedOut => ErrorCode::Timeout,
            _ => ErrorCode::Io,
        }
    }

    /// Whether only another connection can help: the server is, or has become, the wrong one, or
    /// what it said cannot be matched to what was asked.
    #[must_use]
    pub fn ends_connection(self) -> bool {
        matches!(
            self,
            ErrorCode::Timeout
                | ErrorCode::Io
                | ErrorCode::Readonly
                | ErrorCode::Loading
                | ErrorCode::MasterDown
                | ErrorCode::NoAuth
                | ErrorCode::MaxClients
                | ErrorCode::Cluster
                | ErrorCode::Protocol
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_of_the_catalogue_has_its_code() {
        let cases = [
            ("OOM", "command not allowed", ErrorCode::Oom),
            ("MISCONF", "Redis is configured to save", ErrorCode::Misconf),
            ("READONLY", "You can't write", ErrorCode::Readonly),
            ("LOADING", "Redis is loading", ErrorCode::Loading),
            ("CLUSTERDOWN", "Hash slot not served", ErrorCode::Cluster),
            ("TRYAGAIN", "Multiple keys", ErrorCode::Cluster),
            ("NOREPLICAS", "Not enough", ErrorCode::NoReplicas),
            ("NOAUTH", "Authentication required.", ErrorCode::NoAuth),
            ("NOPERM", "this user has no", ErrorCode::NoPerm),
            ("WRONGTYPE", "Operation against", ErrorCode::WrongType),
            (
                "ERR",
                "max number of clients reached",
                ErrorCode::MaxClients,
            ),
            ("ERR", "unknown command", ErrorCode::Other),
        ];
        for (code, details, expected) in cases {
            assert_eq!(
                ErrorCode::of_reply(code, details),
                expected,
                "{code} {details}"
            );
        }
    }
}
