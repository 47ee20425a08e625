//! offerd decides which offer a customer should see while waiting for a technician.
//!
//! Read `decide` first: the whole product on one screen. Everything else feeds it or carries its
//! answer away.

pub mod cmd;
pub mod control;
pub mod decide;
pub mod domain;
pub mod learn;
pub mod model;
