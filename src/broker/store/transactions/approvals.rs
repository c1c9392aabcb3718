//! Requests that wait for a person.

use shortbread_protocol::clock::Timestamp;

use super::super::{
    ApprovalError, ApprovalsWanted, Ask, Asked, Asking, AuditEntry, Backend, CastVote, CloseApproval,
    RecordError, Replay, Store, StoreError, StoredApproval,
};

impl Store {
    /// Records a request that is to wait: its assertion is used up, its task id claimed, and the audit entry is appended.
    /// An equal one of the same client and key that is open stands for it. `audit` is told which; it runs inside the
    /// transaction: it must be quick and must not panic.
    ///
    /// # Errors
    /// When a rule or the store says no; nothing must then be answered.
    pub async fn ask_approval<F>(&self, ask: Ask, audit: F) -> Result<Asked, RecordError>
    where
        F: FnMut(Asking<'_>) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.ask_approval(ask, Box::new(audit)).await,
        }
    }

    /// Uses up an assertion that is shown with an attempt to fetch an answer.
    ///
    /// # Errors
    /// When it was used before, or the store fails.
    pub async fn use_assertion(&self, replay: Replay) -> Result<(), RecordError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.use_assertion(replay).await,
        }
    }

    /// One request with its votes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn approval(&self, id: &str) -> Result<Option<StoredApproval>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.approval(id.to_owned()).await,
        }
    }

    /// A page of requests, and how many are open in all.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn approvals(&self, wanted: ApprovalsWanted) -> Result<(Vec<StoredApproval>, u64), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.approvals(wanted).await,
        }
    }

    /// How many requests are open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open_approvals(&self) -> Result<u64, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.open_approvals().await,
        }
    }

    /// Open requests that somebody has to look at by now, the first due first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn due_approvals(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredApproval>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.due_approvals(now, limit).await,
        }
    }

    /// Records a vote for what was looked at.
    ///
    /// # Errors
    /// When the request is closed or over, or what is shown or who voted changed meanwhile; or the store fails.
    pub async fn cast_vote(&self, cast: CastVote) -> Result<(), ApprovalError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.cast_vote(cast).await,
        }
    }

    /// Closes a request for good.
    ///
    /// # Errors
    /// When it is closed or over already, or what is shown changed meanwhile; or the store fails.
    pub async fn close_approval(&self, close: CloseApproval) -> Result<(), ApprovalError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.close_approval(close).await,
        }
    }

    /// Has a request that was due looked at again at another moment. `false` where another was first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn postpone_approval(
        &self,
        id: &str,
        (from, to): (Timestamp, Timestamp),
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.postpone_approval(id.to_owned(), (from, to), audit).await,
        }
    }

    /// Has an approved request wait again: these votes, so many, do not suffice any more for what has this digest.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn reopen_approval(&self, id: &str, digest: &str, seen: usize) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.reopen_approval(id.to_owned(), digest.to_owned(), seen).await,
        }
    }
}
