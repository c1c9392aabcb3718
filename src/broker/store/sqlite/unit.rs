//! The writer's view of one transaction: the connection, what it must know beside it, and savepoints.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::inputs;
use super::sql::{Int, exec, fault};
use super::state::State;
use crate::store::revocations::{Change, Revocations};
use crate::store::{AUDIT_LIMIT, AuditEntry, Head, Logged, StoreError, tree};

/// Why an operation did not happen.
pub(super) enum Failure<E> {
    /// The rules say no.
    Refused(E),
    /// The store says no.
    Store(StoreError),
    /// SQLite failed.
    Sql(rusqlite::Error),
}

impl<E> From<rusqlite::Error> for Failure<E> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl<E> From<StoreError> for Failure<E> {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

pub(super) fn refuse<T, E>(error: E) -> Result<T, Failure<E>> {
    Err(Failure::Refused(error))
}

/// One group's transaction, as the operations see it.
pub(super) struct Unit<'a> {
    pub(super) conn: &'a Connection,
    pub(super) state: &'a mut State,
    path: &'a Path,
    // The highest number this process gave out, whether or not it was committed: none is given twice.
    handed: &'a mut u64,
    pending: Vec<Change>,
    head: Option<Arc<Head>>,
    // What was appended, where somebody is to hear of it.
    logged: Option<Vec<Logged>>,
    fault: Option<StoreError>,
    doomed: Option<StoreError>,
}

impl<'a> Unit<'a> {
    pub(super) fn new(
        conn: &'a Connection,
        state: &'a mut State,
        path: &'a Path,
        handed: &'a mut u64,
        heard: bool,
    ) -> Self {
        let (pending, logged) = (Vec::new(), heard.then(Vec::new));
        Self { conn, state, path, handed, pending, head: None, logged, fault: None, doomed: None }
    }

    /// Runs one operation so that its failure leaves no trace and its neighbours alone.
    pub(super) fn isolated<T, E, F>(&mut self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Self) -> Result<T, Failure<E>>,
        E: From<StoreError>,
    {
        let counters = self.state.counters;
        let before = self.logged.as_ref().map_or(0, Vec::len);
        let result = exec(self.conn, "SAVEPOINT op").map_err(Failure::Sql).and_then(|()| work(self));
        match result.and_then(|value| exec(self.conn, "RELEASE op").map(|()| value).map_err(Failure::Sql)) {
            Ok(value) => {
                self.apply();
                Ok(value)
            }
            Err(failure) => {
                self.pending.clear();
                self.head = None;
                self.logged.iter_mut().for_each(|logged| logged.truncate(before));
                self.state.counters = counters;
                self.state.tip.cut(counters.next_idx);
                self.undo();
                Err(self.explain(failure))
            }
        }
    }

    /// Notes what becomes of the revocations in memory once this operation holds.
    pub(super) fn change(&mut self, change: Change) {
        self.pending.push(change);
    }

    /// The revocations as they stand within this operation.
    pub(super) fn seen(&self) -> Revocations {
        let mut revocations = Revocations::clone(&self.state.revocations);
        self.pending.iter().cloned().for_each(|change| revocations.apply(change));
        revocations
    }

    /// Notes the head that is served once this operation holds.
    pub(super) fn stage_head(&mut self, head: Arc<Head>) {
        self.head = Some(head);
    }

    /// The next number for a change or a head.
    pub(super) fn next_seq(&mut self) -> u64 {
        let seq = self.state.counters.seq.max(*self.handed) + 1;
        self.state.counters.seq = seq;
        *self.handed = seq;
        seq
    }

    /// Appends to the audit log and answers the entry's place.
    pub(super) fn append<E>(&mut self, entry: &AuditEntry) -> Result<u64, Failure<E>> {
        check_audit(entry)?;
        let idx = self.state.counters.next_idx;
        let leaf = tree::leaf(&entry.body);
        self.conn
            .prepare_cached("INSERT INTO audit_entry (idx, at, body, leaf) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![Int(idx), Int(entry.at.millis()), entry.body, leaf])?;
        let mut key = self.conn.prepare_cached("INSERT INTO audit_key (key, idx) VALUES (?1, ?2)")?;
        key.execute(params![entry.decision, Int(idx)])?;
        if let Some(trace) = entry.trace {
            key.execute(params![trace, Int(idx)])?;
        }
        if let Some(about) = &entry.about {
            key.execute(params![about, Int(idx)])?;
        }
        if let Some(input) = &entry.input {
            inputs::insert(self.conn, idx, input)?;
        }
        self.state.counters.next_idx = idx + 1;
        self.state.tip.push(leaf);
        if let Some(logged) = &mut self.logged {
            logged.push(entry.into());
        }
        Ok(idx)
    }

    /// The fault after which nothing of this transaction may be committed.
    pub(super) fn doomed(&self) -> Option<&StoreError> {
        self.doomed.as_ref()
    }

    /// The last fault of an operation, for the store's health, and what was logged, for who is to hear of it.
    pub(super) fn done(self) -> (Option<StoreError>, Vec<Logged>) {
        (self.fault, self.logged.unwrap_or_default())
    }

    fn apply(&mut self) {
        if !self.pending.is_empty() {
            let revocations = Arc::make_mut(&mut self.state.revocations);
            self.pending.drain(..).for_each(|change| revocations.apply(change));
        }
        if let Some(head) = self.head.take() {
            self.state.head = Some(head);
        }
    }

    fn undo(&mut self) {
        // On some failures SQLite has rolled back the whole transaction by itself.
        let undone = !self.conn.is_autocommit()
            && exec(self.conn, "ROLLBACK TO op").and_then(|()| exec(self.conn, "RELEASE op")).is_ok();
        if !undone {
            let cause = "an operation beside it failed".into();
            self.doomed = Some(StoreError::Unavailable { path: self.path.to_owned(), cause });
        }
    }

    fn explain<E: From<StoreError>>(&mut self, failure: Failure<E>) -> E {
        match failure {
            Failure::Refused(error) => error,
            Failure::Store(error) => error.into(),
            Failure::Sql(error) => {
                let error = fault(self.path, &error);
                self.fault = Some(error.clone());
                if self.doomed.is_some() {
                    self.doomed = Some(error.clone());
                }
                error.into()
            }
        }
    }
}

/// Whether an entry may be logged at all.
pub(super) fn check_audit(entry: &AuditEntry) -> Result<(), StoreError> {
    let size = entry.body.len();
    if size > AUDIT_LIMIT {
        return Err(StoreError::TooLarge { what: "the audit entry", size, limit: AUDIT_LIMIT });
    }
    Ok(())
}
