//! Ships the journal to Redis Streams, exactly once.
//!
//! Nothing waits for this part: it follows the journal on a thread of its own, and when Redis is
//! away, slow or wrong the journal grows and nothing else happens. It buffers nothing but the rounds
//! on their way.
//!
//! Exactly once rests on three things. Every entry's id in its stream is its position in the journal,
//! so Redis itself refuses what it has. Every batch is compared with the stream's top and appended to
//! it in one script (`wire`), so no hole can be made. And on any doubt the stream is asked for its top (`shipper`), so
//! nothing needs to be remembered for certain.
//!
//! `shipper` decides (with the words of `steps`), `wire` says what is said and why that is safe,
//! `dialogue` says when, `lane` does over a `connection` that speaks `resp`, `redis` has them work and
//! `report` tells;
//! `saved` is the checkpoint, `window` what the journal keeps, `server` what the other end promises.

mod config;
mod connection;
mod dialogue;
mod error;
mod handle;
mod lane;
mod redis;
mod report;
mod resp;
mod saved;
mod server;
mod shipper;
#[cfg(test)]
mod simulation;
mod status;
mod steps;
mod window;
mod wire;

pub use config::{ConfigError, RedisConfig};
pub use error::ErrorCode;
pub use handle::{Sink, SinkHandle};
pub use saved::StartError;
pub use server::Server;
pub use status::{BlockedStream, Status};
pub use wire::STREAMS_KEY;
