//! The operators' port: catalog, models, records, delivery and metrics, over HTTP and gRPC.
//!
//! Nothing here is on the path of a decision, and nothing here answers on the public port. What takes
//! long (checking a model, reading the journal) runs on threads kept for waiting, not on those that
//! answer customers.

mod grpc;
mod http;
mod models;
mod operator;
mod problem;

pub use grpc::{SERVICES, routes};
pub use http::router;
pub use operator::{Authorize, Delivery, Learning, Operator, Parts};
pub use problem::Problem;
