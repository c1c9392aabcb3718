//! What the log's checkpoints are signed under: another origin after each restore that lost entries.

use rusqlite::{Connection, OptionalExtension as _, params};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::log;

use super::sql::{Int, has_table};

/// The origin that counts now.
pub(super) fn current(conn: &Connection, issuer: &str) -> rusqlite::Result<String> {
    over(conn, issuer, u64::MAX >> 1)
}

/// The origin of checkpoints over so many entries.
pub(super) fn over(conn: &Connection, issuer: &str, size: u64) -> rusqlite::Result<String> {
    let known = if has_table(conn, "audit_origin")? {
        let sql = "SELECT origin FROM audit_origin WHERE kept < ?1 ORDER BY n DESC LIMIT 1";
        conn.query_row(sql, [Int(size)], |row| row.get(0)).optional()?
    } else {
        // An older program wrote the store.
        None
    };
    Ok(known.unwrap_or_else(|| log::origin(issuer)))
}

/// The origins that this log has left behind.
pub(super) fn former(conn: &Connection, issuer: &str) -> rusqlite::Result<Vec<String>> {
    let mut all = vec![log::origin(issuer)];
    let mut select = conn.prepare("SELECT origin FROM audit_origin ORDER BY n")?;
    for origin in select.query_map([], |row| row.get(0))? {
        all.push(origin?);
    }
    all.pop();
    Ok(all)
}

/// From now on checkpoints are signed under this one.
pub(super) fn add(conn: &Connection, origin: &str, kept: u64, at: Timestamp) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_origin (origin, kept, at) VALUES (?1, ?2, ?3)";
    conn.execute(sql, params![origin, Int(kept), Int(at.millis())]).map(drop)
}
