//! How many tokens of a workflow live, and when it was granted the last one: from the index of their ends, whatever else
//! there is. Nothing is changed.

use rusqlite::{Connection, params};
use shortbread_protocol::clock::Timestamp;

use super::sql::{Int, int, strange};
use crate::store::revocations::{Revocations, Standing};
use crate::store::{LOOKED_AT, Living};

/// What lives of each of these workflows, in the same order.
pub(super) fn of(
    conn: &Connection,
    workflows: &[String],
    now: Timestamp,
    list: &Revocations,
    longest_life: u64,
) -> rusqlite::Result<Vec<Living>> {
    // Where nothing at all is revoked, no token has to be looked at.
    let lists = list.everything() > 0 || list.made_from() > 0 || list.entries().next().is_some();
    let mut left = if lists { LOOKED_AT } else { 0 };
    let mut found = Vec::with_capacity(workflows.len());
    for workflow in workflows {
        let tokens = count(conn, workflow, now)?;
        let (looked, revoked) = if left > 0 { look(conn, workflow, now, list, left)? } else { (0, 0) };
        left -= looked;
        let last = last(conn, workflow, longest_life)?;
        // Tokens may have come between the two questions.
        let whole = !lists || looked >= tokens;
        found.push(Living { tokens: tokens.saturating_sub(revoked), revoked, whole, last });
    }
    Ok(found)
}

fn count(conn: &Connection, workflow: &str, now: Timestamp) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM token WHERE workflow = ?1 AND expires > ?2";
    conn.prepare_cached(sql)?.query_row(params![workflow, Int(now.seconds())], |row| int(row, 0))
}

// Of those that did not end, the ones that end last are looked at first: so many, and so many of them are revoked.
fn look(
    conn: &Connection,
    workflow: &str,
    now: Timestamp,
    list: &Revocations,
    most: u64,
) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT issued, selectors, exempt FROM token WHERE workflow = ?1 AND expires > ?2
        ORDER BY expires DESC LIMIT ?3";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![workflow, Int(now.seconds()), Int(most)])?;
    let (mut looked, mut revoked) = (0, 0);
    while let Some(row) = rows.next()? {
        let text = row.get_ref(1)?.as_str()?;
        let selectors = serde_json::from_str(text).map_err(|_| strange(1, text))?;
        let exempt_global = row.get(2)?;
        let standing = Standing { issued: int(row, 0)?, selectors, blocks: Vec::new(), exempt_global };
        looked += 1;
        revoked += u64::from(list.standing(&standing).is_err());
    }
    Ok((looked, revoked))
}

// The newest token ends at most a longest life before the one that ends last; among those ids rise with time.
fn last(conn: &Connection, workflow: &str, longest_life: u64) -> rusqlite::Result<Option<Timestamp>> {
    let sql = "SELECT max(expires) FROM token WHERE workflow = ?1";
    let ends = conn.prepare_cached(sql)?.query_row([workflow], |row| row.get::<_, Option<Int>>(0))?;
    let Some(Int(ends)) = ends else { return Ok(None) };
    let sql = "SELECT issued FROM token WHERE id =
        (SELECT max(id) FROM token WHERE workflow = ?1 AND expires >= ?2)";
    let since = Int(ends.saturating_sub(longest_life));
    let issued = conn.prepare_cached(sql)?.query_row(params![workflow, since], |row| int(row, 0))?;
    Ok(Some(Timestamp::from_seconds(issued)))
}

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use std::path::Path;

    #[test]
    fn no_question_reads_a_table() {
        let mut conn = Connection::open_in_memory().unwrap();
        schema::apply(&mut conn, Path::new("store.db"), &schema::runner()).unwrap();
        for sql in [
            "SELECT count(*) FROM token WHERE workflow = 'a' AND expires > 1",
            "SELECT max(expires) FROM token WHERE workflow = 'a'",
            "SELECT max(id) FROM token WHERE workflow = 'a' AND expires >= 1",
        ] {
            let plan: Vec<String> = conn
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap()
                .query_map([], |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let covered = |line: &String| line.contains("USING COVERING INDEX token_living");
            assert!(plan.iter().any(covered), "{sql}: {plan:?}");
        }
    }
}
