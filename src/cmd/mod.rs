//! What the commands do, one file each; `main` parses their arguments.

pub mod bandit;
pub mod catalog;
pub mod csv;
pub mod evaluate;
pub mod export;
pub mod keys;
pub mod learn;
pub mod model;
pub mod registry;
pub mod replay;
pub mod serve;
pub mod simulate;
pub mod train;
