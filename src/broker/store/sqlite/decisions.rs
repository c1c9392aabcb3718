//! Recording decisions that others made, each once.

use rusqlite::Connection;

use super::unit::{Failure, Unit};
use crate::store::{AuditEntry, StoreError};

/// Whether an entry is of the sender: another's with the same id is not meant.
pub(super) type Mine = Box<dyn Fn(&[u8]) -> bool + Send>;

pub(super) fn record(
    unit: &mut Unit<'_>,
    entries: &[AuditEntry],
    mine: &Mine,
) -> Result<Vec<bool>, Failure<StoreError>> {
    let once = |entry: &AuditEntry| {
        let new = !known(unit.conn, &entry.decision, mine)?;
        if new {
            unit.append::<StoreError>(entry)?;
        }
        Ok(new)
    };
    entries.iter().map(once).collect()
}

fn known(conn: &Connection, id: &str, mine: &Mine) -> rusqlite::Result<bool> {
    let sql = "SELECT body FROM audit_key JOIN audit_entry USING (idx) WHERE key = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([id])?;
    while let Some(row) = rows.next()? {
        if mine(row.get_ref(0)?.as_blob()?) {
            return Ok(true);
        }
    }
    Ok(false)
}
