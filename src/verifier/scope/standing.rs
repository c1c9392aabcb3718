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
    /// Whether a single token or block is listed.
    fn has_id(&self, id: &[u8; 16]) -> bool;
}

impl Scope {
    /// Asks a list about everything that this token stands for when it is used for `tool/verb`.
    ///
    /// # Errors
    /// With the kind of the first selector that hits.
    pub fn standing(&self, list: &impl Revocations, tool: &str, verb: &str) -> Result<(), Reason> {
        if self.issued < list.global() {
            return Err(Reason::RevokedAll);
        }
        let hit = |kind, value: &str| list.before(kind, value).is_some_and(|before| self.issued < before);
        for (kind, value) in &self.ids {
            if hit(*kind, self.program.text(*value)) {
                return Err(Reason::Revoked(*kind));
            }
        }
        let mut ids = self.revocable.iter();
        if ids.next().is_some_and(|token| list.has_id(token)) {
            return Err(Reason::Revoked(SelectorKind::Token));
        }
        if ids.any(|block| list.has_id(block)) {
            return Err(Reason::RevokedBlock);
        }
        if hit(SelectorKind::Tool, tool) {
            return Err(Reason::Revoked(SelectorKind::Tool));
        }
        let hit_pair =
            |kind, part: &str| list.before_pair(kind, tool, part).is_some_and(|before| self.issued < before);
        if hit_pair(SelectorKind::Verb, verb) {
            return Err(Reason::Revoked(SelectorKind::Verb));
        }
        let covering = |access: Access| Access::ALL.into_iter().filter(move |scope| scope.covers(access));
        let access = self.access(tool, verb);
        let revoked = access
            .into_iter()
            .flat_map(covering)
            .map(Access::as_str)
            .any(|scope| hit(SelectorKind::Access, scope) || hit_pair(SelectorKind::Access, scope));
        if revoked { Err(Reason::Revoked(SelectorKind::Access)) } else { Ok(()) }
    }
}
