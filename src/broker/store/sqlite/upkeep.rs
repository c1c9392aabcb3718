//! Signing the next head, and forgetting what nobody needs any more.

use std::sync::Arc;

use rusqlite::params;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::SelectorKind;

use super::change::changed;
use super::sql::Int;
use super::unit::{Failure, Unit, refuse};
use super::{descent, retry};
use crate::store::revocations::{Block, Change, Entry};
use crate::store::{Head, HeadError, HeadFacts, Pruned, StoreError};

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

pub(super) fn prune(unit: &mut Unit<'_>, now: Timestamp) -> Result<Pruned, Failure<StoreError>> {
    let replays = forget_replays(unit, now)?;
    let delisted = relist(unit, now)?;
    let over = retry::forget(unit.conn, now, ROWS)?.max(descent::forget(unit.conn, now, ROWS)?);
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

// Both ways, so that a clock that went too far and came back takes no revocation off the list for good.
fn relist(unit: &mut Unit<'_>, now: Timestamp) -> Result<usize, Failure<StoreError>> {
    let now = now.seconds();
    let revocations = unit.state.revocations.clone();
    let due = |until: u64, listed: bool| listed != (until > now);
    let entries: Vec<(SelectorKind, &str, &Entry)> = revocations
        .entries()
        .filter(|(_, _, entry)| entry.until.is_some_and(|until| due(until, entry.listed)))
        .take(ROWS.into())
        .collect();
    let blocks: Vec<(&[u8; 16], &Block)> =
        revocations.blocks().filter(|(_, block)| due(block.until, block.listed)).take(ROWS.into()).collect();
    if entries.is_empty() && blocks.is_empty() {
        return Ok(0);
    }
    let sql = "UPDATE revocation SET listed = ?3 WHERE kind = ?1 AND value = ?2";
    let mut update = unit.conn.prepare_cached(sql)?;
    for (kind, value, entry) in &entries {
        update.execute(params![kind.as_str(), value, !entry.listed])?;
        unit.change(Change::Set(*kind, (*value).into(), Entry { listed: !entry.listed, ..(*entry).clone() }));
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
