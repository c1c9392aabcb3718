//! A backup in the place of a store: the files, and what is ended in it before it is served.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, params};
use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::log;

use super::change::{changed, merge, standing, write_global, write_selector};
use super::copy::{Part, Source, ended, sound, sync_folder};
use super::former::{Left, Remains};
use super::sql::Int;
use super::unit::{Failure, Unit};
use super::{Sqlite, keys, open, origins};
use crate::store::revocations::{Block, Change, Entry};
use crate::store::{
    AuditEntry, BackupError, Former, KnownLog, Options, Restore, RestoreError, Restored, RestoredLog, Settle,
    StoreError, StoreFacts, Target, tree,
};

/// How far ahead of the clock an assertion or a token may be dated, in seconds.
const AHEAD: u64 = 30;
/// The highest floor: numbers above it are not exact in every program that reads them.
const MOST: u64 = 1 << 52;
/// The files of a store that move with it.
const PARTS: [&str; 4] = ["", "-wal", "-shm", "-journal"];
/// Who ends everything with a restore.
const BY: &str = "host";

/// The place of a store, held, with a copy of the backup beside it.
pub(in crate::store) struct Place {
    path: PathBuf,
    part: Part,
    settling: Arc<Settling>,
    // Let go last.
    _lock: File,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is to be ended.
pub(in crate::store) struct Settling {
    floor: u64,
    backup: StoreFacts,
    left: Left,
}

impl Place {
    pub(in crate::store) fn take(
        restore: &Restore<'_>,
        tell: crate::store::Tell<'_>,
    ) -> Result<(Self, Sqlite), RestoreError> {
        let path = open::settled(restore.store)?;
        let lock = open::lock(&path)?;
        let source = Source::open(restore.backup, restore.issuer)?;
        if source.path == path {
            return Err(RestoreError::Own { path });
        }
        let left = Left::of(&path);
        checked(restore, &source, &left, &path)?;
        let backup = sound(restore.backup, restore.issuer)?;
        let part = Part::beside(&path)?;
        source.copy(&part, tell)?;
        let options = Options { dev: true, migrate: true, ..Options::default() };
        let sqlite = Sqlite::open(&part.path, &options)?;
        let settling = Arc::new(Settling { floor: restore.floor, backup, left });
        Ok((Self { path, part, settling, _lock: lock }, sqlite))
    }

    pub(in crate::store) fn settling(&self) -> Arc<Settling> {
        Arc::clone(&self.settling)
    }

