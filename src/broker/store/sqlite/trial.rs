//! Trials of policy versions.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::sql::{Int, int, moment, strange};
use super::unit::{Failure, Unit};
use crate::store::{Activate, AuditEntry, StoreError, Trial, TrialOutcome};

/// Ends the open trial, if there is one, because of this activation; says whether one was open.
pub(super) fn replace(conn: &Connection, by: &Activate) -> rusqlite::Result<bool> {
    let open = "SELECT n, version FROM policy_trial WHERE ended IS NULL";
    let open = conn.query_row(open, [], |row| Ok((int(row, 0)?, int(row, 1)?))).optional()?;
    let Some((n, version)) = open else { return Ok(false) };
    let sql = "UPDATE policy_trial SET ended = ?2, outcome = ?3 WHERE n = ?1";
    conn.execute(sql, params![Int(n), Int(by.at.millis()), by.ends(version).as_str()])?;
    Ok(true)
}

/// Begins the trial of a version; none may be open.
pub(super) fn begin(conn: &Connection, new: &Activate, before: u64) -> rusqlite::Result<Trial> {
    let n = conn.query_row("SELECT coalesce(max(n), 0) + 1 FROM policy_trial", [], |row| int(row, 0))?;
    let workflows = new.workflows.as_ref().map(serde_json::to_string).transpose();
    let workflows = workflows.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let sql = "INSERT INTO policy_trial (n, version, before, workflows, at, until, operator)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let until = new.until.map(|until| Int(until.millis()));
    let at = Int(new.at.millis());
    conn.execute(sql, params![Int(n), Int(new.version), Int(before), workflows, at, until, new.operator])?;
    Ok(Trial {
        n,
        version: new.version,
        before,
        workflows: new.workflows.clone(),
        at: new.at,
        until: new.until,
        operator: new.operator.clone(),
        ended: None,
    })
}

/// Ends the trial of this number, if it is open.
pub(super) fn end(
    unit: &mut Unit<'_>,
    n: u64,
    outcome: TrialOutcome,
    audit: &AuditEntry,
) -> Result<bool, Failure<StoreError>> {
    let sql = "UPDATE policy_trial SET ended = ?2, outcome = ?3 WHERE n = ?1 AND ended IS NULL";
    if unit.conn.execute(sql, params![Int(n), Int(audit.at.millis()), outcome.as_str()])? == 0 {
        return Ok(false);
    }
    unit.append(audit)?;
    Ok(true)
}

pub(super) fn all(conn: &Connection) -> rusqlite::Result<Vec<Trial>> {
    let sql = "SELECT n, version, before, workflows, at, until, operator, ended, outcome FROM policy_trial ORDER BY n";
    conn.prepare(sql)?.query_map([], trial)?.collect()
}

fn trial(row: &Row<'_>) -> rusqlite::Result<Trial> {
    let workflows = match row.get_ref(3)?.as_str_or_null()? {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| strange(3, text))?),
        None => None,
    };
    let optional = |column| row.get::<_, Option<Int>>(column);
    let until = optional(5)?.map(|_| moment(row, 5)).transpose()?;
    let ended = match row.get_ref(8)?.as_str_or_null()? {
        Some(word) => Some((moment(row, 7)?, TrialOutcome::from_word(word).ok_or_else(|| strange(8, word))?)),
        None => None,
    };
    Ok(Trial {
        n: int(row, 0)?,
        version: int(row, 1)?,
        before: int(row, 2)?,
        workflows,
        at: moment(row, 4)?,
        until,
        operator: row.get(6)?,
        ended,
    })
}
