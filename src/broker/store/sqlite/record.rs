//! Recording decisions: a token with its audit entry, or a denial.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::sql::{Int, strange};
use super::unit::{Failure, Unit, refuse};
use super::{approval, budget, descent, one_shot, retry};
use crate::store::revocations::{Revoked, Standing};
use crate::store::{
    Ask, Asked, Asking, AuditEntry, Denial, Exchange, RecordError, Replay, StoreError, TokenRecord, Use,
};

pub(super) fn exchange(unit: &mut Unit<'_>, exchange: Exchange) -> Result<u64, Failure<RecordError>> {
    let Exchange { replay, token, standing, ties, others, one_shots, spends, redeem, retry, audit } =
        exchange;
    let mut tokens = others;
    tokens.insert(0, (token, standing));
    for (token, standing) in &mut tokens {
        // What waited for a person stands for the moment in which it was asked for.
        standing.issued = standing.issued.min(token.issued);
        stands(unit, standing)?;
    }
    let Some((token, _)) = tokens.first() else { return refuse(RecordError::NoToken) };
    // Before the assertion is looked at: who repeats a request gets its answer, not a refusal.
    if let Some(retry) = &retry
        && !retry::insert(unit.conn, &token.id, retry, audit.at)?
    {
        return refuse(RecordError::Repeated);
    }
    once(unit, replay)?;
    if let Some(redeem) = &redeem {
        approval::redeem(unit, redeem, audit.at, tokens.iter().map(|(token, _)| token.id.as_str()))?;
    }
    // Behind what an approval gives back.
    for spend in &spends {
        budget::spend::<RecordError>(unit.conn, spend, audit.at)?;
    }
    if let Some(task) = &token.task
        && !claim(unit.conn, task, &token.principal)?
    {
        return refuse(RecordError::TaskTaken);
    }
    descent::insert(unit.conn, &token.id, token.expires, &ties)?;
    for (token, standing) in &tokens {
        enter(unit, token, standing)?;
    }
    for one_shot in &one_shots {
        one_shot::insert(unit.conn, one_shot)?;
    }
    unit.append(&audit)
}

fn enter(unit: &mut Unit<'_>, token: &TokenRecord, standing: &Standing) -> Result<(), Failure<RecordError>> {
    if !insert(unit.conn, token, standing)? {
        return Err(StoreError::TokenExists(token.id.clone()).into());
    }
    let marks = &mut unit.state.counters.marks;
    marks.latest_issued = marks.latest_issued.max(token.issued);
    marks.latest_expires = marks.latest_expires.max(token.expires);
    marks.longest_life = marks.longest_life.max(token.expires.saturating_sub(token.issued));
    Ok(())
}

/// A request that is to wait for a person.
pub(super) fn ask(
    unit: &mut Unit<'_>,
    ask: Ask,
    mut audit: approval::AskAudit,
) -> Result<Asked, Failure<RecordError>> {
    let Ask { record, replay, task, most } = ask;
    once(unit, replay)?;
    let (same, over) = approval::equal(unit.conn, &record)?;
    if let Some(over) = &over {
        unit.append::<RecordError>(&audit(Asking::Over(over)))?;
    }
    if let Some(same) = same {
        unit.append::<RecordError>(&audit(Asking::Same(&same)))?;
        return Ok(Asked::Same(Box::new(same)));
    }
    if approval::open_of(unit.conn, &record.principal, record.asked)? >= most {
        return refuse(RecordError::TooManyWait(most));
    }
    if !claim(unit.conn, &task, &record.principal)? {
        return refuse(RecordError::TaskTaken);
    }
    approval::insert(unit.conn, &record)?;
    unit.append::<RecordError>(&audit(Asking::New))?;
    Ok(Asked::New)
}

pub(super) fn used(unit: &mut Unit<'_>, used: Use) -> Result<u64, Failure<RecordError>> {
    if let Some(token) = &used.token {
        let Some(standing) = standing(unit.conn, token)? else { return refuse(RecordError::NoToken) };
        stands(unit, &standing)?;
    }
    once(unit, used.replay)?;
    unit.append(&used.audit)
}

fn stands(unit: &Unit<'_>, standing: &Standing) -> Result<(), Failure<RecordError>> {
    let Err(revoked) = unit.state.revocations.standing(standing) else { return Ok(()) };
    refuse(match revoked {
        Revoked::All => RecordError::RevokedAll,
        Revoked::Selector(kind) => RecordError::Revoked(kind),
        Revoked::Block => RecordError::RevokedBlock,
    })
}

