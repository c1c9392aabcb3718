//! The broker as a library: exchange, revoke, publish, audit, and the HTTP around them.

pub mod activation;
pub mod audit;
pub mod break_glass;
pub mod breaker;
pub mod broker;
pub mod config;
pub mod decisions;
mod delimited;
pub mod exchange;
pub mod http;
pub mod identity;
pub mod instances;
pub mod introspect;
pub mod keyring;
pub mod limits;
pub mod mint;
pub mod notices;
pub mod policy;
pub mod proofs;
pub mod publish;
pub mod revoke;
pub mod rotation;
pub mod setup;
pub mod signer;
pub mod store;
pub mod telemetry;
pub mod verifiers;
