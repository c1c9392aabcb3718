//! The durable record: methods are whole transactions.
//!
//! An operation is answered only when its transaction holds on disk. Checks that must not be outrun (a used
//! assertion, a revocation, a task id) are part of the transaction that records. Nothing is ever half done: an
//! operation that fails leaves no trace, and its neighbours in the same commit stand.

mod error;
mod journal;
mod model;
mod revocations;
mod shards;
mod sqlite;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;

pub use self::error::{ActivateError, ChangeError, HeadError, KeyError, RecordError, StoreError};
pub use self::journal::{Key, Place};
pub use self::model::{
    AUDIT_LIMIT, Activate, Activation, ActivePolicy, AuditEntry, BlockChanged, BreakGlassRecord, Changed,
    ChangedEntry, Counts, Exchange, Head, HeadFacts, Kept, KeyRecord, Lease, Lift, LiftMode, Meta, NewLease,
    NewPolicy, Notes, Options, PolicyAction, PolicyVersion, Progress, Pruned, Replay, Retry, Revoke,
    RevokeBlock, RevokeMode, StoreKind, StoredEntry, TAIL_LIMIT, Target, Tie, TokenRecord, Touched, Use,
    WaitingNotice,
};
pub use self::revocations::{Block, Entry, Revocations, Revoked, Standing};
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

    // ---- decisions

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

    /// Records a denial. The assertion, if any, is used up, even when it had been before.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_denial(&self, replay: Option<Replay>, audit: AuditEntry) -> Result<u64, StoreError> {
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

    // ---- revocations

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

    /// What a revocation or a lift would touch, for a dry run. Reads every token that may still live.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn touched(&self, target: Target, now: Timestamp) -> Result<Touched, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.touched(target, now).await,
        }
    }

    // ---- instances of verifiers

    /// Records a lease: the verifier's assertion is used up, the instance is kept, and the audit entry is appended, or
    /// nothing happens.
    ///
    /// # Errors
    /// When the assertion was used, or the store fails; the lease must then not be answered.
    pub async fn record_lease(&self, new: NewLease) -> Result<u64, RecordError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.record_lease(new).await,
        }
    }

    /// Writes down how far instances are; those that have no lease are passed over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn save_instances(&self, progress: Vec<(String, Progress)>) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.save_instances(progress).await,
        }
    }

    /// Forgets instances; with an audit entry, where someone wished it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_instances(
        &self,
        instances: Vec<String>,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.forget_instances(instances, audit).await,
        }
    }

    /// Every instance that has a lease.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn instances(&self) -> Result<Vec<(Lease, Progress)>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.instances().await,
        }
    }

    // ---- policy

    /// Keeps a policy. One whose digest is known already is not kept again, nor is the audit entry then.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn add_policy(
        &self,
        policy: NewPolicy,
        audit: AuditEntry,
    ) -> Result<PolicyVersion, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.add_policy(policy, audit).await,
        }
    }

    /// Makes a kept policy the active one.
    ///
    /// # Errors
    /// When there is no such version or the store fails.
    pub async fn activate_policy(
        &self,
        activate: Activate,
        audit: AuditEntry,
    ) -> Result<Activation, ActivateError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.activate_policy(activate, audit).await,
        }
    }

    /// The policy that holds; `None` before the first activation.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn active_policy(&self) -> Result<Option<ActivePolicy>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.active_policy().await,
        }
    }

    /// All kept policies, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_versions(&self) -> Result<Vec<PolicyVersion>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_versions().await,
        }
    }

    /// The exact bytes of a kept policy.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_bundle(&self, n: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_bundle(n).await,
        }
    }

    /// All activations, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn policy_history(&self) -> Result<Vec<Activation>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.policy_history().await,
        }
    }

    // ---- keys

    /// Keeps a key document that is about to be published. Versions only rise.
    ///
    /// # Errors
    /// When this version or a later one was published already, or the store fails.
    pub async fn publish_keys(&self, record: KeyRecord, audit: AuditEntry) -> Result<(), KeyError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.publish_keys(record, audit).await,
        }
    }

    /// Every key document that was published, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn key_documents(&self) -> Result<Vec<KeyRecord>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.key_documents().await,
        }
    }

    /// Keeps a break-glass head in place of one with a lower sequence: from then on it counts in every check of
    /// revocations. Says whether it did; otherwise nothing is recorded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn keep_break_glass(
        &self,
        record: BreakGlassRecord,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.keep_break_glass(record, audit).await,
        }
    }

    /// The break-glass head with the highest sequence that was seen.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn break_glass(&self) -> Result<Option<BreakGlassRecord>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.break_glass().await,
        }
    }

    // ---- audit and tokens

    /// How many entries the audit log has.
    #[must_use]
    pub fn audit_size(&self) -> u64 {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_size(),
        }
    }

    /// Audit entries in order from place `from`, at most `limit` and [`TAIL_LIMIT`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_tail(&self, from: u64, limit: usize) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_tail(from, limit).await,
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

    /// The audit entries of one trace, at most [`TAIL_LIMIT`].
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_by_trace(&self, trace: [u8; 16]) -> Result<Vec<StoredEntry>, StoreError> {
        match &*self.0 {
            Backend::Sqlite(sqlite) => sqlite.audit_by_trace(trace).await,
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

    // ---- notices

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
