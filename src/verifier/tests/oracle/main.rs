//! Holds the native evaluation equal to biscuit-auth's own authorizer, and both crates' bytes to one reading.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say so"
)]

mod bytes;
mod chain;
#[expect(dead_code, reason = "the protocol's own tests use all of it")]
#[path = "../../../protocol/keys/tests/edge.rs"]
mod edge;
mod equal;
mod generate;
mod hostile;
mod later;
mod model;
mod narrowing;
mod samples;
mod stock;
