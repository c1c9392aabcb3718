//! The broker as a library: exchange, revoke, publish, audit, and the HTTP around them.

pub mod identity;
pub mod policy;
pub mod store;
