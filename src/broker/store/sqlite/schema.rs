//! The migrations that this program carries, against those that a store has.

use std::path::Path;

use refinery::{Migration, Runner};
use rusqlite::{Connection, OptionalExtension as _};

use super::sql::fault;
use crate::store::StoreError;

mod embedded {
    refinery::embed_migrations!("../../schema/sqlite");
}

/// `PRAGMA application_id` of our stores, set by the first migration.
const APPLICATION_ID: i64 = 0x5342_5244;

/// How a database stands to this program.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// It has no tables at all.
    Empty,
    /// An older program wrote it.
    Behind { found: i64, needed: i64 },
    /// It has what this program carries.
    Current,
}

pub(super) fn runner() -> Runner {
    // All or nothing: a crash between two migrations must not leave one without its record.
    embedded::migrations::runner().set_grouped(true)
}

/// The number of the last migration that this program carries.
pub(super) fn last() -> i64 {
    let runner = runner();
    runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or_default()
}

/// Compares without changing anything.
pub(super) fn check(conn: &Connection, path: &Path, runner: &Runner) -> Result<Schema, StoreError> {
    let failed = |error| fault(path, &error);
    let owner: i64 = conn.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
    let tables: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE tbl_name <> 'refinery_schema_history'",
            [],
            |row| row.get(0),
        )
        .map_err(failed)?;
    if tables == 0 && (owner == 0 || owner == APPLICATION_ID) {
        return Ok(Schema::Empty);
    }
    if owner != APPLICATION_ID {
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    compare(path, &applied(conn).map_err(failed)?, runner.get_migrations())
}

fn compare(path: &Path, applied: &[Applied], known: &[Migration]) -> Result<Schema, StoreError> {
    let mut known: Vec<&Migration> = known.iter().collect();
    known.sort();
    let needed = known.last().map_or(0, |last| i64::from(last.version()));
    let found = applied.last().map_or(0, |last| last.version);
    if found > needed {
        return Err(StoreError::Newer { path: path.to_owned(), found, known: needed });
    }
    for (index, applied) in applied.iter().enumerate() {
        if !known.get(index).is_some_and(|known| applied.is(known)) {
            let migration = format!("V{}__{}", applied.version, applied.name);
            return Err(StoreError::Edited { path: path.to_owned(), migration });
        }
    }
    if applied.len() < known.len() { Ok(Schema::Behind { found, needed }) } else { Ok(Schema::Current) }
}

/// Brings the database up to date, in one transaction.
pub(super) fn apply(conn: &mut Connection, path: &Path, runner: &Runner) -> Result<(), StoreError> {
    match runner.run(conn) {
        Ok(_) => Ok(()),
        Err(error) => Err(migration_fault(path, &error)),
    }
}

fn migration_fault(path: &Path, error: &refinery::Error) -> StoreError {
    if let refinery::error::Kind::Connection(_, cause) = error.kind()
        && let Some(cause) = cause.downcast_ref::<rusqlite::Error>()
    {
        return fault(path, cause);
    }
    StoreError::Failed { path: path.to_owned(), cause: error.to_string() }
}

struct Applied {
    version: i64,
    name: String,
    checksum: String,
}

impl Applied {
    fn is(&self, known: &Migration) -> bool {
        self.version == i64::from(known.version())
            && self.name == known.name()
            && self.checksum == known.checksum().to_string()
    }
}

fn applied(conn: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let history = "SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history'";
    if conn.query_row(history, [], |_| Ok(())).optional()?.is_none() {
        return Ok(Vec::new());
    }
    let sql = "SELECT version, name, checksum FROM refinery_schema_history ORDER BY version";
    conn.prepare(sql)?
        .query_map([], |row| Ok(Applied { version: row.get(0)?, name: row.get(1)?, checksum: row.get(2)? }))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_next(sql: &str) -> Runner {
        let mut known = runner().get_migrations().clone();
        let next = last() + 1;
        known.push(Migration::unapplied(&format!("V{next}__more"), sql).unwrap());
        Runner::new(&known).set_grouped(true)
    }

    #[test]
    fn an_older_store_is_seen_and_brought_up_to_date() {
        let path = Path::new("store.db");
        let mut conn = Connection::open_in_memory().unwrap();
        assert_eq!(check(&conn, path, &runner()), Ok(Schema::Empty));
        apply(&mut conn, path, &runner()).unwrap();
        assert_eq!(check(&conn, path, &runner()), Ok(Schema::Current));
        let newer = with_next("CREATE TABLE more (x);");
        assert_eq!(check(&conn, path, &newer), Ok(Schema::Behind { found: last(), needed: last() + 1 }));
        apply(&mut conn, path, &newer).unwrap();
        assert_eq!(check(&conn, path, &newer), Ok(Schema::Current));
        let refused = check(&conn, path, &runner()).unwrap_err();
        assert!(
            matches!(refused, StoreError::Newer { found, known, .. } if (found, known) == (last() + 1, last())),
            "{refused}"
        );
        let edited = check(&conn, path, &with_next("CREATE TABLE other (x);")).unwrap_err();
        assert!(
            matches!(edited, StoreError::Edited { ref migration, .. } if *migration == format!("V{}__more", last() + 1)),
            "{edited}"
        );
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing() {
        let path = Path::new("store.db");
        let mut conn = Connection::open_in_memory().unwrap();
        let broken = with_next("CREATE TABLE more (x); SELECT * FROM nowhere;");
        assert!(apply(&mut conn, path, &broken).is_err());
        assert_eq!(check(&conn, path, &runner()), Ok(Schema::Empty));
    }

    #[test]
    fn another_programs_tables_are_left_alone() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE theirs (x);").unwrap();
        assert!(matches!(check(&conn, Path::new("x"), &runner()), Err(StoreError::Foreign { .. })));
    }
}
