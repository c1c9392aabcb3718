//! Black-box tests: one module per promise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets what it does not expect has failed"
)]

mod bad_identity;
mod bad_input;
mod bad_setup;
mod exchange;
mod given_back;
mod heads;
mod layers;
mod limits;
mod never_wider;
mod openapi;
mod operators;
mod policy_life;
mod revoked;
mod secrets;
mod strangers;
