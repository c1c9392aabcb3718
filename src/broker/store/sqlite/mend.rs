//! Whether the audit log holds together, looked at when a store is opened: tiles that are missing are built from the entries,
//! as in a store that an older program wrote; what contradicts is refused, with its place named.
//!
//! Looks at the newest tile of each level, the newest entries and the newest checkpoint, whatever the size of the log:
//! what lies deeper is for `shortbread audit verify`.

use std::path::Path;

use rusqlite::{Connection, params};
use shortbread_protocol::log::{Checkpoint, Hash, TilePlace, WIDTH};

use super::sql::{Int, damaged, exec, fault, int};
use super::tiles;
use super::{checkpoints, origins};
use crate::store::{StoreError, tree};

/// How many levels of tiles a log of 2^63 entries can fill.
const LEVELS: u8 = 7;

/// How many tiles are built in one transaction: a crash loses no more work than that.
const TILES: usize = 64;

/// After how many transactions it is said how far it is.
const TELL: usize = 16;

/// How many of the newest entries are hashed again.
const ENTRIES: u64 = 2 * WIDTH;

/// Builds what is missing and checks what is new.
///
/// # Errors
/// When the log contradicts itself, entries of a missing tile are gone, or the store fails.
pub(super) fn mend(conn: &Connection, path: &Path, issuer: &str) -> Result<(), StoreError> {
    let failed = |error| fault(path, &error);
    let size = ends_alike(conn).map_err(failed)?;
    for level in 0..LEVELS {
        let full = size >> (8 * (u32::from(level) + 1));
        let found = tiles::count(conn, level).map_err(failed)?;
        if found > full {
            let what = format!("tile {level}/{full} covers more entries than there are");
            return Err(failed(damaged(what)));
        }
        build(conn, level, full).map_err(failed)?;
        if let Some(newest) = full.checked_sub(1) {
            check_tile(conn, level, newest).map_err(failed)?;
        }
    }
    check_entries(conn, size).map_err(failed)?;
    check_checkpoint(conn, size, issuer).map_err(failed)
}

// Entries are pruned from the beginning alone: where there are some, they reach to the end.
fn ends_alike(conn: &Connection) -> rusqlite::Result<u64> {
    let size = tiles::size(conn)?;
    let sql = "SELECT coalesce(max(idx) + 1, 0) FROM audit_entry";
    let end = conn.query_row(sql, [], |row| int(row, 0))?;
    if end > 0 && end < size {
        return Err(damaged(format!("the entries {end} to {} are missing", size - 1)));
    }
    Ok(size)
}

fn build(conn: &Connection, level: u8, full: u64) -> rusqlite::Result<()> {
    let missing = missing(conn, level, full)?;
    for (round, some) in missing.chunks(TILES).enumerate() {
        exec(conn, "BEGIN IMMEDIATE")?;
        let built = some.iter().try_for_each(|n| {
            let place = TilePlace { level, n: *n, width: WIDTH };
            tiles::insert(conn, level, *n, &beneath(conn, place)?)
        });
        if let Err(error) = built.and_then(|()| exec(conn, "COMMIT")) {
            if !conn.is_autocommit() {
                exec(conn, "ROLLBACK")?;
            }
            return Err(error);
        }
        let done = round * TILES + some.len();
        if (round + 1) % TELL == 0 || done == missing.len() {
            tracing::info!(level, tiles = done, of = missing.len(), "building the tree over the audit log");
        }
    }
    Ok(())
}

fn missing(conn: &Connection, level: u8, full: u64) -> rusqlite::Result<Vec<u64>> {
    let mut select = conn.prepare("SELECT n FROM audit_tile WHERE level = ?1 ORDER BY n")?;
    let mut rows = select.query([level])?;
    let (mut missing, mut next) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let n = int(row, 0)?;
        missing.extend(next..n);
        next = n + 1;
    }
    missing.extend(next..full);
    Ok(missing)
}

// What a tile is made of: leaves, or the roots of the tiles below it.
fn beneath(conn: &Connection, place: TilePlace) -> rusqlite::Result<Vec<Hash>> {
    if place.level == 0 {
        tiles::leaves(conn, place.n * WIDTH, place.width)
    } else {
        tiles::roots(conn, place)
    }
}

fn check_tile(conn: &Connection, level: u8, n: u64) -> rusqlite::Result<()> {
    let Some((root, hashes)) = tiles::kept(conn, level, n)? else {
        return Err(damaged(format!("tile {level}/{n} is missing")));
    };
    let pruned = level == 0 && {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM audit_entry WHERE idx >= ?1 AND idx < ?2)";
        conn.query_row(sql, params![Int(n * WIDTH), Int((n + 1) * WIDTH)], |row| row.get(0))?
    };
    let place = TilePlace { level, n, width: WIDTH };
    let fits = tree::perfect(&hashes) == root && (pruned || beneath(conn, place)? == hashes);
    if fits { Ok(()) } else { Err(damaged(format!("tile {level}/{n} does not fit what it is made of"))) }
}

fn check_entries(conn: &Connection, size: u64) -> rusqlite::Result<()> {
    let mut select = conn.prepare("SELECT idx, body, leaf FROM audit_entry WHERE idx >= ?1 ORDER BY idx")?;
    let mut rows = select.query([Int(size.saturating_sub(ENTRIES))])?;
    while let Some(row) = rows.next()? {
        if tree::leaf(row.get_ref(1)?.as_blob()?).as_slice() != row.get_ref(2)?.as_blob()? {
            return Err(damaged(format!("entry {} is not the one that was hashed", int(row, 0)?)));
        }
    }
    Ok(())
}

fn check_checkpoint(conn: &Connection, size: u64, issuer: &str) -> rusqlite::Result<()> {
    let Some(last) = checkpoints::last(conn)? else { return Ok(()) };
    if last.size > size {
        return Err(damaged(format!("the entries {size} to {} are missing", last.size - 1)));
    }
    let root = tree::root(conn, last.size)?;
    let checkpoint = Checkpoint::unverified(&last.note, &origins::over(conn, issuer, last.size)?);
    if checkpoint == Ok(Checkpoint { size: last.size, root }) {
        return Ok(());
    }
    Err(damaged(format!("the checkpoint of {} entries does not fit them", last.size)))
}