    /// Moves what is there aside and the copy in its place.
    pub(in crate::store) fn exchange(self, now: Timestamp) -> Result<Option<PathBuf>, RestoreError> {
        self.part.settle()?;
        sound(&self.part.path, &self.settling.backup.issuer)?;
        let stamp = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let aside = ended(&self.path, &format!(".before-restore-{stamp}"));
        let Self { path, part, settling: _, _lock } = self;
        let moved = aside_with(&path, &aside)
            .map_err(|error| RestoreError::Place { former: aside.clone(), cause: error.to_string() })?;
        part.rename(&path).map_err(|error| {
            // As it was, where that can be had: the message says where it is otherwise.
            let _ = fs::rename(&aside, &path);
            RestoreError::Place { former: aside.clone(), cause: error.to_string() }
        })?;
        Ok(moved.then_some(aside))
    }
}

// The floor, the issuer and the kind, by all that is known here.
fn checked(restore: &Restore<'_>, source: &Source, left: &Left, path: &Path) -> Result<(), RestoreError> {
    let floor = restore.floor;
    let too_low = |known: u64, path: &Path| RestoreError::FloorTooLow { floor, known, path: path.to_owned() };
    if floor < source.facts.seq {
        return Err(too_low(source.facts.seq, restore.backup));
    }
    if floor > MOST {
        return Err(RestoreError::FloorTooHigh { floor, most: MOST });
    }
    let Some(facts) = &left.facts else { return Ok(()) };
    if facts.issuer != restore.issuer {
        let (path, stored, configured) = (path.to_owned(), facts.issuer.clone(), restore.issuer.to_owned());
        return Err(BackupError::OtherIssuer { path, stored, configured }.into());
    }
    if facts.kind != source.facts.kind {
        let (made, there) = (source.facts.kind.command(), facts.kind.command());
        return Err(RestoreError::OtherKind { path: restore.backup.to_owned(), made, there });
    }
    if floor < facts.seq {
        return Err(too_low(facts.seq, path));
    }
    Ok(())
}

// The database goes first: it without its log is an older store that looks whole, and the log alone is nothing.
fn aside_with(path: &Path, aside: &Path) -> std::io::Result<bool> {
    let mut moved = false;
    for ending in PARTS {
        match fs::rename(ended(path, ending), ended(aside, ending)) {
            Ok(()) => moved |= ending.is_empty(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        sync_folder(path).map_err(std::io::Error::other)?;
    }
    Ok(moved)
}

/// Ends whatever could come back to life.
pub(super) fn settle(
    unit: &mut Unit<'_>,
    settling: &Settling,
    settle: &Settle,
    audit: &mut (dyn FnMut(&Restored) -> AuditEntry + Send),
) -> Result<Restored, Failure<StoreError>> {
    let (Settling { floor, backup, left }, now) = (settling, settle.now);
    let log = name_log(unit.conn, settling, settle)?;
    unit.state.counters.seq = *floor;
    let seq = unit.next_seq();
    forget(unit, now)?;
    let taken = match &left.remains {
        Some(remains) => take_over(unit, remains, seq)?,
        None => 0,
    };
    let not_before = end_all(unit, left, seq, now)?;
    let made_from = now.seconds().saturating_add(AHEAD + 1).min(FOREVER);
    unit.conn.execute("UPDATE writer_state SET made_from = ?1", [Int(made_from)])?;
    unit.change(Change::MadeFrom(made_from));
    changed(unit, seq)?;
    let restored = Restored {
        backup: backup.clone(),
        former: left.former(),
        floor: *floor,
        seq,
        not_before,
        made_from,
        taken,
        log,
    };
    unit.append(&audit(&restored))?;
    Ok(restored)
}

// The origin stays only where the store that was there ends exactly as the backup does, and nothing that was kept outside says
// otherwise, or could not be read: then nothing was signed that the restored log could contradict.
fn name_log(conn: &Connection, settling: &Settling, settle: &Settle) -> rusqlite::Result<RestoredLog> {
    let Settling { backup, left, .. } = settling;
    let (issuer, size) = (&backup.issuer, backup.audit);
    let kept = KnownLog { origin: origins::current(conn, issuer)?, size, root: root(conn, size)? };
    let is_read = matches!(left.former(), Former::Read(_));
    let mut whole = !settle.unsure && is_read && left.log.as_ref() == Some(&kept);
    let former = origins::former(conn, issuer)?;
    let mut last = left.log.as_ref();
    for seen in settle.seen.iter().filter(|seen| !former.contains(&seen.origin)) {
        let is_own = seen.origin == kept.origin && seen.size <= size;
        whole &= is_own && root(conn, seen.size)? == seen.root;
        last = last.into_iter().chain([seen]).max_by_key(|log| log.size);
    }
    let last = last.cloned();
    if whole {
        let origin = kept.origin.clone();
        return Ok(RestoredLog { kept, last, origin });
    }
    let origin = log::origin_after(issuer, &settle.id);
    origins::add(conn, &origin, size, settle.now)?;
    Ok(RestoredLog { kept, last, origin })
}

/// The root over the first entries of the log.
pub(super) fn root(conn: &Connection, size: u64) -> rusqlite::Result<log::Hash> {
    // Nothing is signed over no entries.
    if size == 0 { Ok(log::Hash::default()) } else { tree::root(conn, size) }
}

// Answers to be given once more, leases, notices, requests that wait for a person, uses of tokens, a head that is older than others that were seen, and a policy that some
// workflows were trying: nobody knows any more how that went on.
fn forget(unit: &Unit<'_>, now: Timestamp) -> rusqlite::Result<()> {
    unit.conn.execute_batch(
        "DELETE FROM retry; DELETE FROM verifier_instance; DELETE FROM notice;
        DELETE FROM budget_charge WHERE by LIKE 'apr#_%' ESCAPE '#';
        UPDATE one_shot SET attempt = 'restored', verifier = '', instance = '' WHERE attempt IS NULL;
        UPDATE revocation_state SET head = NULL, head_seq = 0, head_issued = 0;",
    )?;
    let sql = "UPDATE policy_trial SET ended = ?1, outcome = 'rolled_back' WHERE ended IS NULL AND workflows IS NOT NULL";
    unit.conn.execute(sql, [Int(now.millis())])?;
    let sql = "UPDATE approval SET state = 'cancelled', closed = ?1, outcome = '{}' WHERE closed IS NULL";
    unit.conn.execute(sql, [Int(now.millis())]).map(drop)
}

fn end_all(unit: &mut Unit<'_>, left: &Left, seq: u64, now: Timestamp) -> rusqlite::Result<u64> {
    let remains = left.remains.as_ref();
    let latest = unit.state.counters.marks.latest_issued.max(remains.map_or(0, |left| left.latest_issued));
    let marks = &mut unit.state.counters.marks;
    marks.latest_issued = latest;
    let before = latest.max(now.seconds().saturating_add(AHEAD)).saturating_add(1).min(FOREVER);
    let entry = Entry {
        before,
        until: None,
        seq,
        reason: "incident".into(),
        operator: BY.into(),
        set_at: now,
        listed: true,
    };
    let known = standing(unit, &Target::All).map_or(0, |entry| entry.before);
    let known = known.max(remains.map_or(0, |left| left.list.global()));
    let entry = Entry { before: before.max(known), ..entry };
    let not_before = entry.before;
    write_global(unit, Some(entry), "the store was restored from a backup: what was issued before is dead")?;
    Ok(not_before)
}

// Refusals only: nothing that stands in the backup becomes weaker, whatever the other store says.
fn take_over(unit: &mut Unit<'_>, remains: &Remains, seq: u64) -> Result<u64, Failure<StoreError>> {
    let mut taken = 0;
    for (kind, value, entry) in remains.list.entries() {
        let known = unit.state.revocations.entry(kind, value);
        if known.is_some_and(|known| known.before >= entry.before && known.listed >= entry.listed) {
            continue;
        }
        let merged = merge(known, Entry { seq, ..entry.clone() });
        let note = remains.notes.get(&(kind.to_string(), value.to_owned())).map_or("", String::as_str);
        write_selector(unit, kind, value, merged, note)?;
        taken += 1;
    }
    for (hash, block) in remains.list.blocks() {
        if unit.state.revocations.block(hash).is_none() {
            let token = remains.tokens.get(hash).map_or("", String::as_str);
            write_block(unit, *hash, token, Block { seq, ..*block })?;
            taken += 1;
        }
    }
    if let Some(record) = &remains.break_glass {
        keys::keep_break_glass(unit, record)?;
    }
    keys::add_documents(unit.conn, &remains.documents)?;
    Ok(taken)
}

fn write_block(unit: &mut Unit<'_>, hash: [u8; 16], token: &str, block: Block) -> rusqlite::Result<()> {
    let sql =
        "INSERT INTO revoked_block (hash, token, until, seq, set_at, listed) VALUES (?1, ?2, ?3, ?4, 0, ?5)";
    let values = params![hash, token, Int(block.until), Int(block.seq), block.listed];
    unit.conn.prepare_cached(sql)?.execute(values)?;
    unit.change(Change::Block(hash, block));
    Ok(())
}
