//! Tokens, denials, uses and uploaded call decisions: what is answered only once it is recorded.

use shortbread_protocol::clock::Timestamp;

use super::super::{
    AuditEntry, Backend, Denial, Exchange, Kept, RecordError, Replay, Store, StoreError, Use,
};

impl Store {
    /// Records a token that is about to be answered: its assertion is used up, its task id claimed, all revocations
    /// are checked against `token.issued`, and the audit entry is appended, or nothing happens. Answers the entry's
    /// place in the audit log.
    ///
    /// # Errors
    /// When a rule or the store says no; the token must then not be answered.
    pub async fn record_exchange(&self, exchange: Exchange) -> Result<u64, RecordError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_exchange(exchange).await,
        }
    }

    /// Records a denial. The assertion, if any, is used up, even when it had been before; the answer says whether it had.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_denial(
        &self,
        replay: Option<Replay>,
        audit: AuditEntry,
    ) -> Result<Denial, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_denial(replay, audit).await,
        }
    }

    /// Records that an assertion was used for something else than a new token: it is used up, the token that is given
    /// out once more is checked against all revocations, and the audit entry is appended, or nothing happens.
    ///
    /// # Errors
    /// When a rule or the store says no; nothing must then be answered.
    pub async fn record_use(&self, used: Use) -> Result<u64, RecordError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_use(used).await,
        }
    }

    /// Records decisions that another party made, all of them or none, each once: one whose id has an entry already that
    /// is `mine` is known. Answers for each whether it is new. `mine` runs inside the transaction: it must be quick and
    /// must not panic.
    ///
    /// # Errors
    /// When the store fails; nothing is recorded then.
    pub async fn record_calls<F>(&self, entries: Vec<AuditEntry>, mine: F) -> Result<Vec<bool>, StoreError>
    where
        F: Fn(&[u8]) -> bool + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_calls(entries, Box::new(mine)).await,
        }
    }

    /// The answer that was kept under this key, if it may still be repeated.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn kept(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Kept>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.kept(key, now).await,
        }
    }
}
