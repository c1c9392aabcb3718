//! Whether anything that a token stands for is revoked.

use shortbread_protocol::access::Access;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use super::Scope;

/// The questions that a token asks of a revocation list.
pub trait Revocations {
    /// Tokens issued before this second are dead, all of them; 0 for none.
    fn global(&self) -> u64;
    /// Tokens that match the selector and were issued before this second are dead.
    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64>;
    /// As [`Revocations::before`] for the value `tool/part`: a verb of a tool, or an access to it.
    fn before_pair(&self, kind: SelectorKind, tool: &str, part: &str) -> Option<u64> {
        self.before(kind, &format!("{tool}/{part}"))
    }
    /// Whether there may be any entry of a kind; where there is none, nothing is looked up.
    fn mentions(&self, _kind: SelectorKind) -> bool {
        true
    }
    /// Whether a single token or block is listed.
    fn has_id(&self, id: &[u8; 16]) -> bool;
}

impl Scope {
    /// Asks a list about everything that this token stands for when it is used for `tool/verb`.
    ///
    /// # Errors
    /// With the kind of the first selector that hits.
    pub fn standing(&self, list: &impl Revocations, tool: &str, verb: &str) -> Result<(), Reason> {
        self.own_standing(list)?;
        self.call_standing(list, tool, verb)
    }

    /// The half of [`standing`](Self::standing) that no call changes: one token asks one list always the same.
    ///
    /// # Errors
    /// With the kind of the first selector that hits.
    pub fn own_standing(&self, list: &impl Revocations) -> Result<(), Reason> {
        if self.issued < list.global() {
            return Err(Reason::RevokedAll);
        }
        for kind in SelectorKind::ALL {
            if self.is_before(self.id(kind).and_then(|value| list.before(kind, value))) {
                return Err(Reason::Revoked(kind));
            }
        }
        let mut ids = self.revocable.iter();
        if ids.next().is_some_and(|token| list.has_id(token)) {
            return Err(Reason::Revoked(SelectorKind::Token));
        }
        if ids.any(|block| list.has_id(block)) { Err(Reason::RevokedBlock) } else { Ok(()) }
    }

    /// The other half: the tool, the verb and its access.
    ///
    /// # Errors
    /// With the kind of the first selector that hits.
    pub fn call_standing(&self, list: &impl Revocations, tool: &str, verb: &str) -> Result<(), Reason> {
        if list.mentions(SelectorKind::Tool) && self.is_before(list.before(SelectorKind::Tool, tool)) {
            return Err(Reason::Revoked(SelectorKind::Tool));
        }
        if list.mentions(SelectorKind::Verb)
            && self.is_before(list.before_pair(SelectorKind::Verb, tool, verb))
        {
            return Err(Reason::Revoked(SelectorKind::Verb));
        }
        if list.mentions(SelectorKind::Access) && self.is_access_revoked(list, tool, verb) {
            return Err(Reason::Revoked(SelectorKind::Access));
        }
        Ok(())
    }

    fn is_access_revoked(&self, list: &impl Revocations, tool: &str, verb: &str) -> bool {
        let Some(access) = self.access(tool, verb) else { return false };
        let covering = Access::ALL.into_iter().filter(|scope| scope.covers(access)).map(Access::as_str);
        let kind = SelectorKind::Access;
        covering.into_iter().any(|scope| {
            self.is_before(list.before(kind, scope)) || self.is_before(list.before_pair(kind, tool, scope))
        })
    }

    fn is_before(&self, before: Option<u64>) -> bool {
        before.is_some_and(|before| self.issued < before)
    }
}
