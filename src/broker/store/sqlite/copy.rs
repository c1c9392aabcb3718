//! Copying a store file page by page, and looking whether one is sound.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::backup::{Backup as Online, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::{private, read_meta, reader};
use super::schema::{self, Schema};
use super::sql::{fault, int, io_fault, moment};
use super::tiles;
use crate::store::{Backup, BackupError, Copying, StoreError, StoreFacts, Tell};

/// How many pages are copied at a time: 1 MiB.
const PAGES: i32 = 256;
/// How long the disk is left to others after that.
const PAUSE: Duration = Duration::from_millis(2);
/// The endings of the files that SQLite, the lock and the reserve keep beside a store.
const BESIDE: [&str; 6] = ["", "-wal", "-shm", "-journal", "-reserve", ".lock"];

pub(in crate::store) fn back_up(
    from: &Path,
    issuer: &str,
    to: &Path,
    replace: bool,
    tell: Tell<'_>,
) -> Result<Backup, BackupError> {
    let source = Source::open(from, issuer)?;
    if is_own(&source.path, to) {
        return Err(BackupError::Own { path: to.to_owned() });
    }
    if to.is_dir() {
        let cause = "it is a folder; name a file in it".to_owned();
        return Err(StoreError::Failed { path: to.to_owned(), cause }.into());
    }
    if !replace && fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists { path: to.to_owned() });
    }
    let part = Part::beside(to)?;
    source.copy(&part, tell)?;
    if !tell(Copying::Checking) {
        return Err(BackupError::Stopped);
    }
    part.settle()?;
    let facts = sound(&part.path, issuer)?;
    let bytes = fs::metadata(&part.path).map_err(|error| io_fault(&part.path, &error))?.len();
    if replace {
        part.rename(to)?;
    } else {
        part.name(to)?;
    }
    Ok(Backup { facts, bytes })
}

/// A store file as it stood at one moment, whatever is written to it meanwhile.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) facts: StoreFacts,
    conn: Connection,
}

impl Source {
    /// Looks at the store of the broker of this issuer; its moment is now.
    pub(super) fn open(path: &Path, issuer: &str) -> Result<Self, BackupError> {
        let path = fs::canonicalize(path).map_err(|error| io_fault(path, &error))?;
        if !path.is_file() {
            return Err(StoreError::NotADatabase { path }.into());
        }
        let failed = |error| fault(&path, &error);
        let conn = reader(&path).map_err(failed)?;
        // One reading transaction from here on: a copy that saw one write and not another would be no store, and SQLite
        // would begin anew with each write.
        conn.execute_batch("BEGIN").map_err(failed)?;
        let facts = facts(&conn, &path)?;
        if facts.issuer != issuer {
            let (stored, configured) = (facts.issuer, issuer.to_owned());
            return Err(BackupError::OtherIssuer { path, stored, configured });
        }
        Ok(Self { path, facts, conn })
    }

    /// Copies it as it stood.
    pub(super) fn copy(&self, to: &Part, tell: Tell<'_>) -> Result<(), BackupError> {
        // What a crash leaves of it is of no use anyway: it is synced once, at the end.
        let mut target = to.connect("OFF")?;
        let reads = |error| fault(&self.path, &error);
        let pages = Online::new(&self.conn, &mut target).map_err(reads)?;
        loop {
            // Which of the two files fails cannot be told apart, but room is lacking only where it is written.
            let step = pages.step(PAGES).map_err(|error| match fault(&self.path, &error) {
                StoreError::Full { .. } => StoreError::Full { path: to.target.clone() },
                other => other,
            })?;
            let progress = pages.progress();
            let count = |number: i32| u64::try_from(number).unwrap_or_default();
            let all = count(progress.pagecount);
            let done = all.saturating_sub(count(progress.remaining));
            if !tell(Copying::Pages { done, all }) {
                return Err(BackupError::Stopped);
            }
            match step {
                StepResult::Done => break,
                // `Busy` and `Locked` pass too: the next step tries again.
                _ => thread::sleep(PAUSE),
            }
        }
        drop(pages);
        target.close().map_err(|(_, error)| to.fault(&error))?;
        Ok(())
    }
}

/// What a store file says of itself, if it is a store that this program can read.
pub(super) fn facts(conn: &Connection, path: &Path) -> Result<StoreFacts, StoreError> {
    let needed = match schema::check(conn, path, &schema::runner())? {
        Schema::Empty => return Err(StoreError::NotInitialised { path: path.to_owned() }),
        Schema::Behind { found, .. } => Some(found),
        Schema::Current => None,
    };
    let failed = |error| fault(path, &error);
    let Some(meta) = read_meta(conn).map_err(failed)? else {
        return Err(StoreError::NotInitialised { path: path.to_owned() });
    };
    let audit = tiles::size(conn).map_err(failed)?;
    let sql = "SELECT seq, head_issued FROM revocation_state";
    let (seq, head) = conn.query_row(sql, [], |row| Ok((int(row, 0)?, moment(row, 1)?))).map_err(failed)?;
    let head = Some(head).filter(|head| head.millis() > 0);
    let schema = needed.unwrap_or_else(schema::last);
    Ok(StoreFacts { kind: meta.kind, issuer: meta.issuer, schema, audit, seq, head })
}

