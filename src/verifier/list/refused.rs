//! Why something that a broker or a mirror served was not taken.

use shortbread_protocol::key_document::KeyDocumentError;
use shortbread_protocol::revocations::ListFileError;
use thiserror::Error;

/// Why a head, key document, snapshot or delta was refused. What the verifier holds stays as it was, but for
/// [`Refused::Equivocation`] and [`Refused::BreakGlassEquivocation`].
#[derive(Debug, Error)]
pub enum Refused {
    /// A head below one that was seen and names the same key document; or a break-glass head below the one in force, or
    /// below the lowest that the key document lets count.
    #[error("the head has sequence {offered}, but {seen} was seen already: an old head is being served")]
    Older {
        /// The sequence offered.
        offered: u64,
        /// The highest sequence seen, or the lowest that counts.
        seen: u64,
    },
    /// Two signed heads with one sequence and different contents. The list counts as expired until a higher head is applied.
    #[error(
        "two different heads are signed with sequence {0}: the revocation key or the broker's store is in two hands"
    )]
    Equivocation(u64),
    /// Two different break-glass heads with one sequence. Of their two moments the later one counts.
    #[error("two different break-glass heads are signed with sequence {0}: ask who holds the root key")]
    BreakGlassEquivocation(u64),
    /// No valid signature of a revocation key that is valid now.
    #[error("the head is not signed by a revocation key of the key document that is valid now")]
    Signature,
    /// A head of another broker.
    #[error("the head is of another origin than {0:?}; check the address and the pinned issuer")]
    Origin(String),
    /// Signed, but not a head.
    #[error("the head is not read: its {0} is wrong")]
    Malformed(&'static str),
    /// Its time is over.
    #[error("the head must not be relied on since second {0}; check this machine's clock and the broker")]
    Expired(u64),
    /// From the future.
    #[error(
        "the head was issued at second {0}, more than 30 s ahead of this machine's clock; check the clock"
    )]
    Future(u64),
    /// Its list is larger than a verifier takes.
    #[error("the head or its snapshot is larger than a verifier takes")]
    TooLarge,
    /// The head points at a list that its files do not lead to.
    #[error("the head's snapshot and deltas do not lead to the list that it stands for")]
    DeltaMissing,
    /// A snapshot below the one that is applied.
    #[error("the head points at snapshot {offered}, but {applied} is applied already")]
    SnapshotOlder {
        /// The snapshot's sequence.
        offered: u64,
        /// The sequence of the contents that are applied.
        applied: u64,
    },
    /// A key document that the pinned root key did not sign, or that cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyDocumentError),
    /// A key document below one that was seen, or a head that names one.
    #[error("key document {offered} is older than {seen}, which was seen already")]
    KeysOlder {
        /// The version offered.
        offered: u64,
        /// The version seen.
        seen: u64,
    },
    /// Two different key documents with one version.
    #[error("two different key documents are signed with version {0}: ask who holds the root key")]
    KeysEquivocation(u64),
    /// The bytes are not those that the head names.
    #[error("the {0} is not the one that the head names by its hash")]
    HashMismatch(&'static str),
    /// The length is not the one that the head names.
    #[error("the {what} has {offered} bytes, but the head names {named}")]
    SizeMismatch {
        /// Which file.
        what: &'static str,
        /// The length offered.
        offered: u64,
        /// The length that the head names.
        named: u64,
    },
    /// The snapshot or delta that the head names is damaged.
    #[error(transparent)]
    Snapshot(#[from] ListFileError),
    /// No head asks for this file now.
    #[error("no head asks for this file now")]
    Unexpected,
}

impl Refused {
    /// A stable code, for metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Older { .. } => "older",
            Self::Equivocation(_) => "equivocation",
            Self::BreakGlassEquivocation(_) => "break_glass_equivocation",
            Self::Signature => "signature",
            Self::Origin(_) => "origin",
            Self::Malformed(_) => "malformed",
            Self::Expired(_) => "expired",
            Self::Future(_) => "future",
            Self::TooLarge => "too_large",
            Self::DeltaMissing => "delta_missing",
            Self::SnapshotOlder { .. } => "snapshot_older",
            Self::Keys(_) => "keys_refused",
            Self::KeysOlder { .. } => "keys_older",
            Self::KeysEquivocation(_) => "keys_equivocation",
            Self::HashMismatch(_) => "hash_mismatch",
            Self::SizeMismatch { .. } => "size_mismatch",
            Self::Snapshot(_) => "snapshot_damaged",
            Self::Unexpected => "unexpected",
        }
    }
}
