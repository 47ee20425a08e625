//! What is learnt from events, from records to what decisions believe.

#![expect(
    clippy::unwrap_used,
    reason = "a test that unwraps what is not there fails, as it should"
)]

mod attribution;
mod beliefs;
mod budget;
mod crash;
mod delay;
mod forms;
mod process;
mod world;
