//! Black-box tests: one module per promise.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod bad_input;
mod bad_setup;
mod durable;
mod exchange;
mod hardening;
mod layers;
mod limits;
mod openapi;
mod policy_life;
mod program;
mod revoked;
mod strangers;
mod vectors;
