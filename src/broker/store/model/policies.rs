//! Policies as they are kept and activated.

use std::collections::BTreeSet;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;

use super::AuditEntry;

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
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::Rollback => "rollback",
        }
    }
}

/// A policy to make active, or to try.
#[derive(Clone, Debug)]
pub struct Activate {
    /// The version's number.
    pub version: u64,
    /// For whom; `None`: for all.
    pub workflows: Option<BTreeSet<WorkflowName>>,
    /// How long it is watched; `None`: it is not.
    pub until: Option<Timestamp>,
    /// The version that its trial goes back to; `None`: the one that is active now.
    pub back_to: Option<u64>,
    /// Who does it.
    pub operator: String,
    /// Forward or back.
    pub action: PolicyAction,
    /// When.
    pub at: Timestamp,
    /// What the audit log says of the trial that this ends; not written where none is open.
    pub ended: Option<AuditEntry>,
}

impl Activate {
    /// How it ends an open trial of this version.
    #[must_use]
    pub fn ends(&self, tried: u64) -> TrialOutcome {
        match self.action {
            PolicyAction::Rollback => TrialOutcome::RolledBack,
            PolicyAction::Activate if self.workflows.is_none() && self.version == tried => {
                TrialOutcome::Activated
            }
            PolicyAction::Activate => TrialOutcome::Replaced,
        }
    }
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

/// A version that is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its number, from 1.
    pub n: u64,
    /// The version.
    pub version: u64,
    /// The version that it goes back to.
    pub before: u64,
    /// For whom; `None`: for all, the version is in force.
    pub workflows: Option<BTreeSet<WorkflowName>>,
    /// Since when.
    pub at: Timestamp,
    /// How long it is watched; `None`: it is not.
    pub until: Option<Timestamp>,
    /// Who began it.
    pub operator: String,
    /// When and how it ended.
    pub ended: Option<(Timestamp, TrialOutcome)>,
}

/// How the trial of a version ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialOutcome {
    /// It was watched for as long as it should be, and stays in force.
    Kept,
    /// It was put in force for all.
    Activated,
    /// Another version was put in force or tried instead.
    Replaced,
    /// It was taken back.
    RolledBack,
}

impl TrialOutcome {
    const ALL: [Self; 4] = [Self::Kept, Self::Activated, Self::Replaced, Self::RolledBack];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Activated => "activated",
            Self::Replaced => "replaced",
            Self::RolledBack => "rolled_back",
        }
    }

    pub(in crate::store) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == word)
    }
}
