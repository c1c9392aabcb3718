//! A backup that takes the store's place, so that nothing revoked comes back to life.
//!
//! A backup knows nothing of what came after it, and the outside does. So of whoever kept something from that time:
//! - a token is dead: everything issued so far is revoked with the restore, in the head and in the broker, and heads go on
//!   above every one that was seen, so that no verifier takes an older list for the newer one;
//! - an operator's token is dead too, also for the verbs of the switch, which no revocation of everything reaches: the
//!   broker refuses what was issued before the restore, and nobody else takes such tokens;
//! - an assertion is refused, pinned or not, since nobody knows any more whether it was used: it must have been made after
//!   the restore. One that does not say when it was made counts as made at the first moment at which it was good;
//! - an answer that was kept to be given once more is dropped, and so are verifiers' leases, notices that wait, and a
//!   policy that some workflows were trying;
//! - a request that waited for a person is taken back, approved or not: it may have been fetched since. A token that is good
//!   once counts as used. What was taken out of a budget since is not known: the amounts of the backup's period stand;
//! - proofs of possession live in memory that begins anew with each start.
//!
//! What was revoked for good after the backup, rather than ended by being issued too early, is taken from the store that
//! was there, where it can still be read, with its break-glass head and key documents: refusals only ever add up. Nothing
//! else is taken from it. The policy in force is the backup's.
//!
//! The audit log goes on after the backup's last entry, so of sizes that were signed before, it may sign other roots. One
//! origin must never have two: unless the store that was there shows that nothing came after the backup, the log goes on
//! under an origin of its own, and the restore's entry says after how many entries it left which one.

use std::path::{Path, PathBuf};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::log::Hash;
use thiserror::Error;

use super::sqlite::restore::Place;
use super::{AuditEntry, Backend, BackupError, Store, StoreError, StoreFacts, StoreKind, Tell};

/// What to restore.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// The backup.
    pub backup: &'a Path,
    /// The store whose place it takes.
    pub store: &'a Path,
    /// The broker's public URL.
    pub issuer: &'a str,
    /// As high as any head that anyone saw, or higher.
    pub floor: u64,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What the backup held.
    pub backup: StoreFacts,
    /// The store that was there.
    pub former: Former,
    /// The sequence number below which no head will be.
    pub floor: u64,
    /// The number of the change that ended all tokens.
    pub seq: u64,
    /// Tokens issued before this are dead (unix seconds).
    pub not_before: u64,
    /// Assertions and operators' tokens made before this are refused (unix seconds).
    pub made_from: u64,
    /// How many revocations were taken from the store that was there.
    pub taken: u64,
    /// What became of the audit log.
    pub log: RestoredLog,
}

/// The audit log as it was at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// What its checkpoints were signed under.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// What a restore made of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredLog {
    /// The log in the backup: the restore's entries come after it.
    pub kept: KnownLog,
    /// The newest that is known of the log that was there; `None` when nothing is.
    pub last: Option<KnownLog>,
    /// What checkpoints are signed under from now on.
    pub origin: String,
}

impl RestoredLog {
    /// Whether it has another origin now: entries after the backup are lost, or may be.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.origin != self.kept.origin
    }
}

/// What a restore is told beside the files.
#[derive(Clone, Debug)]
pub struct Settle {
    /// The time.
    pub now: Timestamp,
    /// The id of the restore's entry, which no other has: a new origin of the log bears it.
    pub id: String,
    /// Of checkpoints that were kept outside, the newest of each origin.
    pub seen: Vec<KnownLog>,
    /// Whether some could not be read or believed: more may have been signed than is known.
    pub unsure: bool,
}

/// What was known of the store that was there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Former {
    /// There was none.
    Absent,
    /// It could not be read, or not to its end: what was revoked since the backup is not known.
    Damaged(String),
    /// It could be read.
    Read(StoreFacts),
}

/// Why nothing was restored. The store that was there is where it was, if [`RestoreError::Place`] does not say otherwise.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// The floor is below what was seen.
    #[error(
        "--seq-floor {floor} is too low: {known} is the last number in {path}; give the highest that any verifier or mirror saw, and never less"
    )]
    FloorTooLow {
        /// The floor.
        floor: u64,
        /// The number that is known.
        known: u64,
        /// Which file has it.
        path: PathBuf,
    },
    /// The floor leaves no room for heads to come.
    #[error("--seq-floor {floor} is too high: give the highest number that was seen, at most {most}")]
    FloorTooHigh {
        /// The floor.
        floor: u64,
        /// The most it may be.
        most: u64,
    },
    /// The backup is the store.
    #[error("{path} is the store itself; name a backup of it")]
    Own {
        /// The file.
        path: PathBuf,
    },
    /// One of the two was made by `dev`.
    #[error(
        "{path} was made by `shortbread {made}` and the store that is there by `shortbread {there}`; name a backup of this very store"
    )]
    OtherKind {
        /// The backup.
        path: PathBuf,
        /// Who made it.
        made: &'static str,
        /// Who made the store that is there.
        there: &'static str,
    },
    /// The files could not be exchanged.
    #[error(
        "the restored store could not be put in its place: {cause}; the store that was there is at {former}, move it back and try again"
    )]
    Place {
        /// Where the former store is now.
        former: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The backup, or copying it, is not as it must be.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The store is not as it must be.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoreKind {
    /// The command that makes such a store.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Broker => "init",
        }
    }
}

/// A backup, copied beside the store whose place it is to take. The store is held; nothing of it has changed yet.
#[derive(Debug)]
pub struct Restoring {
    place: Place,
    store: Store,
}

/// A restored store that is not in its place yet.
#[derive(Debug)]
pub struct Settled {
    place: Place,
    store: Store,
}

impl Restoring {
    /// Holds the store's place, checks the backup and copies it there under another name, brought up to date. Blocks for
    /// as long as that takes.
    ///
    /// # Errors
    /// When a broker runs, the backup is not sound or not of this broker, or the floor is too low.
    pub fn begin(restore: &Restore<'_>, tell: Tell<'_>) -> Result<Self, RestoreError> {
        let (place, sqlite) = Place::take(restore, tell)?;
        Ok(Self { place, store: Store(std::sync::Arc::new(Backend::Sqlite(sqlite))) })
    }

    /// The copy, as it was when the backup was made.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Ends in the copy whatever could come back to life, in one transaction, with this entry in its audit log.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub async fn settle<F>(self, settle: Settle, audit: F) -> Result<(Settled, Restored), RestoreError>
    where
        F: FnMut(&Restored) -> AuditEntry + Send + 'static,
    {
        let Self { place, store } = self;
        let restored = match &*store.0 {
            Backend::Sqlite(sqlite) => sqlite.restore(place.settling(), settle, Box::new(audit)).await?,
        };
        Ok((Settled { place, store }, restored))
    }
}

impl Settled {
    /// Puts it in its place; gives where the store that was there is now, if there was one. Blocks.
    ///
    /// # Errors
    /// When the copy is not on the disk, or files cannot be renamed.
    pub fn put_in_place(self, now: Timestamp) -> Result<Option<PathBuf>, RestoreError> {
        let Self { place, store } = self;
        // Waits for the writer: the last connection folds the database's log into it.
        drop(store);
        place.exchange(now)
    }
}
