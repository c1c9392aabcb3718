//! What can go wrong in the store. Every case is a refusal: nothing was recorded.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use shortbread_protocol::revocations::SelectorKind;
use thiserror::Error;

/// The store cannot be opened, or could not do what was asked. Nothing of the operation was recorded, but for
/// [`StoreError::Unavailable`]: there the outcome may be unknown.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// No such file.
    #[error("there is no store at {path}; create it with `shortbread init`")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file is there, but `init` did not finish.
    #[error("the store {path} is not initialised; run `shortbread init`")]
    NotInitialised {
        /// The file.
        path: PathBuf,
    },
    /// `init` on a store that is in use already.
    #[error("the store {path} is initialised already; use it as it is, or name another file")]
    AlreadyInitialised {
        /// The file.
        path: PathBuf,
    },
    /// Not an SQLite file, or a damaged one.
    #[error("{path} is not an SQLite database or is damaged; restore it from a backup or name another file")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// An SQLite file with another program's tables.
    #[error("{path} is a database of another program; name another file")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("the store {path} has schema version {found}, this program knows {known}; use the newer program")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The last version this program knows.
        known: i64,
    },
    /// What was applied is not what this program carries.
    #[error(
        "migration {migration} in the store {path} is not the one this program carries; use the program that wrote the store, or restore a backup"
    )]
    Edited {
        /// The file.
        path: PathBuf,
        /// The migration, as `V1__init`.
        migration: String,
    },
    /// An older program wrote it.
    #[error(
        "the store {path} has schema version {found}, this program needs {needed}; back it up, then run `shortbread serve --migrate`"
    )]
    NeedsMigration {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i64,
        /// The version needed.
        needed: i64,
    },
    /// The file or its folder cannot be written.
    #[error("{path} is read-only; the broker must be able to write the store and its folder")]
    ReadOnly {
        /// The file or folder.
        path: PathBuf,
    },
    /// Another broker has it open.
    #[error("another process holds the store {path}; stop it first, one broker at a time may use a store")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Made by `dev`, opened by `serve`.
    #[error("the store {path} was made by `shortbread dev`; create one for `serve` with `shortbread init`")]
    Dev {
        /// The file.
        path: PathBuf,
    },
    /// A program other than the broker holds a lock inside the database.
    #[error("another program locks the store {path}; end it and try again")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// No space left.
    #[error(
        "nothing more can be written to the store {path}: its disk, quota or size limit is full, or the disk fails; free some space"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// No space left but what is kept for the switch.
    #[error(
        "the store {path} is full but for its reserve, in which revocations, lifts and operators' sign-ins alone are recorded; free some space on its disk"
    )]
    AtReserve {
        /// The file.
        path: PathBuf,
    },
    /// The file system or SQLite failed.
    #[error("the store {path} failed: {cause}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
    /// The audit log contradicts itself: somebody or something changed it behind the broker's back.
    #[error(
        "the audit log in the store {path} is damaged: {place}; keep a copy of it for `shortbread audit verify`, then restore a backup"
    )]
    LogDamaged {
        /// The file.
        path: PathBuf,
        /// Which part contradicts which.
        place: String,
    },
    /// The writer ended or the group's transaction was not confirmed.
    #[error("the store {path} could not confirm the record: {cause}")]
    Unavailable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: String,
    },
    /// More bytes than a record may have.
    #[error("{what} has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A token id that was recorded before.
    #[error("token {0} is recorded already; token ids must be new")]
    TokenExists(String),
    /// The assertion is so old that the store has forgotten whether it was used.
    #[error(
        "used assertions that end before {floor} (unix seconds) are forgotten and this one ends at {keep_until}; check this machine's clock"
    )]
    Forgotten {
        /// When this assertion's key could be forgotten.
        keep_until: u64,
        /// Keys before this are forgotten.
        floor: u64,
    },
}

