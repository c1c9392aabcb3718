//! Policies as they are kept and activated.

use shortbread_protocol::clock::Timestamp;

/// A policy to keep.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    /// Its exact bytes, as they are compiled.
    pub bundle: Vec<u8>,
    /// SHA-256 over them.
    pub digest: [u8; 32],
    /// Who wrote it.
    pub author: String,
    /// When it was taken in.
    pub at: Timestamp,
}

/// A policy that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Its number, from 1.
    pub n: u64,
    /// SHA-256 over its bytes.
    pub digest: [u8; 32],
    /// Who wrote it.
    pub author: String,
    /// When it was taken in.
    pub at: Timestamp,
}

/// How a policy came to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyAction {
    /// Forward.
    Activate,
    /// Back to an earlier one.
    Rollback,
}

impl PolicyAction {
    pub(in crate::store) const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Rollback => "rollback",
        }
    }
}

/// A policy to make active.
#[derive(Clone, Debug)]
pub struct Activate {
    /// The version's number.
    pub version: u64,
    /// Who does it.
    pub operator: String,
    /// Forward or back.
    pub action: PolicyAction,
    /// When.
    pub at: Timestamp,
}

/// One activation of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activation {
    /// Its number, from 1.
    pub n: u64,
    /// The policy version.
    pub version: u64,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub operator: String,
    /// Forward or back.
    pub action: PolicyAction,
}

/// The policy that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivePolicy {
    /// The version.
    pub version: PolicyVersion,
    /// Its exact bytes.
    pub bundle: Vec<u8>,
    /// Since when and by whom.
    pub activation: Activation,
}
