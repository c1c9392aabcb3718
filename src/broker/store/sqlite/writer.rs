//! The one thread that writes: it takes what is queued, runs it as one transaction, and only then answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use rusqlite::wal::CheckpointMode;

use super::lanes::{Group, Job, Lane, Lanes};
use super::open;
use super::reserve::Reserve;
use super::sql::{exec, fault};
use super::state::State;
use super::unit::Unit;
use crate::store::revocations::Revocations;
use crate::store::{Head, Sink, StoreError};

/// What readers may see without asking the database: always a committed state.
#[derive(Debug)]
pub(super) struct View {
    pub(super) revocations: Arc<Revocations>,
    pub(super) head: Option<Arc<Head>>,
    pub(super) seq: u64,
    pub(super) audit_size: u64,
    pub(super) longest_life: u64,
}

impl View {
    pub(super) fn of(state: &State) -> Self {
        Self {
            revocations: state.revocations.clone(),
            head: state.head.clone(),
            seq: state.counters.seq,
            audit_size: state.counters.next_idx,
            longest_life: state.counters.marks.longest_life,
        }
    }
}

/// What the writer shares with everyone.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) view: ArcSwap<View>,
    pub(super) fault: ArcSwapOption<StoreError>,
    /// Whether the database's log may still hold what was erased. At the start nobody knows what came before.
    pub(super) traces: AtomicBool,
    /// Whether the next group is to empty it of that.
    pub(super) wipe: AtomicBool,
    /// Who hears of new entries.
    pub(super) sink: OnceLock<Arc<dyn Sink>>,
}

pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    shared: Arc<Shared>,
    // None after a failure: what holds is then read from the database again.
    state: Option<State>,
    handed: u64,
    reserve: Reserve,
    // The most pages that SQLite was told of last.
    limit: Option<u64>,
    // How many pages wait in the database's log.
    log: Arc<AtomicU64>,
}

