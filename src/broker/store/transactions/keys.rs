//! Key documents and the break-glass head.

use super::super::{AuditEntry, Backend, BreakGlassRecord, KeyError, KeyRecord, Store, StoreError};

impl Store {
    /// Keeps a key document that is about to be published. Versions only rise.
    ///
    /// # Errors
    /// When this version or a later one was published already, or the store fails.
    pub async fn publish_keys(&self, record: KeyRecord, audit: AuditEntry) -> Result<(), KeyError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.publish_keys(record, audit).await,
        }
    }

    /// Every key document that was published, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn key_documents(&self) -> Result<Vec<KeyRecord>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.key_documents().await,
        }
    }

    /// Keeps a break-glass head in place of one with a lower sequence: from then on it counts in every check of
    /// revocations. Says whether it did; otherwise nothing is recorded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_break_glass(
        &self,
        record: BreakGlassRecord,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.keep_break_glass(record, audit).await,
        }
    }

    /// The break-glass head with the highest sequence that was seen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn break_glass(&self) -> Result<Option<BreakGlassRecord>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.break_glass().await,
        }
    }
}
