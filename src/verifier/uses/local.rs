//! One instance keeps the uses by itself, in a file that outlives it.
//!
//! A use is on the disk before its call is allowed. The file has a header and one record for each use, 32 bytes each, so
//! that none lies across two sectors; at most the last one can be torn, for each is written through before the next.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::revocations::RevokedId;
use thiserror::Error;

use super::{Unclaimed, Use};
use crate::held_dir::{Untaken, append_new, take};

const LOCK: &str = "uses.lock";
const FILE: &str = "uses";
const NEW: &str = "uses.new";
/// The most uses of living tokens that are kept.
const CAPACITY: usize = 1_000_000;
/// Below so many uses nobody looks which ones can be forgotten.
const FEW: usize = 1024;
const RECORD: usize = 32;
const MAGIC: [u8; 16] = *b"shortbread-uses1";

const DISK: Unclaimed = Unclaimed::Unavailable("its use could not be written to this tool service's disk");
const FULL: Unclaimed =
    Unclaimed::Unavailable("this tool service has no room for more uses, and none is forgotten early");

/// Why uses cannot be kept in a directory.
#[derive(Debug, Error)]
pub enum UsesError {
    /// The directory or a file in it cannot be opened, read or written.
    #[error("cannot use {} to keep which tokens were used: {cause}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another process has it.
    #[error("{} is in use by another process; where there are several instances the broker keeps the uses", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Something else wrote to the file, or the disk did.
    #[error(
        "{} is damaged, and a token that was used could pass again: stop the service for as long as tokens live (an hour \
         at most), then remove the file", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// Keeps which tokens were used in a directory that this process alone uses, as long as the value lives.
///
/// For the one instance of its tools: another instance with another directory knows nothing of these uses. The directory
/// has to outlive restarts.
#[derive(Debug)]
pub struct LocalUses {
    kept: Mutex<Kept>,
    _lock: File,
}

#[derive(Debug)]
struct Kept {
    dir: PathBuf,
    /// The hash of a token's id, and its first second in which it is not valid any more.
    used: HashMap<[u8; 16], u64>,
    /// What ended by this second is forgotten; so nothing that did is allowed, should the clock go back.
    forgotten: u64,
    /// With as many uses the expired ones are looked for.
    look_at: usize,
    capacity: usize,
    /// `None` after a failure: then all is written anew before anything is claimed.
    file: Option<File>,
    /// Records in the file.
    written: usize,
}

impl LocalUses {
    /// Opens or begins the file `uses` in a directory, such as the one of the [`Trust`](crate::list::Trust); a million
    /// living tokens at most. `now` is the time by the trust's clock. What expired is forgotten.
    ///
    /// # Errors
    /// When another process has it, it cannot be read or written, or it is damaged.
    pub fn open(dir: &Path, now: Timestamp) -> Result<Self, UsesError> {
        Self::with_capacity(dir, now, CAPACITY)
    }

    fn with_capacity(dir: &Path, now: Timestamp, capacity: usize) -> Result<Self, UsesError> {
        let failed = |cause| UsesError::Io { path: dir.to_owned(), cause };
        fs::create_dir_all(dir).map_err(failed)?;
        let lock = take(dir, LOCK)?;
        let path = dir.join(FILE);
        let (used, forgotten) = match fs::read(&path) {
            Ok(bytes) => read(&bytes).ok_or(UsesError::Damaged { path })?,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => (HashMap::new(), 0),
            Err(cause) => return Err(UsesError::Io { path, cause }),
        };
        let dir = dir.to_owned();
        let mut kept = Kept { dir, used, forgotten, look_at: FEW, capacity, file: None, written: 0 };
        kept.forget(now.seconds());
        kept.rewrite().map_err(|cause| UsesError::Io { path: kept.dir.join(FILE), cause })?;
        Ok(Self { kept: Mutex::new(kept), _lock: lock })
    }

    /// How many tokens are remembered as used, for a metric: of a million at most.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).used.len()
    }

    /// Claims a use; it is on the disk when this returns. Waits for the disk.
    pub(crate) fn claim(&self, wanted: &Use<'_>, now: Timestamp) -> Result<(), Unclaimed> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.claim(RevokedId::hash(wanted.token.as_bytes()), wanted.expires, now.seconds())
    }
}

