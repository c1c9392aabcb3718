//! The list as it stands, written down for verifiers.

use shortbread_protocol::revocations::{Cause, Entry, RevokedId, SelectorKind, Snapshot};

use super::file::SnapshotFile;
use crate::store::{Block, Place, Revocations};

pub(super) fn write(list: &Revocations, origin: &str) -> SnapshotFile {
    let (mut entries, mut ids) = (Vec::new(), Vec::new());
    for (kind, value, entry) in list.entries() {
        match entry.place(kind) {
            Place::Nowhere => {}
            Place::Packed => ids.push(token(value, entry)),
            Place::Entries => entries.push(selector(kind, value, entry)),
        }
    }
    ids.extend(list.blocks().filter(|(_, b)| b.place() == Place::Packed).map(|(hash, b)| block(*hash, b)));
    // The same list has the same bytes, whatever order the tables gave.
    entries.sort_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
    let seq = list.changed_seq();
    SnapshotFile::new(seq, Snapshot { seq, entries, ids }.encode(origin))
}

/// A selector's line.
pub(super) fn selector(kind: SelectorKind, value: &str, entry: &crate::store::Entry) -> Entry {
    let (before, until, seq) = (entry.before, entry.until, entry.seq);
    Entry { kind, value: value.to_owned(), before, until, seq, cause: cause(&entry.reason) }
}

/// The record of a token that is dead for good.
pub(super) fn token(id: &str, entry: &crate::store::Entry) -> RevokedId {
    RevokedId { id: RevokedId::hash(id.as_bytes()), until: packed(entry.until) }
}

/// The record of a narrowed copy.
pub(super) fn block(id: [u8; 16], block: &Block) -> RevokedId {
    RevokedId { id, until: packed(Some(block.until)) }
}

fn packed(until: Option<u64>) -> u32 {
    until.and_then(|until| u32::try_from(until).ok()).unwrap_or(u32::MAX)
}

/// The public code that was stored, or the most general one.
#[must_use]
pub(crate) fn cause(code: &str) -> Cause {
    serde_json::from_value(code.into()).unwrap_or(Cause::Incident)
}
