//! Revoking and lifting: each change takes the next sequence number in its own transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, params};
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::revocations::SelectorKind;

use super::descent;
use super::sql::{Int, int};
use super::unit::{Failure, Unit, refuse};
use crate::store::revocations::{Block, Change, Entry};
use crate::store::{
    AuditEntry, BlockChanged, ChangeError, Changed, ChangedEntry, Lift, LiftMode, Revoke, RevokeBlock,
    RevokeMode, Target, Tie,
};

/// After so many copies of one token were given back, the next takes the whole token with it.
const BLOCKS_PER_TOKEN: u64 = 8;

/// How long past its moment a dated revocation stays listed at least: the longest life of a token, and what clocks
/// differ by.
const DATED: u64 = 3600 + 60;

type Audit<T> = Box<dyn FnOnce(&T) -> AuditEntry + Send>;

/// What may be asked for more than once, when the first transaction did not hold.
type AuditAgain<'a, T> = &'a mut (dyn FnMut(&T) -> AuditEntry + Send);

pub(super) fn revoke(
    unit: &mut Unit<'_>,
    revokes: Vec<Revoke>,
    operator: &str,
    now: Timestamp,
    audit: AuditAgain<'_, Changed>,
) -> Result<Changed, Failure<ChangeError>> {
    if revokes.is_empty() {
        return refuse(ChangeError::Nothing);
    }
    let seq = unit.next_seq();
    let operator: Arc<str> = operator.into();
    let mut set = descent::Set::new();
    for revoke in revokes {
        let before = match revoke.mode {
            RevokeMode::Forever => FOREVER,
            RevokeMode::IssuedSoFar if is_key(&revoke.target) => {
                return refuse(ChangeError::KeyNotDated(revoke.target.to_string()));
            }
            RevokeMode::IssuedSoFar => after_all_issued(unit, now),
        };
        let reason = revoke.reason.as_str().into();
        let (operator, set_at) = (operator.clone(), now);
        let new = Entry { before, until: revoke.until, seq, reason, operator, set_at, listed: true };
        let old = set.get(&revoke.target).map(|(entry, _)| entry).or_else(|| standing(unit, &revoke.target));
        let merged = outlasting(merge(old, new));
        set.insert(revoke.target, (merged, revoke.note));
    }
    let named: BTreeSet<Target> = set.keys().cloned().collect();
    descent::follow(unit, &mut set, seq, now)?;
    let mut entries = Vec::with_capacity(set.len());
    for (target, (entry, note)) in set {
        let was = standing(unit, &target).map_or(0, |entry| entry.before);
        entries.push(ChangedEntry { target: target.clone(), was, before: entry.before });
        write(unit, &target, entry, &note)?;
    }
    // What was named comes first, what died with it after.
    entries.sort_by_key(|entry| !named.contains(&entry.target));
    changed(unit, seq)?;
    let done = Changed { seq, entries };
    unit.append(&audit(&done))?;
    Ok(done)
}

pub(super) fn lift(
    unit: &mut Unit<'_>,
    lifts: Vec<Lift>,
    now: Timestamp,
    audit: AuditAgain<'_, Changed>,
) -> Result<Changed, Failure<ChangeError>> {
    if lifts.is_empty() {
        return refuse(ChangeError::Nothing);
    }
    let seq = unit.next_seq();
    // What is named twice is lifted once. All is looked at before anything is written.
    let lifts: BTreeMap<Target, Lift> = lifts.into_iter().map(|lift| (lift.target.clone(), lift)).collect();
    let mut lifted = Vec::with_capacity(lifts.len());
    for lift in lifts.into_values() {
        let Some(old) = standing(unit, &lift.target).cloned() else {
            return refuse(ChangeError::NotRevoked(lift.target.to_string()));
        };
        if lift.mode == LiftMode::KeepOldDead && is_key(&lift.target) {
            return refuse(ChangeError::KeyNotDated(lift.target.to_string()));
        }
        lifted.push((lift, old));
    }
    let mut entries = Vec::with_capacity(lifted.len());
    let mut reviving = Vec::new();
    for (lift, old) in lifted {
        if lift.mode == LiftMode::Revive {
            reviving.push(lift.target.clone());
        }
        entries.push(lift_one(unit, lift, old, seq, now)?);
    }
    for target in reviving {
        entries.extend(descent::revive(unit, &target, now)?);
    }
    changed(unit, seq)?;
    let done = Changed { seq, entries };
    unit.append(&audit(&done))?;
    Ok(done)
}

