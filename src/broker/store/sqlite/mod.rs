//! The embedded backend: one thread writes, a few connections read.

mod approval;
mod budget;
mod change;
pub(super) mod check;
mod checkpoints;
pub(super) mod copy;
mod decisions;
mod descent;
mod former;
mod inputs;
mod instances;
mod keys;
mod lanes;
mod living;
mod log;
mod mend;
mod notice;
mod one_shot;
mod open;
mod origins;
mod policy;
mod preview;
mod read;
mod record;
mod reserve;
pub(super) mod restore;
mod retention;
mod retry;
mod schema;
mod sql;
mod state;
mod tiles;
mod trial;
mod unit;
mod upkeep;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};

use arc_swap::{ArcSwap, ArcSwapOption};
use shortbread_protocol::clock::Timestamp;

use self::lanes::{Lane, Lanes, Task};
use self::open::Opened;
use self::read::Readers;
use self::sql::{fault, io_fault};
use self::state::State;
use self::unit::{Failure, Unit, check_audit};
use self::writer::{Shared, View, Writer, unavailable};
use super::revocations::Revocations;
use super::{
    Activate, ActivateError, Activation, ActivePolicy, AuditEntry, BlockChanged, BreakGlassRecord,
    ChangeError, Changed, ClaimUse, Claimed, Counts, Denial, DroppedNotice, Exchange, Head, HeadError,
    HeadFacts, Kept, KeyError, KeyRecord, Lease, Lift, Living, Meta, NewLease, NewPolicy, Notes, Options,
    PolicyVersion, Preview, Progress, Pruned, RecordError, Replay, Restored, Revoke, RevokeBlock, Settle,
    SettleNotices, Sink, StoreError, Target, TokenRecord, Trial, TrialOutcome, Use, WaitingNotice,
};

/// An open SQLite store. Dropping it waits for what is queued, then closes the file.
pub(super) struct Sqlite {
    path: PathBuf,
    meta: Meta,
    origin: String,
    lanes: Arc<Lanes>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
    // Let go last, when the writer is done.
    _lock: File,
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.lanes.close();
        if let Some(writer) = self.writer.take() {
            // Its panic, if there was one, has been reported where it happened.
            let _ = writer.join();
        }
    }
}

impl Sqlite {
    pub(super) fn create(path: &Path, meta: &Meta, options: &Options) -> Result<Self, StoreError> {
        open::create(path, meta, options).and_then(Self::start)
    }

    pub(super) fn open(path: &Path, options: &Options) -> Result<Self, StoreError> {
        open::open(path, options).and_then(Self::start)
    }

