//! Reading the audit log, tokens and tasks.

use shortbread_protocol::clock::Timestamp;

use super::super::{Backend, Store, StoreError, StoredEntry, TokenRecord};

impl Store {
    /// How many entries the audit log has.
    #[must_use]
    pub fn audit_size(&self) -> u64 {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_size(),
        }
    }

    /// Audit entries in order from place `from`, at most `limit` and [`TAIL_LIMIT`](super::super::TAIL_LIMIT).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_tail(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_tail(from, limit).await,
        }
    }

    /// A place in the log before which nothing arrived after `at`: the size of the last checkpoint that was signed by
    /// then, 0 without one. An entry may have happened up to seven days before it arrived, never after.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_place(&self, at: Timestamp) -> Result<u64, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_place(at).await,
        }
    }

    /// The audit entries of one decision.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_by_decision(&self, id: &str) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_by_decision(id.to_owned()).await,
        }
    }

    /// The audit entries of one trace, at most [`TAIL_LIMIT`](super::super::TAIL_LIMIT).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_by_trace(&self, trace: [u8; 16]) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_by_trace(trace).await,
        }
    }

    /// The record of one token.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn token(&self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.token(id.to_owned()).await,
        }
    }

    /// The principal that a task id belongs to, as `workflow:release-notes`: the first that was given a token for it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn task_owner(&self, task: &str) -> Result<Option<String>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.task_owner(task.to_owned()).await,
        }
    }
}