pub(super) fn once(unit: &Unit<'_>, replay: Option<Replay>) -> Result<(), Failure<RecordError>> {
    let Some(replay) = replay else { return Ok(()) };
    // Whether it was used between a backup and its restore is not known any more.
    if replay.made < unit.state.revocations.made_from() {
        return refuse(RecordError::Outdated);
    }
    let floor = unit.state.counters.marks.replay_floor;
    if replay.keep_until < floor {
        return Err(StoreError::Forgotten { keep_until: replay.keep_until, floor }.into());
    }
    match use_up(unit.conn, &replay)? {
        Presented::Rightly => Ok(()),
        Presented::Again => refuse(RecordError::Replayed),
        Presented::ByAnother => refuse(RecordError::Pinned),
    }
}

pub(super) fn denial(
    unit: &mut Unit<'_>,
    replay: Option<Replay>,
    audit: &AuditEntry,
) -> Result<Denial, Failure<StoreError>> {
    let anew = match replay {
        // Used before or not: either way it is used up now, and the denial is recorded.
        Some(replay) => {
            let counters = &unit.state.counters.marks;
            let remembered = replay.made >= unit.state.revocations.made_from()
                && replay.keep_until >= counters.replay_floor;
            matches!(use_up(unit.conn, &replay)?, Presented::Rightly) && remembered
        }
        None => true,
    };
    Ok(Denial { place: unit.append(audit)?, anew })
}

/// How an assertion was presented.
enum Presented {
    /// For the first time, or once more by the key that did so first.
    Rightly,
    /// After it was used up.
    Again,
    /// After another key did so first.
    ByAnother,
}

fn use_up(conn: &Connection, replay: &Replay) -> rusqlite::Result<Presented> {
    let Replay { hash, keep_until, holder, .. } = replay;
    let sql = "INSERT INTO replay (keep_until, hash, holder) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    if conn.prepare_cached(sql)?.execute(params![Int(*keep_until), hash, holder])? == 1 {
        return Ok(Presented::Rightly);
    }
    let sql = "SELECT holder FROM replay WHERE keep_until = ?1 AND hash = ?2";
    let first: Option<String> =
        conn.prepare_cached(sql)?.query_row(params![Int(*keep_until), hash], |row| row.get(0))?;
    Ok(match (first, holder) {
        (Some(first), Some(holder)) if first == *holder => Presented::Rightly,
        (Some(_), _) => Presented::ByAnother,
        (None, _) => Presented::Again,
    })
}

fn claim(conn: &Connection, task: &str, principal: &str) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO task (task, principal) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
    if conn.prepare_cached(sql)?.execute([task, principal])? == 1 {
        return Ok(true);
    }
    let sql = "SELECT principal = ?2 FROM task WHERE task = ?1";
    conn.prepare_cached(sql)?.query_row([task, principal], |row| row.get(0))
}

/// The principal that used a task id first.
pub(super) fn owner(conn: &Connection, task: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT principal FROM task WHERE task = ?1";
    conn.prepare_cached(sql)?.query_row([task], |row| row.get(0)).optional()
}

fn insert(conn: &Connection, token: &TokenRecord, standing: &Standing) -> rusqlite::Result<bool> {
    let sql = "INSERT INTO token
        (id, principal, workflow, intent, task, issued, expires, holder, policy, exempt, selectors, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12) ON CONFLICT DO NOTHING";
    let selectors = serde_json::to_string(&standing.selectors)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let added = conn.prepare_cached(sql)?.execute(params![
        token.id,
        token.principal,
        token.workflow,
        token.intent,
        token.task,
        Int(token.issued),
        Int(token.expires),
        token.holder,
        Int(token.policy),
        standing.exempt_global,
        selectors,
        token.body,
    ])?;
    Ok(added == 1)
}

// What can revoke a recorded token. The blocks of the token that was shown for it are not kept here: they are ties.
pub(super) fn standing(conn: &Connection, id: &str) -> rusqlite::Result<Option<Standing>> {
    let sql = "SELECT issued, exempt, selectors FROM token WHERE id = ?1";
    conn.prepare_cached(sql)?
        .query_row([id], |row| {
            let text = row.get_ref(2)?.as_str()?;
            let selectors = serde_json::from_str(text).map_err(|_| strange(2, text))?;
            let issued = row.get::<_, Int>(0)?.0;
            Ok(Standing { issued, selectors, blocks: Vec::new(), exempt_global: row.get(1)? })
        })
        .optional()
}

pub(super) fn token(conn: &Connection, id: &str) -> rusqlite::Result<Option<TokenRecord>> {
    let sql = "SELECT id, principal, workflow, intent, task, issued, expires, holder, policy, body
        FROM token WHERE id = ?1";
    conn.prepare_cached(sql)?
        .query_row([id], |row| {
            Ok(TokenRecord {
                id: row.get(0)?,
                principal: row.get(1)?,
                workflow: row.get(2)?,
                intent: row.get(3)?,
                task: row.get(4)?,
                issued: row.get::<_, Int>(5)?.0,
                expires: row.get::<_, Int>(6)?.0,
                holder: row.get(7)?,
                policy: row.get::<_, Int>(8)?.0,
                body: row.get(9)?,
            })
        })
        .optional()
}
