//! Tokens that are good once.

use super::super::{AuditEntry, Backend, ClaimUse, Claimed, ClaimedOf, Store, StoreError};

impl Store {
    /// Claims the one use of a token for one attempt, and appends what `audit` makes of it, in one transaction. `audit` runs
    /// inside it: it must be quick and must not panic.
    ///
    /// # Errors
    /// When the store fails; nothing may run then.
    pub async fn claim_use<F>(&self, claim: ClaimUse, audit: F) -> Result<Claimed, StoreError>
    where
        F: FnOnce(Claimed, &ClaimedOf) -> AuditEntry + Send + 'static,
    {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.claim_use(claim, Box::new(audit)).await,
        }
    }
}
