//! Tokens that are good once: each use is claimed by one attempt, and by no other.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::json;

use super::record;
use super::sql::{Int, int};
use super::unit::{Failure, Unit};
use crate::store::{AuditEntry, ClaimUse, Claimed, ClaimedOf, OneShot, StoreError, TokenOf};

/// How long a use is remembered after its token ended, in seconds: nobody takes it any more, whatever their clock.
const KEPT: u64 = 3600;

/// What is logged of a claim.
pub(super) type Audit = Box<dyn FnOnce(Claimed, &ClaimedOf) -> AuditEntry + Send>;

pub(super) fn insert(conn: &Connection, new: &OneShot) -> rusqlite::Result<()> {
    let sql = "INSERT INTO one_shot (token, tool, verbs, args_sha256, expires) VALUES (?1, ?2, ?3, ?4, ?5)";
    let verbs = json!(new.verbs).to_string();
    let values = params![new.token, new.tool.as_str(), verbs, new.args_sha256, Int(new.expires)];
    conn.prepare_cached(sql)?.execute(values).map(drop)
}

/// Claims a use. Whatever comes of it is logged, but for an answer that is given once more.
pub(super) fn claim(
    unit: &mut Unit<'_>,
    claim: &ClaimUse,
    audit: Audit,
) -> Result<Claimed, Failure<StoreError>> {
    let token = record::token(unit.conn, &claim.token)?;
    let claimed = verdict(unit, claim)?;
    if claimed == Claimed::Won {
        let sql = "UPDATE one_shot SET attempt = ?2, verifier = ?3, instance = ?4, at = ?5
            WHERE token = ?1 AND attempt IS NULL";
        let ClaimUse { token, attempt, verifier, instance, at, .. } = claim;
        let values = params![token, attempt, verifier, instance, Int(at.millis())];
        unit.conn.prepare_cached(sql)?.execute(values)?;
    }
    if claimed != Claimed::Again {
        let of = token.map(|token| ClaimedOf {
            of: TokenOf { principal: Some(token.principal), intent: token.intent, task: token.task },
            body: token.body,
        });
        unit.append::<StoreError>(&audit(claimed, &of.unwrap_or_default()))?;
    }
    Ok(claimed)
}

fn verdict(unit: &Unit<'_>, claim: &ClaimUse) -> rusqlite::Result<Claimed> {
    let Some(held) = held(unit.conn, &claim.token)? else { return Ok(Claimed::Unfit) };
    let fits = held.tool == claim.tool.as_str()
        && held.verbs.iter().any(|verb| verb == claim.verb.as_str())
        && held.args_sha256.is_none_or(|hash| claim.args_sha256 == Some(hash))
        && claim.at.seconds() < held.expires;
    if !fits {
        return Ok(Claimed::Unfit);
    }
    let Some(standing) = record::standing(unit.conn, &claim.token)? else { return Ok(Claimed::Unfit) };
    if let Err(revoked) = unit.state.revocations.standing(&standing) {
        return Ok(Claimed::Revoked(revoked));
    }
    Ok(match held.attempt {
        None => Claimed::Won,
        Some(by) if by == (claim.attempt.clone(), claim.instance.clone()) => Claimed::Again,
        Some(_) => Claimed::Used,
    })
}

struct Held {
    tool: String,
    verbs: Vec<String>,
    args_sha256: Option<[u8; 32]>,
    expires: u64,
    /// The attempt that has the use, and its instance.
    attempt: Option<(String, String)>,
}

fn held(conn: &Connection, token: &str) -> rusqlite::Result<Option<Held>> {
    let sql = "SELECT tool, verbs, args_sha256, expires, attempt, instance FROM one_shot WHERE token = ?1";
    conn.prepare_cached(sql)?
        .query_row([token], |row| {
            let attempt: Option<String> = row.get(4)?;
            let instance: Option<String> = row.get(5)?;
            Ok(Held {
                tool: row.get(0)?,
                verbs: serde_json::from_str(row.get_ref(1)?.as_str()?).unwrap_or_default(),
                args_sha256: row.get(2)?,
                expires: int(row, 3)?,
                attempt: attempt.map(|attempt| (attempt, instance.unwrap_or_default())),
            })
        })
        .optional()
}

/// Forgets uses of tokens that ended; gives how many rows went.
pub(super) fn forget(conn: &Connection, now: u64, rows: u16) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM one_shot WHERE token IN
        (SELECT token FROM one_shot WHERE expires < ?1 ORDER BY expires LIMIT ?2)";
    conn.prepare_cached(sql)?.execute(params![Int(now.saturating_sub(KEPT)), rows])
}
