//! Key documents that were published, and the break-glass head.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::sql::{Int, int, moment};
use super::unit::{Failure, Unit, refuse};
use crate::store::revocations::Change;
use crate::store::{AuditEntry, BreakGlassRecord, KeyError, KeyRecord, StoreError};

pub(super) fn publish(
    unit: &mut Unit<'_>,
    record: &KeyRecord,
    audit: &AuditEntry,
) -> Result<(), Failure<KeyError>> {
    let highest: u64 =
        unit.conn.query_row("SELECT coalesce(max(version), 0) FROM key_document", [], |row| int(row, 0))?;
    if record.version <= highest {
        return refuse(KeyError::NotNext { offered: record.version, highest });
    }
    let sql = "INSERT INTO key_document (version, signed, by, at) VALUES (?1, ?2, ?3, ?4)";
    let at = Int(record.at.millis());
    unit.conn.execute(sql, params![Int(record.version), record.signed, record.by, at])?;
    unit.append(audit)?;
    Ok(())
}

pub(super) fn documents(conn: &Connection) -> rusqlite::Result<Vec<KeyRecord>> {
    conn.prepare("SELECT version, signed, by, at FROM key_document ORDER BY version")?
        .query_map([], |row| {
            Ok(KeyRecord { version: int(row, 0)?, signed: row.get(1)?, by: row.get(2)?, at: moment(row, 3)? })
        })?
        .collect()
}

/// Keeps a break-glass head unless one with this sequence or a higher one is kept; says whether it did.
pub(super) fn break_glass(
    unit: &mut Unit<'_>,
    record: &BreakGlassRecord,
    audit: &AuditEntry,
) -> Result<bool, Failure<StoreError>> {
    if !keep_break_glass(unit, record)? {
        return Ok(false);
    }
    unit.append(audit)?;
    Ok(true)
}

/// The same, where another entry of the log says so.
pub(super) fn keep_break_glass(unit: &mut Unit<'_>, record: &BreakGlassRecord) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO break_glass (one, seq, global, signed, at) VALUES (1, ?1, ?2, ?3, ?4)
        ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, global = excluded.global, signed = excluded.signed,
        at = excluded.at WHERE excluded.seq > break_glass.seq";
    let values = params![Int(record.seq), Int(record.global), record.signed, Int(record.at.millis())];
    if unit.conn.execute(sql, values)? == 0 {
        return Ok(false);
    }
    unit.change(Change::Stopped(record.global));
    Ok(true)
}

/// Adds documents of versions above those that are there.
pub(super) fn add_documents(conn: &Connection, records: &[KeyRecord]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO key_document (version, signed, by, at) SELECT ?1, ?2, ?3, ?4
        WHERE ?1 > (SELECT coalesce(max(version), 0) FROM key_document)";
    let mut add = conn.prepare(sql)?;
    for record in records {
        add.execute(params![Int(record.version), record.signed, record.by, Int(record.at.millis())])?;
    }
    Ok(())
}

pub(super) fn kept_break_glass(conn: &Connection) -> rusqlite::Result<Option<BreakGlassRecord>> {
    conn.query_row("SELECT seq, global, signed, at FROM break_glass", [], |row| {
        Ok(BreakGlassRecord {
            seq: int(row, 0)?,
            global: int(row, 1)?,
            signed: row.get(2)?,
            at: moment(row, 3)?,
        })
    })
    .optional()
}
