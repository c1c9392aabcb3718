//! The revocation list in the form in which it is looked up.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ids::Ids;
use crate::scope::Revocations;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::{Delta, RevokedId, SelectorKind, Snapshot};

const KINDS: usize = SelectorKind::ALL.len();

// The longest `tool/part` there is: 32 bytes of tool, the slash, 64 bytes of verb.
const MAX_PAIR: usize = 32 + 1 + 64;

/// An immutable list: what is dead, and since when. Lookups hash and do not allocate; cloning is cheap.
#[derive(Clone)]
pub struct RevocationSet {
    seq: u64,
    global: u64,
    generation: u64,
    entries: Arc<Entries>,
}

#[derive(Default)]
struct Entries {
    // By kind, in the order of its definition.
    selectors: [HashMap<Box<str>, u64>; KINDS],
    ids: Ids,
}

impl RevocationSet {
    /// The list that a snapshot holds, under the `global` of its head.
    #[must_use]
    pub fn new(snapshot: Snapshot, global: u64) -> Self {
        let selectors = snapshot.entries.into_iter().map(|entry| (entry.kind, entry.value, entry.before));
        let ids = snapshot.ids.into_iter().map(|record| record.id);
        Self::holding(snapshot.seq, global, Entries::collect(selectors, ids.collect()))
    }

    /// A list from its parts: the global not-before, the selectors with theirs, and the hashes of single tokens and
    /// blocks (see [`RevokedId::hash`]). Its sequence is 0.
    #[must_use]
    pub fn from_parts(global: u64, selectors: Vec<(SelectorKind, String, u64)>, ids: Vec<[u8; 16]>) -> Self {
        Self::holding(0, global, Entries::collect(selectors.into_iter(), ids))
    }

    /// The list after a delta that builds on this one.
    #[must_use]
    pub(super) fn with_delta(&self, delta: &Delta) -> Self {
        let gone = |kind: SelectorKind, value: &str| {
            delta.removed.iter().any(|removed| removed.kind == kind && removed.value == value)
        };
        let kept = SelectorKind::ALL.into_iter().flat_map(|kind| {
            let entries = self.entries.of(kind).into_iter().flatten();
            entries.map(move |(value, before)| (kind, value.to_string(), *before))
        });
        let set = delta.entries.iter().map(|entry| (entry.kind, entry.value.clone(), entry.before));
        let replaced = |kind: SelectorKind, value: &str| {
            delta.entries.iter().any(|entry| entry.kind == kind && entry.value == value)
        };
        let kept = kept.filter(|(kind, value, _)| !gone(*kind, value) && !replaced(*kind, value));
        let ids = self.entries.ids.iter().filter(|id| delta.ids_removed.binary_search(id).is_err());
        let ids = ids.copied().chain(delta.ids.iter().map(|record| record.id)).collect();
        Self::holding(delta.seq, self.global, Entries::collect(kept.chain(set), ids))
    }

    /// The same entries under another `global`.
    #[must_use]
    pub fn with_global(&self, global: u64) -> Self {
        let generation = if global == self.global { self.generation } else { next_generation() };
        Self { global, generation, ..self.clone() }
    }

    fn holding(seq: u64, global: u64, entries: Entries) -> Self {
        Self { seq, global, generation: next_generation(), entries: Arc::new(entries) }
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
        self.entries.of(SelectorKind::Key) == other.entries.of(SelectorKind::Key)
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
        let entries = self.entries.of(kind).filter(|entries| !entries.is_empty())?;
        entries.get(value).copied()
    }

    /// As [`before`](Self::before) for the value `tool/part`: a verb of a tool, or an access to it.
    #[must_use]
    pub fn before_pair(&self, kind: SelectorKind, tool: &str, part: &str) -> Option<u64> {
        let entries = self.entries.of(kind).filter(|entries| !entries.is_empty())?;
        let mut pair = [0; MAX_PAIR];
        let end = tool.len().checked_add(1)?.checked_add(part.len())?;
        let pair = pair.get_mut(..end)?;
        let (first, rest) = pair.split_at_mut_checked(tool.len())?;
        let (slash, last) = rest.split_first_mut()?;
        first.copy_from_slice(tool.as_bytes());
        *slash = b'/';
        last.copy_from_slice(part.as_bytes());
        entries.get(std::str::from_utf8(pair).ok()?).copied()
    }

    /// Whether a single token or block is revoked, by the hash of its id or signature.
    #[must_use]
    pub fn has_id(&self, id: &[u8; 16]) -> bool {
        self.entries.ids.contains(id)
    }

    /// Whether there is any entry of a kind.
    #[must_use]
    pub fn mentions(&self, kind: SelectorKind) -> bool {
        self.entries.of(kind).is_some_and(|entries| !entries.is_empty())
    }

    /// Whether nothing at all is revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.global == 0
            && self.entries.ids.is_empty()
            && self.entries.selectors.iter().all(HashMap::is_empty)
    }
}

impl Default for RevocationSet {
    fn default() -> Self {
        Self::holding(0, 0, Entries::default())
    }
}

fn next_generation() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl fmt::Debug for RevocationSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let selectors: usize = self.entries.selectors.iter().map(HashMap::len).sum();
        f.debug_struct("RevocationSet")
            .field("seq", &self.seq)
            .field("global", &self.global)
            .field("selectors", &selectors)
            .field("ids", &self.entries.ids.len())
            .finish()
    }
}

impl Entries {
    fn collect(selectors: impl Iterator<Item = (SelectorKind, String, u64)>, mut ids: Vec<[u8; 16]>) -> Self {
        let mut entries = Self::default();
        for (kind, value, before) in selectors {
            // Where a token that is dead for good stands must not matter: it is found both ways.
            if kind == SelectorKind::Token && before >= FOREVER {
                ids.push(RevokedId::hash(value.as_bytes()));
            }
            if let Some(of_kind) = entries.selectors.get_mut(kind as usize) {
                let known = of_kind.entry(value.into_boxed_str()).or_insert(before);
                *known = before.max(*known);
            }
        }
        entries.ids = Ids::new(ids);
        entries
    }

    fn of(&self, kind: SelectorKind) -> Option<&HashMap<Box<str>, u64>> {
        self.selectors.get(kind as usize)
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
}
