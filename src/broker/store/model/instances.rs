//! Running instances of verifiers: what the store keeps of them.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{ToolName, VerifierName};

use super::{AuditEntry, Replay};

/// A lease: who an instance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The RFC 7638 thumbprint of its key.
    pub instance: String,
    /// Its Ed25519 key.
    pub key: [u8; 32],
    /// The verifier that it is an instance of.
    pub verifier: VerifierName,
    /// Names what the policy demanded as proof of the verifier when the lease was given.
    pub proof: [u8; 32],
    /// The tools whose calls the verifier decided then.
    pub tools: Vec<ToolName>,
    /// What people call the instance.
    pub label: Option<String>,
    /// When it began.
    pub since: Timestamp,
}

/// How far an instance had come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The number of its last message; the next is higher.
    pub n: u64,
    /// The sequence of the last head it applied.
    pub seq: u64,
    /// The sequence of the last change it applied.
    pub contents: u64,
    /// The version of its key document.
    pub keys_version: u64,
    /// When it was last heard.
    pub seen: Timestamp,
    /// Since when operators know that it is silent.
    pub silent: Option<Timestamp>,
    /// When it said goodbye.
    pub gone: Option<Timestamp>,
}

/// An instance that is about to be told that it has its lease.
#[derive(Clone, Debug)]
pub struct NewLease {
    /// The verifier's assertion.
    pub replay: Option<Replay>,
    /// The lease.
    pub lease: Lease,
    /// How far it is: all zero, but for one that had a lease before.
    pub progress: Progress,
    /// Instances that are forgotten for it.
    pub evicted: Vec<String>,
    /// The audit entry.
    pub audit: AuditEntry,
}
