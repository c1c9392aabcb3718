//! The one thread that writes: it takes what is queued, runs it as one transaction, and only then answers.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::sql::{exec, fault};
use super::state::State;
use super::unit::Unit;
use crate::store::revocations::Revocations;
use crate::store::{Head, StoreError};

/// The most operations in one transaction.
const GROUP: usize = 256;

/// An operation: runs inside the transaction, or is told why there is none.
pub(super) type Job = Box<dyn FnOnce(Result<&mut Unit<'_>, StoreError>) -> Answer + Send>;

/// Tells the caller: the operation's own result when the transaction holds, else the fault.
pub(super) type Answer = Box<dyn FnOnce(Option<StoreError>) + Send>;

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
}

pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    shared: Arc<Shared>,
    // None after a failure: what holds is then read from the database again.
    state: Option<State>,
    handed: u64,
}

impl Writer {
    pub(super) fn new(conn: Connection, path: PathBuf, state: State, shared: Arc<Shared>) -> Self {
        let handed = state.counters.seq;
        Self { conn, path, shared, state: Some(state), handed }
    }

    /// Works until every sender is gone and the queue is empty.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut queue = VecDeque::from([first]);
            while queue.len() < GROUP
                && let Ok(job) = jobs.try_recv()
            {
                queue.push_back(job);
            }
            while !queue.is_empty() {
                self.group(&mut queue);
            }
        }
    }

    fn group(&mut self, queue: &mut VecDeque<Job>) {
        let mut answers = Vec::with_capacity(queue.len());
        let failed = match self.transaction(queue, &mut answers) {
            Ok((state, fault)) => {
                // Seen by all before anyone is answered.
                self.shared.view.store(Arc::new(View::of(&state)));
                self.shared.fault.store(fault.map(Arc::new));
                self.state = Some(state);
                None
            }
            Err(error) => {
                self.abandon(&error);
                if answers.is_empty() {
                    answers.extend(queue.drain(..).map(|job| job(Err(error.clone()))));
                }
                Some(error)
            }
        };
        answers.into_iter().for_each(|answer| answer(failed.clone()));
    }

    fn transaction(
        &mut self,
        queue: &mut VecDeque<Job>,
        answers: &mut Vec<Answer>,
    ) -> Result<(State, Option<StoreError>), StoreError> {
        let failed = |error| fault(&self.path, &error);
        exec(&self.conn, "BEGIN IMMEDIATE").map_err(failed)?;
        let mut state = match self.state.take() {
            Some(state) => state,
            None => State::load(&self.conn).map_err(failed)?,
        };
        let mut unit = Unit::new(&self.conn, &mut state, &self.path, &mut self.handed);
        while let Some(job) = queue.pop_front() {
            // A job that panics has dropped its answer, so its caller knows; the group cannot be trusted.
            match catch_unwind(AssertUnwindSafe(|| job(Ok(&mut unit)))) {
                Ok(answer) => answers.push(answer),
                Err(_) => {
                    answers.push(Box::new(drop));
                    return Err(unavailable(&self.path, "an operation beside it broke off"));
                }
            }
            if let Some(error) = unit.doomed() {
                return Err(error.clone());
            }
        }
        let fault = unit.fault();
        state.save(&self.conn).map_err(failed)?;
        exec(&self.conn, "COMMIT").map_err(|error| commit_fault(&self.path, &error))?;
        Ok((state, fault))
    }

    fn abandon(&mut self, error: &StoreError) {
        tracing::error!(error.class = "store", error = %error, "a group of records was not committed");
        self.shared.fault.store(Some(Arc::new(error.clone())));
        if !self.conn.is_autocommit() {
            // When this fails too, the next BEGIN does, and everything is refused.
            let _ = exec(&self.conn, "ROLLBACK");
        }
    }
}

pub(super) fn unavailable(path: &Path, cause: &str) -> StoreError {
    StoreError::Unavailable { path: path.to_owned(), cause: cause.to_owned() }
}

fn commit_fault(path: &Path, error: &rusqlite::Error) -> StoreError {
    match fault(path, error) {
        StoreError::Failed { path, cause } => StoreError::Unavailable { path, cause },
        known => known,
    }
}
