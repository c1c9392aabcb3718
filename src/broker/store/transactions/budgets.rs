//! What is taken out of budgets, and given back.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;

use super::super::{AuditEntry, Backend, Store, StoreError, Unused};

impl Store {
    /// Tokens at these tools that ended a minute ago or earlier, were not claimed and still stand in budgets; some of them,
    /// where they are many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn unused(
        &self,
        now: Timestamp,
        tools: Vec<ToolName>,
        limit: usize,
    ) -> Result<Vec<Unused>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.unused(now, tools, limit).await,
        }
    }

    /// Gives back what a token took out of budgets, where it is still unused at the time of the entry; whether it was.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn return_unused(&self, unused: Unused, audit: AuditEntry) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.return_unused(unused, audit).await,
        }
    }
}
