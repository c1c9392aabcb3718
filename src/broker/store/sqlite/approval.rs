//! Requests that wait for a person: asked, voted on, closed, spent once.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde_json::json;
use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::clock::Timestamp;

use super::sql::{Int, int, moment, strange};
use super::unit::{Failure, Unit, refuse};
use super::{Sqlite, budget, record};
use crate::store::{
    ApprovalError, ApprovalRecord, ApprovalsWanted, Ask, Asked, Asking, AuditEntry, CastVote, CloseApproval,
    RecordError, Redeem, Replay, StoreError, StoredApproval, StoredVote,
};

/// How long a closed request is kept: as long as people look back at it.
const KEPT_MS: u64 = 30 * 24 * 3600 * 1000;

/// How long a request that was taken back counts as if it waited.
const TAKEN_BACK_MS: u64 = 5 * 60 * 1000;

const COLUMNS: &str =
    "id, principal, subject, same, state, asked, due, expires, digest, shown, request, closed, outcome";

/// What is logged of a request that is to wait, or of one that equals an open one.
pub(in crate::store) type AskAudit = Box<dyn FnMut(Asking<'_>) -> AuditEntry + Send>;

impl Sqlite {
    pub(in crate::store) async fn ask_approval(
        &self,
        ask: Ask,
        audit: AskAudit,
    ) -> Result<Asked, RecordError> {
        self.write(move |unit| record::ask(unit, ask, audit)).await
    }

    pub(in crate::store) async fn use_assertion(&self, replay: Replay) -> Result<(), RecordError> {
        self.write(move |unit| record::once(unit, Some(replay))).await
    }

    pub(in crate::store) async fn approval(&self, id: String) -> Result<Option<StoredApproval>, StoreError> {
        self.readers.read(move |conn| whole(conn, &id)).await
    }

    pub(in crate::store) async fn approvals(
        &self,
        wanted: ApprovalsWanted,
    ) -> Result<(Vec<StoredApproval>, u64), StoreError> {
        self.readers.read(move |conn| Ok((page(conn, &wanted)?, open(conn)?))).await
    }

    pub(in crate::store) async fn open_approvals(&self) -> Result<u64, StoreError> {
        self.readers.read(open).await
    }

    pub(in crate::store) async fn due_approvals(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<StoredApproval>, StoreError> {
        self.readers.read(move |conn| due(conn, now, limit)).await
    }

    pub(in crate::store) async fn cast_vote(&self, cast: CastVote) -> Result<(), ApprovalError> {
        self.write(move |unit| vote(unit, cast)).await
    }

    pub(in crate::store) async fn close_approval(&self, close: CloseApproval) -> Result<(), ApprovalError> {
        self.write(move |unit| self::close(unit, close)).await
    }

    pub(in crate::store) async fn postpone_approval(
        &self,
        id: String,
        (from, to): (Timestamp, Timestamp),
        audit: Vec<AuditEntry>,
    ) -> Result<bool, StoreError> {
        self.write(move |unit| postpone(unit, &id, (from, to), &audit)).await
    }

    pub(in crate::store) async fn reopen_approval(
        &self,
        id: String,
        digest: String,
        seen: usize,
    ) -> Result<(), StoreError> {
        self.write(move |unit| {
            // Whoever voted meanwhile may have completed it.
            let sql =
                "UPDATE approval SET state = 'pending' WHERE id = ?1 AND state = 'approved' AND digest = ?2
                AND (SELECT count(*) FROM approval_vote WHERE approval = id) = ?3";
            let values = params![id, digest, Int(seen as u64)];
            if unit.conn.prepare_cached(sql)?.execute(values)? == 1 {
                budget::release(unit.conn, &id)?;
            }
            Ok(())
        })
        .await
    }
}

/// The open request that equals this one, and one whose time is over, which is none any more.
pub(super) fn equal(
    conn: &Connection,
    new: &ApprovalRecord,
) -> rusqlite::Result<(Option<ApprovalRecord>, Option<ApprovalRecord>)> {
    let sql = format!("SELECT {COLUMNS} FROM approval WHERE same = ?1 AND closed IS NULL");
    let found = conn.prepare_cached(&sql)?.query_row([new.same], of_row).optional()?;
    if found.as_ref().is_none_or(|old| old.expires > new.asked) {
        return Ok((found, None));
    }
    if let Some(over) = &found {
        end(conn, &over.id, ApprovalState::Expired, new.asked, b"{}")?;
    }
    Ok((None, found))
}

/// How many requests of this principal are open, or were taken back a moment ago: whoever asks and takes back in turn has
/// approvers told of each.
pub(super) fn open_of(conn: &Connection, principal: &str, now: Timestamp) -> rusqlite::Result<u64> {
    let sql = "SELECT (SELECT count(*) FROM approval WHERE principal = ?1 AND closed IS NULL)
        + (SELECT count(*) FROM approval WHERE principal = ?1 AND state = 'cancelled' AND closed > ?2)";
    let since = Int(now.millis().saturating_sub(TAKEN_BACK_MS));
    conn.prepare_cached(sql)?.query_row(params![principal, since], |row| int(row, 0))
}

pub(super) fn insert(conn: &Connection, new: &ApprovalRecord) -> rusqlite::Result<()> {
    let sql = "INSERT INTO approval (id, principal, subject, same, state, asked, due, expires, digest, shown, request)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    conn.prepare_cached(sql)?.execute(params![
        new.id,
        new.principal,
        new.subject,
        new.same,
        new.state.as_str(),
        Int(new.asked.millis()),
        Int(new.due.millis()),
        Int(new.expires.millis()),
        new.digest,
        new.shown,
        new.request,
    ])?;
    Ok(())
}

