//! `offerd simulate`: appointments whose truth is known, and what policies make of them.
//!
//! What a policy would have earned can be estimated from a log, but what it cost to learn cannot: that depends on
//! what it showed itself. Here customers, offers, seasons and delays are made up (customers and what they
//! want from real ones, where there is a table), so every decision can be held against the best one.
//! Explorers and learning layers are the server's own.
//!
//! [`World`] is the truth, [`play()`] lets one policy live in it, [`study`] compares policies over several worlds.

mod customers;
mod labels;
mod learner;
mod picture;
mod play;
mod policy;
mod pushed;
mod study;
mod visits;
pub mod week;
mod world;

pub use customers::{CUSTOMERS_MIN, Customers, TableError};
pub use labels::Labels;
pub use learner::{Base, Learner};
pub use picture::picture;
pub use play::{AFTER, BINS, Earned, Played, play};
pub use policy::Policy;
pub use pushed::Pushed;
pub use study::{Comparison, Interval, Plan, Progress, Study, study};
pub use visits::Look;
pub use world::{Offer, Setup, World};
