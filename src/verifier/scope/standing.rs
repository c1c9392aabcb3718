//! Whether anything that a token stands for is revoked.

use shortbread_protocol::access::Access;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use super::{Right, Scope};

/// The questions that a token asks of a revocation list.
pub trait Revocations {
    /// Tokens issued before this second are dead, all of them; 0 for none.
    fn global(&self) -> u64;
    /// Tokens that match the selector and were issued before this second are dead.
    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64>;
    /// Whether any selector of the kind is listed.
    fn any(&self, kind: SelectorKind) -> bool;
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
        if list.any(SelectorKind::Verb) && hit(SelectorKind::Verb, &format!("{tool}/{verb}")) {
            return Err(Reason::Revoked(SelectorKind::Verb));
        }
        match self.right(tool, verb) {
            Some(Right { access, .. }) if list.any(SelectorKind::Access) => {
                access_standing(*access, tool, hit)
            }
            _ => Ok(()),
        }
    }
}

fn access_standing(
    access: Access,
    tool: &str,
    hit: impl Fn(SelectorKind, &str) -> bool,
) -> Result<(), Reason> {
    let covering = Access::ALL.into_iter().filter(|scope| scope.covers(access));
    for scope in covering {
        if hit(SelectorKind::Access, scope.as_str()) || hit(SelectorKind::Access, &format!("{tool}/{scope}"))
        {
            return Err(Reason::Revoked(SelectorKind::Access));
        }
    }
    Ok(())
}
