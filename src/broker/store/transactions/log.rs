//! Reading the audit log, tokens and tasks.

use shortbread_protocol::clock::Timestamp;

use super::super::{
    AuditEntry, Backend, ErasableInput, Erase, Erased, Store, StoreError, StoredEntry, StoredInput,
    TokenRecord,
};

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

    /// The audit entries that an id finds: of a decision (`dec_…`), of an approval (`apr_…`) or of a trace (32 hex digits).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_about(&self, id: &str) -> Result<Vec<StoredEntry>, StoreError> {
        match hex::decode(id).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok()) {
            Some(trace) => self.audit_by_trace(trace).await,
            None => self.audit_by_decision(id).await,
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

    /// The audit entries of one trace, the oldest first: at most [`TAIL_LIMIT`](super::super::TAIL_LIMIT), and at most
    /// [`KEYED_BYTES`](super::super::KEYED_BYTES) of them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_by_trace(&self, trace: [u8; 16]) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_by_trace(trace).await,
        }
    }

    /// The input of the entry at this place, if it has one that was not erased.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_input(&self, idx: u64) -> Result<Option<ErasableInput>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_input(idx).await,
        }
    }

    /// Entries whose input is still there, in order from place `from`, at most `limit` and 1000.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_inputs(&self, from: u64, limit: usize) -> Result<Vec<StoredInput>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_inputs(from, limit).await,
        }
    }

    /// The place of the first of the `newest` entries with inputs that came last; 0 where there are not as many.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn inputs_place(&self, newest: u64) -> Result<u64, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.inputs_place(newest).await,
        }
    }

    /// How many inputs [`Self::erase_inputs`] would erase in all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn erasable(&self, erase: Erase) -> Result<u64, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.erasable(erase).await,
        }
    }

    /// Erases inputs, a bounded number at a time, with an entry that says so: call again while there is more. The log
    /// stays as it is. What was erased is overwritten in the database.
    ///
    /// # Errors
    /// When the store fails; nothing is erased then.
    pub async fn erase_inputs<F>(&self, erase: Erase, audit: F) -> Result<Erased, StoreError>
    where
        F: FnOnce(&Erased) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.erase_inputs(erase, Box::new(audit)).await,
        }
    }

    /// Tries again to empty the store's log of what was erased or pruned; whether nothing of it is left. Does nothing where
    /// there is nothing.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn wipe_traces(&self) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.wipe_traces().await,
        }
    }

    /// Whether the files of the store may still hold what was erased or pruned, because someone who reads hinders emptying
    /// its log, or nobody asked for it yet: [`Self::wipe_traces`].
    #[must_use]
    pub fn has_traces(&self) -> bool {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.has_traces(),
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
