//! Connections that only read, and what they read beside policies and tokens.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::SelectorKind;
use tokio::sync::Semaphore;

use super::open;
use super::sql::{Int, fault, int, moment, strange};
use super::writer::unavailable;
use crate::store::revocations::{Revocations, Standing};
use crate::store::{Counts, Notes, StoreError, StoredEntry, TAIL_LIMIT, Target, Touched};

/// The highest number that SQLite knows.
const LAST: u64 = i64::MAX.unsigned_abs();
/// How many reads run at a time.
const READERS: usize = 4;
/// By how much ids and `issued` may disagree about the order of tokens, in seconds: a clock that was set.
const DISORDER: u64 = 86_400;

/// A few connections, opened when they are needed.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Arc<Self> {
        Arc::new(Self { path, idle: Mutex::default(), turns: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs a read where it may block.
    pub(super) async fn read<T, F>(self: &Arc<Self>, work: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        T: Send + 'static,
    {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| unavailable(&self.path, "it is closed"))?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            readers.with(work)
        });
        read.await.map_err(|_| unavailable(&self.path, "a read broke off"))?
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let failed = |error| fault(&self.path, &error);
        let conn = match idle {
            Some(conn) => conn,
            None => open::reader(&self.path).map_err(failed)?,
        };
        // A connection that failed is not used again.
        let value = work(&conn).map_err(failed)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        Ok(value)
    }
}

pub(super) fn audit_tail(conn: &Connection, from: u64, limit: usize) -> rusqlite::Result<Vec<StoredEntry>> {
    let sql = "SELECT idx, at, body, leaf FROM audit_entry WHERE idx >= ?1 ORDER BY idx LIMIT ?2";
    let limit = Int(limit.min(TAIL_LIMIT) as u64);
    conn.prepare_cached(sql)?.query_map(params![Int(from.min(LAST)), limit], stored)?.collect()
}

pub(super) fn audit_by_key(conn: &Connection, key: &dyn ToSql) -> rusqlite::Result<Vec<StoredEntry>> {
    let sql = "SELECT e.idx, e.at, e.body, e.leaf FROM audit_key k JOIN audit_entry e ON e.idx = k.idx
        WHERE k.key = ?1 ORDER BY k.idx LIMIT ?2";
    conn.prepare_cached(sql)?.query_map(params![key, Int(TAIL_LIMIT as u64)], stored)?.collect()
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredEntry> {
    Ok(StoredEntry { idx: int(row, 0)?, at: moment(row, 1)?, body: row.get(2)?, leaf: row.get(3)? })
}

pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Counts> {
    let sql = "SELECT (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM token),
        (SELECT count(*) FROM replay), (SELECT count(*) FROM task), (SELECT count(*) FROM revocation),
        (SELECT count(*) FROM revoked_block), (SELECT count(*) FROM policy_version)";
    conn.query_row(sql, [], |row| {
        Ok(Counts {
            audit: int(row, 0)?,
            tokens: int(row, 1)?,
            replays: int(row, 2)?,
            tasks: int(row, 3)?,
            revocations: int(row, 4)?,
            blocks: int(row, 5)?,
            policies: int(row, 6)?,
        })
    })
}

pub(super) fn notes(conn: &Connection) -> rusqlite::Result<Notes> {
    let sql = "SELECT kind, value, note FROM revocation UNION ALL SELECT 'all', '', global_note FROM revocation_state";
    let note = |row: &Row<'_>| Ok(((row.get(0)?, row.get(1)?), row.get(2)?));
    conn.prepare_cached(sql)?.query_map([], note)?.collect()
}

/// Reads tokens from the newest back, as far as any that still lives can lie.
pub(super) fn touched(
    conn: &Connection,
    target: &Target,
    now: Timestamp,
    revocations: &Revocations,
    longest_life: u64,
) -> rusqlite::Result<Touched> {
    let now = now.seconds();
    let oldest = now.saturating_sub(longest_life.saturating_add(DISORDER));
    let sql = "SELECT issued, expires, selectors, exempt, workflow FROM token ORDER BY id DESC";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut touched = Touched::default();
    while let Some(row) = rows.next()? {
        let issued = int(row, 0)?;
        if issued < oldest {
            break;
        }
        if int(row, 1)? > now {
            let text = row.get_ref(2)?.as_str()?;
            let selectors = serde_json::from_str(text).map_err(|_| strange(2, text))?;
            let standing = Standing { issued, selectors, blocks: Vec::new(), exempt_global: row.get(3)? };
            if reaches(target, &standing) {
                touched.count(&standing, revocations, row.get(4)?);
            }
        }
    }
    Ok(touched)
}

fn reaches(target: &Target, standing: &Standing) -> bool {
    match target {
        Target::All => !standing.exempt_global,
        Target::Selector(selector) => standing
            .selectors
            .iter()
            .any(|(kind, value)| *kind == selector.kind() && value == selector.value()),
    }
}

impl Touched {
    fn count(&mut self, standing: &Standing, revocations: &Revocations, workflow: Option<String>) {
        match revocations.standing(standing) {
            Ok(()) => self.living += 1,
            Err(_) => self.revoked += 1,
        }
        self.workflows.extend(workflow);
        let tools = standing.selectors.iter().filter(|(kind, _)| *kind == SelectorKind::Tool);
        self.tools.extend(tools.filter_map(|(_, name)| name.parse().ok()));
    }
}
