//! The control plane: prepares what the data path reads, and swaps it in whole.

pub mod bind;