/// Spends an approval for these tokens, once.
pub(super) fn redeem<'t>(
    unit: &Unit<'_>,
    redeem: &Redeem,
    now: Timestamp,
    tokens: impl Iterator<Item = &'t str>,
) -> Result<(), Failure<RecordError>> {
    let held = held(unit.conn, &redeem.id, now)?;
    let list = &unit.state.revocations;
    let revoked = redeem.voters.iter().any(|voter| list.standing(voter).is_err());
    if revoked || held.is_none_or(|(digest, _)| digest != redeem.digest) {
        return refuse(RecordError::NotApproved);
    }
    let mut tokens: Vec<&str> = tokens.collect();
    tokens.sort_unstable();
    let outcome = json!({ "tokens": tokens }).to_string();
    end(unit.conn, &redeem.id, ApprovalState::Redeemed, now, outcome.as_bytes())?;
    Ok(())
}

fn vote(unit: &mut Unit<'_>, cast: CastVote) -> Result<(), Failure<ApprovalError>> {
    let CastVote { id, digest, seen, vote, narrowed, state, spends, audit } = cast;
    let Some((held, votes)) = held(unit.conn, &id, vote.at)? else { return refuse(ApprovalError::Closed) };
    if held != digest || votes != seen {
        return refuse(ApprovalError::Changed);
    }
    if let Some((digest, shown)) = narrowed {
        unit.conn.prepare_cached("DELETE FROM approval_vote WHERE approval = ?1")?.execute([&id])?;
        let sql = "UPDATE approval SET digest = ?2, shown = ?3 WHERE id = ?1";
        unit.conn.prepare_cached(sql)?.execute(params![id, digest, shown])?;
    }
    let marks = json!(vote.marks).to_string();
    let sql = "INSERT INTO approval_vote (approval, operator, at, marks, note) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (approval, operator) DO UPDATE SET at = excluded.at, marks = excluded.marks, note = excluded.note";
    let values = params![id, vote.operator, Int(vote.at.millis()), marks, vote.note];
    unit.conn.prepare_cached(sql)?.execute(values)?;
    unit.conn
        .prepare_cached("UPDATE approval SET state = ?2 WHERE id = ?1")?
        .execute([id.as_str(), state.as_str()])?;
    // What an earlier vote took counts anew with this one.
    budget::release(unit.conn, &id)?;
    for spend in spends.iter().filter(|_| state == ApprovalState::Approved) {
        budget::spend::<ApprovalError>(unit.conn, spend, audit.at)?;
    }
    unit.append(&audit).map(drop)
}

