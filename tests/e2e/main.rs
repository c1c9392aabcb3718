//! Black-box tests: one module per promise.

mod bad_input;
mod bad_setup;
mod exchange;
mod layers;
mod limits;
mod never_wider;
mod openapi;
mod policy_life;
mod revoked;
mod secrets;
mod strangers;
