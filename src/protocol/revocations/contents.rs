//! What both files of the list have in common: a JSON line for the selectors, then packed records for single tokens
//! and blocks.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::selector::{Selector, SelectorKind};
use crate::clock::FOREVER;

pub(super) const ID: usize = 16;
pub(super) const RECORD: usize = ID + 4;

/// Why a snapshot or delta is refused.
#[derive(Debug, Error)]
pub enum ListFileError {
    /// The packed section has another length than announced, or is out of order.
    #[error("the revocation list is damaged: {0}")]
    Damaged(&'static str),
    /// The first line is not as it must be.
    #[error("the revocation list is not read: {0}")]
    Line(#[from] serde_json::Error),
}

/// Why something was revoked, from a closed list: it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Cause {
    /// Something bad is happening.
    Incident,
    /// A planned stop.
    Freeze,
    /// A key or token leaked.
    Compromise,
    /// No longer needed.
    Retired,
    /// Given back by its holder.
    Returned,
    /// Stopped so far, allowed again.
    Lifted,
}

/// One selector of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The kind.
    #[serde(rename = "k")]
    pub kind: SelectorKind,
    /// The value.
    #[serde(rename = "v")]
    pub value: String,
    /// Tokens issued before this second are dead.
    #[serde(rename = "b")]
    pub before: u64,
    /// When the entry may leave the list; absent: when it is lifted.
    #[serde(rename = "u")]
    pub until: Option<u64>,
    /// The sequence of the change that set it.
    #[serde(rename = "s")]
    pub seq: u64,
    /// Why.
    #[serde(rename = "r")]
    pub cause: Cause,
}

/// One revoked token or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevokedId {
    /// The first 16 bytes of SHA-256 of the token id or of the block's signature.
    pub id: [u8; ID],
    /// When the record may leave the list, in seconds since the epoch.
    pub until: u32,
}

impl RevokedId {
    /// The id under which a token id or a block's signature is revoked.
    #[must_use]
    pub fn hash(of: &[u8]) -> [u8; ID] {
        Sha256::digest(of).first_chunk().copied().unwrap_or_default()
    }
}

/// The first line of either file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    pub(super) v: u32,
    pub(super) origin: String,
    pub(super) seq: u64,
    pub(super) from: Option<u64>,
    pub(super) entries: Vec<Entry>,
    pub(super) removed: Vec<Removed>,
    pub(super) ids: usize,
    pub(super) ids_removed: usize,
}

/// A selector that left the list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Removed {
    /// The kind.
    #[serde(rename = "k")]
    pub kind: SelectorKind,
    /// The value.
    #[serde(rename = "v")]
    pub value: String,
}

impl Line {
    pub(super) fn new(origin: &str, seq: u64, entries: Vec<Entry>) -> Self {
        let (origin, removed) = (origin.to_owned(), Vec::new());
        Self { v: 1, origin, seq, from: None, entries, removed, ids: 0, ids_removed: 0 }
    }

    /// The line and its newline; the packed sections follow.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Plain strings and numbers always serialise.
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the line of a file and gives what follows it.
    pub(super) fn read<'a>(bytes: &'a [u8], origin: &str) -> Result<(Self, &'a [u8]), ListFileError> {
        const NO_LINE: ListFileError = ListFileError::Damaged("it has no first line");
        let end = bytes.iter().position(|b| *b == b'\n').ok_or(NO_LINE)?;
        let (line, packed) = bytes.split_at_checked(end).ok_or(NO_LINE)?;
        // Every object in it has a type that refuses members which are unknown or stand twice.
        let line: Self = serde_json::from_slice(line)?;
        if line.v != 1 || line.origin != origin {
            return Err(ListFileError::Damaged("it is of another version or origin"));
        }
        let known = |kind, value: &str| Selector::new(kind, value).is_ok();
        let sound =
            line.entries.iter().all(|entry| entry.before <= FOREVER && known(entry.kind, &entry.value))
                && line.removed.iter().all(|removed| known(removed.kind, &removed.value));
        let packed = packed.get(1..).unwrap_or_default();
        if sound {
            Ok((line, packed))
        } else {
            Err(ListFileError::Damaged("it has a selector that cannot be"))
        }
    }
}

/// Puts records in order; of an id given twice the record that stays longer is kept.
pub(super) fn in_order(ids: &[RevokedId]) -> Vec<RevokedId> {
    let mut ids = ids.to_vec();
    ids.sort_unstable_by_key(|record| (record.id, std::cmp::Reverse(record.until)));
    ids.dedup_by_key(|record| record.id);
    ids
}

pub(super) fn pack(ids: &[RevokedId], bytes: &mut Vec<u8>) {
    bytes.reserve(ids.len() * RECORD);
    for record in ids {
        put(&record.id, record.until, bytes);
    }
}

pub(super) fn put(id: &[u8; ID], until: u32, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(&until.to_be_bytes());
}

/// How many bytes so many records take, when that can be told.
pub(super) const fn packed_length(count: usize) -> Option<usize> {
    count.checked_mul(RECORD)
}

/// The records of a packed section, which stay where they are.
pub(super) fn records(packed: &[u8], count: usize) -> Result<&[[u8; RECORD]], ListFileError> {
    if packed_length(count) != Some(packed.len()) {
        return Err(ListFileError::Damaged("it has another length than it says"));
    }
    let (records, _) = packed.as_chunks();
    let ascending = records.is_sorted_by(|a, b| id(a) < id(b));
    if ascending { Ok(records) } else { Err(ListFileError::Damaged("its records are out of order")) }
}

const fn id(record: &[u8; RECORD]) -> &[u8; ID] {
    let [id @ .., _, _, _, _] = record;
    id
}

pub(super) fn read(record: &[u8; RECORD]) -> RevokedId {
    let [id @ .., a, b, c, d] = record;
    RevokedId { id: *id, until: u32::from_be_bytes([*a, *b, *c, *d]) }
}