fn close(unit: &mut Unit<'_>, close: CloseApproval) -> Result<(), Failure<ApprovalError>> {
    let CloseApproval { id, state, at, digest, outcome, audit } = close;
    // Only time itself closes what is over.
    let moment = if state == ApprovalState::Expired { Timestamp::default() } else { at };
    let Some((held, _)) = held(unit.conn, &id, moment)? else { return refuse(ApprovalError::Closed) };
    if digest.is_some_and(|digest| digest != held) {
        return refuse(ApprovalError::Changed);
    }
    end(unit.conn, &id, state, at, &outcome)?;
    unit.append(&audit).map(drop)
}

// The digest and the number of votes of what is open and not over.
fn held(conn: &Connection, id: &str, now: Timestamp) -> rusqlite::Result<Option<(String, usize)>> {
    let sql = "SELECT digest, (SELECT count(*) FROM approval_vote WHERE approval = id) FROM approval
        WHERE id = ?1 AND closed IS NULL AND expires > ?2";
    let found = |row: &Row<'_>| Ok((row.get(0)?, usize::try_from(int(row, 1)?).unwrap_or(usize::MAX)));
    conn.prepare_cached(sql)?.query_row(params![id, Int(now.millis())], found).optional()
}

fn end(
    conn: &Connection,
    id: &str,
    state: ApprovalState,
    at: Timestamp,
    outcome: &[u8],
) -> rusqlite::Result<()> {
    let sql = "UPDATE approval SET state = ?2, closed = ?3, outcome = ?4 WHERE id = ?1 AND closed IS NULL";
    let values = params![id, state.as_str(), Int(at.millis()), outcome];
    conn.prepare_cached(sql)?.execute(values)?;
    budget::release(conn, id)
}

// The next group was asked, or there is none: it is looked at again later. Only the first who finds it due says so.
fn postpone(
    unit: &mut Unit<'_>,
    id: &str,
    (from, to): (Timestamp, Timestamp),
    audit: &[AuditEntry],
) -> Result<bool, Failure<StoreError>> {
    let sql = "UPDATE approval SET due = ?3 WHERE id = ?1 AND due = ?2 AND closed IS NULL";
    let values = params![id, Int(from.millis()), Int(to.millis())];
    let moved = unit.conn.prepare_cached(sql)?.execute(values)? == 1;
    if moved {
        for entry in audit {
            unit.append::<StoreError>(entry)?;
        }
    }
    Ok(moved)
}

fn whole(conn: &Connection, id: &str) -> rusqlite::Result<Option<StoredApproval>> {
    let sql = format!("SELECT {COLUMNS} FROM approval WHERE id = ?1");
    let found = conn.prepare_cached(&sql)?.query_row([id], of_row).optional()?;
    found.map(|record| with_votes(conn, record)).transpose()
}

fn with_votes(conn: &Connection, record: ApprovalRecord) -> rusqlite::Result<StoredApproval> {
    let sql = "SELECT operator, at, marks, note FROM approval_vote WHERE approval = ?1 ORDER BY at, operator";
    let vote = |row: &Row<'_>| {
        let text = row.get_ref(2)?.as_str()?;
        let marks = serde_json::from_str(text).map_err(|_| strange(2, text))?;
        Ok(StoredVote { operator: row.get(0)?, at: moment(row, 1)?, marks, note: row.get(3)? })
    };
    let votes = conn.prepare_cached(sql)?.query_map([&record.id], vote)?.collect::<Result<_, _>>()?;
    Ok(StoredApproval { record, votes })
}

fn open(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "SELECT count(*) FROM approval WHERE closed IS NULL";
    conn.prepare_cached(sql)?.query_row([], |row| int(row, 0))
}