/// Reads a whole store file, and gives what it says of itself if it is sound.
pub(super) fn sound(path: &Path, issuer: &str) -> Result<StoreFacts, BackupError> {
    let source = Source::open(path, issuer)?;
    match super::check::damage(&source.conn, super::check::Depth::Indexes, 1).into_iter().next() {
        Some(damage) => Err(BackupError::Damaged { path: source.path, damage }),
        None => Ok(source.facts),
    }
}

// A backup must never be put in the place of what it was made of.
fn is_own(store: &Path, to: &Path) -> bool {
    let settled = match (fs::canonicalize(to), to.parent(), to.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(folder), Some(name)) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            fs::canonicalize(folder).map_or_else(|_| to.to_owned(), |folder| folder.join(name))
        }
        _ => to.to_owned(),
    };
    BESIDE.iter().any(|ending| ended(store, ending) == settled)
}

/// The path with an ending.
pub(super) fn ended(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// A file that is being written for a name that it does not have yet. Unless it gets it, nothing is left of it.
pub(super) struct Part {
    pub(super) path: PathBuf,
    target: PathBuf,
}

impl Part {
    /// An empty file for this user alone, beside the file that it is to become.
    pub(super) fn beside(target: &Path) -> Result<Self, StoreError> {
        if target.file_name().is_none() {
            let cause = "it names no file".to_owned();
            return Err(StoreError::Failed { path: target.to_owned(), cause });
        }
        let part =
            Self { path: ended(target, &format!(".{}.part", std::process::id())), target: target.to_owned() };
        // What an earlier process of this number left.
        part.remove();
        let made = private(&part.path, OpenOptions::new().write(true).create_new(true));
        made.map(|_| part).map_err(|error| match error {
            StoreError::Missing { path } => {
                StoreError::Failed { path, cause: "its folder is not there; make it first".to_owned() }
            }
            other => other,
        })
    }

    /// A connection that writes it with no care for a crash.
    fn connect(&self, journal: &str) -> Result<Connection, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || {
            let conn = Connection::open_with_flags(&self.path, flags)?;
            conn.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
            conn.pragma_update(None, "synchronous", "OFF")?;
            Ok(conn)
        };
        open().map_err(|error| self.fault(&error))
    }

    /// Makes it one plain file, with no log beside it, and waits until it is on the disk.
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        // Its head says that it has a log, like the store that it was copied from.
        let conn = self.connect("DELETE")?;
        let mode: String = conn
            .query_row("PRAGMA journal_mode", [], |row| row.get(0))
            .map_err(|error| self.fault(&error))?;
        conn.close().map_err(|(_, error)| self.fault(&error))?;
        if mode != "delete" {
            let cause = format!("the copy keeps a log of its own (journal_mode {mode})");
            return Err(StoreError::Failed { path: self.target.clone(), cause });
        }
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        file.and_then(|file| file.sync_all()).map_err(|error| self.io_fault(&error))
    }

    /// Gives it its name, whatever had it.
    pub(super) fn rename(self, to: &Path) -> Result<(), StoreError> {
        fs::rename(&self.path, to).map_err(|error| self.io_fault(&error))?;
        sync_folder(to)
    }

    // Not over a file that came meanwhile: a link is made only where there is no name.
    fn name(self, to: &Path) -> Result<(), BackupError> {
        match fs::hard_link(&self.path, to) {
            Ok(()) => Ok(sync_folder(to)?),
            Err(_) if fs::symlink_metadata(to).is_ok() => Err(BackupError::Exists { path: to.to_owned() }),
            // Not every file system has links.
            Err(_) => Ok(self.rename(to)?),
        }
    }

    fn remove(&self) {
        // The error that matters is the one that led here.
        for ending in BESIDE {
            let _ = fs::remove_file(ended(&self.path, ending));
        }
    }

    // People know the name that they gave.
    fn fault(&self, error: &rusqlite::Error) -> StoreError {
        fault(&self.target, error)
    }

    fn io_fault(&self, error: &std::io::Error) -> StoreError {
        io_fault(&self.target, error)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Waits until the names in a file's folder are on the disk.
pub(super) fn sync_folder(of: &Path) -> Result<(), StoreError> {
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| io_fault(folder, &error))
}
