//! A delta: what leads from one list to a later one.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::{
    Entry, ID, Line, ListFileError, RECORD, Removed, RevokedId, in_order, pack, packed_length, put, read,
    records,
};
use super::selector::SelectorKind;
use super::snapshot::{Snapshot, SnapshotView};

/// The most bytes of a delta that a reader takes; beyond this a snapshot is shorter to explain.
pub const MAX_DELTA: u64 = 4 * 1024 * 1024;

/// A way from the list at `from` to the list at `seq`. Setting what is there already and removing what is not there
/// change nothing, so a delta may say more than it must.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// The sequence of the contents it builds on.
    pub from: u64,
    /// The sequence of the contents it leads to; higher.
    pub seq: u64,
    /// Selectors that were set, each with what now holds for it.
    pub entries: Vec<Entry>,
    /// Selectors that left the list.
    pub removed: Vec<Removed>,
    /// Single tokens and blocks that came, in ascending order.
    pub ids: Vec<RevokedId>,
    /// Single tokens and blocks that left, in ascending order.
    pub ids_removed: Vec<[u8; ID]>,
}

impl Delta {
    /// The bytes, which the head names by their hash. Ids are put in order here.
    #[must_use]
    pub fn encode(&self, origin: &str) -> Vec<u8> {
        let ids = in_order(&self.ids);
        let gone: BTreeSet<&[u8; ID]> = self.ids_removed.iter().collect();
        let line = Line {
            from: Some(self.from),
            removed: self.removed.clone(),
            ids: ids.len(),
            ids_removed: gone.len(),
            ..Line::new(origin, self.seq, self.entries.clone())
        };
        let mut bytes = line.to_bytes();
        pack(&ids, &mut bytes);
        gone.into_iter().for_each(|id| bytes.extend_from_slice(id));
        bytes
    }

    /// Reads a delta whose hash the caller has compared with the head.
    ///
    /// # Errors
    /// When it is damaged, of another origin or version, leads nowhere, or both sets and removes one thing.
    pub fn decode(bytes: &[u8], origin: &str) -> Result<Self, ListFileError> {
        const DAMAGED: ListFileError = ListFileError::Damaged("it has another length than it says");
        let (line, packed) = Line::read(bytes, origin)?;
        let from = line.from.ok_or(ListFileError::Damaged("it is a snapshot, not a delta"))?;
        if from >= line.seq {
            return Err(ListFileError::Damaged("it does not lead forward"));
        }
        let length = packed_length(line.ids).ok_or(DAMAGED)?;
        let (came, gone) = packed.split_at_checked(length).ok_or(DAMAGED)?;
        if line.ids_removed.checked_mul(ID) != Some(gone.len()) {
            return Err(DAMAGED);
        }
        let gone: Vec<[u8; ID]> = gone.as_chunks().0.to_vec();
        if !gone.is_sorted_by(|a, b| a < b) {
            return Err(ListFileError::Damaged("its records are out of order"));
        }
        let ids = records(came, line.ids)?.iter().map(read).collect();
        let (seq, entries, removed) = (line.seq, line.entries, line.removed);
        let delta = Self { from, seq, entries, removed, ids, ids_removed: gone };
        if delta.contradicts_itself() {
            return Err(ListFileError::Damaged("it sets and removes the same"));
        }
        Ok(delta)
    }

    fn contradicts_itself(&self) -> bool {
        let removed: BTreeSet<(SelectorKind, &str)> =
            self.removed.iter().map(|removed| (removed.kind, removed.value.as_str())).collect();
        self.entries.iter().any(|entry| removed.contains(&(entry.kind, entry.value.as_str())))
            || self.ids.iter().any(|record| self.ids_removed.binary_search(&record.id).is_ok())
    }
}

impl Snapshot {
    /// The list after a delta. The same list comes out, byte for byte once encoded, as if it had been written down
    /// whole by a broker, which keeps entries in the order of kind and value.
    ///
    /// # Errors
    /// When the delta does not build on this very list; nothing is changed then.
    pub fn apply(&mut self, delta: &Delta) -> Result<(), ListFileError> {
        if delta.from != self.seq {
            return Err(ListFileError::Damaged("it builds on another list"));
        }
        let mut entries = by_selector(self.entries.drain(..));
        delta.change(&mut entries);
        let set: BTreeSet<&[u8; ID]> = delta.ids.iter().map(|record| &record.id).collect();
        let stays = |record: &RevokedId| {
            !set.contains(&record.id) && delta.ids_removed.binary_search(&record.id).is_err()
        };
        self.ids.retain(stays);
        self.ids.extend_from_slice(&delta.ids);
        self.ids = in_order(&self.ids);
        self.entries = entries.into_values().collect();
        self.seq = delta.seq;
        Ok(())
    }
}