/// A budget has not as much left as is wanted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// The grant that has the budget.
    pub grant: String,
    /// The argument whose values are summed.
    pub argument: String,
    /// What was wanted.
    pub amount: u64,
    /// What there is in all.
    pub limit: u64,
    /// What is left.
    pub left: u64,
    /// How soon there is more.
    pub frees: Option<Duration>,
}

impl std::error::Error for Spent {}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { grant, argument, amount, limit, left, frees } = self;
        if amount > limit {
            return write!(
                f,
                "this may take {amount} of {argument} and the budget of {grant} is {limit} in all; ask for less"
            );
        }
        write!(
            f,
            "the budget of {grant} has {left} of {limit} left for {argument} and this may take {amount}; ask for less"
        )?;
        match frees {
            Some(frees) => write!(f, ", or wait: the next amount comes free in {} s", frees.as_secs()),
            None => Ok(()),
        }
    }
}

/// Why a token was not recorded, and so must not be answered.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RecordError {
    /// The assertion was used before.
    #[error("this assertion was used already; sign a new one")]
    Replayed,
    /// The assertion may be presented again, but not by this client.
    #[error("another key presented this assertion first")]
    Pinned,
    /// It was made before the store was restored, when nobody remembers what was used.
    #[error("this assertion was made before the store was restored; sign a new one, or have one issued")]
    Outdated,
    /// A revocation of this kind reaches the token.
    #[error("an operator revoked the {0} of this token")]
    Revoked(SelectorKind),
    /// The narrowed copy that was shown was given back.
    #[error("the token that was shown was given back by its holder")]
    RevokedBlock,
    /// Everything is revoked.
    #[error("an operator stopped everything")]
    RevokedAll,
    /// The task id belongs to another principal.
    #[error("this task id belongs to another workflow; use an id of your own")]
    TaskTaken,
    /// As many tokens were made of this one, or in one line, as may be.
    #[error(
        "256 tokens were made of this one, or 8 in one line, and no more may be; exchange an identity for a new one"
    )]
    TooMany,
    /// As many requests of this principal wait for a person as may.
    #[error(
        "{0} requests of this workflow wait for a person and no more may; wait until some are decided, or cancel some"
    )]
    TooManyWait(u64),
    /// A budget has not this much left.
    #[error(transparent)]
    BudgetSpent(#[from] Spent),
    /// The approval is spent, over or taken back, or what was approved is not what is shown any more.
    #[error("the approval is not there to be spent")]
    NotApproved,
    /// Another request with the same Idempotency-Key was answered meanwhile.
    #[error("the same request was answered a moment ago")]
    Repeated,
    /// The token that was to be given out once more is not recorded.
    #[error("there is no record of this token")]
    NoToken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a revocation or lift was not done.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChangeError {
    /// Nothing was named.
    #[error("name at least one thing to revoke")]
    Nothing,
    /// Nothing to lift.
    #[error("{0} is not revoked")]
    NotRevoked(String),
    /// A key signs for any date, so dates mean nothing to it.
    #[error("key {0} can only be revoked for good, and lifted only so that its old tokens live again")]
    KeyNotDated(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no head was signed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HeadError {
    /// The signer declined, for example because the contents changed under it.
    #[error("the head was not signed")]
    Declined,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key document was not kept.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// It would take verifiers back, which they refuse.
    #[error(
        "key document {offered} cannot be published: {highest} was published already, and versions only rise"
    )]
    NotNext {
        /// Its version.
        offered: u64,
        /// The highest version that was published.
        highest: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy version was not activated.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ActivateError {
    /// No such version.
    #[error("there is no policy version {0}; `shortbread policy history` lists them")]
    UnknownVersion(u64),
    /// A trial must have something to go back to.
    #[error("no policy is in force yet; activate a version for all first")]
    NothingBefore,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a request that waits for a person did not change.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApprovalError {
    /// It is decided, over or taken back.
    #[error("this request is closed")]
    Closed,
    /// What was looked at is not what is shown, or another vote came first.
    #[error("this request changed meanwhile")]
    Changed,
    /// A budget has not this much left.
    #[error(transparent)]
    BudgetSpent(#[from] Spent),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
