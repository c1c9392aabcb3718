//! A token in the making: from what is granted to its bytes, its record and its answer.

use std::sync::Arc;

use shortbread_protocol::dpop::Proof;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{Intent, Task};
use shortbread_protocol::oauth::{Delegation, TokenAnswer};
use shortbread_protocol::random::id;
use shortbread_protocol::reason::Reason;

use super::answer::{Parts, answer, ways};
use super::child::Ways;
use super::flow::Context;
use super::refusal::Refusal;
use super::request::Request;
use super::retry::next_key;
use super::standing::{Bearer, stand};
use crate::broker::Broker;
use crate::mint::{MintError, Minting, authority, sign};
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy};
use crate::signer::Signer;
use crate::store::{Standing, TokenRecord};

/// A token in the making.
pub(super) struct Draft<'a> {
    pub(super) request: Request,
    principal: &'a Principal,
    intent: Intent,
    pub(super) task: Task,
    pub(super) token_id: String,
    holder: Option<String>,
    pub(super) sealed: bool,
    // One key for all of it: what it can be revoked by and what signs it are the same.
    signer: Arc<dyn Signer>,
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
        request: Request,
        principal: &'a Principal,
        proof: Option<&Proof>,
        context: &Context,
    ) -> Result<Self, Refusal> {
        let fresh = |prefix| {
            id(prefix, context.decision.at, &*broker.random)
                .map_err(|error| Refusal::plain(Reason::Internal).because(error))
        };
        let task = match &request.task {
            Some(task) => task.clone(),
            None => {
                fresh("tsk_")?.parse().map_err(|error| Refusal::plain(Reason::Internal).because(error))?
            }
        };
        let sealed = request.delegation == Delegation::None || matches!(principal, Principal::Operator(_));
        let intent = request.intent.clone().unwrap_or_else(Intent::undeclared);
        let holder = proof.map(|proof| proof.thumbprint().to_owned());
        let signer = signer(broker)?;
        Ok(Self { principal, intent, task, token_id: fresh("tok_")?, holder, sealed, signer, request })
    }

    pub(super) fn stand(&self, broker: &Broker, granted: &mut Granted) -> Result<Standing, Refusal> {
        let bearer = Bearer {
            issuer: &broker.issuer,
            key: self.signer.name().as_str(),
            principal: self.principal,
            intent: &self.intent,
            task: Some(&self.task),
            token: Some(&self.token_id),
            holder: self.holder.as_deref(),
        };
        let now = broker.clock.now().seconds();
        stand(granted, &bearer, &broker.store.mirror(), now).map_err(Refusal::plain)
    }

    pub(super) fn mint(
        &self,
        broker: &Broker,
        granted: &Granted,
        audiences: &[(String, String)],
        issued: u64,
        again: bool,
        context: &Context,
    ) -> Result<Minted, Refusal> {
        let signer = &*self.signer;
        let minting = Minting {
            issuer: &broker.issuer,
            principal: self.principal,
            intent: &self.intent,
            task: &self.task,
            token: &self.token_id,
            holder: self.holder.as_deref(),
            issued,
            expires: self.expires(granted, context),
            rights: &granted.rights,
            audiences,
            sealed: self.sealed,
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
        issued: u64,
        expires: u64,
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
        if let Some(body) = body.as_object_mut().filter(|_| !ways.is_empty()) {
            body.insert("ways".to_owned(), serde_json::json!(ways));
        }
        TokenRecord {
            id: self.token_id.clone(),
            principal: self.principal.to_string(),
            workflow: match self.principal {
                Principal::Workflow(name) => Some(name.to_string()),
                _ => None,
            },
            intent: self.request.intent.as_ref().map(ToString::to_string),
            task: self.request.task.as_ref().map(ToString::to_string),
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
            intent: self.request.intent,
            task: self.task,
            release: self.request.release,
            delegation: if self.sealed { Delegation::None } else { Delegation::Attenuate },
            audiences,
            decision: context.decision.id.clone(),
            policy: policy.digest().to_owned(),
            revocation_seq,
        };
        answer(granted, parts)
    }
}

/// The key that signs tokens, while the key document lets it.
pub(super) fn signer(broker: &Broker) -> Result<Arc<dyn Signer>, Refusal> {
    let none = "no token key of this broker is valid in the key document";
    broker.keyring.token(&broker.store.mirror()).ok_or_else(|| Refusal::plain(Reason::Internal).because(none))
}
