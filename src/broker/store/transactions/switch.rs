//! Revoking, lifting, the next signed head, and the list in memory.

use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;

use super::super::{
    AuditEntry, Backend, BlockChanged, ChangeError, Changed, Head, HeadError, HeadFacts, Lift, Living, Notes,
    Preview, Pruned, Revocations, Revoke, RevokeBlock, Store, StoreError, Target,
};

impl Store {
    /// Revokes, all or nothing, with one sequence number and one audit entry. What is revoked already never becomes
    /// weaker or shorter. `audit` runs inside the transaction: it must be quick and must not panic, and runs once more
    /// when room had to be made first.
    ///
    /// # Errors
    /// When a rule or the store says no.
    pub async fn revoke<F>(
        &self,
        revokes: Vec<Revoke>,
        operator: String,
        now: Timestamp,
        audit: F,
    ) -> Result<Changed, ChangeError>
    where
        F: FnMut(&Changed) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.revoke(revokes, operator, now, Box::new(audit)).await,
        }
    }

    /// Revokes one token for whoever holds it (RFC 7009): as [`Self::revoke`], but behind what came before and never out of
    /// the reserve, since holders are many and are not operators.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn give_back<F>(
        &self,
        revoke: Revoke,
        by: String,
        now: Timestamp,
        audit: F,
    ) -> Result<Changed, ChangeError>
    where
        F: FnMut(&Changed) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.give_back(revoke, by, now, Box::new(audit)).await,
        }
    }

    /// Gives back one narrowed copy of a token (RFC 7009). After eight copies of one token the next request revokes
    /// the token itself.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn revoke_block<F>(
        &self,
        revoke: RevokeBlock,
        now: Timestamp,
        audit: F,
    ) -> Result<BlockChanged, StoreError>
    where
        F: FnOnce(&BlockChanged) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.revoke_block(revoke, now, Box::new(audit)).await,
        }
    }

    /// Lifts revocations, all that are named or none. Who did it stands in the audit entry alone: what is left of a
    /// revocation still names who revoked.
    ///
    /// # Errors
    /// When one of them is none, a rule forbids it, or the store fails.
    pub async fn lift<F>(&self, lifts: Vec<Lift>, now: Timestamp, audit: F) -> Result<Changed, ChangeError>
    where
        F: FnMut(&Changed) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.lift(lifts, now, Box::new(audit)).await,
        }
    }

    /// Takes the next sequence number, has the head signed, and stores its bytes, in one transaction. `sign` runs
    /// inside it, once more when room had to be made first; with `None` it declines, for example because the list changed
    /// since its snapshot was written.
    ///
    /// # Errors
    /// When it declined or the store fails; nothing may be published then.
    pub async fn next_head<F>(&self, now: Timestamp, sign: F) -> Result<Arc<Head>, HeadError>
    where
        F: FnMut(HeadFacts) -> Option<Vec<u8>> + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.next_head(now, Box::new(sign)).await,
        }
    }

    /// Forgets used assertions that have ended, and takes revocations off the list whose time on it is over (or back
    /// on it, when the clock went back). A bounded number of each at a time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn prune(&self, now: Timestamp) -> Result<Pruned, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.prune(now).await,
        }
    }

    /// All revocations as last committed; costs nothing. A check against it may be outrun: only
    /// [`Self::record_exchange`] decides.
    #[must_use]
    pub fn mirror(&self) -> Arc<Revocations> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.mirror(),
        }
    }

    /// Why things are revoked, in the operators' words.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn notes(&self) -> Result<Notes, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.notes().await,
        }
    }

    /// The last signed head.
    #[must_use]
    pub fn head(&self) -> Option<Arc<Head>> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.head(),
        }
    }

    /// The last sequence number that a change or a head took; the next is higher.
    #[must_use]
    pub fn seq(&self) -> u64 {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.seq(),
        }
    }

    /// What revoking or lifting all of this would touch. Reads every token that may still live.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn preview(&self, targets: Vec<Target>, now: Timestamp) -> Result<Preview, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.preview(targets, now).await,
        }
    }

    /// How many tokens of each of these workflows live, in the same order, and when each was granted its last. Reads an
    /// index, and of the tokens that did not end [`LOOKED_AT`] at most.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn living(&self, workflows: Vec<String>, now: Timestamp) -> Result<Vec<Living>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.living(workflows, now).await,
        }
    }
}
