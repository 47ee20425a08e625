//! The integration tests: one binary, one module per question.

mod growthbook;
mod transport;
