//! All revocations in memory: what the writer checks against, and what everyone else may look at.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shortbread_protocol::clock::{FOREVER, Timestamp};
use shortbread_protocol::revocations::SelectorKind;

use super::journal::{Journal, Key, Place};
use super::shards::Shards;

/// One revocation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Tokens issued before this are dead (unix seconds); `FOREVER` for all.
    pub before: u64,
    /// When it may leave the signed list (unix seconds); `None` = when lifted. The broker's own refusal stays.
    pub until: Option<u64>,
    /// The sequence number of the change that set it.
    pub seq: u64,
    /// The public reason code.
    pub reason: Arc<str>,
    /// Who set it.
    pub operator: Arc<str>,
    /// When it was set.
    pub set_at: Timestamp,
    /// Whether it still stands in the signed list.
    pub listed: bool,
}

impl Entry {
    /// Where it stands in the signed list, as a revocation of this kind: a token that is dead for good takes 20 bytes.
    #[must_use]
    pub fn place(&self, kind: SelectorKind) -> Place {
        match self.listed {
            false => Place::Nowhere,
            true if kind == SelectorKind::Token && self.before == FOREVER => Place::Packed,
            true => Place::Entries,
        }
    }
}

/// A narrowed copy of a token that its holder gave back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// When it may leave the signed list (unix seconds).
    pub until: u64,
    /// The sequence number of the change that set it.
    pub seq: u64,
    /// Whether it still stands in the signed list.
    pub listed: bool,
}

impl Block {
    /// Where it stands in the signed list.
    #[must_use]
    pub fn place(&self) -> Place {
        if self.listed { Place::Packed } else { Place::Nowhere }
    }
}

/// What refuses a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The moment before which everything is dead.
    All,
    /// A selector of this kind.
    Selector(SelectorKind),
    /// A narrowed copy that was given back.
    Block,
}

/// What a token can be revoked by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The `issued` that the token bears or will bear (unix seconds).
    pub issued: u64,
    /// Every selector that names it. They are compared as they are: the caller spells out that a privileged verb
    /// of `payments` is reached by access `privileged`, `write`, `payments/privileged` and `payments/write`.
    pub selectors: Vec<(SelectorKind, String)>,
    /// The first 16 bytes of SHA-256 of each block signature of the token that was shown, if one was.
    pub blocks: Vec<[u8; 16]>,
    /// Operators' tokens for revoking are not reached by a revocation of everything.
    pub exempt_global: bool,
}

/// Every revocation of the store at one moment. A copy shares with the original what neither changes.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    global: Option<Entry>,
    entries: HashMap<SelectorKind, Arc<Shards<Arc<str>, Entry>>>,
    blocks: Arc<Shards<[u8; 16], Block>>,
    stopped: u64,
    made_from: u64,
    changed_seq: u64,
    journal: Journal,
}

// How the list came to be what it is does not count.
impl PartialEq for Revocations {
    fn eq(&self, other: &Self) -> bool {
        (&self.global, &self.entries, &self.blocks, self.stopped, self.made_from, self.changed_seq)
            == (
                &other.global,
                &other.entries,
                &other.blocks,
                other.stopped,
                other.made_from,
                other.changed_seq,
            )
    }
}

impl Eq for Revocations {}

impl Revocations {
    /// Tokens issued before this are dead (unix seconds); 0 = everything lives.
    #[must_use]
    pub fn global(&self) -> u64 {
        self.global.as_ref().map_or(0, |entry| entry.before)
    }

    /// The same by the break-glass head of the offline root key, which no change of the list undoes; 0 = none.
    #[must_use]
    pub fn stopped(&self) -> u64 {
        self.stopped
    }

    /// The larger of [`Self::global`] and [`Self::stopped`]: what a token that is not exempt has to be issued after.
    #[must_use]
    pub fn everything(&self) -> u64 {
        self.global().max(self.stopped)
    }

    /// Since a restore of the store: nothing counts that was made before this (unix seconds), neither an assertion nor a
    /// token of whatever kind; 0 = never restored.
    #[must_use]
    pub fn made_from(&self) -> u64 {
        self.made_from
    }

    /// Who set [`Self::global`], when and why.
    #[must_use]
    pub fn global_entry(&self) -> Option<&Entry> {
        self.global.as_ref()
    }

    /// The sequence number of the last change of the list's contents.
    #[must_use]
    pub fn changed_seq(&self) -> u64 {
        self.changed_seq
    }

    /// The revocation of this very selector.
    #[must_use]
    pub fn entry(&self, kind: SelectorKind, value: &str) -> Option<&Entry> {
        self.entries.get(&kind)?.get(value)
    }

