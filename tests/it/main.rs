//! One binary for every test that uses the product as a whole.

mod journal;
mod simulation;
