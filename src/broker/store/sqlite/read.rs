//! Connections that only read, and what they read beside policies and tokens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params};
use tokio::sync::Semaphore;

use super::open;
use super::sql::{Int, fault, int, moment};
use super::writer::unavailable;
use crate::store::{Counts, KEYED_BYTES, Notes, StoreError, StoredEntry, TAIL_LIMIT};

/// The highest number that SQLite knows.
pub(super) const LAST: u64 = i64::MAX.unsigned_abs();
/// How many reads run at a time.
const READERS: usize = 4;

/// A few connections, opened when they are needed.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::default(), turns: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs a read where it may block.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| unavailable(&self.path, "it is closed"))?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.with(work)
        });
        read.await.map_err(|_| unavailable(&self.path, "a read broke off"))?
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let failed = |error| fault(&self.path, &error);
        let conn = match idle {
            Some(conn) => conn,
            None => open::reader(&self.path).map_err(failed)?,
        };
        // A connection that failed is not used again.
        let value = work(&conn).map_err(failed)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        Ok(value)
    }
}

pub(super) fn audit_tail(conn: &Connection, from: u64, limit: usize) -> rusqlite::Result<Vec<StoredEntry>> {
    let sql = "SELECT idx, at, body, leaf FROM audit_entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
    let limit = Int(limit.min(TAIL_LIMIT) as u64);
    conn.prepare_cached(sql)?.query_map(params![Int(from.min(LAST)), limit], stored)?.collect()
}

pub(super) fn audit_places(conn: &Connection, key: &dyn ToSql) -> rusqlite::Result<Vec<u64>> {
    let sql = "SELECT idx FROM audit_key JOIN audit_entry USING (idx) WHERE key = ?1 ORDER BY idx LIMIT ?2";
    conn.prepare_cached(sql)?.query_map(params![key, Int(TAIL_LIMIT as u64)], |row| int(row, 0))?.collect()
}

pub(super) fn audit_by_key(conn: &Connection, key: &dyn ToSql) -> rusqlite::Result<Vec<StoredEntry>> {
    let sql = "SELECT e.idx, e.at, e.body, e.leaf FROM audit_key k JOIN audit_entry e ON e.idx = k.idx
        WHERE k.key = ?1 ORDER BY k.idx LIMIT ?2";
    let mut select = conn.prepare_cached(sql)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    // A trace is its callers' word: any number of long entries may bear it.
    for entry in select.query_map(params![key, Int(TAIL_LIMIT as u64)], stored)? {
        let entry: StoredEntry = entry?;
        bytes += entry.body.len();
        if bytes > KEYED_BYTES && !entries.is_empty() {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}

pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<StoredEntry> {
    Ok(StoredEntry { idx: int(row, 0)?, at: moment(row, 1)?, body: row.get(2)?, leaf: row.get(3)? })
}

pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Counts> {
    let sql = "SELECT (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM token),
        (SELECT count(*) FROM replay), (SELECT count(*) FROM task), (SELECT count(*) FROM revocation),
        (SELECT count(*) FROM revoked_block), (SELECT count(*) FROM policy_version)";
    conn.query_row(sql, [], |row| {
        Ok(Counts {
            audit: int(row, 0)?,
            tokens: int(row, 1)?,
            replays: int(row, 2)?,
            tasks: int(row, 3)?,
            revocations: int(row, 4)?,
            blocks: int(row, 5)?,
            policies: int(row, 6)?,
        })
    })
}

pub(super) fn notes(conn: &Connection) -> rusqlite::Result<Notes> {
    let sql = "SELECT kind, value, note FROM revocation UNION ALL SELECT 'all', '', global_note FROM revocation_state";
    let note = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
    conn.prepare_cached(sql)?.query_map([], note)?.collect()
}
