//! Notices that wait for the webhook.

use rusqlite::{Connection, params};
use shortbread_protocol::clock::Timestamp;

use super::sql::{Int, int};
use super::unit::{Failure, Unit};
use crate::store::WaitingNotice;

pub(super) fn settle<E>(
    unit: &mut Unit<'_>,
    added: &[WaitingNotice],
    gone: &[String],
) -> Result<(), Failure<E>> {
    let sql =
        "INSERT INTO notice (id, kind, weight, at, body) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";
    let mut add = unit.conn.prepare_cached(sql)?;
    for notice in added {
        add.execute(params![notice.id, notice.kind, notice.weight, Int(notice.at.millis()), notice.body])?;
    }
    let mut forget = unit.conn.prepare_cached("DELETE FROM notice WHERE id = ?1")?;
    for id in gone {
        forget.execute([id])?;
    }
    Ok(())
}

pub(super) fn waiting(conn: &Connection) -> rusqlite::Result<Vec<WaitingNotice>> {
    let sql = "SELECT id, kind, weight, at, body FROM notice ORDER BY id";
    let mut select = conn.prepare_cached(sql)?;
    let rows = select.query_map([], |row| {
        Ok(WaitingNotice {
            id: row.get(0)?,
            kind: row.get(1)?,
            weight: row.get(2)?,
            at: Timestamp::from_millis(int(row, 3)?),
            body: row.get(4)?,
        })
    })?;
    rows.collect()
}
