//! A token whose signatures held, with what each call with it needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use crate::chain::Token;
use crate::decision::Caller;
use crate::list::RevocationSet;
use crate::scope::Scope;

/// What an entry costs beside itself and what it points to: its places in the tables of a shard, which may be half
/// empty, and the counters of shared values.
const OVERHEAD: usize = 320;

/// A token that was believed for one key.
pub(crate) struct Believed {
    text: Box<str>,
    token: Token,
    caller: Arc<Caller>,
    key: [u8; 32],
    clear: AtomicU64,
}

impl Believed {
    /// `key` is the key that the token's signatures were checked with.
    pub(crate) fn new(text: &str, token: Token, key: &PublicKey) -> Self {
        let caller = Arc::new(caller(token.scope()));
        Self { text: text.into(), token, caller, key: *key.as_bytes(), clear: AtomicU64::new(0) }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) const fn scope(&self) -> &Scope {
        self.token.scope()
    }

    pub(crate) fn caller(&self) -> Arc<Caller> {
        Arc::clone(&self.caller)
    }

    /// Whether this is the key that the signatures were checked with.
    pub(crate) fn is_by(&self, key: &PublicKey) -> bool {
        self.key == *key.as_bytes()
    }

    /// Whether nothing that the token itself stands for is revoked.
    ///
    /// The answer depends on the token and on the list's contents, and neither ever changes: another list has another
    /// generation. So a token that one generation says nothing about needs not ask it again, and asks the next one as
    /// soon as that is in force. Only that it is clear is remembered; a hit is looked up each time.
    ///
    /// # Errors
    /// With the kind of the first selector that hits.
    pub(crate) fn standing(&self, list: &RevocationSet) -> Result<(), Reason> {
        if self.clear.load(Ordering::Relaxed) != list.generation() {
            self.scope().own_standing(list)?;
            self.clear.store(list.generation(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// What all narrowed copies of one token have in common: half of the id of the authority block, which only the broker
    /// can make another one of. Two tokens that share it by chance would push out each other's copies and no more.
    pub(super) fn family(&self) -> u64 {
        self.scope().authority().first_chunk().map_or(0, |half| u64::from_be_bytes(*half))
    }

    /// The size in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        let Caller { workflow, operator, intent, task, token } = &*self.caller;
        let names = [workflow, operator, intent, task, token].into_iter().flatten();
        let names: usize = names.map(String::capacity).sum();
        let own = size_of::<Self>() - size_of::<Scope>() + size_of::<Caller>();
        own + self.text.len() + self.scope().weight() + names + OVERHEAD
    }
}

fn caller(scope: &Scope) -> Caller {
    let id = |kind| scope.id(kind).map(str::to_owned);
    Caller {
        workflow: id(SelectorKind::Workflow),
        operator: id(SelectorKind::Operator),
        intent: id(SelectorKind::Intent),
        task: id(SelectorKind::Task),
        token: id(SelectorKind::Token),
    }
}
