//! Who the customers are, how they live through a visit, and what is said on the way.
//!
//! Knows nothing of connections: whoever leads a visit brings a [`walk::Line`] to the server.

pub mod customers;
pub mod dice;
pub mod message;
mod page;
pub mod proto;
pub mod visitor;
pub mod walk;
