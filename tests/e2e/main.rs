//! Black-box tests: one module per promise.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on has failed"
)]

mod acknowledged;
mod alerts;
mod any_bytes;
mod approvals;
mod arguments;
mod bad_identity;
mod bad_input;
mod bad_setup;
mod break_glass;
mod budgets;
mod console;
mod console_lists;
mod console_oidc;
mod console_signals;
mod descent;
mod dpop;
mod durable;
mod emergency;
mod exchange;
mod exported;
mod full_disk;
mod gated;
mod given_back;
mod hardening;
mod heads;
mod health;
mod identities;
mod inputs;
mod introspect;
mod issuers_down;
mod ladder;
mod layers;
mod lifted;
mod limits;
mod log;
mod loosened;
mod mirrors;
mod never_wider;
mod observed;
mod openapi;
mod operators;
mod paged;
mod pipeline;
mod policy_life;
mod policy_tools;
mod program;
mod proof;
mod pushed;
mod reports;
mod restored;
mod retries;
mod reuse;
mod revoked;
mod rotation;
mod secrets;
mod strangers;
mod told;
mod tried;
mod tripwires;
mod uploaded;
mod vectors;
mod watched;
mod workflows;
