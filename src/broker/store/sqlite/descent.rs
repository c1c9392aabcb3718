//! Tokens that were made of other tokens: they die with whatever their ancestors die by.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::{Selector, SelectorKind};

use super::change::{merge, remove, standing};
use super::sql::{Int, int};
use super::unit::{Failure, Unit, refuse};
use crate::store::revocations::{Change, Entry, Revocations};
use crate::store::{ChangeError, ChangedEntry, RecordError, Target, Tie};

/// What is to be set, with the operator's words.
pub(super) type Set = BTreeMap<Target, (Entry, String)>;

/// How long past its end a token stays listed, in seconds: what clocks differ by.
const SKEW: u64 = 60;

/// How many tokens may be made of one, at whatever remove: a revocation of it writes each of them down.
const MOST: u64 = 256;

/// How many tokens may stand in one line above another.
const DEEPEST: usize = 8;

/// A token that hangs on something.
pub(super) struct Descendant {
    pub(super) token: String,
    /// When its revocation may leave the list (unix seconds).
    pub(super) until: u64,
}

/// Notes what a token hangs on: not when its line is too long, or too many were made of one of its ancestors.
pub(super) fn insert(
    conn: &Connection,
    token: &str,
    expires: u64,
    ties: &[Tie],
) -> Result<(), Failure<RecordError>> {
    let sql = "INSERT INTO descent (tie, token, expires) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    for tie in ties {
        conn.prepare_cached(sql)?.execute(params![tie.to_string(), token, Int(expires)])?;
        if let Tie::Selector(SelectorKind::Token, parent) = tie {
            inherit(conn, token, expires, parent)?;
        }
    }
    if ties.is_empty() || is_within_bounds(conn, token)? { Ok(()) } else { refuse(RecordError::TooMany) }
}

fn is_within_bounds(conn: &Connection, token: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT tie FROM descent WHERE token = ?1 AND tie GLOB 'token/*'";
    let mut statement = conn.prepare_cached(sql)?;
    let ancestors = statement.query_map([token], |row| row.get::<_, String>(0))?;
    let ancestors = ancestors.collect::<rusqlite::Result<Vec<_>>>()?;
    let sql = "SELECT count(*) FROM (SELECT 1 FROM descent WHERE tie = ?1 LIMIT ?2)";
    for ancestor in &ancestors {
        let made: u64 =
            conn.prepare_cached(sql)?.query_row(params![ancestor, Int(MOST + 1)], |row| int(row, 0))?;
        if made > MOST {
            return Ok(false);
        }
    }
    Ok(ancestors.len() <= DEEPEST)
}

// What the parent hangs on, its children hang on.
fn inherit(conn: &Connection, token: &str, expires: u64, parent: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO descent (tie, token, expires)
        SELECT tie, ?1, ?2 FROM descent WHERE token = ?3 AND tie NOT GLOB 'follows/*' ON CONFLICT DO NOTHING";
    conn.prepare_cached(sql)?.execute(params![token, Int(expires), parent])?;
    Ok(())
}

/// The tokens that may still live and hang on this.
pub(super) fn hanging_on(conn: &Connection, tie: &Tie, now: Timestamp) -> rusqlite::Result<Vec<Descendant>> {
    let sql = "SELECT token, expires FROM descent WHERE tie = ?1 AND expires + ?3 > ?2";
    conn.prepare_cached(sql)?
        .query_map(params![tie.to_string(), Int(now.seconds()), Int(SKEW)], |row| {
            Ok(Descendant { token: row.get(0)?, until: int(row, 1)?.saturating_add(SKEW) })
        })?
        .collect()
}

