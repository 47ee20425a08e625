//! What the commands do, one file each; `main` parses their arguments.

pub mod catalog;
//! The commands, one file each.

pub mod keys;
