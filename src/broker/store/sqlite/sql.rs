//! Small bridges between SQLite's types, its errors and ours.

use std::path::Path;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, ErrorCode, Row};
use shortbread_protocol::clock::Timestamp;
use thiserror::Error as ThisError;

use crate::store::StoreError;

/// A count or a time: SQLite knows only signed integers, so 2^63 and above are refused.
#[derive(Clone, Copy)]
pub(super) struct Int(pub(super) u64);

impl ToSql for Int {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let signed = i64::try_from(self.0).map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
        Ok(signed.into())
    }
}

impl FromSql for Int {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let signed = i64::column_result(value)?;
        u64::try_from(signed).map(Self).map_err(|_| FromSqlError::OutOfRange(signed))
    }
}

pub(super) fn int(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, Int>(column).map(|int| int.0)
}

pub(super) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    int(row, column).map(Timestamp::from_millis)
}

/// A column whose text no version of this program wrote.
pub(super) fn strange(column: usize, text: &str) -> Error {
    let cause = format!("{:?} is not a known word", text.chars().take(32).collect::<String>());
    Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, cause.into())
}

/// A part of the audit log that does not fit the rest.
#[derive(Debug, ThisError)]
#[error("the audit log is damaged: {0}")]
struct Damaged(String);

/// What is said of such a part.
pub(super) fn damaged(place: String) -> Error {
    Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Damaged(place).into())
}

pub(super) fn exec(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([]).map(drop)
}

/// Whether there is such a table: a store that an older program wrote may lack it.
pub(super) fn has_table(conn: &Connection, name: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    conn.query_row(sql, [name], |row| row.get(0))
}

/// What SQLite calls a failed write where a quota or a size limit is in the way, or no room for its index of the log.
const NO_ROOM: [i32; 2] = [rusqlite::ffi::SQLITE_IOERR_WRITE, rusqlite::ffi::SQLITE_IOERR_SHMSIZE];

/// What SQLite reports, as the reader of a log needs it.
pub(super) fn fault(path: &Path, error: &Error) -> StoreError {
    let path = path.to_owned();
    if error.sqlite_error().is_some_and(|error| NO_ROOM.contains(&error.extended_code)) {
        return StoreError::Full { path };
    }
    if let Error::FromSqlConversionFailure(_, _, cause) = error
        && let Some(Damaged(place)) = cause.downcast_ref()
    {
        return StoreError::LogDamaged { path, place: place.clone() };
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        Some(ErrorCode::DiskFull) => StoreError::Full { path },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { path },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::NotADatabase { path },
        _ => StoreError::Failed { path, cause: error.to_string() },
    }
}

/// What the operating system reports.
pub(super) fn io_fault(path: &Path, error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind;
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::NotFound => StoreError::Missing { path },
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => StoreError::Full { path },
        _ => StoreError::Failed { path, cause: error.to_string() },
    }
}
