//! Whether a store file is sound: SQLite's own look at its pages, and the audit log's entries against their hashes.

use std::path::Path;

use rusqlite::Connection;

use super::copy::facts;
use super::open::reader;
use super::sql::{fault, int};
use crate::store::{Checked, StoreError, tree};

/// How deep pages are looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Each page on its own.
    Pages,
    /// And whether indexes and tables agree: several times as long.
    Indexes,
}

/// The most damage that is named.
const MOST: usize = 10;

pub(in crate::store) fn check(path: &Path) -> Result<Checked, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let conn = reader(path).map_err(|error| fault(path, &error))?;
    // What is looked at is one moment's, while the broker writes on.
    conn.execute_batch("BEGIN").map_err(|error| fault(path, &error))?;
    let facts = facts(&conn, path)?;
    let damage = damage(&conn, Depth::Pages, MOST);
    Ok(Checked { facts, damage })
}

/// What is damaged, at most so many things.
pub(super) fn damage(conn: &Connection, depth: Depth, most: usize) -> Vec<String> {
    let pragma = match depth {
        Depth::Pages => "quick_check",
        Depth::Indexes => "integrity_check",
    };
    let found = pages(conn, pragma, most).unwrap_or_else(|error| vec![error.to_string()]);
    // A page may be sound and bear other words than were written.
    if found.is_empty() { entries(conn, most).unwrap_or_else(|error| vec![error.to_string()]) } else { found }
}

fn pages(conn: &Connection, pragma: &str, most: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = conn.prepare(&format!("PRAGMA {pragma}({most})"))?;
    let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(if found == ["ok"] { Vec::new() } else { found })
}

fn entries(conn: &Connection, most: usize) -> rusqlite::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut statement = conn.prepare("SELECT idx, body, leaf FROM audit_entry ORDER BY idx")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?
        && found.len() < most
    {
        let (body, leaf) = (row.get_ref(1)?.as_blob_or_null()?, row.get_ref(2)?.as_blob_or_null()?);
        // What was pruned has nothing to be compared.
        let Some((body, leaf)) = body.zip(leaf) else { continue };
        if tree::leaf(body).as_slice() != leaf {
            found.push(format!("entry {} of the audit log is not what was logged", int(row, 0)?));
        }
    }
    Ok(found)
}
