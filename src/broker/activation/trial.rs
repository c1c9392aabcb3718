//! A version that is tried: for some workflows, or for all and watched.

use std::collections::BTreeSet;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;

use super::Ruling;
use super::error::ActivationError;
use crate::policy::Policy;
use crate::policy::model::Principal;
use crate::store::Trial;

/// For whom a version is put in force, and how long it is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// These workflows alone; `None`: everyone.
    pub workflows: Option<BTreeSet<WorkflowName>>,
    /// Until when breaches of the limits take it back; `None`: it is not watched.
    pub until: Option<Timestamp>,
}

impl Scope {
    /// Whether the version knows every workflow that is named.
    pub(super) fn fits(&self, version: u64, policy: &Policy) -> Result<(), ActivationError> {
        let knows = |workflow: &WorkflowName| {
            let principal = Principal::Workflow(workflow.clone());
            policy.identities().iter().any(|identity| identity.principals.contains(&principal))
        };
        let unknown = self.workflows.iter().flatten().find(|workflow| !knows(workflow));
        unknown.map_or(Ok(()), |workflow| {
            Err(ActivationError::UnknownWorkflow { version, workflow: workflow.clone() })
        })
    }
}

/// The trial that is open, with the policy that is tried.
#[derive(Clone, Debug)]
pub struct OnTrial {
    /// What is recorded of it.
    pub trial: Trial,
    /// The policy.
    pub policy: Policy,
    /// The one that it goes back to; none where that cannot be used any more.
    pub before: Option<Policy>,
}

impl OnTrial {
    /// What rules this principal instead of the policy that is in force.
    pub(super) fn for_principal(&self, principal: &Principal) -> Option<Ruling> {
        let (Some(workflows), Principal::Workflow(name)) = (&self.trial.workflows, principal) else {
            return None;
        };
        let ruling = || Ruling { version: self.trial.version, policy: self.policy.clone() };
        workflows.contains(name).then(ruling)
    }

    /// Whether this workflow's requests are what is tried.
    #[must_use]
    pub fn concerns(&self, workflow: &WorkflowName) -> bool {
        self.trial.workflows.as_ref().is_none_or(|workflows| workflows.contains(workflow))
    }
}
