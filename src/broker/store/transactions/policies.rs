//! Versions of the policy, and which was in force when.

use super::super::{
    Activate, ActivateError, Activation, ActivePolicy, AuditEntry, Backend, NewPolicy, PolicyVersion, Store,
    StoreError, Trial, TrialOutcome,
};

impl Store {
    /// Keeps a policy. One whose digest is known already is not kept again, nor is the audit entry then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_policy(
        &self,
        policy: NewPolicy,
        audit: AuditEntry,
    ) -> Result<PolicyVersion, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.add_policy(policy, audit).await,
        }
    }

    /// Makes a kept policy the active one, or begins its trial for some workflows. A trial that was open ends.
    ///
    /// # Errors
    /// When there is no such version, nothing is active that a trial could go back to, or the store fails.
    pub async fn activate_policy(
        &self,
        activate: Activate,
        audit: AuditEntry,
    ) -> Result<Option<Trial>, ActivateError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.activate_policy(activate, audit).await,
        }
    }

    /// The policy that holds; `None` before the first activation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn active_policy(&self) -> Result<Option<ActivePolicy>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.active_policy().await,
        }
    }

    /// Ends the open trial of this number; says whether it was open. What is active stays.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_trial(
        &self,
        n: u64,
        outcome: TrialOutcome,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.end_trial(n, outcome, audit).await,
        }
    }

    /// Every trial, oldest first; the last one may be open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn trials(&self) -> Result<Vec<Trial>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.trials().await,
        }
    }

    /// All kept policies, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_versions(&self) -> Result<Vec<PolicyVersion>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_versions().await,
        }
    }

    /// The exact bytes of a kept policy.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_bundle(&self, n: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_bundle(n).await,
        }
    }

    /// All activations, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_history(&self) -> Result<Vec<Activation>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_history().await,
        }
    }
}
