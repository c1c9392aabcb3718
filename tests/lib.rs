//! Harness for black-box tests: a broker in process on port 0, keys and a clock in hand, a client that signs in.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod client;
pub mod process;
mod world;

pub use client::{Answer, assertion};
pub use world::{POLICY, World, WorldBuilder};
