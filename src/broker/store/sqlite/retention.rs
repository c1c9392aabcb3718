//! Forgetting what is too old: entries of the audit log in whole tiles, the records of tokens that ended long ago, and most
//! of the checkpoints. The tree stays, so every root and every proof of what remains stays too.

use rusqlite::{Connection, params};
use serde::Deserialize;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::read_traceparent;
use shortbread_protocol::log::WIDTH;

use super::checkpoints;
use super::inputs;
use super::sql::{Int, int};
use super::unit::{Failure, Unit};
use crate::store::StoreError;

/// The most rows of one kind that one call touches, so that no exchange waits long behind it.
const ROWS: u16 = 1000;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;
/// For how long one checkpoint an hour is kept.
const MONTH: u64 = 30 * DAY;

/// What one step did.
pub(super) struct Step {
    /// Whether there may be more to do.
    pub(super) more: bool,
    /// Whether inputs went, of which the database's log may still have something.
    pub(super) inputs: bool,
}

/// One step.
pub(super) fn step(
    unit: &mut Unit<'_>,
    before: Option<Timestamp>,
    now: Timestamp,
) -> Result<Step, Failure<StoreError>> {
    let mut step = Step { more: false, inputs: false };
    step.more = thin(unit.conn, now, HOUR, DAY)? | thin(unit.conn, now, DAY, MONTH)?;
    if let Some(before) = before {
        let tile = forget_tile(unit.conn, before)?;
        step.inputs = tile.is_some_and(|inputs| inputs > 0);
        step.more |= tile.is_some() | forget_tokens(unit.conn, before)?;
    }
    Ok(step)
}

/// When the oldest of what would be forgotten arrived, or ended.
pub(super) fn oldest(conn: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT min(expires) FROM (SELECT expires FROM token ORDER BY id LIMIT ?1)";
    let token = conn.prepare_cached(sql)?.query_row([ROWS], |row| row.get::<_, Option<Int>>(0))?;
    let token = token.map(|Int(expires)| Timestamp::from_seconds(expires));
    let sql = "SELECT min(at) FROM audit_checkpoint WHERE size >= ?1";
    let tile = match oldest_tile(conn)? {
        Some((_, to)) => {
            conn.prepare_cached(sql)?.query_row([Int(to)], |row| row.get::<_, Option<Int>>(0))?
        }
        None => None,
    };
    Ok(tile.map(|Int(at)| Timestamp::from_millis(at)).into_iter().chain(token).min())
}

// The places of the entries of the oldest tile, if it is full.
fn oldest_tile(conn: &Connection) -> rusqlite::Result<Option<(u64, u64)>> {
    let sql = "SELECT min(idx) FROM audit_entry";
    let first = conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<Int>>(0))?;
    let Some(Int(from)) = first else { return Ok(None) };
    let sql = "SELECT EXISTS (SELECT 1 FROM audit_tile WHERE level = 0 AND n = ?1)";
    let is_full: bool = conn.prepare_cached(sql)?.query_row([Int(from / WIDTH)], |row| row.get(0))?;
    Ok(is_full.then_some((from, (from / WIDTH + 1) * WIDTH)))
}

// The entries of the oldest tile, if all of them arrived before that moment; how many had an input.
fn forget_tile(conn: &Connection, before: Timestamp) -> rusqlite::Result<Option<usize>> {
    let Some((from, to)) = oldest_tile(conn)? else { return Ok(None) };
    if to > checkpoints::place(conn, before)? {
        return Ok(None);
    }
    forget_keys(conn, from, to)?;
    // What may be erased is gone for good as well when it is too old.
    inputs::overwriting(conn, true)?;
    let gone = delete(conn, "audit_input", from, to);
    inputs::overwriting(conn, false)?;
    let gone = gone?;
    delete(conn, "audit_entry", from, to)?;
    Ok(Some(gone))
}

fn delete(conn: &Connection, table: &str, from: u64, to: u64) -> rusqlite::Result<usize> {
    let sql = format!("DELETE FROM {table} WHERE idx >= ?1 AND idx < ?2");
    conn.prepare_cached(&sql)?.execute(params![Int(from), Int(to)])
}

/// What an entry is found by, as it says itself.
#[derive(Deserialize)]
struct Keys {
    id: String,
    #[serde(default)]
    traceparent: String,
}

// By what the entries say of themselves: there is no index by place, which would cost every entry. A key that is left over
// leads nowhere.
fn forget_keys(conn: &Connection, from: u64, to: u64) -> rusqlite::Result<()> {
    let mut select = conn.prepare_cached("SELECT idx, body FROM audit_entry WHERE idx >= ?1 AND idx < ?2")?;
    let mut delete = conn.prepare_cached("DELETE FROM audit_key WHERE key = ?1 AND idx = ?2")?;
    let mut rows = select.query(params![Int(from), Int(to)])?;
    while let Some(row) = rows.next()? {
        let idx = Int(int(row, 0)?);
        let Ok(keys) = serde_json::from_slice::<Keys>(row.get_ref(1)?.as_blob()?) else { continue };
        delete.execute(params![keys.id, idx])?;
        if let Some((trace, _)) = read_traceparent(&keys.traceparent) {
            delete.execute(params![trace, idx])?;
        }
    }
    Ok(())
}

// Ids rise with time, so those that ended long ago come first; the first that did not ends the search.
fn forget_tokens(conn: &Connection, before: Timestamp) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM token WHERE expires < ?1 AND id IN (SELECT id FROM token ORDER BY id LIMIT ?2)";
    let gone = conn.prepare_cached(sql)?.execute(params![Int(before.seconds()), ROWS])?;
    Ok(gone >= ROWS.into())
}

// Of the checkpoints that are older than `age`, the last of each `span` alone; of the others all.
fn thin(conn: &Connection, now: Timestamp, span: u64, age: u64) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM audit_checkpoint WHERE size IN (
        SELECT size FROM audit_checkpoint AS old WHERE old.at < ?1 AND EXISTS (
            SELECT 1 FROM audit_checkpoint AS later WHERE later.size > old.size
            AND later.at >= old.at AND later.at < (old.at / ?2 + 1) * ?2)
        ORDER BY old.size LIMIT ?3)";
    let before = now.millis().saturating_sub(age);
    let gone = conn.prepare_cached(sql)?.execute(params![Int(before), Int(span), ROWS])?;
    Ok(gone >= ROWS.into())
}
