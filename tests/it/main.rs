//! Integration tests: one binary, a module per question.

mod explore;
mod model;
