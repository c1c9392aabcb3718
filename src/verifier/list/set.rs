//! The revocation list in the form in which it is looked up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shortbread_protocol::revocations::{Delta, RevokedId, SelectorKind, Snapshot, SnapshotView};

use super::ids::Ids;
use super::overlay::{Base, KINDS, Overlay, is_dead_token};
use crate::scope::Revocations;

// The longest `tool/part` there is: 32 bytes of tool, the slash, 64 bytes of verb.
const MAX_PAIR: usize = 32 + 1 + 64;

// So many changes are copied with every delta, in some microseconds; then they are merged.
const MAX_CHANGES: usize = 1024;

/// An immutable list: what is dead, and since when. Lookups hash and do not allocate; cloning is cheap. After a delta the
/// large part is shared with the list before it.
#[derive(Clone)]
pub struct RevocationSet {
    seq: u64,
    global: u64,
    generation: u64,
    counts: Counts,
    base: Arc<Base>,
    overlay: Option<Arc<Overlay>>,
}

/// How many entries there are, changes counted in.
#[derive(Clone, Copy, Default)]
struct Counts {
    selectors: [usize; KINDS],
    ids: usize,
}

impl RevocationSet {
    /// The list that a snapshot holds, under the `global` of its head.
    #[must_use]
    pub fn new(snapshot: Snapshot, global: u64) -> Self {
        let selectors = snapshot.entries.into_iter().map(|entry| (entry.kind, entry.value, entry.before));
        let ids = Ids::new(snapshot.ids.into_iter().map(|record| record.id).collect());
        Self::holding(snapshot.seq, global, Base::collect(selectors, ids))
    }

    /// As [`new`](Self::new), from the bytes where they lie.
    #[must_use]
    pub fn read(snapshot: SnapshotView<'_>, global: u64) -> Self {
        let ids = Ids::new(snapshot.ids().map(|record| record.id).collect());
        let selectors = snapshot.entries.into_iter().map(|entry| (entry.kind, entry.value, entry.before));
        Self::holding(snapshot.seq, global, Base::collect(selectors, ids))
    }

    /// A list from its parts: the global not-before, the selectors with theirs, and the hashes of single tokens and
    /// blocks (see [`RevokedId::hash`]). Its sequence is 0.
    #[must_use]
    pub fn from_parts(global: u64, selectors: Vec<(SelectorKind, String, u64)>, ids: Vec<[u8; 16]>) -> Self {
        Self::holding(0, global, Base::collect(selectors.into_iter(), Ids::new(ids)))
    }

    /// The list after a delta that builds on this one; the caller has compared their sequences. What this list holds is
    /// neither copied nor changed.
    #[must_use]
    pub fn with_delta(&self, delta: &Delta) -> Self {
        let overlay = self.overlay.as_deref().cloned().unwrap_or_default();
        let mut next = Next { set: self, counts: self.counts, overlay, tokens: Vec::new() };
        for removed in &delta.removed {
            next.put(removed.kind, &removed.value, None);
        }
        let mut set: BTreeMap<(SelectorKind, &str), u64> = BTreeMap::new();
        for entry in &delta.entries {
            let before = set.entry((entry.kind, &entry.value)).or_default();
            *before = entry.before.max(*before);
        }
        for ((kind, value), before) in set {
            next.put(kind, value, Some(before));
        }
        next.finish(delta);
        let Next { counts, overlay, .. } = next;
        let (base, overlay) = (Arc::clone(&self.base), Some(Arc::new(overlay)));
        Self { seq: delta.seq, generation: next_generation(), counts, base, overlay, ..*self }
    }

    /// Whether so much changed since the list was read that it should be [`merged`](Self::merged).
    #[must_use]
    pub fn is_heavy(&self) -> bool {
        self.overlay.as_ref().is_some_and(|overlay| overlay.len() > MAX_CHANGES)
    }

    /// The same list in one piece, which takes as long as reading it. It answers as this one does, so it has its
    /// generation.
    #[must_use]
    pub fn merged(&self) -> Self {
        let Some(overlay) = &self.overlay else { return self.clone() };
        Self { base: Arc::new(self.base.with(overlay)), overlay: None, ..*self }
    }

    /// The same entries under another `global`.
    #[must_use]
    pub fn with_global(&self, global: u64) -> Self {
        let generation = if global == self.global { self.generation } else { next_generation() };
        Self { global, generation, ..self.clone() }
    }