fn page(conn: &Connection, wanted: &ApprovalsWanted) -> rusqlite::Result<Vec<StoredApproval>> {
    let open = wanted.states.iter().all(|state| state.is_open());
    let (column, order, beyond) = if open { ("due", "ASC", ">") } else { ("closed", "DESC", "<") };
    let states: Vec<&str> = wanted.states.iter().map(|state| state.as_str()).collect();
    let states = serde_json::to_string(&states).unwrap_or_default();
    let sql = format!(
        "SELECT {COLUMNS} FROM approval WHERE closed IS {} NULL
        AND state IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR principal = ?2)
        AND (?3 IS NULL OR ({column}, id) {beyond} (?3, ?4)) ORDER BY {column} {order}, id {order} LIMIT ?5",
        if open { "" } else { "NOT" }
    );
    let (at, id) = wanted.after.clone().unzip();
    let number = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let text = |text: Option<String>| text.map_or(Value::Null, Value::Text);
    let values = [
        Value::Text(states),
        text(wanted.principal.clone()),
        at.map_or(Value::Null, number),
        text(id),
        number(wanted.limit as u64),
    ];
    let mut select = conn.prepare_cached(&sql)?;
    let found: Vec<_> = select.query_map(params_from_iter(values), of_row)?.collect::<Result<_, _>>()?;
    found.into_iter().map(|record| with_votes(conn, record)).collect()
}

fn due(conn: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<StoredApproval>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM approval WHERE closed IS NULL AND due <= ?1 ORDER BY due, id LIMIT ?2"
    );
    let mut select = conn.prepare_cached(&sql)?;
    let values = params![Int(now.millis()), Int(limit as u64)];
    let found: Vec<_> = select.query_map(values, of_row)?.collect::<Result<_, _>>()?;
    found.into_iter().map(|record| with_votes(conn, record)).collect()
}

fn of_row(row: &Row<'_>) -> rusqlite::Result<ApprovalRecord> {
    let word = row.get_ref(4)?.as_str()?;
    let state = ApprovalState::ALL.into_iter().find(|state| state.as_str() == word);
    Ok(ApprovalRecord {
        id: row.get(0)?,
        principal: row.get(1)?,
        subject: row.get(2)?,
        same: row.get(3)?,
        state: state.ok_or_else(|| strange(4, word))?,
        asked: moment(row, 5)?,
        due: moment(row, 6)?,
        expires: moment(row, 7)?,
        digest: row.get(8)?,
        shown: row.get(9)?,
        request: row.get(10)?,
        closed: row.get::<_, Option<Int>>(11)?.map(|at| Timestamp::from_millis(at.0)),
        outcome: row.get(12)?,
    })
}

/// Forgets requests that were closed long ago; gives how many rows went.
pub(super) fn forget(conn: &Connection, now: Timestamp, rows: u16) -> rusqlite::Result<usize> {
    let before = Int(now.millis().saturating_sub(KEPT_MS));
    let due = "SELECT id FROM approval WHERE closed IS NOT NULL AND closed < ?1 ORDER BY closed, id LIMIT ?2";
    let votes = format!("DELETE FROM approval_vote WHERE approval IN ({due})");
    conn.prepare_cached(&votes)?.execute(params![before, rows])?;
    conn.prepare_cached(&format!("DELETE FROM approval WHERE id IN ({due})"))?.execute(params![before, rows])
}

/// Closed requests that are erased with what else a decision depended on. Those that are open are in use.
const ERASED: &str = "FROM approval WHERE subject = ?1 AND (?2 IS NULL OR principal = ?2)
    AND (?3 IS NULL OR asked < ?3) AND closed IS NOT NULL";

/// How many would be erased.
pub(super) fn erasable(
    conn: &Connection,
    wanted: ([u8; 32], Option<&str>, Option<Int>),
) -> rusqlite::Result<u64> {
    conn.prepare_cached(&format!("SELECT count(*) {ERASED}"))?.query_row(wanted, |row| int(row, 0))
}

/// Erases them; gives how many.
pub(super) fn erase(
    conn: &Connection,
    wanted: ([u8; 32], Option<&str>, Option<Int>),
) -> rusqlite::Result<u64> {
    let votes = format!("DELETE FROM approval_vote WHERE approval IN (SELECT id {ERASED})");
    conn.prepare_cached(&votes)?.execute(wanted)?;
    Ok(conn.prepare_cached(&format!("DELETE {ERASED}"))?.execute(wanted)? as u64)
}
