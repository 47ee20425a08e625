//! One binary for every test that uses the product as a whole.

mod journal;
mod redis_server;
mod simulation;
mod sink;
