//! Signed checkpoints of the audit log, and what follows from the time of each.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use shortbread_protocol::clock::Timestamp;

use super::sql::{Int, int, moment};
use super::unit::{Failure, Unit};
use crate::store::{StoreError, StoredCheckpoint};

/// Keeps a checkpoint of more entries than any before; whether it is one.
pub(super) fn keep(unit: &mut Unit<'_>, new: &StoredCheckpoint) -> Result<bool, Failure<StoreError>> {
    let last = last(unit.conn)?;
    let known = last.as_ref().map(|last| last.size);
    if known.is_some_and(|known| new.size <= known) || new.size > unit.state.counters.next_idx {
        return Ok(false);
    }
    // Should the clock go back, what came later must not pass for earlier.
    let at = last.map_or(new.at, |last| last.at.max(new.at));
    let sql = "INSERT INTO audit_checkpoint (size, at, note) VALUES (?1, ?2, ?3)";
    unit.conn.prepare_cached(sql)?.execute(params![Int(new.size), Int(at.millis()), new.note])?;
    Ok(true)
}

/// The newest checkpoint.
pub(super) fn last(conn: &Connection) -> rusqlite::Result<Option<StoredCheckpoint>> {
    let sql = "SELECT size, at, note FROM audit_checkpoint ORDER BY size DESC LIMIT 1";
    conn.prepare_cached(sql)?.query_row([], stored).optional()
}

/// The checkpoints of more than `after` entries, the smallest first.
pub(super) fn all(conn: &Connection, after: u64, limit: u16) -> rusqlite::Result<Vec<StoredCheckpoint>> {
    let sql = "SELECT size, at, note FROM audit_checkpoint WHERE size > ?1 ORDER BY size LIMIT ?2";
    conn.prepare_cached(sql)?.query_map(params![Int(after), limit], stored)?.collect()
}

/// The size of the last checkpoint that was signed by then; 0 without one.
pub(super) fn place(conn: &Connection, at: Timestamp) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(size), 0) FROM audit_checkpoint WHERE at <= ?1";
    let at = at.millis().min(i64::MAX.unsigned_abs());
    conn.prepare_cached(sql)?.query_row([Int(at)], |row| int(row, 0))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredCheckpoint> {
    Ok(StoredCheckpoint { size: int(row, 0)?, at: moment(row, 1)?, note: row.get(2)? })
}
