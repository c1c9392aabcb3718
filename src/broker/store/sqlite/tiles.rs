//! Tiles of the audit log's tree: written when they are full, with the entries that fill them, and read by everyone.

use rusqlite::{Connection, OptionalExtension as _, params};
use shortbread_protocol::log::{Hash, TilePlace, WIDTH};

use super::sql::{Int, damaged, has_table, int};
use crate::store::tree::{Tiles, perfect};

/// How many leaves make a tile, as the vector counts.
const FULL: usize = 256;
const _: () = assert!(FULL as u64 == WIDTH);

/// The leaves of the newest tile, which is not full: all that the writer remembers of the tree.
#[derive(Clone, Debug)]
pub(super) struct Tip {
    // The place of the first of them.
    start: u64,
    leaves: Vec<Hash>,
}

impl Tip {
    /// The last entries of a log that has `size` of them.
    pub(super) fn load(conn: &Connection, size: u64) -> rusqlite::Result<Self> {
        let start = size - size % WIDTH;
        let leaves = leaves(conn, start, size - start)?;
        Ok(Self { start, leaves })
    }

    pub(super) fn push(&mut self, leaf: Hash) {
        self.leaves.push(leaf);
    }

    /// Forgets what came after the first `size` entries: an operation that failed left it.
    pub(super) fn cut(&mut self, size: u64) {
        self.leaves.truncate(usize::try_from(size.saturating_sub(self.start)).unwrap_or(usize::MAX));
    }

    /// Writes the tiles that have become full, with the entries and in their transaction.
    pub(super) fn settle(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        while let Some((full, rest)) = self.leaves.split_at_checked(FULL) {
            write(conn, 0, self.start / WIDTH, full)?;
            self.leaves = rest.to_vec();
            self.start += WIDTH;
        }
        Ok(())
    }
}

/// How many entries the log has, those included that were pruned.
pub(super) fn size(conn: &Connection) -> rusqlite::Result<u64> {
    let entries =
        conn.query_row("SELECT coalesce(max(idx) + 1, 0) FROM audit_entry", [], |row| int(row, 0))?;
    // A store that an older program wrote has no tiles.
    let tiles = if has_table(conn, "audit_tile")? { count(conn, 0)? } else { 0 };
    Ok(entries.max(tiles * WIDTH))
}

/// How many tiles a level has.
pub(super) fn count(conn: &Connection, level: u8) -> rusqlite::Result<u64> {
    let sql = "SELECT coalesce(max(n) + 1, 0) FROM audit_tile WHERE level = ?1";
    conn.prepare_cached(sql)?.query_row([level], |row| int(row, 0))
}

/// Writes a full tile, and those above it that it fills.
pub(super) fn write(conn: &Connection, level: u8, n: u64, hashes: &[Hash]) -> rusqlite::Result<()> {
    insert(conn, level, n, hashes)?;
    let (mut level, mut n) = (level, n);
    while n % WIDTH == WIDTH - 1 {
        let above = TilePlace { level: level + 1, n: n / WIDTH, width: WIDTH };
        insert(conn, above.level, above.n, &roots(conn, above)?)?;
        (level, n) = (above.level, above.n);
    }
    Ok(())
}

/// Writes a full tile alone.
pub(super) fn insert(conn: &Connection, level: u8, n: u64, hashes: &[Hash]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO audit_tile (level, n, root, hashes) VALUES (?1, ?2, ?3, ?4)";
    conn.prepare_cached(sql)?.execute(params![level, Int(n), perfect(hashes), hashes.concat()]).map(drop)
}

/// The leaves of `count` entries from place `from` on.
pub(super) fn leaves(conn: &Connection, from: u64, count: u64) -> rusqlite::Result<Vec<Hash>> {
    let sql = "SELECT leaf FROM audit_entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx";
    let mut select = conn.prepare_cached(sql)?;
    let leaves = select.query_map(params![Int(from), Int(from + count)], |row| row.get(0))?;
    whole(leaves.collect::<rusqlite::Result<_>>()?, count, || {
        format!("of the entries {from} to {} some are missing", from + count - 1)
    })
}

/// The roots of the tiles below that a tile stands over.
pub(super) fn roots(conn: &Connection, above: TilePlace) -> rusqlite::Result<Vec<Hash>> {
    let TilePlace { level, n, width } = above;
    let (below, from) = (level.saturating_sub(1), n * WIDTH);
    let sql = "SELECT root FROM audit_tile WHERE level = ?1 AND n >= ?2 AND n < ?3 ORDER BY n";
    let mut select = conn.prepare_cached(sql)?;
    let roots = select.query_map(params![below, Int(from), Int(from + width)], |row| row.get(0))?;
    whole(roots.collect::<rusqlite::Result<_>>()?, width, || {
        format!("of the tiles {below}/{from} to {below}/{} some are missing", from + width - 1)
    })
}

fn whole(hashes: Vec<Hash>, count: u64, missing: impl FnOnce() -> String) -> rusqlite::Result<Vec<Hash>> {
    if hashes.len() as u64 == count { Ok(hashes) } else { Err(damaged(missing())) }
}

/// A full tile as it is kept: its root and its hashes.
pub(super) fn kept(conn: &Connection, level: u8, n: u64) -> rusqlite::Result<Option<(Hash, Vec<Hash>)>> {
    let sql = "SELECT root, hashes FROM audit_tile WHERE level = ?1 AND n = ?2";
    conn.prepare_cached(sql)?
        .query_row(params![level, Int(n)], |row| {
            let hashes = row.get_ref(1)?.as_blob()?.as_chunks().0.to_vec();
            Ok((row.get(0)?, hashes))
        })
        .optional()
}

/// The tiles of a store. A tile that is not full follows from the entries, or from the roots of the tiles below it.
impl Tiles for Connection {
    type Error = rusqlite::Error;

    fn hashes(&self, place: TilePlace) -> rusqlite::Result<Vec<Hash>> {
        let TilePlace { level, n, width } = place;
        if let Some((_, mut hashes)) = kept(self, level, n)? {
            hashes.truncate(usize::try_from(width).unwrap_or(usize::MAX));
            return Ok(hashes);
        }
        if level == 0 { leaves(self, n * WIDTH, width) } else { roots(self, place) }
    }

    fn root(&self, level: u8, n: u64) -> rusqlite::Result<Hash> {
        let sql = "SELECT root FROM audit_tile WHERE level = ?1 AND n = ?2";
        let root =
            self.prepare_cached(sql)?.query_row(params![level, Int(n)], |row| row.get(0)).optional()?;
        root.ok_or_else(|| Self::impossible(format!("tile {level}/{n} is missing")))
    }

    fn impossible(what: String) -> rusqlite::Error {
        damaged(what)
    }
}
