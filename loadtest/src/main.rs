//! The load harness: a client like any other.

fn main() {}
