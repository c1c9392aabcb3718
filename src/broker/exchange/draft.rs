//! A token in the making: from what is granted to its bytes, its record and its answer.

use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{Intent, Release, Task};
use shortbread_protocol::oauth::{Delegation, TokenAnswer};
use shortbread_protocol::random::id;
use shortbread_protocol::reason::Reason;

use super::answer::{Parts, answer, ways};
use super::budget::once;
use super::child::Ways;
use super::exact::Exact;
use super::flow::Context;
use super::refusal::Refusal;
use super::retry::next_key;
use super::standing::{AHEAD, Bearer, stand};
use crate::broker::Broker;
use crate::mint::{MintError, Minting, Once, authority, sign};
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy};
use crate::signer::Signer;
use crate::store::{Standing, TokenRecord};

/// What a request says of the token beside its rights.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    /// The declared purpose.
    pub(super) intent: Option<Intent>,
    /// The caller's task id.
    pub(super) task: Option<Task>,
    /// The version that asks.
    pub(super) release: Option<Release>,
    /// Whether it may be narrowed and passed on.
    pub(super) delegation: Delegation,
    /// The approval that it comes from, and when that was asked for.
    pub(super) approval: Option<(String, Timestamp)>,
    /// Of an operator: what tells two names of one person, for the approvals that they decide.
    pub(super) marks: Vec<String>,
}

/// A token in the making.
pub(super) struct Draft<'a> {
    terms: Terms,
    principal: &'a Principal,
    intent: Intent,
    pub(super) task: Task,
    pub(super) token_id: String,
    holder: Option<String>,
    pub(super) sealed: bool,
    // One key for all of it: what it can be revoked by and what signs it are the same.
    signer: Arc<dyn Signer>,
    /// The exact call that it is for.
    pub(super) call: Option<Exact>,
}

