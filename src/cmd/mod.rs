//! What the commands do, one file each; `main` parses their arguments.

pub mod catalog;
pub mod keys;
//! One file per command.

pub mod train;
