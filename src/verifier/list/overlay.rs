//! A list as it was read, and what changed since: the one is large and never touched, the other small and copied.

use std::collections::HashMap;
use std::sync::Arc;

use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::revocations::{RevokedId, SelectorKind};

use super::ids::{Changes, Ids};

pub(super) const KINDS: usize = SelectorKind::ALL.len();

/// A whole list. Its values are shared with those that are made from it.
#[derive(Default)]
pub(super) struct Base {
    // By kind, in the order of its definition.
    selectors: [HashMap<Arc<str>, u64>; KINDS],
    pub(super) ids: Ids,
    /// The tokens that a selector says are dead for good: where such a token stands must not matter, so it is found by
    /// its hash, too. As a rule they stand among the ids, and none is here.
    pub(super) tokens: Ids,
}

/// What came and went since the base; `None` for a selector that went.
#[derive(Clone, Default)]
pub(super) struct Overlay {
    selectors: [HashMap<Arc<str>, Option<u64>>; KINDS],
    pub(super) ids: Changes,
    pub(super) tokens: Changes,
    changes: usize,
}

impl Base {
    /// Of a selector that is given twice, what revokes more counts.
    pub(super) fn collect(selectors: impl Iterator<Item = (SelectorKind, String, u64)>, ids: Ids) -> Self {
        let mut base = Self { ids, ..Self::default() };
        let mut tokens = Vec::new();
        for (kind, value, before) in selectors {
            if is_dead_token(kind, before) {
                tokens.push(RevokedId::hash(value.as_bytes()));
            }
            if let Some(of_kind) = base.selectors.get_mut(kind as usize) {
                let known = of_kind.entry(value.into()).or_insert(before);
                *known = before.max(*known);
            }
        }
        base.selectors.iter_mut().for_each(HashMap::shrink_to_fit);
        base.tokens = Ids::new(tokens);
        base
    }

    pub(super) fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        self.of(kind)?.get(value).copied()
    }

    pub(super) fn of(&self, kind: SelectorKind) -> Option<&HashMap<Arc<str>, u64>> {
        self.selectors.get(kind as usize)
    }

    pub(super) fn has_id(&self, id: &[u8; 16]) -> bool {
        self.ids.contains(id) || !self.tokens.is_empty() && self.tokens.contains(id)
    }

    /// The list with the changes in it.
    pub(super) fn with(&self, overlay: &Overlay) -> Self {
        let mut selectors = self.selectors.clone();
        for (of_kind, changes) in selectors.iter_mut().zip(&overlay.selectors) {
            for (value, before) in changes {
                match before {
                    Some(before) => of_kind.insert(Arc::clone(value), *before),
                    None => of_kind.remove(value),
                };
            }
        }
        Self { selectors, ids: self.ids.with(&overlay.ids), tokens: self.tokens.with(&overlay.tokens) }
    }
}

impl Overlay {
    /// How many changes it holds, at most.
    pub(super) const fn len(&self) -> usize {
        self.changes + self.ids.len() + self.tokens.len()
    }

    /// What changed about a selector: the outer `None` is nothing.
    pub(super) fn get(&self, kind: SelectorKind, value: &str) -> Option<Option<u64>> {
        self.of(kind)?.get(value).copied()
    }

    pub(super) fn of(&self, kind: SelectorKind) -> Option<&HashMap<Arc<str>, Option<u64>>> {
        self.selectors.get(kind as usize)
    }

    pub(super) fn put(&mut self, kind: SelectorKind, value: &str, before: Option<u64>) {
        let Some(of_kind) = self.selectors.get_mut(kind as usize) else { return };
        if let Some(known) = of_kind.get_mut(value) {
            *known = before;
        } else {
            of_kind.insert(value.into(), before);
            self.changes += 1;
        }
    }

    pub(super) fn has_id(&self, base: &Base, id: &[u8; 16]) -> bool {
        self.ids.get(id).unwrap_or_else(|| base.ids.contains(id))
            || self.tokens.get(id).unwrap_or_else(|| base.tokens.contains(id))
    }
}

/// Whether an entry says that one token is dead for good.
pub(super) fn is_dead_token(kind: SelectorKind, before: u64) -> bool {
    kind == SelectorKind::Token && before >= FOREVER
}
