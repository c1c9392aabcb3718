//! Notices that wait for the webhook, and the newest of those that did not reach it.

use rusqlite::{Connection, Row, params};
use shortbread_protocol::admin::WhyDropped;

use super::sql::{Int, moment, strange};
use super::unit::{Failure, Unit};
use crate::store::{DROPPED_NOTICES, DroppedNotice, SettleNotices, WaitingNotice};

pub(super) fn settle<E>(unit: &mut Unit<'_>, settle: &SettleNotices) -> Result<(), Failure<E>> {
    let sql =
        "INSERT INTO notice (id, kind, weight, at, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let mut add = unit.conn.prepare_cached(sql)?;
    for notice in &settle.added {
        add.execute(params![notice.id, notice.kind, notice.weight, Int(notice.at.millis()), notice.body])?;
    }
    let mut forget = unit.conn.prepare_cached("DELETE FROM notice WHERE id = ?1")?;
    for id in &settle.gone {
        forget.execute([id])?;
    }
    if !settle.dropped.is_empty() {
        keep(unit.conn, &settle.dropped)?;
    }
    Ok(())
}

// The newest alone.
fn keep(conn: &Connection, dropped: &[DroppedNotice]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO dropped_notice (id, kind, at, dropped, why, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    let mut keep = conn.prepare_cached(sql)?;
    for notice in dropped {
        let DroppedNotice { id, kind, at, dropped, why, body } = notice;
        keep.execute(params![id, kind, Int(at.millis()), Int(dropped.millis()), why.as_str(), body])?;
    }
    let sql = "DELETE FROM dropped_notice WHERE id IN
        (SELECT id FROM dropped_notice ORDER BY dropped DESC, id DESC LIMIT -1 OFFSET ?1)";
    conn.prepare_cached(sql)?.execute([Int(DROPPED_NOTICES as u64)]).map(drop)
}

pub(super) fn dropped(conn: &Connection, limit: usize) -> rusqlite::Result<Vec<DroppedNotice>> {
    let sql =
        "SELECT id, kind, at, dropped, why, body FROM dropped_notice ORDER BY dropped DESC, id DESC LIMIT ?1";
    let mut select = conn.prepare_cached(sql)?;
    select.query_map([Int(limit as u64)], given_up)?.collect()
}

fn given_up(row: &Row<'_>) -> rusqlite::Result<DroppedNotice> {
    let word: String = row.get(4)?;
    let why = WhyDropped::ALL.into_iter().find(|why| why.as_str() == word);
    Ok(DroppedNotice {
        id: row.get(0)?,
        kind: row.get(1)?,
        at: moment(row, 2)?,
        dropped: moment(row, 3)?,
        why: why.ok_or_else(|| strange(4, &word))?,
        body: row.get(5)?,
    })
}

pub(super) fn waiting(conn: &Connection) -> rusqlite::Result<Vec<WaitingNotice>> {
    let sql = "SELECT id, kind, weight, at, body FROM notice ORDER BY id";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([], |row| {
        Ok(WaitingNotice {
            id: row.get(0)?,
            kind: row.get(1)?,
            weight: row.get(2)?,
            at: moment(row, 3)?,
            body: row.get(4)?,
        })
    })?;
    rows.collect()
}
