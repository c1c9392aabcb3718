//! Notices that wait for the webhook.

use super::super::{Backend, DroppedNotice, SettleNotices, Store, StoreError, WaitingNotice};

impl Store {
    /// Keeps notices that wait for the webhook and the newest of those that were given up, and forgets those that wait
    /// no more.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn settle_notices(&self, settle: SettleNotices) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.settle_notices(settle).await,
        }
    }

    /// The notices that did not reach the webhook: so many at most, what was given up last first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn dropped_notices(&self, limit: usize) -> Result<Vec<DroppedNotice>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.dropped_notices(limit).await,
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
