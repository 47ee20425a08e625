//! Bytes in, bytes out: the doors through which requests come.

pub mod wire;
