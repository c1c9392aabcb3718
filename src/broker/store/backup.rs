//! A copy of the store, made while the broker runs.

use std::path::{Path, PathBuf};

use shortbread_protocol::clock::Timestamp;
use thiserror::Error;

use super::sqlite::copy;
use super::{StoreError, StoreKind};

/// What a store file holds, as far as a backup is told apart by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// Who made the store.
    pub kind: StoreKind,
    /// The broker's public URL.
    pub issuer: String,
    /// The number of its last migration.
    pub schema: i64,
    /// How many entries its audit log has.
    pub audit: u64,
    /// The last sequence number that a change of the revocation list or a head took.
    pub seq: u64,
    /// When its last head was signed; `None` before the first.
    pub head: Option<Timestamp>,
}

/// A backup that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// What it holds.
    pub facts: StoreFacts,
    /// Its size in bytes.
    pub bytes: u64,
}

/// How far copying is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copying {
    /// So many of the pages of 4 KiB are copied.
    Pages {
        /// Copied.
        done: u64,
        /// Of so many.
        all: u64,
    },
    /// All are, and the copy is checked.
    Checking,
}

/// Told how far copying is; it goes on while this says so.
pub type Tell<'a> = &'a mut (dyn FnMut(Copying) -> bool + Send);

/// Why no backup was made. Nothing is left of it then.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackupError {
    /// The name is taken.
    #[error("{path} is there already; name another file, or say --force to replace it")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The name is one of the store's own.
    #[error("{path} is the store itself or a file beside it that is a part of it; name another file")]
    Own {
        /// The file.
        path: PathBuf,
    },
    /// The store is another broker's.
    #[error("{path} belongs to {stored}, the configuration says {configured}; name the right one")]
    OtherIssuer {
        /// The file.
        path: PathBuf,
        /// What it says.
        stored: String,
        /// What the configuration says.
        configured: String,
    },
    /// The file is not sound.
    #[error(
        "{path} is damaged: {damage}; where it is the store, restore it from an earlier backup, where it is a backup, take an earlier one"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The first thing that was found.
        damage: String,
    },
    /// Whoever asked for it wants it no more.
    #[error("stopped; nothing is left of the copy")]
    Stopped,
    /// A file cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Copies the store at `from`, of the broker of this issuer, to a new file `to`, mode 0600, while a broker may have it
/// open and write it: what is copied is the store as it stood at one moment, and nobody waits for it. It has its name
/// only when it is whole, checked and on the disk; then it is one file, with no log beside it. `replace` lets it take the
/// place of a file. Blocks for as long as it takes.
///
/// The database's log is not written back while this runs, so that it grows by what is written meanwhile.
///
/// # Errors
/// When the store or the file is not as it must be, the disk is full, or `tell` says no; nothing is left of it then.
pub fn back_up(
    from: &Path,
    issuer: &str,
    to: &Path,
    replace: bool,
    tell: Tell<'_>,
) -> Result<Backup, BackupError> {
    copy::back_up(from, issuer, to, replace, tell)
}
