//! The control plane: prepares what decisions read, and never answers a customer itself.

pub mod catalog;
