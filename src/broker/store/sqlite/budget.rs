//! Budgets of grants: what tokens and approvals took out of them, for as long as it counts.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::json;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;

use super::Sqlite;
use super::sql::{Int, int};
use super::unit::{Failure, Unit, refuse};
use crate::store::{AuditEntry, Spend, Spent, StoreError, TokenOf, Unused};

/// How long after its end a token may still be claimed by a clock that is behind, in seconds.
const LATE: u64 = 60;

/// Tokens under a budget that ended unused, at tools of this list.
const UNUSED: &str = "FROM one_shot JOIN budget_charge ON by = one_shot.token LEFT JOIN token ON id = one_shot.token
    WHERE one_shot.expires <= ?1 AND attempt IS NULL AND tool IN (SELECT value FROM json_each(?2)) AND ends > ?3";

impl Sqlite {
    pub(in crate::store) async fn unused(
        &self,
        now: Timestamp,
        tools: Vec<ToolName>,
        limit: usize,
    ) -> Result<Vec<Unused>, StoreError> {
        self.readers.read(move |conn| unused(conn, now, &tools, limit)).await
    }

    pub(in crate::store) async fn return_unused(
        &self,
        unused: Unused,
        audit: AuditEntry,
    ) -> Result<bool, StoreError> {
        self.write(move |unit| give_back(unit, &unused, &audit)).await
    }
}

/// Takes an amount out of a budget, where it has as much left.
pub(super) fn spend<E: From<Spent>>(
    conn: &Connection,
    spend: &Spend,
    now: Timestamp,
) -> Result<(), Failure<E>> {
    let Spend { budget, grant, argument, amount, limit, by, ends, expires } = spend;
    let sql = "SELECT coalesce(sum(amount), 0), min(ends) FROM budget_charge WHERE budget = ?1 AND ends > ?2";
    let (taken, next) = conn.prepare_cached(sql)?.query_row(params![budget, Int(now.millis())], |row| {
        Ok((int(row, 0)?, row.get::<_, Option<Int>>(1)?))
    })?;
    let left = limit.saturating_sub(taken);
    if *amount > left {
        let next = next.filter(|_| amount <= limit).map(|Int(next)| Timestamp::from_millis(next).since(now));
        // Rounded up: before then nothing is free.
        let frees = next
            .map(|wait| Duration::from_secs(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)));
        let (grant, argument) = (grant.clone(), argument.clone());
        return refuse(Spent { grant, argument, amount: *amount, limit: *limit, left, frees }.into());
    }
    let sql =
        "INSERT INTO budget_charge (budget, at, by, amount, ends, expires) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    conn.prepare_cached(sql)?.execute(params![
        budget,
        Int(now.millis()),
        by,
        Int(*amount),
        Int(ends.millis()),
        Int(expires.millis())
    ])?;
    Ok(())
}

/// Puts back what was taken for this token or approval.
pub(super) fn release(conn: &Connection, by: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM budget_charge WHERE by = ?1")?.execute([by]).map(drop)
}

fn unused(
    conn: &Connection,
    now: Timestamp,
    tools: &[ToolName],
    limit: usize,
) -> rusqlite::Result<Vec<Unused>> {
    let sql = format!(
        "SELECT one_shot.token, tool, sum(amount), principal, intent, task {UNUSED} GROUP BY one_shot.token LIMIT ?4"
    );
    let found = |row: &Row<'_>| {
        Ok(Unused {
            token: row.get(0)?,
            tool: row.get(1)?,
            amount: int(row, 2)?,
            of: TokenOf { principal: row.get(3)?, intent: row.get(4)?, task: row.get(5)? },
        })
    };
    let before = Int(now.seconds().saturating_sub(LATE));
    let values = params![before, json!(tools).to_string(), Int(now.millis()), Int(limit as u64)];
    conn.prepare_cached(&sql)?.query_map(values, found)?.collect()
}

// It may have been claimed since it was looked at.
fn give_back(unit: &mut Unit<'_>, unused: &Unused, audit: &AuditEntry) -> Result<bool, Failure<StoreError>> {
    let sql = format!("SELECT 1 {UNUSED} AND one_shot.token = ?4 LIMIT 1");
    let before = Int(audit.at.seconds().saturating_sub(LATE));
    let values = params![before, json!([unused.tool]).to_string(), Int(audit.at.millis()), unused.token];
    if unit.conn.prepare_cached(&sql)?.query_row(values, |_| Ok(())).optional()?.is_none() {
        return Ok(false);
    }
    release(unit.conn, &unused.token)?;
    unit.append::<StoreError>(audit)?;
    Ok(true)
}

/// Forgets what left its period; gives how many rows went.
pub(super) fn forget(conn: &Connection, now: Timestamp, rows: u16) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM budget_charge WHERE (budget, at, by) IN
        (SELECT budget, at, by FROM budget_charge WHERE ends <= ?1 ORDER BY ends LIMIT ?2)";
    conn.prepare_cached(sql)?.execute(params![Int(now.millis()), rows])
}
