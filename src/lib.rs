//! offerd decides which offer a customer should see while waiting for a technician.
//!
//! Read `decide` first: the whole product on one screen. Everything else feeds it or carries its
//! answer away.

pub mod admin;
pub mod app;
pub mod cmd;
pub mod config;
pub mod control;
pub mod decide;
pub mod domain;
pub mod journal;
pub mod learn;
pub mod ledger;
pub mod listener;
pub mod model;
pub mod serve;
pub mod telemetry;
pub mod web;
