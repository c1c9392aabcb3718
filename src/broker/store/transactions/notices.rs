//! Notices that wait for the webhook.

use super::super::{Backend, Store, StoreError, WaitingNotice};

impl Store {
    /// Keeps notices that wait for the webhook, and forgets those that wait no more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle_notices(
        &self,
        added: Vec<WaitingNotice>,
        gone: Vec<String>,
    ) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.settle_notices(added, gone).await,
        }
    }

    /// The notices that wait for the webhook, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn waiting_notices(&self) -> Result<Vec<WaitingNotice>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.waiting_notices().await,
        }
    }
}
