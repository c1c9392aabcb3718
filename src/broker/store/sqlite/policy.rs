//! Policy versions and which of them is active.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::sql::{Int, int, moment, strange};
use super::trial;
use super::unit::{Failure, Unit, refuse};
use crate::store::{
    Activate, ActivateError, Activation, ActivePolicy, AuditEntry, NewPolicy, PolicyAction, PolicyVersion,
    StoreError, Trial,
};

const VERSION: &str = "v.n, v.digest, v.author, v.at";
const ACTIVATION: &str = "a.n, a.version, a.at, a.operator, a.action";

pub(super) fn add(
    unit: &mut Unit<'_>,
    policy: NewPolicy,
    audit: &AuditEntry,
) -> Result<PolicyVersion, Failure<StoreError>> {
    let sql = format!("SELECT {VERSION} FROM policy_version v WHERE digest = ?1");
    let known = unit.conn.prepare_cached(&sql)?.query_row([policy.digest], version).optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    let n =
        unit.conn.query_row("SELECT coalesce(max(n), 0) + 1 FROM policy_version", [], |row| int(row, 0))?;
    let sql = "INSERT INTO policy_version (n, digest, bundle, author, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    let at = Int(policy.at.millis());
    unit.conn.execute(sql, params![Int(n), policy.digest, policy.bundle, policy.author, at])?;
    unit.append(audit)?;
    Ok(PolicyVersion { n, digest: policy.digest, author: policy.author, at: policy.at })
}

pub(super) fn activate(
    unit: &mut Unit<'_>,
    activate: &Activate,
    audit: &AuditEntry,
) -> Result<Option<Trial>, Failure<ActivateError>> {
    let Activate { version, workflows, until, back_to, operator, action, at, ended } = activate;
    let known = "SELECT 1 FROM policy_version WHERE n = ?1";
    if unit.conn.query_row(known, [Int(*version)], |_| Ok(())).optional()?.is_none() {
        return refuse(ActivateError::UnknownVersion(*version));
    }
    let newest = "SELECT version FROM policy_active ORDER BY n DESC LIMIT 1";
    let before = unit.conn.query_row(newest, [], |row| int(row, 0)).optional()?;
    let replaced = trial::replace(unit.conn, activate)?;
    if workflows.is_none() {
        let sql = "INSERT INTO policy_active (n, version, at, operator, action)
            SELECT coalesce(max(n), 0) + 1, ?1, ?2, ?3, ?4 FROM policy_active";
        unit.conn.execute(sql, params![Int(*version), Int(at.millis()), operator, action.as_str()])?;
    }
    let trial = match before {
        Some(before) if workflows.is_some() || until.is_some() => {
            Some(trial::begin(unit.conn, activate, back_to.unwrap_or(before))?)
        }
        None if workflows.is_some() => return refuse(ActivateError::NothingBefore),
        _ => None,
    };
    unit.append(audit)?;
    if let Some(ended) = ended.as_ref().filter(|_| replaced) {
        unit.append(ended)?;
    }
    Ok(trial)
}

pub(super) fn active(conn: &Connection) -> rusqlite::Result<Option<ActivePolicy>> {
    let sql = format!(
        "SELECT {ACTIVATION}, {VERSION}, v.bundle FROM policy_active a JOIN policy_version v ON v.n = a.version
        ORDER BY a.n DESC LIMIT 1"
    );
    conn.query_row(&sql, [], |row| {
        Ok(ActivePolicy { activation: activation(row)?, version: version_at(row, 5)?, bundle: row.get(9)? })
    })
    .optional()
}

pub(super) fn versions(conn: &Connection) -> rusqlite::Result<Vec<PolicyVersion>> {
    let sql = format!("SELECT {VERSION} FROM policy_version v ORDER BY v.n");
    conn.prepare(&sql)?.query_map([], version)?.collect()
}

pub(super) fn bundle(conn: &Connection, n: u64) -> rusqlite::Result<Option<Vec<u8>>> {
    // A number that SQLite does not know has no version.
    let Ok(n) = i64::try_from(n) else { return Ok(None) };
    conn.query_row("SELECT bundle FROM policy_version WHERE n = ?1", [n], |row| row.get(0)).optional()
}

pub(super) fn history(conn: &Connection) -> rusqlite::Result<Vec<Activation>> {
    let sql = format!("SELECT {ACTIVATION} FROM policy_active a ORDER BY a.n");
    conn.prepare(&sql)?.query_map([], activation)?.collect()
}

fn version(row: &Row<'_>) -> rusqlite::Result<PolicyVersion> {
    version_at(row, 0)
}

fn version_at(row: &Row<'_>, first: usize) -> rusqlite::Result<PolicyVersion> {
    Ok(PolicyVersion {
        n: int(row, first)?,
        digest: row.get(first + 1)?,
        author: row.get(first + 2)?,
        at: moment(row, first + 3)?,
    })
}

fn activation(row: &Row<'_>) -> rusqlite::Result<Activation> {
    let action = match row.get_ref(4)?.as_str()? {
        "activate" => PolicyAction::Activate,
        "rollback" => PolicyAction::Rollback,
        other => return Err(strange(4, other)),
    };
    let (n, version, at) = (int(row, 0)?, int(row, 1)?, moment(row, 2)?);
    Ok(Activation { n, version, at, operator: row.get(3)?, action })
}