    fn holding(seq: u64, global: u64, base: Base) -> Self {
        let count = |kind| base.of(kind).map_or(0, std::collections::HashMap::len);
        let counts = Counts { selectors: SelectorKind::ALL.map(count), ids: base.ids.len() };
        Self { seq, global, generation: next_generation(), counts, base: Arc::new(base), overlay: None }
    }

    /// The sequence of the last change it holds.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// A number that no list with other contents has or will have in this process, and never 0. What a token asked of
    /// a list need not be asked again while this number stays.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether two lists revoke the same token keys.
    #[must_use]
    pub(super) fn has_same_keys(&self, other: &Self) -> bool {
        let untouched = |set: &Self| {
            let keys = set.overlay.as_ref().and_then(|overlay| overlay.of(SelectorKind::Key));
            keys.is_none_or(|keys| keys.is_empty())
        };
        if Arc::ptr_eq(&self.base, &other.base) && untouched(self) && untouched(other) {
            return true;
        }
        let keys = |set: &Self| -> BTreeMap<Arc<str>, u64> { set.entries(SelectorKind::Key).collect() };
        keys(self) == keys(other)
    }

    fn entries(&self, kind: SelectorKind) -> impl Iterator<Item = (Arc<str>, u64)> {
        let changes = self.overlay.as_ref().and_then(|overlay| overlay.of(kind));
        let stays = move |value: &str| changes.is_none_or(|changes| !changes.contains_key(value));
        let base = self.base.of(kind).into_iter().flatten().filter(move |(value, _)| stays(value));
        let set = changes.into_iter().flatten();
        let set = set.filter_map(|(value, before)| before.map(|before| (Arc::clone(value), before)));
        base.map(|(value, before)| (Arc::clone(value), *before)).chain(set)
    }

    /// Whether any token keys are revoked.
    #[must_use]
    pub(super) fn has_keys(&self) -> bool {
        self.mentions(SelectorKind::Key)
    }

    /// Everything issued before this second is dead; 0 for nothing.
    #[must_use]
    pub const fn global(&self) -> u64 {
        self.global
    }

    /// The second before which tokens with this kind and value are dead; `None` when nothing is said about it.
    #[must_use]
    pub fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        if !self.mentions(kind) {
            return None;
        }
        if let Some(changed) = self.overlay.as_ref().and_then(|overlay| overlay.get(kind, value)) {
            return changed;
        }
        self.base.before(kind, value)
    }

    /// As [`before`](Self::before) for the value `tool/part`: a verb of a tool, or an access to it.
    #[must_use]
    pub fn before_pair(&self, kind: SelectorKind, tool: &str, part: &str) -> Option<u64> {
        if !self.mentions(kind) {
            return None;
        }
        let mut pair = [0; MAX_PAIR];
        let end = tool.len().checked_add(1)?.checked_add(part.len())?;
        let pair = pair.get_mut(..end)?;
        let (first, rest) = pair.split_at_mut_checked(tool.len())?;
        let (slash, last) = rest.split_first_mut()?;
        first.copy_from_slice(tool.as_bytes());
        *slash = b'/';
        last.copy_from_slice(part.as_bytes());
        self.before(kind, std::str::from_utf8(pair).ok()?)
    }

    /// Whether a single token or block is revoked, by the hash of its id or signature.
    #[must_use]
    pub fn has_id(&self, id: &[u8; 16]) -> bool {
        match &self.overlay {
            None => self.base.has_id(id),
            Some(overlay) => overlay.has_id(&self.base, id),
        }
    }

    /// Whether there is any entry of a kind.
    #[must_use]
    pub fn mentions(&self, kind: SelectorKind) -> bool {
        self.counts.selectors.get(kind as usize).is_some_and(|count| *count > 0)
    }

    /// Whether nothing at all is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.global == 0 && self.counts.ids == 0 && self.counts.selectors.iter().all(|count| *count == 0)
    }
}

impl Default for RevocationSet {
    fn default() -> Self {
        Self::holding(0, 0, Base::default())
    }
}

fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl fmt::Debug for RevocationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationSet")
            .field("seq", &self.seq)
            .field("global", &self.global)
            .field("selectors", &self.counts.selectors.iter().sum::<usize>())
            .field("ids", &self.counts.ids)
            .finish()
    }
}

/// A list in the making: the one before it, and what changes.
struct Next<'a> {
    set: &'a RevocationSet,
    counts: Counts,
    overlay: Overlay,
    tokens: Vec<([u8; 16], bool)>,
}