impl SnapshotView<'_> {
    /// The bytes of the list after a chain of deltas: those that [`Snapshot::apply`] for each and then
    /// [`Snapshot::encode`] come to, with no more memory than the new bytes take.
    ///
    /// # Errors
    /// When a delta does not build on the list before it.
    pub fn after(self, deltas: &[Delta], origin: &str) -> Result<Vec<u8>, ListFileError> {
        let (mut seq, mut ids) = (self.seq, BTreeMap::new());
        let mut entries = by_selector(self.entries.into_iter());
        for delta in deltas {
            if delta.from != seq {
                return Err(ListFileError::Damaged("it builds on another list"));
            }
            delta.change(&mut entries);
            ids.extend(in_order(&delta.ids).iter().map(|record| (record.id, Some(record.until))));
            ids.extend(delta.ids_removed.iter().map(|id| (*id, None)));
            seq = delta.seq;
        }
        let mut count = 0;
        merge(self.records, &ids, |_| count += 1);
        let line = Line { ids: count, ..Line::new(origin, seq, entries.into_values().collect()) };
        let mut bytes = line.to_bytes();
        bytes.reserve_exact(count * RECORD);
        merge(self.records, &ids, |record| put(&record.id, record.until, &mut bytes));
        Ok(bytes)
    }
}

type Entries = BTreeMap<(SelectorKind, String), Entry>;

fn by_selector(entries: impl Iterator<Item = Entry>) -> Entries {
    let mut sorted = Entries::new();
    entries.for_each(|entry| keep(&mut sorted, entry));
    sorted
}

// Of a selector that stands twice, what revokes more counts: so it does for whoever reads the list as it came.
fn keep(entries: &mut Entries, entry: Entry) {
    let key = (entry.kind, entry.value.clone());
    if entries.get(&key).is_none_or(|known| known.before <= entry.before) {
        entries.insert(key, entry);
    }
}

impl Delta {
    fn change(&self, entries: &mut Entries) {
        for removed in &self.removed {
            entries.remove(&(removed.kind, removed.value.clone()));
        }
        entries.extend(by_selector(self.entries.iter().cloned()));
    }
}