fn lift_one(
    unit: &mut Unit<'_>,
    lift: Lift,
    old: Entry,
    seq: u64,
    now: Timestamp,
) -> Result<ChangedEntry, rusqlite::Error> {
    let was = old.before;
    let before = match lift.mode {
        LiftMode::KeepOldDead => {
            // A dated revocation let newer tokens live; its lift must not end them.
            let before = old.before.min(after_all_issued(unit, now));
            let note = note(unit.conn, &lift.target)?;
            let entry = outlasting(Entry { before, until: lift.until, seq, listed: true, ..old });
            write(unit, &lift.target, entry, &note)?;
            before
        }
        LiftMode::Revive => {
            remove(unit, &lift.target)?;
            0
        }
    };
    Ok(ChangedEntry { target: lift.target, was, before })
}

pub(super) fn revoke_block<E>(
    unit: &mut Unit<'_>,
    revoke: RevokeBlock,
    now: Timestamp,
    audit: Audit<BlockChanged>,
) -> Result<BlockChanged, Failure<E>> {
    let seq = unit.next_seq();
    let others: u64 = unit
        .conn
        .prepare_cached("SELECT count(*) FROM revoked_block WHERE token = ?1 AND hash != ?2")?
        .query_row(params![revoke.token, revoke.hash], |row| int(row, 0))?;
    let whole_token = others >= BLOCKS_PER_TOKEN;
    let entry = Entry {
        before: FOREVER,
        until: Some(revoke.until),
        seq,
        reason: revoke.reason.as_str().into(),
        operator: revoke.by.as_str().into(),
        set_at: now,
        listed: true,
    };
    let tie = if whole_token {
        Tie::Selector(SelectorKind::Token, revoke.token.clone())
    } else {
        Tie::Block(revoke.hash)
    };
    for descendant in descent::hanging_on(unit.conn, &tie, now)? {
        let until = Some(descendant.until);
        end_token(unit, &descendant.token, Entry { until, ..entry.clone() })?;
    }
    if whole_token {
        end_token(unit, &revoke.token, entry)?;
    } else {
        write_block(unit, &revoke, seq, now)?;
    }
    changed(unit, seq)?;
    let done = BlockChanged { seq, whole_token };
    unit.append(&audit(&done))?;
    Ok(done)
}

fn end_token(unit: &mut Unit<'_>, token: &str, entry: Entry) -> Result<(), rusqlite::Error> {
    let entry = merge(unit.state.revocations.entry(SelectorKind::Token, token), entry);
    write_selector(unit, SelectorKind::Token, token, entry, "")
}

/// Marks that the list's contents are those of this sequence number.
pub(super) fn changed<E>(unit: &mut Unit<'_>, seq: u64) -> Result<(), Failure<E>> {
    let sql = "UPDATE revocation_state SET seq = ?1, changed_seq = ?1";
    unit.conn.prepare_cached(sql)?.execute([Int(seq)])?;
    unit.change(Change::Seq(seq));
    Ok(())
}

// No token of the same second survives, whatever the clocks of those who mint.
fn after_all_issued(unit: &Unit<'_>, now: Timestamp) -> u64 {
    now.seconds().max(unit.state.counters.marks.latest_issued).saturating_add(1).min(FOREVER)
}

fn is_key(target: &Target) -> bool {
    matches!(target, Target::Selector(selector) if selector.kind() == SelectorKind::Key)
}

pub(super) fn standing<'a>(unit: &'a Unit<'_>, target: &Target) -> Option<&'a Entry> {
    let revocations = &unit.state.revocations;
    match target {
        Target::All => revocations.global_entry(),
        Target::Selector(selector) => revocations.entry(selector.kind(), selector.value()),
    }
}

// Revoking again never makes a revocation weaker or shorter.
pub(super) fn merge(old: Option<&Entry>, new: Entry) -> Entry {
    let Some(old) = old else { return new };
    let until = old.until.zip(new.until).map(|(old, new)| old.max(new));
    Entry { before: old.before.max(new.before), until, ..new }
}

