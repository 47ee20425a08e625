//! The wire contract, generated from `offerd/v1/*.proto`.