impl Next<'_> {
    fn put(&mut self, kind: SelectorKind, value: &str, now: Option<u64>) {
        let base = &self.set.base;
        let before = self.overlay.get(kind, value).unwrap_or_else(|| base.before(kind, value));
        if before == now {
            return;
        }
        if let Some(count) = self.counts.selectors.get_mut(kind as usize) {
            count_to(count, before.is_some(), now.is_some());
        }
        self.overlay.put(kind, value, now);
        let dead = |before: Option<u64>| before.is_some_and(|before| is_dead_token(kind, before));
        if dead(before) != dead(now) {
            self.tokens.push((RevokedId::hash(value.as_bytes()), dead(now)));
        }
    }

    fn finish(&mut self, delta: &Delta) {
        let came = delta.ids.iter().map(|record| (record.id, true));
        let changes: BTreeMap<[u8; 16], bool> =
            delta.ids_removed.iter().map(|id| (*id, false)).chain(came).collect();
        let mut changed = Vec::with_capacity(changes.len());
        for (id, now) in changes {
            let before = self.overlay.ids.get(&id).unwrap_or_else(|| self.set.base.ids.contains(&id));
            if before != now {
                count_to(&mut self.counts.ids, before, now);
                changed.push((id, now));
            }
        }
        self.overlay.ids.extend(changed);
        self.overlay.tokens.extend(std::mem::take(&mut self.tokens));
    }
}

fn count_to(count: &mut usize, before: bool, now: bool) {
    match (before, now) {
        (false, true) => *count += 1,
        (true, false) => *count -= 1,
        _ => {}
    }
}

