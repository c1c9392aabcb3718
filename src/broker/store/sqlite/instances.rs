//! Running instances of verifiers.

use rusqlite::{Connection, Row, params};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{ToolName, VerifierName};

use super::record;
use super::sql::{Int, int, moment, strange};
use super::unit::{Failure, Unit};
use crate::store::{AuditEntry, Lease, NewLease, Progress, RecordError, StoreError};

pub(super) fn lease(unit: &mut Unit<'_>, new: NewLease) -> Result<u64, Failure<RecordError>> {
    let NewLease { replay, lease, progress, evicted, audit } = new;
    record::once(unit, replay)?;
    remove(unit.conn, &evicted)?;
    put(unit.conn, &lease, &progress)?;
    unit.append(&audit)
}

pub(super) fn save(unit: &mut Unit<'_>, progress: &[(String, Progress)]) -> Result<(), Failure<StoreError>> {
    let sql = "UPDATE verifier_instance SET n = ?2, seq = ?3, contents = ?4, keys_version = ?5, seen = ?6,
        silent = ?7, gone = ?8 WHERE instance = ?1";
    let mut update = unit.conn.prepare_cached(sql)?;
    for (instance, progress) in progress {
        let Progress { n, seq, contents, keys_version, seen, silent, gone } = *progress;
        update.execute(params![
            instance,
            Int(n),
            Int(seq),
            Int(contents),
            Int(keys_version),
            millis(seen),
            silent.map(millis),
            gone.map(millis)
        ])?;
    }
    Ok(())
}

pub(super) fn forget(
    unit: &mut Unit<'_>,
    instances: &[String],
    audit: Option<AuditEntry>,
) -> Result<(), Failure<StoreError>> {
    remove(unit.conn, instances)?;
    audit.map_or(Ok(()), |audit| unit.append(&audit).map(drop))
}

pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<(Lease, Progress)>> {
    let sql =
        "SELECT instance, key, verifier, proof, tools, label, since, n, seq, contents, keys_version, seen,
        silent, gone FROM verifier_instance";
    let mut statement = conn.prepare(sql)?;
    statement.query_map([], |row| Ok((read_lease(row)?, read_progress(row)?)))?.collect()
}

fn put(conn: &Connection, lease: &Lease, progress: &Progress) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO verifier_instance (instance, key, verifier, proof, tools, label, since, n, seq,
        contents, keys_version, seen, silent, gone)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    let tools = serde_json::to_string(&lease.tools)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let Progress { n, seq, contents, keys_version, seen, silent, gone } = *progress;
    conn.prepare_cached(sql)?.execute(params![
        lease.instance,
        lease.key,
        lease.verifier.as_str(),
        lease.proof,
        tools,
        lease.label,
        millis(lease.since),
        Int(n),
        Int(seq),
        Int(contents),
        Int(keys_version),
        millis(seen),
        silent.map(millis),
        gone.map(millis)
    ])?;
    Ok(())
}

fn remove(conn: &Connection, instances: &[String]) -> rusqlite::Result<()> {
    let mut delete = conn.prepare_cached("DELETE FROM verifier_instance WHERE instance = ?1")?;
    instances.iter().try_for_each(|instance| delete.execute([instance]).map(drop))
}

fn millis(at: Timestamp) -> Int {
    Int(at.millis())
}

fn read_lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    let verifier = row.get_ref(2)?.as_str()?;
    let verifier: VerifierName = verifier.parse().map_err(|_| strange(2, verifier))?;
    let tools = row.get_ref(4)?.as_str()?;
    let tools: Vec<ToolName> = serde_json::from_str(tools).map_err(|_| strange(4, tools))?;
    Ok(Lease {
        instance: row.get(0)?,
        key: row.get(1)?,
        verifier,
        proof: row.get(3)?,
        tools,
        label: row.get(5)?,
        since: moment(row, 6)?,
    })
}

fn read_progress(row: &Row<'_>) -> rusqlite::Result<Progress> {
    let optional = |column| {
        let at = row.get::<_, Option<Int>>(column)?;
        Ok::<_, rusqlite::Error>(at.map(|Int(at)| Timestamp::from_millis(at)))
    };
    Ok(Progress {
        n: int(row, 7)?,
        seq: int(row, 8)?,
        contents: int(row, 9)?,
        keys_version: int(row, 10)?,
        seen: moment(row, 11)?,
        silent: optional(12)?,
        gone: optional(13)?,
    })
}
