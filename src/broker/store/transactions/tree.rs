//! The Merkle tree over the audit log, and its checkpoints.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::log::{Hash, TilePlace};

use super::super::{Backend, Store, StoreError, StoredCheckpoint};

impl Store {
    /// What the log's checkpoints are signed under. It changes with a restore that lost entries, and never else.
    #[must_use]
    pub fn log_origin(&self) -> &str {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.log_origin(),
        }
    }

    /// The roots of the tree over so many first entries each.
    ///
    /// # Errors
    /// When the log has fewer, or the store fails.
    pub async fn log_roots(&self, sizes: Vec<u64>) -> Result<Vec<Hash>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.log_roots(sizes).await,
        }
    }

    /// Proves that an entry stands in the tree over the first `size` (RFC 6962, section 2.1.1).
    ///
    /// # Errors
    /// When it does not, or the store fails.
    pub async fn log_inclusion(&self, size: u64, index: u64) -> Result<Vec<Hash>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.log_inclusion(size, index).await,
        }
    }

    /// Proves that the tree over the first `from` entries is the beginning of the tree over the first `to` (RFC 6962,
    /// section 2.1.2).
    ///
    /// # Errors
    /// When `from` is the greater, the log has fewer entries than `to`, or the store fails.
    pub async fn log_consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.log_consistency(from, to).await,
        }
    }

    /// The hashes of a tile, as many as its place says.
    ///
    /// # Errors
    /// When it has fewer, or the store fails.
    pub async fn log_tile(&self, place: TilePlace) -> Result<Vec<Hash>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.log_tile(place).await,
        }
    }

    /// The places of a decision's entries in the log.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_places(&self, decision: &str) -> Result<Vec<u64>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_places(decision.to_owned()).await,
        }
    }

    /// Removes some of what nobody keeps any more: with `before`, entries in whole tiles of 256 that all arrived earlier, and
    /// tokens that ended earlier; of checkpoints older than a day all but one an hour, and older than 30 days all but one a
    /// day. The tree stays as it is. Whether there may be more to do.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune_log(&self, before: Option<Timestamp>, now: Timestamp) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.prune_log(before, now).await,
        }
    }

    /// When the oldest of what [`Self::prune_log`] would remove arrived or ended: the entries of the oldest tile that is full
    /// and signed, or the oldest tokens. Nothing when there are none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn oldest_prunable(&self) -> Result<Option<Timestamp>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.oldest_prunable().await,
        }
    }

    /// Keeps a signed checkpoint; whether it covers more entries than any before, and no more than there are. Nothing is
    /// kept otherwise.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_checkpoint(&self, new: StoredCheckpoint) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.keep_checkpoint(new).await,
        }
    }

    /// The newest checkpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.last_checkpoint().await,
        }
    }

    /// The checkpoints of more than `after` entries, the smallest first, at most `limit`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn checkpoints(&self, after: u64, limit: u16) -> Result<Vec<StoredCheckpoint>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.checkpoints(after, limit).await,
        }
    }
}
