//! The durable record: methods are whole transactions.
//!
//! An operation is answered only when its transaction holds on disk. Checks that must not be outrun (a used
//! assertion, a revocation, a task id) are part of the transaction that records. Nothing is ever half done: an
//! operation that fails leaves no trace, and its neighbours in the same commit stand.

mod backup;
mod check;
mod error;
mod journal;
mod model;
mod restore;
mod revocations;
mod shards;
mod sink;
mod sqlite;
#[cfg(test)]
mod tests;
mod transactions;
mod tree;

use std::path::Path;
use std::sync::Arc;

pub use self::backup::{Backup, BackupError, Copying, StoreFacts, Tell, back_up};
pub use self::check::{Checked, check};
pub use self::error::{
    ActivateError, ApprovalError, ChangeError, HeadError, KeyError, RecordError, Spent, StoreError,
};
pub use self::journal::{Key, Place};
pub use self::model::{
    AUDIT_LIMIT, Activate, Activation, ActivePolicy, ApprovalRecord, ApprovalsWanted, Ask, Asked, Asking,
    AuditEntry, BlockChanged, BreakGlassRecord, CastVote, Changed, ChangedEntry, ClaimUse, Claimed,
    ClaimedOf, CloseApproval, Counts, DROPPED_NOTICES, Denial, DroppedNotice, ErasableInput, Erase, Erased,
    Exchange, Head, HeadFacts, Hit, KEYED_BYTES, Kept, KeyRecord, LOOKED_AT, Lease, Lift, LiftMode, Living,
    Meta, NAMED, NewLease, NewPolicy, Notes, OneShot, Options, PolicyAction, PolicyVersion, Preview,
    Progress, Pruned, Redeem, Replay, Retry, Revoke, RevokeBlock, RevokeMode, SettleNotices, Spend,
    StoreKind, StoredApproval, StoredCheckpoint, StoredEntry, StoredInput, StoredVote, TAIL_LIMIT, Target,
    Tie, TokenOf, TokenRecord, Touched, Trial, TrialOutcome, Unused, Use, WaitingNotice,
};
pub use self::restore::{
    Former, KnownLog, Restore, RestoreError, Restored, RestoredLog, Restoring, Settle, Settled,
};
pub use self::revocations::{Block, Entry, Revocations, Revoked, Standing};
pub use self::sink::{Logged, Sink};
use self::sqlite::Sqlite;

/// The store. Clones share one; when the last is dropped, what is queued is written and the store is closed
/// (which blocks for as long as that takes).
#[derive(Clone, Debug)]
pub struct Store(Arc<Backend>);

#[derive(Debug)]
enum Backend {
    Sqlite(Sqlite),
}

impl Store {
    /// Makes a store at `path`, readable by this user alone, and holds it. What an earlier attempt that broke off
    /// left there is finished.
    ///
    /// # Errors
    /// When it is initialised already, is another program's, is in use, or cannot be written.
    pub fn create(path: &Path, meta: &Meta, options: &Options) -> Result<Self, StoreError> {
        Sqlite::create(path, meta, options).map(|sqlite| Self(Arc::new(Backend::Sqlite(sqlite))))
    }

    /// Opens the store at `path` and holds it: one process at a time may.
    ///
    /// # Errors
    /// Whenever it is not exactly what this program expects; [`StoreError`] lists the cases.
    pub fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        Sqlite::open(path, options).map(|sqlite| Self(Arc::new(Backend::Sqlite(sqlite))))
    }

    /// What the store says of itself.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.meta(),
        }
    }

    /// Has every entry of the audit log told from now on, once it holds on disk. The first who asks is told, and nobody
    /// else.
    pub fn tell(&self, sink: Arc<dyn Sink>) {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.tell(sink),
        }
    }

    /// How much is stored. Counts every row: for `doctor`, not for a metric.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.counts().await,
        }
    }

    /// Whether the last group of records was committed and the next can be tried.
    ///
    /// # Errors
    /// The last fault, until a group is committed again; the heads, signed every few seconds, see to that.
    pub fn healthy(&self) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.healthy(),
        }
    }
}
