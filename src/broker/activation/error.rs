//! Why a policy was not taken in or put in force.

use shortbread_protocol::names::WorkflowName;
use thiserror::Error;

use crate::policy::Problem;
use crate::store::{ActivateError, StoreError};

/// Why a policy was not taken in or put in force.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// The file cannot be read.
    #[error(
        "the policy {path} cannot be read: {cause}; put it there, or correct `policy` in the configuration"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It does not pass its checks.
    #[error("{}", problems(.0))]
    Problems(Vec<Problem>),
    /// A stored version can no longer be read.
    #[error("policy version {0} in the store is damaged")]
    Damaged(u64),
    /// No such version.
    #[error("there is no policy version {0}; `shortbread policy history` lists them")]
    Unknown(u64),
    /// Nothing to go back to.
    #[error("no earlier policy was in force; there is nothing to roll back to")]
    NoEarlier,
    /// Never in force, so no rollback.
    #[error("policy version {0} was never in force; use `shortbread policy activate {0}`")]
    NeverActive(u64),
    /// A version that is in force for all cannot be tried.
    #[error("policy version {0} is in force for everyone already; there is nothing to try")]
    InForce(u64),
    /// A version that was the first cannot be watched: there is nothing to go back to.
    #[error(
        "policy version {0} is in force already and nothing was before it: a watch could not take it back; leave `--watch` out"
    )]
    Unwatchable(u64),
    /// The trial is over.
    #[error("the trial of version {0} is over: something else was activated meanwhile; look, and try again")]
    Over(u64),
    /// Nothing is in force that a trial could go back to.
    #[error("no policy is in force yet; activate a version for all first")]
    NothingBefore,
    /// Another version came into force meanwhile.
    #[error("version {0} is no longer in force: something else was activated meanwhile; look, and try again")]
    Moved(u64),
    /// A workflow that the version does not know.
    #[error("version {version} has no workflow {workflow}; `--for` takes workflows that its identities name")]
    UnknownWorkflow {
        /// The version.
        version: u64,
        /// The workflow.
        workflow: WorkflowName,
    },
    /// A second operator is needed.
    #[error("version {version} {}: another operator must activate it too, within an hour", .why.join("; "))]
    SecondOperator {
        /// The version.
        version: u64,
        /// What it changes or loosens.
        why: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ActivationError {
    pub(super) fn of(error: ActivateError) -> Self {
        match error {
            ActivateError::UnknownVersion(version) => Self::Unknown(version),
            ActivateError::NothingBefore => Self::NothingBefore,
            ActivateError::Store(error) => Self::Store(error),
        }
    }
}

fn problems(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