impl Kept {
    fn claim(&mut self, token: [u8; 16], expires: u64, now: u64) -> Result<(), Unclaimed> {
        if expires <= self.forgotten || self.used.contains_key(&token) {
            return Err(Unclaimed::Used);
        }
        if self.used.len() >= self.look_at.min(self.capacity) {
            self.forget(now);
            if self.used.len() >= self.capacity {
                return Err(FULL);
            }
        }
        if expires <= self.forgotten {
            return Err(Unclaimed::Used);
        }
        if self.file.is_none() || self.written > 2 * self.used.len() + FEW {
            self.rewrite().map_err(|_| DISK)?;
        }
        let record = record(token, expires);
        let written = self.file.as_mut().map(|file| file.write_all(&record).and_then(|()| file.sync_data()));
        if !matches!(written, Some(Ok(()))) || !self.is_there() {
            // How much of it is on the disk nobody knows. What was not allowed need not be there.
            self.file = None;
            return Err(DISK);
        }
        self.written += 1;
        self.used.insert(token, expires);
        Ok(())
    }

    fn forget(&mut self, now: u64) {
        let before = self.used.len();
        self.used.retain(|_, expires| *expires > now);
        if self.used.len() < before {
            self.forgotten = self.forgotten.max(now);
        }
        self.look_at = (2 * self.used.len()).max(FEW);
    }

    /// Writes all that is remembered to a new file, which then takes the place of the old one.
    fn rewrite(&mut self) -> io::Result<()> {
        self.file = None;
        let new = self.dir.join(NEW);
        let mut bytes = Vec::with_capacity(RECORD * (self.used.len() + 1));
        bytes.extend(record(MAGIC, self.forgotten));
        bytes.extend(self.used.iter().flat_map(|(token, expires)| record(*token, *expires)));
        match fs::remove_file(&new) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let mut file = append_new(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.dir.join(FILE))?;
        // Only Unix lets a directory be opened for that.
        #[cfg(unix)]
        File::open(&self.dir)?.sync_all()?;
        self.written = self.used.len();
        self.file = Some(file);
        Ok(())
    }

    /// Whether the file still is where the next start looks for it.
    fn is_there(&self) -> bool {
        let named = fs::metadata(self.dir.join(FILE));
        let open = self.file.as_ref().map(File::metadata);
        matches!((named, open), (Ok(named), Some(Ok(open))) if same(&named, &open))
    }
}

#[cfg(unix)]
fn same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

// That it is there has to do.
#[cfg(not(unix))]
fn same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

fn record(token: [u8; 16], expires: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    let (body, sum) = record.split_at_mut(RECORD - 8);
    let (name, end) = body.split_at_mut(16);
    name.copy_from_slice(&token);
    end.copy_from_slice(&expires.to_be_bytes());
    let digest = Sha256::digest(&*body);
    for (to, from) in sum.iter_mut().zip(digest) {
        *to = from;
    }
    record
}

fn parse(bytes: &[u8]) -> Option<([u8; 16], u64)> {
    let (token, rest) = bytes.split_first_chunk()?;
    let (expires, _) = rest.split_first_chunk()?;
    let expires = u64::from_be_bytes(*expires);
    (record(*token, expires) == *bytes).then_some((*token, expires))
}

/// The uses, and until when they are forgotten; `None` when more than the last record is damaged.
fn read(bytes: &[u8]) -> Option<(HashMap<[u8; 16], u64>, u64)> {
    // A new file takes its place whole, so that it has a header.
    let (header, records) = bytes.split_at_checked(RECORD)?;
    let (_, forgotten) = parse(header).filter(|(magic, _)| *magic == MAGIC)?;
    let mut used = HashMap::with_capacity(records.len() / RECORD);
    let mut records = records.chunks(RECORD).peekable();
    while let Some(bytes) = records.next() {
        match parse(bytes) {
            Some((token, expires)) => drop(used.insert(token, expires)),
            None if records.peek().is_none() => {}
            None => return None,
        }
    }
    Some((used, forgotten))
}

impl From<Untaken> for UsesError {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Io { path, cause } => Self::Io { path, cause },
            Untaken::InUse { dir } => Self::InUse { dir },
        }
    }
}

#[cfg(test)]
mod tests;
