//! offerd from outside, one module per subject.

mod catalog;
mod growthbook;
