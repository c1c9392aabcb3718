//! Harness for black-box tests: a broker in process, keys and a clock in hand, a client that signs in, a tool service
//! that follows the list, an issuer of identities.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod browser;
mod client;
mod desk;
mod issuer;
mod loopback;
pub mod merkle;
mod operator;
pub mod process;
mod provider;
mod tool;
mod visitor;
mod world;

pub use browser::{Browser, Key, Look};
pub use client::{Answer, assertion, holder, jws};
pub use desk::{DESK, Desk, refund, verifier, with_verifiers};
pub use issuer::FakeIssuer;
pub use loopback::{Heard, Loopback, Reply};
pub use provider::Provider;
pub use tool::Tool;
pub use visitor::{Page, Visitor};
pub use world::{POLICY, World, WorldBuilder};
