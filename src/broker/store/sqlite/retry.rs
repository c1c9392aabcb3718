//! Answers that can be given once more (Idempotency-Key).

use rusqlite::{Connection, OptionalExtension as _, params};
use shortbread_protocol::clock::Timestamp;

use super::sql::Int;
use crate::store::{Kept, Retry};

/// Whether the answer is kept: not when another one stands under this key.
pub(super) fn insert(
    conn: &Connection,
    token: &str,
    retry: &Retry,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let over = "DELETE FROM retry WHERE key = ?1 AND keep_until <= ?2";
    conn.prepare_cached(over)?.execute(params![retry.key, Int(now.seconds())])?;
    let sql = "INSERT INTO retry (key, keep_until, token, block, answer) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT DO NOTHING";
    let values = params![retry.key, Int(retry.keep_until), token, retry.block, retry.answer];
    Ok(conn.prepare_cached(sql)?.execute(values)? == 1)
}

pub(super) fn kept(conn: &Connection, key: &[u8; 32], now: Timestamp) -> rusqlite::Result<Option<Kept>> {
    let sql = "SELECT token, block, answer FROM retry WHERE key = ?1 AND keep_until > ?2";
    conn.prepare_cached(sql)?
        .query_row(params![key, Int(now.seconds())], |row| {
            Ok(Kept { token: row.get(0)?, block: row.get(1)?, answer: row.get(2)? })
        })
        .optional()
}

/// Forgets what may no longer be repeated; gives how many rows went.
pub(super) fn forget(conn: &Connection, now: Timestamp, rows: u16) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM retry WHERE key IN (SELECT key FROM retry WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";
    conn.prepare_cached(sql)?.execute(params![Int(now.seconds()), rows])
}
