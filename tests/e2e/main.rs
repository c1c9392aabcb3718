//! Black-box tests: one module per promise.

mod exchange;
mod layers;
mod openapi;
mod revoked;
mod strangers;
