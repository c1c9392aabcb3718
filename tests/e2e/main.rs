//! Black-box tests: one module per promise.

mod durable;
mod exchange;
mod program;