/// The records and the changes to them, in ascending order; `None` for one that left.
fn merge(
    records: &[[u8; RECORD]],
    changes: &BTreeMap<[u8; ID], Option<u32>>,
    mut put: impl FnMut(RevokedId),
) {
    let mut changes = changes.iter().map(|(id, until)| (*id, *until)).peekable();
    let come = |(id, until): ([u8; ID], Option<u32>), put: &mut dyn FnMut(RevokedId)| {
        if let Some(until) = until {
            put(RevokedId { id, until });
        }
    };
    for record in records.iter().map(read) {
        while let Some(change) = changes.next_if(|(id, _)| *id < record.id) {
            come(change, &mut put);
        }
        match changes.next_if(|(id, _)| *id == record.id) {
            Some(change) => come(change, &mut put),
            None => put(record),
        }
    }
    changes.for_each(|change| come(change, &mut put));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::contents::Cause;
    use super::*;
    use crate::clock::FOREVER;

    const ORIGIN: &str = "broker.acme.example/revocations";

    fn entry(value: u8, seq: u64) -> Entry {
        let value = format!("w{value}");
        Entry { kind: SelectorKind::Workflow, value, before: FOREVER, until: None, seq, cause: Cause::Freeze }
    }

    fn id(value: u8, until: u32) -> RevokedId {
        RevokedId { id: RevokedId::hash(&[value]), until }
    }

    fn sorted(mut list: Snapshot) -> Snapshot {
        list.entries.sort_by(|a, b| (a.kind, &a.value).cmp(&(b.kind, &b.value)));
        list.ids = in_order(&list.ids);
        list
    }

    fn between(old: &Snapshot, new: &Snapshot) -> Delta {
        let lost = |entry: &&Entry| !new.entries.iter().any(|kept| kept.value == entry.value);
        let removed = old.entries.iter().filter(lost);
        let gone = old.ids.iter().filter(|record| !new.ids.iter().any(|kept| kept.id == record.id));
        Delta {
            from: old.seq,
            seq: new.seq,
            entries: new.entries.iter().filter(|entry| !old.entries.contains(entry)).cloned().collect(),
            removed: removed.map(|entry| Removed { kind: entry.kind, value: entry.value.clone() }).collect(),
            ids: new.ids.iter().filter(|record| !old.ids.contains(record)).copied().collect(),
            ids_removed: gone.map(|record| record.id).collect(),
        }
    }

    fn list(seq: u64) -> impl Strategy<Value = Snapshot> {
        let entries = prop::collection::btree_map(0..8_u8, 1..seq, 0..8);
        let ids = prop::collection::btree_map(0..8_u8, 1..3_u32, 0..8);
        (entries, ids).prop_map(move |(entries, ids)| {
            let entries = entries.into_iter().map(|(value, seq)| entry(value, seq)).collect();
            sorted(Snapshot {
                seq,
                entries,
                ids: ids.into_iter().map(|(value, until)| id(value, until)).collect(),
            })
        })
    }

    proptest! {
        #[test]
        fn a_list_and_a_delta_are_the_next_list_to_the_byte(old in list(5), new in list(9)) {
            let delta = between(&old, &new);
            let read = Delta::decode(&delta.encode(ORIGIN), ORIGIN).unwrap();
            let mut list = Snapshot::decode(&old.encode(ORIGIN), ORIGIN).unwrap();
            list.apply(&read).unwrap();
            prop_assert_eq!(list.encode(ORIGIN), new.encode(ORIGIN));
        }

        #[test]
        fn a_list_and_a_chain_of_deltas_are_folded_to_the_same_bytes(
            first in list(5), second in list(9), third in list(12),
        ) {
            let bytes = first.encode(ORIGIN);
            let chain = [between(&first, &second), between(&second, &third)];
            let view = SnapshotView::open(&bytes, ORIGIN).unwrap();
            prop_assert_eq!(view.clone().after(&chain, ORIGIN).unwrap(), third.encode(ORIGIN));
            prop_assert_eq!(view.clone().after(&[], ORIGIN).unwrap(), bytes.clone());
            prop_assert!(view.after(&chain[1..], ORIGIN).is_err());
        }
    }

    fn delta() -> Delta {
        let removed = vec![Removed { kind: SelectorKind::Tool, value: "github".to_owned() }];
        let ids_removed = vec![id(9, 0).id];
        Delta { from: 3, seq: 7, entries: vec![entry(1, 7)], removed, ids: vec![id(1, 4)], ids_removed }
    }

    #[test]
    fn of_a_selector_that_stands_twice_what_revokes_more_is_kept() {
        let weaker = Entry { before: 40, ..entry(1, 3) };
        let list = Snapshot { seq: 3, entries: vec![entry(1, 3), weaker.clone()], ids: Vec::new() };
        let delta = Delta {
            from: 3,
            seq: 4,
            entries: vec![entry(2, 4), Entry { before: 40, ..entry(2, 4) }],
            ..Delta::default()
        };
        let mut applied = list.clone();
        applied.apply(&delta).unwrap();
        assert_eq!(applied.entries, [entry(1, 3), entry(2, 4)]);
        // A delta may lower what the list before it had.
        applied.apply(&Delta { from: 4, seq: 5, entries: vec![weaker.clone()], ..Delta::default() }).unwrap();
        assert_eq!(applied.entries, [weaker, entry(2, 4)]);
    }

    #[test]
    fn it_builds_on_one_list_alone() {
        let mut list = Snapshot { seq: 4, ..Snapshot::default() };
        assert!(list.apply(&delta()).is_err() && list == Snapshot { seq: 4, ..Snapshot::default() });
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let whole = delta().encode(ORIGIN);
        assert_eq!(Delta::decode(&whole, ORIGIN).unwrap(), delta());
        for cut in 0..whole.len() {
            assert!(Delta::decode(&whole[..cut], ORIGIN).is_err(), "{cut}");
        }
        assert!(Delta::decode(&[&whole[..], &[0]].concat(), ORIGIN).is_err());
        assert!(Delta::decode(&whole, "other/revocations").is_err());
        assert!(Snapshot::decode(&whole, ORIGIN).is_err(), "a delta is no snapshot");
        assert!(Delta::decode(&Snapshot { seq: 7, ..Snapshot::default() }.encode(ORIGIN), ORIGIN).is_err());
        let backwards = Delta { from: 7, ..delta() };
        let both = Delta { ids_removed: vec![id(1, 0).id], ..delta() };
        let removed = vec![Removed { kind: SelectorKind::Workflow, value: "w1".to_owned() }];
        let twice = Delta { removed, ..delta() };
        for bad in [backwards, both, twice] {
            assert!(Delta::decode(&bad.encode(ORIGIN), ORIGIN).is_err(), "{bad:?}");
        }
    }
}
