//! Bytes in, bytes out: who may ask, how much, how fast, and what proves that an offer was shown.
//!
//! Nothing here decides anything.

pub mod admission;
pub mod api_key;
pub mod auth;
pub mod context;
pub mod cors;
pub mod deadline;
pub mod idempotency;
pub mod key_file;
pub mod keys;
pub mod token;
