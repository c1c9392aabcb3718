//! What can still be read of the store whose place a backup takes.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::Connection;

use super::copy::facts;
use super::sql::{damaged, fault};
use super::{checkpoints, keys, open, origins, read, restore, state, tiles};
use crate::store::revocations::Revocations;
use crate::store::{BreakGlassRecord, Former, KeyRecord, KnownLog, Notes, StoreError, StoreFacts};

/// What was found of it.
pub(super) struct Left {
    /// What it says of itself.
    pub(super) facts: Option<StoreFacts>,
    /// What it refuses.
    pub(super) remains: Option<Remains>,
    /// The end of its audit log, if that could be read.
    pub(super) log: Option<KnownLog>,
    trouble: Option<String>,
}

/// What only ever adds refusals.
pub(super) struct Remains {
    pub(super) latest_issued: u64,
    pub(super) list: Revocations,
    pub(super) notes: Notes,
    /// The token of each narrowed copy that was given back.
    pub(super) tokens: HashMap<[u8; 16], String>,
    pub(super) break_glass: Option<BreakGlassRecord>,
    pub(super) documents: Vec<KeyRecord>,
}

impl Left {
    /// Reads what there is. A store that is being replaced may be damaged anywhere: that is no error here.
    pub(super) fn of(path: &Path) -> Self {
        let mut left = Self { facts: None, remains: None, log: None, trouble: None };
        if !path.exists() {
            return left;
        }
        if let Err(error) = left.read(path) {
            left.trouble = Some(error.to_string());
        }
        left
    }

    fn read(&mut self, path: &Path) -> Result<(), StoreError> {
        let failed = |error| fault(path, &error);
        let conn = open::reader(path).map_err(failed)?;
        let facts = facts(&conn, path)?;
        let log = log(&conn, &facts.issuer);
        self.facts = Some(facts);
        let mut remains = Remains {
            latest_issued: 0,
            list: Revocations::default(),
            notes: Notes::default(),
            tokens: HashMap::new(),
            break_glass: None,
            documents: Vec::new(),
        };
        // As far as it can be read, all of it counts.
        let read = [
            state::load_marks(&conn).map(|marks| remains.latest_issued = marks.latest_issued),
            state::load_list(&conn, &mut remains.list).map(drop),
            state::load_entries(&conn, &mut remains.list),
            state::load_blocks(&conn, &mut remains.list),
            read::notes(&conn).map(|notes| remains.notes = notes),
            tokens(&conn).map(|tokens| remains.tokens = tokens),
            keys::kept_break_glass(&conn).map(|kept| remains.break_glass = kept),
            keys::documents(&conn).map(|documents| remains.documents = documents),
            log.map(|log| self.log = Some(log)),
        ];
        self.remains = Some(remains);
        read.into_iter().collect::<Result<(), _>>().map_err(failed)
    }

    pub(super) fn former(&self) -> Former {
        match (&self.facts, &self.trouble) {
            (_, Some(trouble)) => Former::Damaged(trouble.clone()),
            (Some(facts), None) => Former::Read(facts.clone()),
            (None, None) => Former::Absent,
        }
    }
}

// A checkpoint over more than there is was signed all the same.
fn log(conn: &Connection, issuer: &str) -> rusqlite::Result<KnownLog> {
    let (size, signed) = (tiles::size(conn)?, checkpoints::last(conn)?.map_or(0, |last| last.size));
    if signed > size {
        return Err(damaged(format!("the entries {size} to {} are missing", signed - 1)));
    }
    Ok(KnownLog { origin: origins::current(conn, issuer)?, size, root: restore::root(conn, size)? })
}

fn tokens(conn: &Connection) -> rusqlite::Result<HashMap<[u8; 16], String>> {
    let sql = "SELECT hash, token FROM revoked_block";
    conn.prepare(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
