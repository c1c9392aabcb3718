//! The list as it stands, written down for verifiers.

use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::{Cause, Entry, FileRef, RevokedId, SelectorKind, Snapshot};

use super::SnapshotFile;
use crate::store::Revocations;

pub(super) fn write(list: &Revocations, origin: &str) -> SnapshotFile {
    let (mut entries, mut ids) = (Vec::new(), Vec::new());
    for (kind, value, entry) in list.listed_entries() {
        if kind == SelectorKind::Token && entry.before == FOREVER {
            ids.push(RevokedId { id: RevokedId::hash(value.as_bytes()), until: packed(entry.until) });
            continue;
        }
        entries.push(Entry {
            kind,
            value: value.to_owned(),
            before: entry.before,
            until: entry.until,
            seq: entry.seq,
            cause: cause(&entry.reason),
        });
    }
    for (hash, block) in list.blocks().filter(|(_, block)| block.listed) {
        ids.push(RevokedId { id: *hash, until: packed(Some(block.until)) });
    }
    // The same list has the same bytes, whatever order the tables gave.
    entries.sort_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
    let seq = list.changed_seq();
    let bytes = Snapshot { seq, entries, ids }.encode(origin);
    let reference = FileRef { seq, sha256: Sha256::digest(&bytes).into(), bytes: bytes.len() as u64 };
    SnapshotFile { reference, bytes }
}

fn packed(until: Option<u64>) -> u32 {
    until.and_then(|until| u32::try_from(until).ok()).unwrap_or(u32::MAX)
}

/// The public code that was stored, or the most general one.
#[must_use]
pub(crate) fn cause(code: &str) -> Cause {
    serde_json::from_value(code.into()).unwrap_or(Cause::Incident)
}
