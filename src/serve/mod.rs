//! Bytes in, bytes out: who may ask, how much, how fast, and what proves that an offer was shown.
//!
//! Nothing here decides anything. `service` is what both doors (`http`, `grpc`) have in common.

pub mod admission;
pub mod api_key;
pub mod auth;
pub mod context;
pub mod cors;
pub mod deadline;
mod entries;
mod front;
mod grpc;
mod http;
pub mod idempotency;
pub mod key_file;
pub mod keys;
mod names;
mod overload;
mod probe;
mod service;
mod stamp;
pub mod token;
mod unread;
pub mod wire;

pub use front::Front;
pub use grpc::{SERVICES, routes};
pub use http::{File, Public, router};
pub use probe::{watch, watch_by};
pub use service::{Asked, DecisionConfig, DecisionConfigError, Service, Tracked};
pub use stamp::now;