    /// All selectors, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (SelectorKind, &str, &Entry)> {
        self.entries
            .iter()
            .flat_map(|(kind, entries)| entries.iter().map(|(value, entry)| (*kind, value.as_ref(), entry)))
    }

    /// What changed after the contents of an earlier sequence number, and where each thing stood in the signed list
    /// then; `None` when that is too long ago.
    #[must_use]
    pub fn since(&self, contents: u64) -> Option<BTreeMap<&Key, Place>> {
        self.journal.since(contents)
    }

    /// About how much changed after those contents.
    #[must_use]
    pub fn touched_since(&self, contents: u64) -> usize {
        self.journal.count(contents)
    }

    /// Whether [`Self::since`] will not know those contents for much longer.
    #[must_use]
    pub fn fades(&self, contents: u64) -> bool {
        self.journal.fades(contents)
    }

    /// The selectors that stand in the signed list, in no order.
    pub fn listed_entries(&self) -> impl Iterator<Item = (SelectorKind, &str, &Entry)> {
        self.entries().filter(|(_, _, entry)| entry.listed)
    }

    /// The revocation of this narrowed copy.
    #[must_use]
    pub fn block(&self, hash: &[u8; 16]) -> Option<&Block> {
        self.blocks.get(hash)
    }

    /// All narrowed copies that were given back, in no order.
    pub fn blocks(&self) -> impl Iterator<Item = (&[u8; 16], &Block)> {
        self.blocks.iter()
    }

    /// Whether a token may be. A revocation reaches it when the token was issued before the revocation's moment,
    /// whether it still stands in the signed list or not.
    ///
    /// # Errors
    /// The first revocation that reaches it.
    pub fn standing(&self, token: &Standing) -> Result<(), Revoked> {
        if token.issued < self.made_from || (!token.exempt_global && token.issued < self.everything()) {
            return Err(Revoked::All);
        }
        for (kind, value) in &token.selectors {
            if self.entry(*kind, value).is_some_and(|entry| token.issued < entry.before) {
                return Err(Revoked::Selector(*kind));
            }
        }
        if token.blocks.iter().any(|hash| self.blocks.get(hash).is_some()) {
            return Err(Revoked::Block);
        }
        Ok(())
    }

    /// The earliest `issued` that no matching revocation reaches: a mint that would be below waits or moves up to
    /// it. `FOREVER` = never; 0 = nothing matches. Blocks do not count.
    #[must_use]
    pub fn earliest(&self, token: &Standing) -> u64 {
        let global = if token.exempt_global { 0 } else { self.everything() };
        let entries = token.selectors.iter().filter_map(|(kind, value)| self.entry(*kind, value));
        entries.map(|entry| entry.before).fold(global.max(self.made_from), u64::max)
    }

    /// A list that revokes one key by its name, for tests.
    #[cfg(test)]
    pub(crate) fn of_key(name: &str) -> Self {
        let (reason, operator) = (Arc::from("compromise"), Arc::from("alice"));
        let set_at = Timestamp::from_seconds(1);
        let entry = Entry { before: FOREVER, until: None, seq: 1, reason, operator, set_at, listed: true };
        let mut list = Self::default();
        list.apply(Change::Set(SelectorKind::Key, name.into(), entry));
        list
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Set(kind, value, entry) => {
                self.touch(kind, &value);
                Arc::make_mut(self.entries.entry(kind).or_default()).insert(value, entry);
            }
            Change::Remove(kind, value) => {
                self.touch(kind, &value);
                if let Some(entries) = self.entries.get_mut(&kind) {
                    Arc::make_mut(entries).remove(&value);
                    if entries.is_empty() {
                        self.entries.remove(&kind);
                    }
                }
            }
            Change::Global(entry) => self.global = entry,
            Change::Block(hash, block) => {
                let was = self.block(&hash).map_or(Place::Nowhere, Block::place);
                self.journal.touch(Key::Block(hash), was);
                Arc::make_mut(&mut self.blocks).insert(hash, block);
            }
            Change::Seq(seq) => {
                self.changed_seq = seq;
                self.journal.close(seq);
            }
            Change::Loaded(seq) => {
                self.changed_seq = seq;
                self.journal.restart(seq);
            }
            Change::Stopped(before) => self.stopped = before,
            Change::MadeFrom(from) => self.made_from = from,
        }
    }

    fn touch(&mut self, kind: SelectorKind, value: &Arc<str>) {
        let was = self.entry(kind, value).map_or(Place::Nowhere, |entry| entry.place(kind));
        self.journal.touch(Key::Selector(kind, Arc::clone(value)), was);
    }
}

/// One step from one [`Revocations`] to the next.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Set(SelectorKind, Arc<str>, Entry),
    Remove(SelectorKind, Arc<str>),
    Global(Option<Entry>),
    Block([u8; 16], Block),
    Stopped(u64),
    MadeFrom(u64),
    /// All before this is one change with this number.
    Seq(u64),
    /// All before this is what was found, with the number of its last change.
    Loaded(u64),
}
