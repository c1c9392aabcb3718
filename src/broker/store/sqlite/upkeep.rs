//! Signing the next head, and forgetting what nobody needs any more.

use std::sync::Arc;

use rusqlite::params;
use shortbread_protocol::clock::Timestamp;

use super::change::changed;
use super::sql::Int;
use super::unit::{Failure, Unit, refuse};
use super::{approval, budget, descent, one_shot, retry};
use crate::store::revocations::{Block, Change, Entry, Revocations};
use crate::store::{Head, HeadError, HeadFacts, Key, Pruned, StoreError};

/// The most rows of one kind that one call touches, so that no exchange waits long behind it.
const ROWS: u16 = 1000;

type Sign<'a> = &'a mut (dyn FnMut(HeadFacts) -> Option<Vec<u8>> + Send);

pub(super) fn next_head(
    unit: &mut Unit<'_>,
    now: Timestamp,
    sign: Sign<'_>,
) -> Result<Arc<Head>, Failure<HeadError>> {
    let seq = unit.next_seq();
    let facts = HeadFacts { seq, issued: now, revocations: unit.state.revocations.clone() };
    let Some(bytes) = sign(facts) else { return refuse(HeadError::Declined) };
    let sql = "UPDATE revocation_state SET seq = ?1, head = ?2, head_seq = ?1, head_issued = ?3";
    unit.conn.prepare_cached(sql)?.execute(params![Int(seq), bytes, Int(now.millis())])?;
    let head = Arc::new(Head { seq, issued: now, bytes });
    unit.stage_head(head.clone());
    Ok(head)
}

/// Removes what nobody needs any more; `due` is what may have to change its place in the list.
pub(super) fn prune(unit: &mut Unit<'_>, now: Timestamp, due: &[Key]) -> Result<Pruned, Failure<StoreError>> {
    let replays = forget_replays(unit, now)?;
    let delisted = relist(unit, now, due)?;
    let over = retry::forget(unit.conn, now, ROWS)?.max(descent::forget(unit.conn, now, ROWS)?);
    let over = over.max(approval::forget(unit.conn, now, ROWS)?);
    let over = over.max(one_shot::forget(unit.conn, now.seconds(), ROWS)?);
    let over = over.max(budget::forget(unit.conn, now, ROWS)?);
    Ok(Pruned { replays, delisted, more: replays.max(delisted).max(over) >= ROWS.into() })
}

fn forget_replays(unit: &mut Unit<'_>, now: Timestamp) -> Result<usize, rusqlite::Error> {
    let sql = "SELECT max(keep_until) FROM
        (SELECT keep_until FROM replay WHERE keep_until < ?1 ORDER BY keep_until, hash LIMIT ?2)";
    let last = unit
        .conn
        .prepare_cached(sql)?
        .query_row(params![Int(now.seconds()), ROWS], |row| row.get::<_, Option<Int>>(0))?;
    let Some(Int(last)) = last else { return Ok(0) };
    let sql = "DELETE FROM replay WHERE (keep_until, hash) IN
        (SELECT keep_until, hash FROM replay WHERE keep_until <= ?1 ORDER BY keep_until, hash LIMIT ?2)";
    let removed = unit.conn.prepare_cached(sql)?.execute(params![Int(last), ROWS])?;
    // Should the clock go back, what is forgotten now must not pass for unused.
    let floor = &mut unit.state.counters.marks.replay_floor;
    *floor = (*floor).max(last.saturating_add(1));
    Ok(removed)
}

/// What has to leave the list by now, or to come back to it, as far as one call goes. Both ways, so that a clock that went
/// too far and came back takes no revocation off the list for good.
pub(super) fn due(list: &Revocations, now: Timestamp) -> Vec<Key> {
    let now = now.seconds();
    let entries = list.entries().filter(|(_, _, entry)| is_misplaced(entry.until, entry.listed, now));
    let blocks = list.blocks().filter(|(_, block)| is_misplaced(Some(block.until), block.listed, now));
    let entries = entries.map(|(kind, value, _)| Key::Selector(kind, value.into())).take(ROWS.into());
    entries.chain(blocks.map(|(hash, _)| Key::Block(*hash)).take(ROWS.into())).collect()
}

fn is_misplaced(until: Option<u64>, listed: bool, now: u64) -> bool {
    until.is_some_and(|until| listed != (until > now))
}

// What changed since it was looked at counts as it is now.
fn relist(unit: &mut Unit<'_>, now: Timestamp, due: &[Key]) -> Result<usize, Failure<StoreError>> {
    let now = now.seconds();
    let revocations = unit.state.revocations.clone();
    let (mut entries, mut blocks) = (Vec::new(), Vec::new());
    for key in due {
        match key {
            Key::Selector(kind, value) => {
                let entry = revocations.entry(*kind, value);
                let entry = entry.filter(|entry| is_misplaced(entry.until, entry.listed, now));
                entries.extend(entry.map(|entry| (*kind, value, entry)));
            }
            Key::Block(hash) => {
                let block = revocations.block(hash);
                let block = block.filter(|block| is_misplaced(Some(block.until), block.listed, now));
                blocks.extend(block.map(|block| (hash, block)));
            }
        }
    }
    if entries.is_empty() && blocks.is_empty() {
        return Ok(0);
    }
    let sql = "UPDATE revocation SET listed = ?3 WHERE kind = ?1 AND value = ?2";
    let mut update = unit.conn.prepare_cached(sql)?;
    for (kind, value, entry) in &entries {
        update.execute(params![kind.as_str(), value.as_ref(), !entry.listed])?;
        unit.change(Change::Set(
            *kind,
            Arc::clone(value),
            Entry { listed: !entry.listed, ..(*entry).clone() },
        ));
    }
    let mut update = unit.conn.prepare_cached("UPDATE revoked_block SET listed = ?2 WHERE hash = ?1")?;
    for (hash, block) in &blocks {
        update.execute(params![hash, !block.listed])?;
        unit.change(Change::Block(**hash, Block { listed: !block.listed, ..**block }));
    }
    // The list has other contents now, so it needs another number.
    let seq = unit.next_seq();
    changed(unit, seq)?;
    Ok(entries.len() + blocks.len())
}
