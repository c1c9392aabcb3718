//! What decisions depended on: kept, read, and erased for good.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::read::{LAST, stored};
use super::sql::{Int, int};
use super::unit::{Failure, Unit};
use super::{Sqlite, approval};
use crate::store::{AuditEntry, ErasableInput, Erase, Erased, StoreError, StoredInput};

/// The most inputs that one step erases, so that nothing else waits long behind it.
pub(super) const STEP: u16 = 2000;

/// The most inputs that one read answers.
const PAGE: usize = 1000;

impl Sqlite {
    pub(in crate::store) async fn audit_input(&self, idx: u64) -> Result<Option<ErasableInput>, StoreError> {
        self.readers.read(move |conn| at(conn, idx)).await
    }

    pub(in crate::store) async fn audit_inputs(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredInput>, StoreError> {
        self.readers.read(move |conn| kept(conn, from, limit)).await
    }

    pub(in crate::store) async fn inputs_place(&self, newest: u64) -> Result<u64, StoreError> {
        self.readers.read(move |conn| place(conn, newest)).await
    }

    pub(in crate::store) async fn erasable(&self, erase: Erase) -> Result<u64, StoreError> {
        self.readers.read(move |conn| count(conn, &erase)).await
    }

    pub(in crate::store) async fn erase_inputs(
        &self,
        erase: Erase,
        audit: Box<dyn FnOnce(&Erased) -> AuditEntry + Send>,
    ) -> Result<Erased, StoreError> {
        // Looking for them takes a while, and the thread that writes is for the switch.
        let wanted = erase.clone();
        let due = self.readers.read(move |conn| due(conn, &wanted)).await?;
        let shared = Arc::clone(&self.shared);
        let work = move |unit: &mut Unit<'_>| {
            let erased = erase_at(unit, &erase, &due, audit)?;
            shared.traces.store(true, Ordering::Relaxed);
            shared.wipe.store(true, Ordering::Relaxed);
            Ok(erased)
        };
        self.write(work).await
    }

    pub(in crate::store) fn has_traces(&self) -> bool {
        self.shared.traces.load(Ordering::Relaxed)
    }
}

const WANTED: &str = "FROM audit_input i WHERE i.subject = ?1
    AND (?2 IS NULL OR json_extract(CAST(i.body AS TEXT), '$.identity.principal') = ?2)
    AND (?3 IS NULL OR (SELECT e.at FROM audit_entry e WHERE e.idx = i.idx) < ?3)";

fn wanted(erase: &Erase) -> ([u8; 32], Option<&str>, Option<Int>) {
    (erase.subject, erase.principal.as_deref(), erase.before.map(|at| Int(at.millis().min(LAST))))
}

pub(super) fn insert(conn: &Connection, idx: u64, input: &ErasableInput) -> rusqlite::Result<()> {
    let ErasableInput { subject, salt, body } = input;
    let sql = "INSERT INTO audit_input (idx, subject, salt, body) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![Int(idx), subject, salt, body]).map(drop)
}

/// The input of the entry at this place, if it has one that was not erased.
fn at(conn: &Connection, idx: u64) -> rusqlite::Result<Option<ErasableInput>> {
    let sql = "SELECT subject, salt, body FROM audit_input WHERE idx = ?1";
    conn.prepare_cached(sql)?.query_row([Int(idx)], |row| input(row, 0)).optional()
}

/// Entries whose input is still there, from a place on.
fn kept(conn: &Connection, from: u64, limit: usize) -> rusqlite::Result<Vec<StoredInput>> {
    let sql = "SELECT e.idx, e.at, e.body, e.leaf, i.subject, i.salt, i.body
        FROM audit_input i JOIN audit_entry e ON e.idx = i.idx WHERE i.idx >= ?1 ORDER BY i.idx LIMIT ?2";
    let found = |row: &Row<'_>| Ok(StoredInput { entry: stored(row)?, input: input(row, 4)? });
    let limit = Int(limit.min(PAGE) as u64);
    conn.prepare_cached(sql)?.query_map(params![Int(from.min(LAST)), limit], found)?.collect()
}

/// The place of the first of the `newest` inputs that came last; 0 where there are not as many.
fn place(conn: &Connection, newest: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT idx FROM audit_input ORDER BY idx DESC LIMIT 1 OFFSET ?1";
    let skipped = Int(newest.saturating_sub(1).min(LAST));
    let found = conn.prepare_cached(sql)?.query_row([skipped], |row| int(row, 0)).optional()?;
    Ok(found.unwrap_or(0))
}

/// How many inputs would be erased.
fn count(conn: &Connection, erase: &Erase) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) {WANTED}");
    let inputs = conn.prepare_cached(&sql)?.query_row(wanted(erase), |row| int(row, 0))?;
    Ok(inputs + approval::erasable(conn, wanted(erase))?)
}

/// The places of the first inputs that would be erased: as many as one step takes.
fn due(conn: &Connection, erase: &Erase) -> rusqlite::Result<Vec<u64>> {
    let sql = format!("SELECT i.idx {WANTED} ORDER BY i.idx LIMIT {STEP}");
    conn.prepare_cached(&sql)?.query_map(wanted(erase), |row| int(row, 0))?.collect()
}

/// Erases the inputs at these places, and overwrites what they were on the disk. The entries stay as they are.
fn erase_at(
    unit: &mut Unit<'_>,
    erase: &Erase,
    due: &[u64],
    audit: impl FnOnce(&Erased) -> AuditEntry,
) -> Result<Erased, Failure<StoreError>> {
    overwriting(unit.conn, true)?;
    let gone = delete(unit.conn, erase, due);
    let requests = approval::erase(unit.conn, wanted(erase));
    overwriting(unit.conn, false)?;
    let erased = Erased { count: gone? + requests?, more: due.len() >= STEP.into() };
    unit.append(&audit(&erased))?;
    Ok(erased)
}

fn delete(conn: &Connection, erase: &Erase, due: &[u64]) -> rusqlite::Result<u64> {
    let mut delete = conn.prepare_cached("DELETE FROM audit_input WHERE idx = ?1 AND subject = ?2")?;
    let mut gone = 0;
    for idx in due {
        gone += delete.execute(params![Int(*idx), erase.subject])? as u64;
    }
    Ok(gone)
}

fn input(row: &Row<'_>, first: usize) -> rusqlite::Result<ErasableInput> {
    Ok(ErasableInput { subject: row.get(first)?, salt: row.get(first + 1)?, body: row.get(first + 2)? })
}

/// Whether SQLite writes zeros over whole pages that are freed. Over what is deleted or moved within a page it does so
/// always: else what is erased might still lie where it was before a page was split.
pub(super) fn overwriting(conn: &Connection, pages: bool) -> rusqlite::Result<()> {
    let mode = if pages { "ON" } else { "FAST" };
    conn.pragma_update_and_check(None, "secure_delete", mode, |_| Ok(()))
}
