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

/// Asks a list about a call of `tool/verb` whose access is not known, and so about any. Without a moment of issue it is
/// older than every entry.
///
/// # Errors
/// With the kind of the first selector that hits.
pub(crate) fn unheld_standing(
    list: &impl Revocations,
    issued: Option<u64>,
    tool: &str,
    verb: &str,
) -> Result<(), Reason> {
    let is_before = |before: Option<u64>| before.is_some_and(|before| issued.unwrap_or(0) < before);
    let any_access = Access::ALL.into_iter().map(Access::as_str).any(|access| {
        is_before(list.before(SelectorKind::Access, access))
            || is_before(list.before_pair(SelectorKind::Access, tool, access))
    });
    for (hit, kind) in [
        (is_before(list.before(SelectorKind::Tool, tool)), SelectorKind::Tool),
        (is_before(list.before_pair(SelectorKind::Verb, tool, verb)), SelectorKind::Verb),
        (any_access, SelectorKind::Access),
    ] {
        if hit {
            return Err(Reason::Revoked(kind));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use shortbread_protocol::biscuit::{Alternative, Binary, BlockWriter, Symbols, Value};
    use shortbread_protocol::revocations::RevokedId;

    use super::*;

    const ISSUED: u64 = 1_795_176_000;

    /// What a token may stand for beside its tool, verb and access, of a workflow or of an operator.
    fn ids(owner: SelectorKind) -> Vec<SelectorKind> {
        let other = [SelectorKind::Workflow, SelectorKind::Operator].into_iter().find(|kind| *kind != owner);
        let ids = shortbread_protocol::facts::ID_KINDS.into_iter();
        ids.filter(|kind| Some(*kind) != other).collect()
    }

    /// A token with every id that there is, the value of each being its kind; for one read and one privileged verb.
    fn scope(owner: SelectorKind) -> Scope {
        let mut writer = BlockWriter::after(Symbols::default());
        for kind in ids(owner) {
            writer.fact("id", &[Value::Str(kind.as_str()), Value::Str(kind.as_str())]);
        }
        writer.fact("issued", &[Value::Date(ISSUED)]);
        writer.fact("right", &["pay", "list", "read"].map(Value::Str));
        writer.fact("right", &["pay", "out", "privileged"].map(Value::Str));
        writer.check(&[Alternative::new().fact("audience", [Value::Str("a")])]);
        let now = Value::Var("now");
        let window = Alternative::new().fact("time", [now.clone()]);
        let window = window.holds(now.clone(), Binary::GreaterOrEqual, Value::Date(ISSUED));
        writer.check(&[window.holds(now, Binary::LessThan, Value::Date(ISSUED + 300))]);
        Scope::compile(&[&writer.finish()], &[&[7; 64]]).unwrap()
    }

    #[derive(Default)]
    struct List {
        global: u64,
        entry: Option<(SelectorKind, &'static str, u64)>,
        id: Option<[u8; 16]>,
    }

    impl Revocations for List {
        fn global(&self) -> u64 {
            self.global
        }

        fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
            self.entry.filter(|(k, v, _)| *k == kind && *v == value).map(|(_, _, before)| before)
        }

        fn has_id(&self, id: &[u8; 16]) -> bool {
            self.id.as_ref() == Some(id)
        }
    }

    #[test]
    fn every_kind_of_revocation_is_heeded_for_what_was_issued_before_it() {
        for kind in SelectorKind::ALL {
            let owner = if kind == SelectorKind::Operator { kind } else { SelectorKind::Workflow };
            let scope = scope(owner);
            let values: &[&'static str] = match kind {
                SelectorKind::Tool => &["pay"],
                SelectorKind::Verb => &["pay/out"],
                SelectorKind::Access => &["write", "privileged", "pay/write", "pay/privileged"],
                SelectorKind::Issuer
                | SelectorKind::Key
                | SelectorKind::Workflow
                | SelectorKind::Operator
                | SelectorKind::User
                | SelectorKind::Intent
                | SelectorKind::Task
                | SelectorKind::Token
                | SelectorKind::Approval
                | SelectorKind::Holder => &[kind.as_str()],
            };
            for value in values {
                let standing = |value: &'static str, before: u64, verb: &str| {
                    let list = List { entry: Some((kind, value, before)), ..List::default() };
                    scope.standing(&list, "pay", verb)
                };
                assert_eq!(standing(value, ISSUED + 1, "out"), Err(Reason::Revoked(kind)), "{kind} {value}");
                assert_eq!(standing(value, ISSUED, "out"), Ok(()), "{kind} {value}, issued since");
                assert_eq!(standing("other", ISSUED + 1, "out"), Ok(()), "{kind}");
                let call = [SelectorKind::Verb, SelectorKind::Access].contains(&kind);
                assert_eq!(standing(value, ISSUED + 1, "list").is_ok(), call, "{kind} {value}");
            }
        }
    }

    #[test]
    fn everything_a_token_and_a_block_are_revoked_apart_from_selectors() {
        let scope = scope(SelectorKind::Workflow);
        let with = |list: List| scope.standing(&list, "pay", "list");
        assert_eq!(with(List::default()), Ok(()));
        assert_eq!(with(List { global: ISSUED, ..List::default() }), Ok(()), "issued since");
        assert_eq!(with(List { global: ISSUED + 1, ..List::default() }), Err(Reason::RevokedAll));
        let id = |bytes: &[u8]| with(List { id: Some(RevokedId::hash(bytes)), ..List::default() });
        assert_eq!(id(&[7; 64]), Err(Reason::RevokedBlock));
        assert_eq!(id(b"token"), Err(Reason::Revoked(SelectorKind::Token)), "by the hash of its id");
        assert_eq!(id(&[8; 64]), Ok(()));
    }
}
