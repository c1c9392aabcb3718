//! Black-box tests: one module per promise.

mod bad_input;
mod exchange;
mod layers;
mod openapi;
mod revoked;
mod strangers;