    fn start(opened: Opened) -> Result<Self, StoreError> {
        let Opened { path, conn, lock, meta, reserve } = opened;
        let state = State::load(&conn).map_err(|error| fault(&path, &error))?;
        let origin = origins::current(&conn, &meta.issuer).map_err(|error| fault(&path, &error))?;
        let view = ArcSwap::from_pointee(View::of(&state));
        let (fault, sink) = (ArcSwapOption::empty(), OnceLock::new());
        let (traces, wipe) = (AtomicBool::new(true), AtomicBool::new(true));
        let shared = Arc::new(Shared { view, fault, traces, wipe, sink });
        let lanes = Lanes::new();
        let taken = Arc::clone(&lanes);
        let writer = Writer::new(conn, path.clone(), state, shared.clone(), reserve);
        let writer = thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(taken))
            .map_err(|error| io_fault(&path, &error))?;
        let readers = Readers::new(path.clone());
        Ok(Self { path, meta, origin, lanes, writer: Some(writer), readers, shared, _lock: lock })
    }

    /// Queues an operation behind those that came before, and waits until its transaction holds.
    async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Unit<'_>) -> Result<T, Failure<E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (mut work, path) = (Some(work), self.path.clone());
        let once = move |unit: &mut Unit<'_>| match work.take() {
            Some(work) => work(unit),
            None => Err(unavailable(&path, "the operation broke off").into()),
        };
        self.queue(Lane::Usual, once).await
    }

    /// Queues an operation of the switch: it goes before others, and the store's reserve is there for it. It may run
    /// more than once, until a transaction holds.
    async fn write_first<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnMut(&mut Unit<'_>) -> Result<T, Failure<E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.queue(Lane::First, work).await
    }

    async fn queue<T, E, F>(&self, lane: Lane, work: F) -> Result<T, E>
    where
        F: FnMut(&mut Unit<'_>) -> Result<T, Failure<E>> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (task, answer) = Task::new(work);
        let sent = self.lanes.send(lane, Box::new(task)).await;
        sent.map_err(|_| unavailable(&self.path, "its writer has ended; restart the broker"))?;
        answer.await.map_err(|_| unavailable(&self.path, "the operation broke off"))?
    }

    pub(super) async fn record_exchange(&self, exchange: Exchange) -> Result<u64, RecordError> {
        check_audit(&exchange.audit)?;
        if exchange.is_operators() {
            return self.write_first(move |unit| record::exchange(unit, exchange.clone())).await;
        }
        self.write(|unit| record::exchange(unit, exchange)).await
    }

    pub(super) async fn record_denial(
        &self,
        replay: Option<Replay>,
        audit: AuditEntry,
    ) -> Result<Denial, StoreError> {
        check_audit(&audit)?;
        self.write(move |unit| record::denial(unit, replay, &audit)).await
    }

    pub(super) async fn record_use(&self, used: Use) -> Result<u64, RecordError> {
        check_audit(&used.audit)?;
        if used.operator {
            return self.write_first(move |unit| record::used(unit, used.clone())).await;
        }
        self.write(move |unit| record::used(unit, used)).await
    }

    pub(super) async fn record_calls(
        &self,
        entries: Vec<AuditEntry>,
        mine: decisions::Mine,
    ) -> Result<Vec<bool>, StoreError> {
        entries.iter().try_for_each(check_audit)?;
        self.write(move |unit| decisions::record(unit, &entries, &mine)).await
    }

    pub(super) async fn kept(&self, key: [u8; 32], now: Timestamp) -> Result<Option<Kept>, StoreError> {
        self.readers.read(move |conn| retry::kept(conn, &key, now)).await
    }

    pub(super) async fn revoke(
        &self,
        revokes: Vec<Revoke>,
        operator: String,
        now: Timestamp,
        mut audit: Box<dyn FnMut(&Changed) -> AuditEntry + Send>,
    ) -> Result<Changed, ChangeError> {
        self.write_first(move |unit| change::revoke(unit, revokes.clone(), &operator, now, &mut audit)).await
    }

    pub(super) async fn give_back(
        &self,
        revoke: Revoke,
        by: String,
        now: Timestamp,
        mut audit: Box<dyn FnMut(&Changed) -> AuditEntry + Send>,
    ) -> Result<Changed, ChangeError> {
        self.write(move |unit| change::revoke(unit, vec![revoke], &by, now, &mut audit)).await
    }

    pub(super) async fn lift(
        &self,
        lifts: Vec<Lift>,
        now: Timestamp,
        mut audit: Box<dyn FnMut(&Changed) -> AuditEntry + Send>,
    ) -> Result<Changed, ChangeError> {
        self.write_first(move |unit| change::lift(unit, lifts.clone(), now, &mut audit)).await
    }

    pub(super) async fn revoke_block(
        &self,
        revoke: RevokeBlock,
        now: Timestamp,
        audit: Box<dyn FnOnce(&BlockChanged) -> AuditEntry + Send>,
    ) -> Result<BlockChanged, StoreError> {
        self.write(move |unit| change::revoke_block(unit, revoke, now, audit)).await
    }

    pub(super) async fn next_head(
        &self,
        now: Timestamp,
        mut sign: Box<dyn FnMut(HeadFacts) -> Option<Vec<u8>> + Send>,
    ) -> Result<Arc<Head>, HeadError> {
        self.write_first(move |unit| upkeep::next_head(unit, now, &mut sign)).await
    }

    pub(super) async fn prune(&self, now: Timestamp) -> Result<Pruned, StoreError> {
        // Looking through a long list takes a while, and the thread that writes is for the switch.
        let list = self.mirror();
        let due = tokio::task::spawn_blocking(move || upkeep::due(&list, now)).await;
        let due = due.map_err(|_| unavailable(&self.path, "looking for what is due broke off"))?;
        self.write(move |unit| upkeep::prune(unit, now, &due)).await
    }

    pub(super) async fn record_lease(&self, new: NewLease) -> Result<u64, RecordError> {
        check_audit(&new.audit)?;
        self.write(|unit| instances::lease(unit, new)).await
    }

    pub(super) async fn save_instances(&self, progress: Vec<(String, Progress)>) -> Result<(), StoreError> {
        self.write(move |unit| instances::save(unit, &progress)).await
    }

    pub(super) async fn forget_instances(
        &self,
        forgotten: Vec<String>,
        audit: Option<AuditEntry>,
    ) -> Result<(), StoreError> {
        audit.as_ref().map_or(Ok(()), check_audit)?;
        self.write(move |unit| instances::forget(unit, &forgotten, audit)).await
    }

    pub(super) async fn instances(&self) -> Result<Vec<(Lease, Progress)>, StoreError> {
        self.readers.read(instances::all).await
    }

    pub(super) async fn add_policy(
        &self,
        policy: NewPolicy,
        audit: AuditEntry,
    ) -> Result<PolicyVersion, StoreError> {
        self.write(move |unit| policy::add(unit, policy, &audit)).await
    }

    pub(super) async fn activate_policy(
        &self,
        activate: Activate,
        audit: AuditEntry,
    ) -> Result<Option<Trial>, ActivateError> {
        self.write_first(move |unit| policy::activate(unit, &activate, &audit)).await
    }

    pub(super) async fn end_trial(
        &self,
        n: u64,
        outcome: TrialOutcome,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        self.write_first(move |unit| trial::end(unit, n, outcome, &audit)).await
    }

    pub(super) async fn trials(&self) -> Result<Vec<Trial>, StoreError> {
        self.readers.read(trial::all).await
    }

    pub(super) async fn publish_keys(&self, record: KeyRecord, audit: AuditEntry) -> Result<(), KeyError> {
        self.write_first(move |unit| keys::publish(unit, &record, &audit)).await
    }

    pub(super) async fn key_documents(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.readers.read(keys::documents).await
    }

    pub(super) async fn keep_break_glass(
        &self,
        record: BreakGlassRecord,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        self.write_first(move |unit| keys::break_glass(unit, &record, &audit)).await
    }

    pub(super) async fn break_glass(&self) -> Result<Option<BreakGlassRecord>, StoreError> {
        self.readers.read(keys::kept_break_glass).await
    }

    pub(super) async fn restore(
        &self,
        settling: Arc<restore::Settling>,
        settle: Settle,
        mut audit: Box<dyn FnMut(&Restored) -> AuditEntry + Send>,
    ) -> Result<Restored, StoreError> {
        self.write_first(move |unit| restore::settle(unit, &settling, &settle, &mut audit)).await
    }

    pub(super) fn meta(&self) -> &Meta {
        &self.meta
    }

    pub(super) fn log_origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn mirror(&self) -> Arc<Revocations> {
        self.shared.view.load().revocations.clone()
    }

    pub(super) fn head(&self) -> Option<Arc<Head>> {
        self.shared.view.load().head.clone()
    }

    pub(super) fn seq(&self) -> u64 {
        self.shared.view.load().seq
    }

    pub(super) fn audit_size(&self) -> u64 {
        self.shared.view.load().audit_size
    }

    pub(super) fn tell(&self, sink: Arc<dyn Sink>) {
        // Whoever asked before goes on hearing of everything.
        let _ = self.shared.sink.set(sink);
    }

    pub(super) fn healthy(&self) -> Result<(), StoreError> {
        if self.lanes.is_ended() {
            return Err(unavailable(&self.path, "its writer has ended; restart the broker"));
        }
        self.shared.fault.load().as_deref().map_or(Ok(()), |fault| Err(fault.clone()))
    }

    pub(super) async fn active_policy(&self) -> Result<Option<ActivePolicy>, StoreError> {
        self.readers.read(policy::active).await
    }

    pub(super) async fn policy_versions(&self) -> Result<Vec<PolicyVersion>, StoreError> {
        self.readers.read(policy::versions).await
    }

    pub(super) async fn policy_bundle(&self, n: u64) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers.read(move |conn| policy::bundle(conn, n)).await
    }

    pub(super) async fn policy_history(&self) -> Result<Vec<Activation>, StoreError> {
        self.readers.read(policy::history).await
    }

    pub(super) async fn token(&self, id: String) -> Result<Option<TokenRecord>, StoreError> {
        self.readers.read(move |conn| record::token(conn, &id)).await
    }

    pub(super) async fn preview(&self, targets: Vec<Target>, now: Timestamp) -> Result<Preview, StoreError> {
        let view = self.shared.view.load_full();
        let read = move |conn: &rusqlite::Connection| {
            preview::of(conn, &targets, now, &view.revocations, view.longest_life)
        };
        self.readers.read(read).await
    }

    pub(super) async fn living(
        &self,
        workflows: Vec<String>,
        now: Timestamp,
    ) -> Result<Vec<Living>, StoreError> {
        let view = self.shared.view.load_full();
        let read = move |conn: &rusqlite::Connection| {
            living::of(conn, &workflows, now, &view.revocations, view.longest_life)
        };
        self.readers.read(read).await
    }

    pub(super) async fn notes(&self) -> Result<Notes, StoreError> {
        self.readers.read(read::notes).await
    }

    pub(super) async fn task_owner(&self, task: String) -> Result<Option<String>, StoreError> {
        self.readers.read(move |conn| record::owner(conn, &task)).await
    }

    pub(super) async fn settle_notices(&self, settle: SettleNotices) -> Result<(), StoreError> {
        self.write(move |unit| notice::settle(unit, &settle)).await
    }

    pub(super) async fn dropped_notices(&self, limit: usize) -> Result<Vec<DroppedNotice>, StoreError> {
        self.readers.read(move |conn| notice::dropped(conn, limit)).await
    }

    pub(super) async fn waiting_notices(&self) -> Result<Vec<WaitingNotice>, StoreError> {
        self.readers.read(notice::waiting).await
    }

    pub(super) async fn claim_use(
        &self,
        claim: ClaimUse,
        audit: one_shot::Audit,
    ) -> Result<Claimed, StoreError> {
        self.write(move |unit| one_shot::claim(unit, &claim, audit)).await
    }

    pub(super) async fn counts(&self) -> Result<Counts, StoreError> {
        self.readers.read(read::counts).await
    }
}
