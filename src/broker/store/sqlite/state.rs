//! What the writer knows beside the database, and how it is read from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, Row, params};
use shortbread_protocol::revocations::SelectorKind;

use super::keys;
use super::sql::{Int, int, moment, strange};
use super::tiles::{self, Tip};
use crate::store::Head;
use crate::store::revocations::{Block, Change, Entry, Revocations};

/// Numbers that an operation moves on and its failure moves back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) next_idx: u64,
    pub(super) seq: u64,
    pub(super) marks: Marks,
}

/// What is known of all tokens and assertions without reading them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) latest_issued: u64,
    pub(super) latest_expires: u64,
    pub(super) longest_life: u64,
    pub(super) replay_floor: u64,
}

/// Equal to the database whenever no transaction is open.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) counters: Counters,
    pub(super) revocations: Arc<Revocations>,
    pub(super) head: Option<Arc<Head>>,
    /// The entries whose tile is not full.
    pub(super) tip: Tip,
    saved: Marks,
}

impl State {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let marks = load_marks(conn)?;
        let next_idx = tiles::size(conn)?;
        let tip = Tip::load(conn, next_idx)?;
        let mut revocations = Revocations::default();
        load_entries(conn, &mut revocations)?;
        load_blocks(conn, &mut revocations)?;
        let (seq, head) = load_list(conn, &mut revocations)?;
        let made_from = conn.query_row("SELECT made_from FROM writer_state", [], |row| int(row, 0))?;
        revocations.apply(Change::MadeFrom(made_from));
        if let Some(kept) = keys::kept_break_glass(conn)? {
            revocations.apply(Change::Stopped(kept.global));
        }
        let counters = Counters { next_idx, seq, marks };
        Ok(Self { counters, revocations: Arc::new(revocations), head, tip, saved: marks })
    }

    /// Writes the tiles that have become full, and the marks: at most once in a group and mostly once in a second.
    pub(super) fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.tip.settle(conn)?;
        let marks = self.counters.marks;
        if marks != self.saved {
            let sql = "UPDATE writer_state
                SET latest_issued = ?1, latest_expires = ?2, longest_life = ?3, replay_floor = ?4";
            let values = [marks.latest_issued, marks.latest_expires, marks.longest_life, marks.replay_floor];
            conn.prepare_cached(sql)?.execute(rusqlite::params_from_iter(values.map(Int)))?;
            self.saved = marks;
        }
        Ok(())
    }
}

pub(super) fn load_marks(conn: &Connection) -> rusqlite::Result<Marks> {
    let sql = "SELECT latest_issued, latest_expires, longest_life, replay_floor FROM writer_state";
    conn.query_row(sql, [], |row| {
        Ok(Marks {
            latest_issued: int(row, 0)?,
            latest_expires: int(row, 1)?,
            longest_life: int(row, 2)?,
            replay_floor: int(row, 3)?,
        })
    })
}

pub(super) fn load_entries(conn: &Connection, revocations: &mut Revocations) -> rusqlite::Result<()> {
    // Few codes and few operators stand in many entries.
    let mut words = BTreeMap::new();
    let sql = "SELECT before, until, seq, reason, operator, set_at, listed, kind, value FROM revocation";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query(params![])?;
    while let Some(row) = rows.next()? {
        let word = row.get_ref(7)?.as_str()?;
        let kind: SelectorKind = word.parse().map_err(|_| strange(7, word))?;
        let mut entry = entry(row)?;
        entry.reason = shared(&mut words, entry.reason);
        entry.operator = shared(&mut words, entry.operator);
        revocations.apply(Change::Set(kind, row.get(8)?, entry));
    }
    Ok(())
}

fn shared(words: &mut BTreeMap<Arc<str>, ()>, word: Arc<str>) -> Arc<str> {
    if let Some((known, ())) = words.get_key_value(&word) {
        return known.clone();
    }
    words.insert(word.clone(), ());
    word
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        before: int(row, 0)?,
        until: row.get::<_, Option<Int>>(1)?.map(|until| until.0),
        seq: int(row, 2)?,
        reason: row.get(3)?,
        operator: row.get(4)?,
        set_at: moment(row, 5)?,
        listed: row.get(6)?,
    })
}

pub(super) fn load_blocks(conn: &Connection, revocations: &mut Revocations) -> rusqlite::Result<()> {
    let mut statement = conn.prepare("SELECT hash, until, seq, listed FROM revoked_block")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let block = Block { until: int(row, 1)?, seq: int(row, 2)?, listed: row.get(3)? };
        revocations.apply(Change::Block(row.get(0)?, block));
    }
    Ok(())
}

pub(super) fn load_list(
    conn: &Connection,
    revocations: &mut Revocations,
) -> rusqlite::Result<(u64, Option<Arc<Head>>)> {
    let sql = "SELECT global, NULL, global_seq, global_reason, global_operator, global_set_at, 1,
        seq, changed_seq, head, head_seq, head_issued FROM revocation_state";
    conn.query_row(sql, [], |row| {
        let global = entry(row)?;
        revocations.apply(Change::Global((global.before > 0).then_some(global)));
        revocations.apply(Change::Loaded(int(row, 8)?));
        let head = match row.get::<_, Option<Vec<u8>>>(9)? {
            Some(bytes) => Some(Arc::new(Head { seq: int(row, 10)?, issued: moment(row, 11)?, bytes })),
            None => None,
        };
        Ok((int(row, 7)?, head))
    })
}