/// Ends the lanes with the thread, whatever ends it.
struct Ending(Arc<Lanes>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        path: PathBuf,
        state: State,
        shared: Arc<Shared>,
        reserve: Reserve,
    ) -> Self {
        let handed = state.counters.seq;
        let (limit, log) = (None, Arc::default());
        Self { conn, path, shared, state: Some(state), handed, reserve, limit, log }
    }

    /// Works until the lanes are closed and empty.
    pub(super) fn run(mut self, lanes: Arc<Lanes>) {
        let ending = Ending(lanes);
        let log = Arc::clone(&self.log);
        // Instead of SQLite's own checkpoints, whose failures nobody would see.
        let count = move |_: &mut Wal, pages| {
            log.store(u64::try_from(pages).unwrap_or_default(), Ordering::Relaxed);
            Ok(())
        };
        if let Err(error) = self.conn.wal_hook(Some(count)) {
            return self.abandon(&fault(&self.path, &error));
        }
        self.note_reserve();
        while let Some(group) = ending.0.next() {
            self.group(group);
        }
    }

    fn group(&mut self, group: Group) {
        let Group { lane, mut jobs } = group;
        let failed = match lane {
            Lane::Usual if !self.reserve.admits() => Some(self.at_reserve()),
            Lane::Usual => self.usual(&mut jobs),
            Lane::First => self.first(&mut jobs),
        };
        if self.shared.wipe.swap(false, Ordering::Relaxed) {
            self.empty_log();
        }
        jobs.into_iter().for_each(|job| job.answer(failed.clone()));
        self.upkeep(lane);
    }

    fn usual(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Option<StoreError> {
        let done = self.attempt(jobs, false);
        if is_full(done.as_ref().map_or_else(Some, Option::as_ref)) {
            self.reserve.refuse();
        }
        let failed = self.finish(done.map(drop));
        if !self.reserve.admits() {
            self.note(None);
        }
        failed
    }

    // What does not fit is tried again as long as there is something to give up for it.
    fn first(&mut self, jobs: &mut Vec<Box<dyn Job>>) -> Option<StoreError> {
        loop {
            match self.attempt(jobs, true) {
                Err(error) if is_full(Some(&error)) && self.reserve.give() => {
                    self.roll_back();
                    self.checkpoint();
                }
                done => return self.finish(done.map(drop)),
            }
        }
    }

    fn finish(&mut self, done: Result<(), StoreError>) -> Option<StoreError> {
        let error = done.err()?;
        self.abandon(&error);
        Some(error)
    }

    /// Runs a group as one transaction; gives the last fault of an operation in it.
    fn attempt(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        switch: bool,
    ) -> Result<Option<StoreError>, StoreError> {
        self.limit_pages(switch)?;
        let (state, fault) = self.transaction(jobs, switch)?;
        // Seen by all before anyone is answered.
        self.shared.view.store(Arc::new(View::of(&state)));
        self.note(fault.clone());
        self.state = Some(state);
        Ok(fault)
    }

    fn transaction(
        &mut self,
        jobs: &mut Vec<Box<dyn Job>>,
        switch: bool,
    ) -> Result<(State, Option<StoreError>), StoreError> {
        let failed = |error| fault(&self.path, &error);
        exec(&self.conn, "BEGIN IMMEDIATE").map_err(failed)?;
        let mut state = match self.state.take() {
            Some(state) => state,
            None => State::load(&self.conn).map_err(failed)?,
        };
        let sink = self.shared.sink.get();
        let mut unit = Unit::new(&self.conn, &mut state, &self.path, &mut self.handed, sink.is_some());
        let mut broken = None;
        for (at, job) in jobs.iter_mut().enumerate() {
            if catch_unwind(AssertUnwindSafe(|| job.run(Ok(&mut unit)))).is_err() {
                broken = Some(at);
                break;
            }
            if let Some(error) = unit.doomed() {
                return Err(error.clone());
            }
        }
        if let Some(at) = broken {
            // Its caller knows when it goes; the group cannot be trusted.
            drop(jobs.remove(at));
            return Err(unavailable(&self.path, "an operation beside it broke off"));
        }
        let (fault, logged) = unit.done();
        if switch && is_full(fault.as_ref()) && self.reserve.helps(&self.conn) {
            return Err(StoreError::Full { path: self.path.clone() });
        }
        state.save(&self.conn).map_err(failed)?;
        exec(&self.conn, "COMMIT").map_err(|error| commit_fault(&self.path, &error))?;
        if let Some(sink) = sink.filter(|_| !logged.is_empty()) {
            sink.logged(logged);
        }
        Ok((state, fault))
    }

    fn limit_pages(&mut self, switch: bool) -> Result<(), StoreError> {
        let pages = self.reserve.pages(switch);
        if let Some(most) = pages.filter(|_| pages != self.limit) {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            // SQLite does not go below what the file has.
            let told = self.conn.pragma_update_and_check(None, "max_page_count", most, |_| Ok(()));
            told.map_err(|error| fault(&self.path, &error))?;
            self.limit = pages;
        }
        Ok(())
    }

    // After a group was answered: the log is written back before it grows beyond what the reserve can take, and exchanges
    // are let in again once there is room.
    fn upkeep(&mut self, lane: Lane) {
        let most = if self.reserve.admits() { self.reserve.checkpoint_pages() } else { 1 };
        if self.log.load(Ordering::Relaxed) >= most && (self.reserve.admits() || lane == Lane::First) {
            self.checkpoint();
        }
        if lane == Lane::First {
            self.reserve.look(&self.conn);
            self.reserve.tell();
        }
        self.note_reserve();
    }

    // Readers are not waited for: what they still look at stays in the log until the next time.
    fn checkpoint(&mut self) {
        let mode = CheckpointMode::PASSIVE;
        while let Err(error) = self.conn.wal_checkpoint_v2(Some("main"), mode) {
            let error = fault(&self.path, &error);
            if !(is_full(Some(&error)) && self.reserve.give()) {
                tracing::warn!(error = %error, "the database's log could not be written back");
                return;
            }
        }
        self.log.store(0, Ordering::Relaxed);
    }

    // The log keeps what was erased until it is emptied, which a reader who looks at it hinders: it is not waited for, and
    // who keeps the store tries again a while later.
    fn empty_log(&mut self) {
        let truncate = || {
            self.conn.busy_timeout(Duration::ZERO)?;
            let done = self.conn.wal_checkpoint_v2(Some("main"), CheckpointMode::TRUNCATE);
            self.conn.busy_timeout(open::BUSY)?;
            done
        };
        if truncate().is_ok() {
            self.log.store(0, Ordering::Relaxed);
            self.shared.traces.store(false, Ordering::Relaxed);
        }
    }

    fn at_reserve(&self) -> StoreError {
        StoreError::AtReserve { path: self.path.clone() }
    }

    // A store that records no exchanges is not sound, however well its heads go.
    fn note(&self, fault: Option<StoreError>) {
        let fault = fault.or_else(|| (!self.reserve.admits()).then(|| self.at_reserve()));
        self.shared.fault.store(fault.map(Arc::new));
    }

    fn note_reserve(&self) {
        let known = self.shared.fault.load();
        if matches!(known.as_deref(), None | Some(StoreError::AtReserve { .. })) {
            self.note(None);
        }
    }

    fn abandon(&mut self, error: &StoreError) {
        tracing::error!(error.class = "store", error = %error, "a group of records was not committed");
        self.shared.fault.store(Some(Arc::new(error.clone())));
        self.roll_back();
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit() {
            // When this fails too, the next BEGIN does, and everything is refused.
            let _ = exec(&self.conn, "ROLLBACK");
        }
    }
}

pub(super) fn unavailable(path: &Path, cause: &str) -> StoreError {
    StoreError::Unavailable { path: path.to_owned(), cause: cause.to_owned() }
}

fn is_full(error: Option<&StoreError>) -> bool {
    matches!(error, Some(StoreError::Full { .. }))
}

fn commit_fault(path: &Path, error: &rusqlite::Error) -> StoreError {
    match fault(path, error) {
        StoreError::Failed { path, cause } => StoreError::Unavailable { path, cause },
        known => known,
    }
}
