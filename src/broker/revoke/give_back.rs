//! A holder gives a token back (RFC 7009).

use serde_json::json;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::event::EventType;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::{Selector, SelectorKind};
use shortbread_verifier::chain::{Token, decode};

use crate::broker::Broker;
use crate::exchange::{Context, Refusal};
use crate::store::{AuditEntry, Revocations, Revoke, RevokeBlock, RevokeMode, Target};

/// Who gave it back, and why, as the list has it.
const HOLDER: &str = "holder";
const RETURNED: &str = "returned";

/// By how much clocks may differ, in seconds.
const SKEW: u64 = 60;

/// Whoever holds a living token may give it back. Anything else is answered alike and changes nothing.
///
/// # Errors
/// When the form is unreadable, the address asks too often, or the store fails.
pub async fn give_back(broker: &Broker, form: &[u8], context: &Context) -> Result<(), Refusal> {
    let limited = broker.limits.exchange(context.address);
    limited.map_err(|limited| Refusal::plain(Reason::RateLimited).after(limited.0))?;
    let mut tokens = form_urlencoded::parse(form).filter(|(name, _)| name == "token").map(|(_, value)| value);
    let (Some(text), None) = (tokens.next(), tokens.next()) else {
        return Err(Refusal::new(Reason::RequestMalformed, "send the parameter token once"));
    };
    let opened = decode(&text).ok().and_then(|bytes| Token::open(&bytes, &*broker.keyring).ok());
    let living = |token: &Token| context.decision.at.seconds() < token.scope().window().1;
    let Some(copy) = opened.filter(living).and_then(|token| Copy::of(&token)) else {
        return Ok(());
    };
    if copy.is_given_back(&broker.store.mirror()) {
        return Ok(());
    }
    copy.revoke(broker, context).await?;
    let published = broker.publish().await;
    published.map(drop).map_err(|error| Refusal::plain(Reason::StoreUnavailable).because(error))
}

/// What is given back: a token whole, or one narrowed copy of it.
struct Copy {
    token: String,
    block: Option<[u8; 16]>,
    until: u64,
}

impl Copy {
    fn of(token: &Token) -> Option<Self> {
        let scope = token.scope();
        Some(Self {
            token: scope.id(SelectorKind::Token)?.to_owned(),
            block: scope.last_block().filter(|_| scope.narrowings() > 0),
            until: scope.window().1 + SKEW,
        })
    }

    // Giving it back again would only fill the log.
    fn is_given_back(&self, list: &Revocations) -> bool {
        let whole = list.entry(SelectorKind::Token, &self.token).is_some_and(|entry| entry.before == FOREVER);
        whole || self.block.is_some_and(|block| list.block(&block).is_some())
    }

    async fn revoke(self, broker: &Broker, context: &Context) -> Result<(), Refusal> {
        let (now, reason, until) = (context.decision.at, RETURNED.to_owned(), self.until);
        let entry = self.entry(broker, context);
        if let Some(hash) = self.block {
            let block = RevokeBlock { hash, token: self.token, until, reason, by: HOLDER.to_owned() };
            broker.store.revoke_block(block, now, move |_: &_| entry).await?;
            return Ok(());
        }
        let Ok(selector) = Selector::new(SelectorKind::Token, &self.token) else {
            return Ok(());
        };
        let (target, mode) = (Target::Selector(selector), RevokeMode::Forever);
        let revoke = Revoke { target, mode, reason, note: String::new(), until: Some(until) };
        let changed =
            broker.store.give_back(revoke, HOLDER.to_owned(), now, move |_: &_| entry.clone()).await;
        changed.map(drop).map_err(|error| Refusal::plain(Reason::StoreUnavailable).because(error))
    }

    fn entry(&self, broker: &Broker, context: &Context) -> AuditEntry {
        let (token, narrowed) = (&self.token, self.block.is_some());
        let data = json!({ "outcome": "revoked", "token": token, "narrowed_copy": narrowed, "by": HOLDER });
        broker.scribe.entry(EventType::RevocationSet, &context.decision, format!("token/{token}"), data)
    }
}
