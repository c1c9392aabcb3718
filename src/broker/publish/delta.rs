//! The way from an earlier list to the present one, told from the keys that changed: nothing else is looked at.

use shortbread_protocol::revocations::{Delta, Removed, RevokedId};

use super::file::DeltaFile;
use super::snapshot::{block, selector, token};
use crate::store::{Block, Key, Place, Revocations};

/// The delta from the contents `from` to those of `list`, which are later; `None` when `list` does not know any more
/// what has changed since. Entries and removals are in the order of kind and value.
pub(super) fn write(list: &Revocations, from: u64, origin: &str) -> Option<DeltaFile> {
    let mut delta = Delta { from, seq: list.changed_seq(), ..Delta::default() };
    for (key, was) in list.since(from)? {
        step(list, key, was, &mut delta);
    }
    Some(DeltaFile::new(from, delta.seq, delta.encode(origin)))
}

// What leaves one part of the file for the other is removed there and set here.
fn step(list: &Revocations, key: &Key, was: Place, delta: &mut Delta) {
    let now = match key {
        Key::Selector(kind, value) => {
            let entry = list.entry(*kind, value);
            let now = entry.map_or(Place::Nowhere, |entry| entry.place(*kind));
            match (entry, now) {
                (Some(entry), Place::Entries) => delta.entries.push(selector(*kind, value, entry)),
                (Some(entry), Place::Packed) => delta.ids.push(token(value, entry)),
                _ => {}
            }
            now
        }
        Key::Block(hash) => {
            let entry = list.block(hash);
            let now = entry.map_or(Place::Nowhere, Block::place);
            delta.ids.extend(entry.filter(|_| now == Place::Packed).map(|entry| block(*hash, entry)));
            now
        }
    };
    if was == now {
        return;
    }
    match (was, key) {
        (Place::Entries, Key::Selector(kind, value)) => {
            delta.removed.push(Removed { kind: *kind, value: value.to_string() });
        }
        (Place::Packed, Key::Selector(_, value)) => {
            delta.ids_removed.push(RevokedId::hash(value.as_bytes()));
        }
        (Place::Packed, Key::Block(hash)) => delta.ids_removed.push(*hash),
        (Place::Nowhere, _) | (Place::Entries, Key::Block(_)) => {}
    }
}