// After a clock that was ahead the moment lies ahead too, and so do the ends of the tokens before it.
fn outlasting(entry: Entry) -> Entry {
    let least = if entry.before == FOREVER { 0 } else { entry.before.saturating_add(DATED).min(FOREVER) };
    Entry { until: entry.until.map(|until| until.max(least)), ..entry }
}

fn write(unit: &mut Unit<'_>, target: &Target, entry: Entry, note: &str) -> Result<(), rusqlite::Error> {
    match target {
        Target::Selector(selector) => write_selector(unit, selector.kind(), selector.value(), entry, note),
        // What ends everything stays in the head until it is lifted.
        Target::All => write_global(unit, Some(Entry { until: None, ..entry }), note),
    }
}

pub(super) fn remove(unit: &mut Unit<'_>, target: &Target) -> Result<(), rusqlite::Error> {
    let Target::Selector(selector) = target else { return write_global(unit, None, "") };
    let sql = "DELETE FROM revocation WHERE kind = ?1 AND value = ?2";
    unit.conn.prepare_cached(sql)?.execute([selector.kind().as_str(), selector.value()])?;
    unit.change(Change::Remove(selector.kind(), selector.value().into()));
    Ok(())
}

pub(super) fn write_selector(
    unit: &mut Unit<'_>,
    kind: SelectorKind,
    value: &str,
    entry: Entry,
    note: &str,
) -> Result<(), rusqlite::Error> {
    let sql = "INSERT INTO revocation
        (kind, value, before, until, seq, reason, operator, set_at, note, listed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
        ON CONFLICT (kind, value) DO UPDATE SET before = excluded.before, until = excluded.until,
        seq = excluded.seq, reason = excluded.reason, operator = excluded.operator, set_at = excluded.set_at,
        note = excluded.note, listed = excluded.listed";
    unit.conn.prepare_cached(sql)?.execute(params![
        kind.as_str(),
        value,
        Int(entry.before),
        entry.until.map(Int),
        Int(entry.seq),
        entry.reason,
        entry.operator,
        Int(entry.set_at.millis()),
        note,
        entry.listed,
    ])?;
    unit.change(Change::Set(kind, value.into(), entry));
    Ok(())
}

pub(super) fn write_global(
    unit: &mut Unit<'_>,
    entry: Option<Entry>,
    note: &str,
) -> Result<(), rusqlite::Error> {
    let sql = "UPDATE revocation_state SET global = ?1, global_seq = ?2, global_reason = ?3,
        global_operator = ?4, global_set_at = ?5, global_note = ?6";
    let mut update = unit.conn.prepare_cached(sql)?;
    match &entry {
        Some(entry) => update.execute(params![
            Int(entry.before),
            Int(entry.seq),
            entry.reason,
            entry.operator,
            Int(entry.set_at.millis()),
            note,
        ])?,
        None => update.execute(params![0, 0, "", "", 0, ""])?,
    };
    drop(update);
    unit.change(Change::Global(entry));
    Ok(())
}

fn write_block(
    unit: &mut Unit<'_>,
    revoke: &RevokeBlock,
    seq: u64,
    now: Timestamp,
) -> Result<(), rusqlite::Error> {
    let known = unit.state.revocations.block(&revoke.hash).map_or(0, |block| block.until);
    let block = Block { until: known.max(revoke.until), seq, listed: true };
    let sql =
        "INSERT INTO revoked_block (hash, token, until, seq, set_at, listed) VALUES (?1, ?2, ?3, ?4, ?5, 1)
        ON CONFLICT (hash) DO UPDATE SET until = excluded.until, seq = excluded.seq, listed = 1";
    let values = params![revoke.hash, revoke.token, Int(block.until), Int(seq), Int(now.millis())];
    unit.conn.prepare_cached(sql)?.execute(values)?;
    unit.change(Change::Block(revoke.hash, block));
    Ok(())
}

fn note(conn: &Connection, target: &Target) -> rusqlite::Result<String> {
    match target {
        Target::All => conn.query_row("SELECT global_note FROM revocation_state", [], |row| row.get(0)),
        Target::Selector(selector) => conn.query_row(
            "SELECT note FROM revocation WHERE kind = ?1 AND value = ?2",
            [selector.kind().as_str(), selector.value()],
            |row| row.get(0),
        ),
    }
}