/// Whether anything that this token hangs on is revoked.
pub(super) fn is_reached(
    conn: &Connection,
    token: &str,
    revocations: &Revocations,
) -> rusqlite::Result<bool> {
    let mut statement = conn.prepare_cached("SELECT tie FROM descent WHERE token = ?1")?;
    let mut rows = statement.query([token])?;
    while let Some(row) = rows.next()? {
        let revoked = match row.get_ref(0)?.as_str()?.split_once('/') {
            Some(("block", hash)) => {
                let mut block = [0; 16];
                hex::decode_to_slice(hash, &mut block).is_ok() && revocations.block(&block).is_some()
            }
            Some((kind, value)) => {
                let kind = kind.parse::<SelectorKind>().ok();
                kind.is_some_and(|kind| revocations.entry(kind, value).is_some())
            }
            None => false,
        };
        if revoked {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets the tokens that ended long ago; gives how many rows went.
pub(super) fn forget(conn: &Connection, now: Timestamp, rows: u16) -> rusqlite::Result<usize> {
    let sql = "DELETE FROM descent WHERE (tie, token) IN
        (SELECT tie, token FROM descent WHERE expires + ?2 < ?1 LIMIT ?3)";
    // An hour more than anyone could need it, should clocks be set back.
    conn.prepare_cached(sql)?.execute(params![Int(now.seconds()), Int(SKEW + 3600), rows])
}

// A token that was made of another dies with it, for verifiers that know only its own id.
pub(super) fn follow(
    unit: &Unit<'_>,
    set: &mut Set,
    seq: u64,
    now: Timestamp,
) -> Result<(), Failure<ChangeError>> {
    let named: Vec<(Selector, Entry, String)> = set
        .iter()
        .filter_map(|(target, (entry, note))| match target {
            Target::Selector(selector) => Some((selector.clone(), entry.clone(), note.clone())),
            Target::All => None,
        })
        .collect();
    let chosen: BTreeSet<Target> = set.keys().cloned().collect();
    for (selector, entry, note) in named {
        let tie = Tie::Selector(selector.kind(), selector.value().to_owned());
        for descendant in hanging_on(unit.conn, &tie, now)? {
            let Some((target, new)) = following(&descendant, &entry) else { continue };
            // Whatever else is lifted, what was revoked by its own name stays revoked.
            if chosen.contains(&target) {
                continue;
            }
            let old = set.get(&target).map(|(entry, _)| entry).or_else(|| standing(unit, &target));
            let own = match old {
                Some(old) => old.seq != seq && !followed(unit.conn, &descendant.token, old.seq)?,
                None => false,
            };
            let merged = match old.filter(|_| own) {
                Some(old) => kept(old, &new),
                None => {
                    mark(unit.conn, &descendant, seq)?;
                    merge(old, new)
                }
            };
            set.insert(target, (merged, note.clone()));
        }
    }
    Ok(())
}

// A token's own revocation, made no weaker and no shorter by what it hangs on.
fn kept(own: &Entry, new: &Entry) -> Entry {
    let until = own.until.zip(new.until).map(|(own, new)| own.max(new));
    Entry { before: own.before.max(new.before), until, listed: true, ..own.clone() }
}

fn following(descendant: &Descendant, of: &Entry) -> Option<(Target, Entry)> {
    let selector = Selector::new(SelectorKind::Token, &descendant.token).ok()?;
    Some((Target::Selector(selector), Entry { until: Some(descendant.until), ..of.clone() }))
}

// `follows/7`: change 7 revoked the token for no other reason than what it hangs on.
fn mark(conn: &Connection, descendant: &Descendant, seq: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO descent (tie, token, expires) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    let expires = descendant.until.saturating_sub(SKEW);
    let values = params![format!("follows/{seq}"), descendant.token, Int(expires)];
    conn.prepare_cached(sql)?.execute(values).map(drop)
}

fn followed(conn: &Connection, token: &str, seq: u64) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM descent WHERE tie = ?1 AND token = ?2";
    conn.prepare_cached(sql)?.exists(params![format!("follows/{seq}"), token])
}

// What died with the token lives again with it, unless something else that it hangs on is revoked, or it itself was.
pub(super) fn revive(
    unit: &mut Unit<'_>,
    target: &Target,
    now: Timestamp,
) -> Result<Vec<ChangedEntry>, rusqlite::Error> {
    let (mut left, mut entries) = (unit.seen(), Vec::new());
    for (target, was) in revived(unit.conn, &unit.state.revocations, &mut left, target, now)? {
        remove(unit, &target)?;
        entries.push(ChangedEntry { target, was, before: 0 });
    }
    Ok(entries)
}

/// The tokens that live again with a target, each with the moment of its revocation. `list` is what was revoked before
/// the lift, `left` what is still; they are taken out of it.
pub(super) fn revived(
    conn: &Connection,
    list: &Revocations,
    left: &mut Revocations,
    target: &Target,
    now: Timestamp,
) -> rusqlite::Result<Vec<(Target, u64)>> {
    let Target::Selector(selector) = target else { return Ok(Vec::new()) };
    let tie = Tie::Selector(selector.kind(), selector.value().to_owned());
    let mut revived = Vec::new();
    for Descendant { token, .. } in hanging_on(conn, &tie, now)? {
        let Ok(selector) = Selector::new(SelectorKind::Token, &token) else { continue };
        let Some(entry) = list.entry(SelectorKind::Token, &token) else { continue };
        if followed(conn, &token, entry.seq)? && !is_reached(conn, &token, left)? {
            left.apply(Change::Remove(SelectorKind::Token, token.as_str().into()));
            revived.push((Target::Selector(selector), entry.before));
        }
    }
    Ok(revived)
}
