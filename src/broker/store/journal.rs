//! Which keys of the signed list the recent changes touched, so that the way from an earlier list to the present one
//! can be told from the present one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use shortbread_protocol::revocations::SelectorKind;

/// The most changes that are remembered. A copy is made with every change, so this costs time too.
const MOST_CHANGES: usize = 2048;

/// The most keys of all remembered changes together: some 6 MB.
const MOST_KEYS: usize = 131_072;

/// Something that can stand in the signed list. Selectors are in the order of kind and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// What a selector names.
    Selector(SelectorKind, Arc<str>),
    /// A narrowed copy that was given back.
    Block([u8; 16]),
}

/// Where in a file of the signed list something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It is not listed.
    Nowhere,
    /// Among the selectors.
    Entries,
    /// Among the packed records of single tokens and blocks.
    Packed,
}

/// One key that a change touched.
#[derive(Clone, Debug)]
struct Touched {
    key: Key,
    /// Where it stood before the change.
    was: Place,
}

/// The recent changes, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal {
    changes: VecDeque<(u64, Arc<[Touched]>)>,
    // Of the change that is being applied.
    open: Vec<Touched>,
    keys: usize,
    /// The contents that it reaches back to: every change after them is here.
    reach: u64,
}

impl Journal {
    /// Notes a key of the change that is being applied, and where it stood before.
    pub(super) fn touch(&mut self, key: Key, was: Place) {
        // One more than could be remembered says as well that it cannot.
        if self.open.len() <= MOST_KEYS {
            self.open.push(Touched { key, was });
        }
    }

    /// The change has this number.
    pub(super) fn close(&mut self, seq: u64) {
        let touched: Arc<[Touched]> = std::mem::take(&mut self.open).into();
        self.keys += touched.len();
        self.changes.push_back((seq, touched));
        while self.changes.len() > MOST_CHANGES || self.keys > MOST_KEYS {
            let Some((seq, touched)) = self.changes.pop_front() else { break };
            self.keys -= touched.len();
            self.reach = seq;
        }
    }

    /// Forgets everything: the contents are those of this number, however they came about.
    pub(super) fn restart(&mut self, seq: u64) {
        *self = Self { reach: seq, ..Self::default() };
    }

    /// Every key that was touched after the contents `from`, and where it stood in them; `None` when that is not
    /// remembered.
    pub(super) fn since(&self, from: u64) -> Option<BTreeMap<&Key, Place>> {
        if from < self.reach {
            return None;
        }
        let mut first = BTreeMap::new();
        for touched in self.after(from).flat_map(|touched| touched.iter()) {
            first.entry(&touched.key).or_insert(touched.was);
        }
        Some(first)
    }

    /// How many keys changes after the contents `from` touched, each as often as it was.
    pub(super) fn count(&self, from: u64) -> usize {
        self.after(from).map(|touched| touched.len()).sum()
    }

    /// Whether so much came after the contents `from` that they will be forgotten before long.
    pub(super) fn fades(&self, from: u64) -> bool {
        from < self.reach || self.after(from).count() > MOST_CHANGES / 2 || self.count(from) > MOST_KEYS / 2
    }

    fn after(&self, from: u64) -> impl Iterator<Item = &Arc<[Touched]>> {
        let begin = self.changes.partition_point(|(seq, _)| *seq <= from);
        self.changes.range(begin..).map(|(_, touched)| touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::Selector(SelectorKind::Workflow, name.into())
    }

    #[test]
    fn the_first_touch_tells_where_it_stood() {
        let mut journal = Journal::default();
        journal.restart(3);
        for (seq, name, was) in [(5, "a", Place::Nowhere), (7, "a", Place::Entries), (9, "b", Place::Nowhere)]
        {
            journal.touch(key(name), was);
            journal.close(seq);
        }
        let (a, b) = (key("a"), key("b"));
        let all: BTreeMap<_, _> = [(&a, Place::Nowhere), (&b, Place::Nowhere)].into();
        assert_eq!(journal.since(3), Some(all));
        assert_eq!(journal.since(5), Some([(&a, Place::Entries), (&b, Place::Nowhere)].into()));
        assert_eq!((journal.since(9), journal.since(2)), (Some(BTreeMap::new()), None));
        assert_eq!((journal.count(3), journal.count(8)), (3, 1));
        assert!(!journal.fades(3) && journal.fades(2));
    }

    #[test]
    fn it_is_bounded_in_changes_and_in_keys() {
        let mut journal = Journal::default();
        for seq in 1..=3000 {
            journal.touch(Key::Block([1; 16]), Place::Nowhere);
            journal.close(seq);
        }
        assert_eq!((journal.changes.len(), journal.reach), (MOST_CHANGES, 3000 - 2048));
        assert!(journal.since(951).is_none() && journal.since(952).is_some());
        assert!(journal.fades(1900) && !journal.fades(2000));
        let mut journal = Journal::default();
        for n in 0..200_000_u128 {
            journal.touch(Key::Block(n.to_be_bytes()), Place::Nowhere);
        }
        journal.close(1);
        assert!(journal.since(0).is_none() && journal.keys == 0 && journal.changes.is_empty());
        assert_eq!(journal.since(1), Some(BTreeMap::new()));
    }
}
