//! What is revoked: told to operators, and asked about their own tokens.

use shortbread_protocol::admin::{RevocationBody, RevocationsAnswer};
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::scope::Revocations as Questions;

use crate::broker::Broker;
use crate::publish::cause;
use crate::store::{Revocations, StoreError};

/// What is revoked, newest first.
///
/// # Errors
/// When the store fails.
pub async fn list(broker: &Broker) -> Result<RevocationsAnswer, StoreError> {
    let mut notes = broker.store.notes().await?;
    let list = broker.store.mirror();
    let mut body = |kind: String, value: &str, entry: &crate::store::Entry| RevocationBody {
        reason: notes.remove(&(kind.clone(), value.to_owned())).unwrap_or_default(),
        kind,
        value: value.to_owned(),
        before: entry.before,
        until: entry.until,
        seq: entry.seq,
        cause: cause(&entry.reason),
        operator: entry.operator.to_string(),
        at: entry.set_at.seconds(),
    };
    let mut revocations: Vec<_> =
        list.entries().map(|(kind, value, entry)| body(kind.to_string(), value, entry)).collect();
    revocations.extend(
        list.global_entry().filter(|entry| entry.before > 0).map(|entry| body("all".to_owned(), "", entry)),
    );
    revocations.sort_by_key(|revocation| std::cmp::Reverse(revocation.seq));
    let current = broker.publisher.current();
    let (head, issued) = current.map_or((0, 0), |current| (current.seq, current.issued.seconds()));
    Ok(RevocationsAnswer { head, issued, revocations })
}

/// The store's list, as the broker asks it about operators' tokens. For the verbs of the switch only operator,
/// holder, token and key count: nobody can lock the operators out.
pub(crate) struct AdminList<'a> {
    pub(crate) list: &'a Revocations,
    pub(crate) switch: bool,
}

impl AdminList<'_> {
    const fn counts(&self, kind: SelectorKind) -> bool {
        !self.switch
            || matches!(
                kind,
                SelectorKind::Operator | SelectorKind::Holder | SelectorKind::Token | SelectorKind::Key
            )
    }
}

impl Questions for AdminList<'_> {
    fn global(&self) -> u64 {
        // What was made before a restore is dead, whatever it is for.
        let everything = if self.switch { 0 } else { self.list.everything() };
        everything.max(self.list.made_from())
    }

    fn before(&self, kind: SelectorKind, value: &str) -> Option<u64> {
        self.list.entry(kind, value).filter(|_| self.counts(kind)).map(|entry| entry.before)
    }

    fn has_id(&self, id: &[u8; 16]) -> bool {
        self.list.block(id).is_some()
    }
}
