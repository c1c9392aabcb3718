//! Leases of running instances of verifiers, and how far they are.

use super::super::{AuditEntry, Backend, Lease, NewLease, Progress, RecordError, Store, StoreError};

impl Store {
    /// Records a lease: the verifier's assertion is used up, the instance is kept, and the audit entry is appended, or
    /// nothing happens.
    ///
    /// # Errors
    /// When the assertion was used, or the store fails; the lease must then not be answered.
    pub async fn record_lease(&self, new: NewLease) -> Result<u64, RecordError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_lease(new).await,
        }
    }

    /// Writes down how far instances are; those that have no lease are passed over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save_instances(&self, progress: Vec<(String, Progress)>) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.save_instances(progress).await,
        }
    }

    /// Forgets instances; with an audit entry, where someone wished it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_instances(
        &self,
        instances: Vec<String>,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.forget_instances(instances, audit).await,
        }
    }

    /// Every instance that has a lease.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn instances(&self) -> Result<Vec<(Lease, Progress)>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.instances().await,
        }
    }
}
