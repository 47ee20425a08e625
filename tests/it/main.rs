//! Every integration test, in one binary: it links once.
#![expect(
    clippy::unwrap_used,
    reason = "clippy knows test functions only, and these tests have helpers"
)]

mod transport;