/// A token that was made.
pub(super) struct Minted {
    /// Its text.
    pub(super) token: String,
    /// What was signed.
    pub(super) block: Vec<u8>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        broker: &Broker,
        terms: &Terms,
        call: Option<Exact>,
        principal: &'a Principal,
        holder: Option<&str>,
        context: &Context,
    ) -> Result<Self, Refusal> {
        let task = match &terms.task {
            Some(task) => task.clone(),
            None => task(broker, context)?,
        };
        let sealed = call.is_some()
            || terms.delegation == Delegation::None
            || matches!(principal, Principal::Operator(_));
        let intent = terms.intent.clone().unwrap_or_else(Intent::undeclared);
        let (holder, signer) = (holder.map(str::to_owned), signer(broker)?);
        let token_id = fresh(broker, "tok_", context)?;
        Ok(Self { terms: terms.clone(), principal, intent, task, token_id, holder, sealed, signer, call })
    }

    /// What can revoke it. What waited for a person stands for the moment in which it was asked for.
    pub(super) fn stand(&self, broker: &Broker, granted: &mut Granted) -> Result<Standing, Refusal> {
        let bearer = Bearer {
            issuer: &broker.issuer,
            key: self.signer.name().as_str(),
            principal: self.principal,
            intent: &self.intent,
            task: Some(&self.task),
            token: Some(&self.token_id),
            holder: self.holder.as_deref(),
            approval: self.terms.approval.as_ref().map(|(id, _)| id.as_str()),
        };
        let moment = match &self.terms.approval {
            Some((_, asked)) => (asked.seconds(), 0),
            None => (broker.clock.now().seconds(), AHEAD),
        };
        stand(granted, &bearer, &broker.store.mirror(), moment).map_err(Refusal::plain)
    }

    pub(super) fn mint(
        &self,
        broker: &Broker,
        granted: &Granted,
        audiences: &[(String, String)],
        (issued, expires): (u64, u64),
        again: bool,
    ) -> Result<Minted, Refusal> {
        let signer = &*self.signer;
        let exact = self.call.as_ref().map(|call| vec![call.operation.clone()]);
        let verbs = exact.unwrap_or_else(|| once(granted));
        let args_sha256 = self.call.as_ref().map(|call| call.args_sha256);
        let of_rights = |(tool, _): &&(String, String)| {
            granted.rights.iter().any(|right| right.operation.tool.as_str() == tool.as_str())
        };
        let audiences: Vec<_> = audiences.iter().filter(of_rights).cloned().collect();
        let minting = Minting {
            issuer: &broker.issuer,
            principal: self.principal,
            intent: &self.intent,
            task: &self.task,
            token: &self.token_id,
            holder: self.holder.as_deref(),
            issued,
            expires,
            rights: &granted.rights,
            audiences: &audiences,
            sealed: self.sealed,
            approval: self.terms.approval.as_ref().map(|(id, _)| id.as_str()),
            once: (!verbs.is_empty()).then_some(Once { verbs: &verbs, args_sha256 }),
        };
        let block = authority(&minting, signer)?;
        // What may be given out again ends in a secret that can be made again.
        let next = if again {
            next_key(broker, &self.token_id)?
        } else {
            PrivateKey::generate(&*broker.random).map_err(MintError::from)?
        };
        Ok(Minted { token: sign(&block, self.sealed, signer, &next)?, block })
    }

    pub(super) fn expires(&self, granted: &Granted, context: &Context) -> u64 {
        context.decision.at.seconds() + granted.ttl.as_secs()
    }

    pub(super) fn record(
        &self,
        granted: &Granted,
        policy: &Policy,
        version: u64,
        (issued, expires): (u64, u64),
        context: &Context,
    ) -> TokenRecord {
        let rights: Vec<String> = granted.rights.iter().map(|right| right.operation.to_string()).collect();
        // Only a bound token can be passed on, and is then asked what its arguments may be.
        let bound = granted.rights.iter().filter(|_| self.holder.is_some());
        let ways: Ways = bound.map(|right| (right.operation.to_string(), ways(right))).collect();
        let mut body = serde_json::json!({
            "rights": rights, "grants": granted.grants, "policy": policy.digest(),
            "decision": context.decision.id,
        });
        if let Some(body) = body.as_object_mut() {
            if !ways.is_empty() && !self.sealed {
                body.insert("ways".to_owned(), serde_json::json!(ways));
            }
            if let Some((id, _)) = &self.terms.approval {
                body.insert("approval".to_owned(), id.clone().into());
            }
            if !self.terms.marks.is_empty() {
                body.insert("marks".to_owned(), serde_json::json!(self.terms.marks));
            }
        }
        TokenRecord {
            id: self.token_id.clone(),
            principal: self.principal.to_string(),
            workflow: match self.principal {
                Principal::Workflow(name) => Some(name.to_string()),
                _ => None,
            },
            intent: self.terms.intent.as_ref().map(ToString::to_string),
            task: self.terms.task.as_ref().map(ToString::to_string),
            issued,
            expires,
            holder: self.holder.clone(),
            policy: version,
            body: body.to_string().into_bytes(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the answer is where everything meets")]
    pub(super) fn answer(
        self,
        granted: &Granted,
        token: String,
        expires: u64,
        audiences: &[(String, String)],
        policy: &Policy,
        revocation_seq: u64,
        context: &Context,
    ) -> TokenAnswer {
        let parts = Parts {
            token,
            token_id: self.token_id,
            bound: self.holder.is_some(),
            expires_in: expires.saturating_sub(context.decision.at.seconds()),
            intent: self.terms.intent,
            task: self.task,
            release: self.terms.release,
            delegation: if self.sealed { Delegation::None } else { Delegation::Attenuate },
            audiences,
            decision: context.decision.id.clone(),
            policy: policy.digest().to_owned(),
            revocation_seq,
            approval: self.terms.approval.map(|(id, _)| id),
        };
        answer(granted, parts)
    }
}

/// A task id of the broker's, where the caller has none.
pub(super) fn task(broker: &Broker, context: &Context) -> Result<Task, Refusal> {
    fresh(broker, "tsk_", context)?.parse().map_err(|error| Refusal::plain(Reason::Internal).because(error))
}

pub(super) fn fresh(broker: &Broker, prefix: &str, context: &Context) -> Result<String, Refusal> {
    let fresh = id(prefix, context.decision.at, &*broker.random);
    fresh.map_err(|error| Refusal::plain(Reason::Internal).because(error))
}

/// The key that signs tokens, while the key document lets it.
pub(super) fn signer(broker: &Broker) -> Result<Arc<dyn Signer>, Refusal> {
    let none = "no token key of this broker is valid in the key document";
    broker.keyring.token(&broker.store.mirror()).ok_or_else(|| Refusal::plain(Reason::Internal).because(none))
}