impl Revocations for RevocationSet {
    fn global(&self) -> u64 {
        self.global()
    }

    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        self.before(kind, value)
    }

    fn before_pair(&self, kind: SelectorKind, tool: &str, part: &str) -> Option<u64> {
        self.before_pair(kind, tool, part)
    }

    fn mentions(&self, kind: SelectorKind) -> bool {
        self.mentions(kind)
    }

    fn has_id(&self, id: &[u8; 16]) -> bool {
        self.has_id(id)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shortbread_protocol::clock::FOREVER;
    use shortbread_protocol::revocations::{Cause, Entry, Removed};

    use super::*;

    fn set() -> RevocationSet {
        let parts = [
            (SelectorKind::Workflow, "payroll", 50),
            (SelectorKind::Workflow, "payroll", 40),
            (SelectorKind::Access, "payments/write", FOREVER),
            (SelectorKind::Token, "tok_1", FOREVER),
            (SelectorKind::Token, "tok_2", 7),
            (SelectorKind::Holder, "last", 1),
        ];
        let parts = parts.map(|(kind, value, before)| (kind, value.to_owned(), before));
        RevocationSet::from_parts(9, parts.to_vec(), vec![RevokedId::hash(b"block")])
    }

    #[test]
    fn entries_are_found_by_kind_and_value() {
        let set = set();
        assert_eq!(set.before(SelectorKind::Workflow, "payroll"), Some(50));
        assert_eq!(set.before(SelectorKind::Operator, "payroll"), None);
        assert_eq!(set.before(SelectorKind::Workflow, "payrol"), None);
        assert_eq!(set.before(SelectorKind::Holder, "last"), Some(1));
        assert_eq!(set.global(), 9);
    }

    #[test]
    fn pairs_are_found_without_being_joined_by_the_caller() {
        let set = set();
        assert_eq!(set.before_pair(SelectorKind::Access, "payments", "write"), Some(FOREVER));
        assert_eq!(set.before_pair(SelectorKind::Access, "payments", "read"), None);
        assert_eq!(set.before_pair(SelectorKind::Access, "payments/", "write"), None);
        assert_eq!(set.before_pair(SelectorKind::Access, &"x".repeat(200), "write"), None);
    }

    #[test]
    fn a_token_dead_for_good_is_found_by_its_hash() {
        let set = set();
        assert!(set.has_id(&RevokedId::hash(b"tok_1")) && set.has_id(&RevokedId::hash(b"block")));
        assert!(!set.has_id(&RevokedId::hash(b"tok_2")));
        assert_eq!(set.before(SelectorKind::Token, "tok_2"), Some(7));
    }

    #[test]
    fn only_a_list_without_anything_is_empty() {
        assert!(RevocationSet::default().is_empty());
        assert!(!RevocationSet::default().with_global(1).is_empty());
        assert!(!RevocationSet::from_parts(0, Vec::new(), vec![[0; 16]]).is_empty());
        assert!(!set().with_global(0).is_empty());
    }

    #[test]
    fn other_contents_are_another_generation() {
        let set = set();
        assert_eq!(set.generation(), set.clone().with_global(set.global()).generation());
        let others = [set.with_global(1), RevocationSet::default(), RevocationSet::default(), self::set()];
        let mut generations: Vec<_> = others.iter().chain([&set]).map(RevocationSet::generation).collect();
        generations.sort_unstable();
        generations.dedup();
        assert!(generations.len() == 5 && !generations.contains(&0));
    }

    const TOKENS: [&str; 3] = ["tok_1", "tok_2", "tok_3"];
    const KEPT: [SelectorKind; 3] = [SelectorKind::Workflow, SelectorKind::Key, SelectorKind::Token];

    fn entry(kind: SelectorKind, value: &str, before: u64) -> Entry {
        let value = value.to_owned();
        Entry { kind, value, before, until: None, seq: 1, cause: Cause::Freeze }
    }

    /// A delta from `seq`: what is set and what is removed, by small numbers that meet often.
    fn delta() -> impl Strategy<Value = Delta> {
        let before = prop_oneof![Just(FOREVER), 1..3_u64];
        let selectors = prop::collection::btree_map((0..3_usize, 0..3_usize), prop::option::of(before), 0..5);
        let ids = prop::collection::btree_map(0..6_u8, any::<bool>(), 0..5);
        (selectors, ids).prop_map(|(selectors, ids)| {
            let mut delta = Delta::default();
            for ((kind, value), before) in selectors {
                let (kind, value) = (KEPT[kind], TOKENS[value].to_owned());
                match before {
                    Some(before) => delta.entries.push(entry(kind, &value, before)),
                    None => delta.removed.push(Removed { kind, value }),
                }
            }
            for (id, came) in ids {
                // The first three are those of the tokens themselves.
                let id = RevokedId::hash(TOKENS.get(usize::from(id)).map_or(&[id], |token| token.as_bytes()));
                if came { delta.ids.push(RevokedId { id, until: 9 }) } else { delta.ids_removed.push(id) }
            }
            delta.ids.sort_unstable();
            delta.ids_removed.sort_unstable();
            delta
        })
    }

    fn assert_same(one: &RevocationSet, other: &RevocationSet) {
        assert_eq!((one.seq(), one.is_empty()), (other.seq(), other.is_empty()));
        for kind in SelectorKind::ALL {
            assert_eq!(one.mentions(kind), other.mentions(kind), "{kind}");
            for value in TOKENS {
                assert_eq!(one.before(kind, value), other.before(kind, value), "{kind} {value}");
            }
        }
        for id in TOKENS.iter().map(|token| token.as_bytes()).chain([[3].as_slice(), &[4], &[5], &[6]]) {
            assert_eq!(one.has_id(&RevokedId::hash(id)), other.has_id(&RevokedId::hash(id)), "{id:?}");
        }
        assert!(one.has_same_keys(other) && other.has_same_keys(one));
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    proptest! {
        #[test]
        fn a_chain_of_deltas_answers_as_the_snapshot_of_the_end(
            deltas in prop::collection::vec((delta(), any::<bool>()), 1..8),
        ) {
            let mut whole = Snapshot::default();
            let mut set = RevocationSet::new(whole.clone(), 7);
            for (seq, (delta, merge)) in deltas.into_iter().enumerate() {
                let delta = Delta { from: seq as u64, seq: seq as u64 + 1, ..delta };
                let before = set.clone();
                set = before.with_delta(&delta);
                whole.apply(&delta).unwrap();
                let end = RevocationSet::new(whole.clone(), 7);
                assert_same(&set, &end);
                let bytes = whole.encode("o");
                assert_same(&RevocationSet::read(SnapshotView::open(&bytes, "o").unwrap(), 7), &end);
                let same = before.entries(SelectorKind::Key).collect::<BTreeMap<_, _>>()
                    == end.entries(SelectorKind::Key).collect();
                prop_assert_eq!(before.has_same_keys(&set), same);
                prop_assert_ne!(before.generation(), set.generation());
                if merge {
                    let merged = set.merged();
                    assert_same(&merged, &end);
                    prop_assert_eq!(merged.generation(), set.generation());
                    set = merged;
                }
            }
        }
    }

    #[test]
    fn many_changes_make_a_list_heavy_until_they_are_merged() {
        let ids =
            (0..=MAX_CHANGES as u32).map(|n| RevokedId { id: RevokedId::hash(&n.to_be_bytes()), until: 1 });
        let base = RevocationSet::default();
        let set = base.with_delta(&Delta { seq: 1, ids: ids.collect(), ..Delta::default() });
        assert!(set.is_heavy() && !set.merged().is_heavy() && !base.is_heavy());
        // A list with changes shares what it was made from.
        assert!(Arc::ptr_eq(&set.base, &base.base));
    }
}
