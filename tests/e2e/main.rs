//! Black-box tests: one module per promise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod exchange;
mod layers;
mod revoked;
mod vectors;
