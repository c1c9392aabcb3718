//! Snapshots and deltas: a JSON line for the selectors, then packed records for single tokens and blocks.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::selector::{Selector, SelectorKind};
use crate::clock::FOREVER;
use crate::json;

/// The most bytes of a snapshot that a reader takes: a million single tokens and 100,000 selectors.
pub const MAX_SNAPSHOT: u64 = 48 * 1024 * 1024;

const ID: usize = 16;
const RECORD: usize = ID + 4;

/// Why a snapshot or delta is refused.
#[derive(Debug, Error)]
pub enum SnapshotError {
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

/// A whole list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sequence of the last change it holds.
    pub seq: u64,
    /// The selectors.
    pub entries: Vec<Entry>,
    /// Single tokens and blocks, in ascending order.
    pub ids: Vec<RevokedId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    v: u32,
    origin: String,
    seq: u64,
    from: Option<u64>,
    entries: Vec<Entry>,
    removed: Vec<Removed>,
    ids: usize,
    ids_removed: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Removed {
    k: SelectorKind,
    v: String,
}

impl Snapshot {
    /// The bytes, which the head names by their hash. `ids` are sorted here, and of one given twice the record that
    /// stays longer is kept.
    #[must_use]
    pub fn encode(&self, origin: &str) -> Vec<u8> {
        let mut ids = self.ids.clone();
        ids.sort_unstable_by_key(|record| (record.id, std::cmp::Reverse(record.until)));
        ids.dedup_by_key(|record| record.id);
        let line = Line {
            v: 1,
            origin: origin.to_owned(),
            seq: self.seq,
            from: None,
            entries: self.entries.clone(),
            removed: Vec::new(),
            ids: ids.len(),
            ids_removed: 0,
        };
        // Plain strings and numbers always serialise.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        for record in &ids {
            bytes.extend_from_slice(&record.id);
            bytes.extend_from_slice(&record.until.to_be_bytes());
        }
        bytes
    }

    /// Reads a snapshot whose hash the caller has compared with the head.
    ///
    /// # Errors
    /// When it is damaged, of another origin or version, or holds a selector that cannot be.
    pub fn decode(bytes: &[u8], origin: &str) -> Result<Self, SnapshotError> {
        let end =
            bytes.iter().position(|b| *b == b'\n').ok_or(SnapshotError::Damaged("it has no first line"))?;
        let (line, packed) =
            bytes.split_at_checked(end).ok_or(SnapshotError::Damaged("it has no first line"))?;
        let line: Line = json::read_as(line)?;
        if line.v != 1 || line.origin != origin {
            return Err(SnapshotError::Damaged("it is of another version or origin"));
        }
        if line.from.is_some() || !line.removed.is_empty() || line.ids_removed != 0 {
            return Err(SnapshotError::Damaged("it is a delta, not a snapshot"));
        }
        if !line.entries.iter().all(sound) {
            return Err(SnapshotError::Damaged("it has a selector that cannot be"));
        }
        let ids = unpack(packed.get(1..).unwrap_or_default(), line.ids)?;
        Ok(Self { seq: line.seq, entries: line.entries, ids })
    }
}

fn sound(entry: &Entry) -> bool {
    entry.before <= FOREVER && Selector::new(entry.kind, &entry.value).is_ok()
}

fn unpack(packed: &[u8], count: usize) -> Result<Vec<RevokedId>, SnapshotError> {
    if count.checked_mul(RECORD) != Some(packed.len()) {
        return Err(SnapshotError::Damaged("it has another length than it says"));
    }
    let read = |record: &[u8]| {
        let (id, until) = record.split_first_chunk::<ID>()?;
        Some(RevokedId { id: *id, until: u32::from_be_bytes(until.try_into().ok()?) })
    };
    let ids: Option<Vec<_>> = packed.chunks_exact(RECORD).map(read).collect();
    let ids = ids.ok_or(SnapshotError::Damaged("a record is cut"))?;
    let ascending = ids.windows(2).all(|pair| matches!(pair, [a, b] if a.id < b.id));
    if ascending { Ok(ids) } else { Err(SnapshotError::Damaged("its records are out of order")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "broker.acme.example/revocations";

    fn snapshot() -> Snapshot {
        let entry = Entry {
            kind: SelectorKind::Access,
            value: "payments/write".to_owned(),
            before: FOREVER,
            until: None,
            seq: 9,
            cause: Cause::Incident,
        };
        let ids = [b"tok_a".as_slice(), b"tok_b"].map(|id| RevokedId { id: RevokedId::hash(id), until: 77 });
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        Snapshot { seq: 9, entries: vec![entry], ids }
    }

    #[test]
    fn encoded_is_decoded_again() {
        let bytes = snapshot().encode(ORIGIN);
        assert_eq!(Snapshot::decode(&bytes, ORIGIN).unwrap(), snapshot());
        assert!(bytes.starts_with(br#"{"v":1,"origin":"broker.acme.example/revocations","seq":9,"from":null,"entries":[{"k":"access","v":"payments/write","b":253402300799,"u":null,"s":9,"r":"incident"}],"#));
    }

    #[test]
    fn an_id_that_is_given_twice_leaves_the_list_readable() {
        let mut twice = snapshot();
        let again = twice.ids.iter().map(|record| RevokedId { until: 99, ..*record });
        twice.ids = again.chain(twice.ids.clone()).collect();
        let read = Snapshot::decode(&twice.encode(ORIGIN), ORIGIN).unwrap();
        assert!(read.ids.len() == 2 && read.ids.iter().all(|record| record.until == 99));
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = snapshot().encode(ORIGIN);
        for cut in 1..bytes.len() {
            assert!(Snapshot::decode(&bytes[..cut], ORIGIN).is_err(), "{cut}");
        }
        assert!(Snapshot::decode(&bytes, "other/revocations").is_err());
        let at = bytes.windows(8).position(|window| window == b"payments").unwrap();
        let forged = [&bytes[..at], b"PAYMENTS", &bytes[at + 8..]].concat();
        assert!(Snapshot::decode(&forged, ORIGIN).is_err());
    }
}
