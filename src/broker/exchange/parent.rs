//! The token that is passed on to a sub-agent: living, bound, and in the hands of its holder.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::access::Access;
use shortbread_protocol::dpop::{Proof, Unproved, token_hash};
use shortbread_protocol::names::Operation;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{Token, decode};
use shortbread_verifier::scope::Scope;

use super::flow::{Context, unproved};
use super::proof;
use super::refusal::Refusal;
use super::request::Request;
use super::standing::of_verb;
use crate::broker::Broker;
use crate::policy::Policy;
use crate::policy::model::{Principal, Rate};
use crate::store::{Standing, Tie};

/// The token that is passed on.
pub(super) struct Parent {
    pub(super) token: Token,
    pub(super) principal: Principal,
    pub(super) holder: String,
}

impl Parent {
    pub(super) fn open(broker: &Broker, request: &Request, context: &Context) -> Result<Self, Refusal> {
        let invalid = |cause: &str| {
            let refusal = Refusal::plain(Reason::IdentityInvalid).because(cause);
            unproved(broker, refusal, request.grant_type, context)
        };
        let bytes = decode(&request.assertion).map_err(|flaw| invalid(&flaw.to_string()))?;
        let token = Token::open(&bytes, &*broker.keyring).map_err(|error| invalid(&error.to_string()))?;
        let scope = token.scope();
        let now = context.decision.at.seconds();
        if now < scope.window().0 || now >= scope.end() {
            return Err(invalid("the parent is over or not valid yet"));
        }
        let unfit = |why: &str| Err(Refusal::new(Reason::ParentRefused, why));
        if token.is_sealed() {
            return unfit("the token is sealed: it cannot be passed on");
        }
        if scope.id(SelectorKind::Approval).is_some() {
            return unfit(
                "the token came from an approval, which is for the key that asked: it cannot be passed on",
            );
        }
        let workflow = scope.id(SelectorKind::Workflow).and_then(|name| name.parse().ok());
        let Some(workflow) = workflow else { return unfit("an operator's token cannot be passed on") };
        let Some(holder) = scope.id(SelectorKind::Holder).map(str::to_owned) else {
            return unfit("the token is not bound to a key: narrow it with `shortbread attenuate` instead");
        };
        Ok(Self { token, principal: Principal::Workflow(workflow), holder })
    }

    // The proof is the parent's: by its key, over its hash, for this endpoint.
    pub(super) fn proved(
        &self,
        broker: &Broker,
        request: &Request,
        shown: Option<Unproved<'_>>,
    ) -> Result<Proof, Refusal> {
        let detail = "send a DPoP proof by the key of the token, with the new key's thumbprint as sb_holder";
        let shown = shown.ok_or_else(|| Refusal::new(Reason::ProofRequired, detail))?;
        proof::here(broker, shown, Some(token_hash(&request.assertion)), Some(&self.holder))
    }

    pub(super) fn named(&self, proof: &Proof) -> Result<String, Refusal> {
        let unfit = |why: &str| Err(Refusal::new(Reason::ParentRefused, why));
        let Some(holder) = &proof.claims().holder else {
            return unfit("the proof names no new key: put its RFC 7638 thumbprint into the claim sb_holder");
        };
        let is_thumbprint =
            holder.len() == 43 && holder.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !is_thumbprint {
            return unfit("the claim sb_holder is no RFC 7638 thumbprint of a key");
        }
        if *holder == self.holder {
            return unfit("the claim sb_holder names the token's own key; a sub-agent has a key of its own");
        }
        Ok(holder.clone())
    }

    /// What is passed on: the verbs asked for, if any are named, as far as the policy would still give them.
    pub(super) fn kept(&self, request: &Request, policy: &Policy) -> Result<Kept, Refusal> {
        self.asks_for_no_more(request)?;
        let intent = self.text(SelectorKind::Intent).parse().map_err(|_| Refusal::plain(Reason::Internal))?;
        let asked = |operation: &Operation| {
            request.asked.is_empty() || request.asked.iter().any(|asked| asked.operation == *operation)
        };
        let mut kept = Kept::default();
        for (operation, access) in operations(self.token.scope()).filter(|(held, _)| asked(held)) {
            let audience = audience(policy, &operation);
            if !request.resources.is_empty() && !request.resources.iter().any(|one| Some(one) == audience) {
                if !request.asked.is_empty() {
                    let detail = format!("the audience of {operation} is not among the resources; add it");
                    return Err(Refusal::new(Reason::TargetUnknown, detail));
                }
                continue;
            }
            let grants: Vec<_> = policy.giving(&self.principal, &operation, access, &intent).collect();
            if grants.is_empty() {
                kept.dropped.insert(operation.to_string(), Reason::PolicyDenied.code().to_owned());
                continue;
            }
            for id in grants
                .iter()
                .map(|grant| &grant.id)
                .filter(|id| !kept.grants.contains(id))
                .collect::<Vec<_>>()
            {
                kept.grants.push(id.clone());
            }
            for (id, rate) in grants.iter().filter_map(|grant| Some((&grant.id, grant.rate?))) {
                if kept.rates.iter().all(|(known, _)| known != id) {
                    kept.rates.push((id.clone(), rate));
                }
            }
            kept.verbs.insert(operation);
        }
        if kept.verbs.is_empty() {
            let detail = "the policy in force gives this workflow none of the token's verbs any more";
            return Err(Refusal::new(Reason::PolicyDenied, detail));
        }
        Ok(kept)
    }

    fn asks_for_no_more(&self, request: &Request) -> Result<(), Refusal> {
        let scope = self.token.scope();
        let held = |asked: &Operation| scope.access(asked.tool.as_str(), asked.verb.as_str()).is_some();
        if let Some(other) = request.asked.iter().find(|asked| !held(&asked.operation)) {
            let detail =
                format!("the token does not grant {}; a child gets no more than its parent", other.operation);
            return Err(Refusal::new(Reason::PolicyDenied, detail));
        }
        if let Some(other) = request.resources.iter().find(|one| scope.audiences().all(|held| held != *one)) {
            let other: String = other.chars().take(200).collect();
            let detail = format!("the token is not for {other:?}; a child is for no other audience");
            return Err(Refusal::new(Reason::TargetUnknown, detail));
        }
        let malformed = |detail: &str| Err(Refusal::new(Reason::RequestMalformed, detail));
        if request.client_id.as_ref().is_some_and(|wanted| *wanted != self.principal.to_string()) {
            return malformed("client_id names another workflow than the token's");
        }
        if request.intent.is_some() || request.task.is_some() {
            return malformed("intent and task are the parent's: leave them out");
        }
        if request.asked.iter().any(|asked| asked.arguments.is_some()) {
            return malformed(
                "constraints are the parent's; narrow the token with `shortbread attenuate` first",
            );
        }
        if request.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return malformed("the request asks for a token without any life");
        }
        Ok(())
    }

    pub(super) fn end(&self, request: &Request, context: &Context) -> u64 {
        let wished = request.ttl.map_or(u64::MAX, |ttl| context.decision.at.plus(ttl).seconds());
        wished.min(self.token.scope().end())
    }

    pub(super) fn text(&self, kind: SelectorKind) -> String {
        self.token.scope().id(kind).unwrap_or_default().to_owned()
    }

    /// What a child with these verbs can be revoked by, for this holder and signed with this key; `child` is its id, once it
    /// has one.
    pub(super) fn standing<'v>(
        &self,
        child: Option<&str>,
        holder: &str,
        key: &str,
        kept: impl Iterator<Item = &'v Operation>,
    ) -> Standing {
        let scope = self.token.scope();
        let mut selectors: BTreeSet<(SelectorKind, String)> = SelectorKind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, scope.id(kind)?.to_owned())))
            .collect();
        selectors.extend(child.map(|child| (SelectorKind::Token, child.to_owned())));
        selectors.insert((SelectorKind::Holder, holder.to_owned()));
        selectors.insert((SelectorKind::Key, key.to_owned()));
        for operation in kept {
            let access = scope.access(operation.tool.as_str(), operation.verb.as_str());
            selectors.extend(access.into_iter().flat_map(|access| of_verb(operation, access)));
        }
        Standing {
            issued: scope.issued(),
            selectors: selectors.into_iter().collect(),
            blocks: scope.blocks().to_vec(),
            exempt_global: false,
        }
    }

    /// What the parent dies by and its child, which is signed with `key`, bears no mark of.
    pub(super) fn ties(&self, key: &str) -> Vec<Tie> {
        let own = [SelectorKind::Token, SelectorKind::Holder, SelectorKind::Key];
        let selectors = own.into_iter().map(|kind| (kind, self.text(kind)));
        let selectors = selectors.filter(|(kind, value)| *kind != SelectorKind::Key || value != key);
        let selectors = selectors.map(|(kind, value)| Tie::Selector(kind, value));
        selectors.chain(self.token.scope().blocks().iter().copied().map(Tie::Block)).collect()
    }
}

/// What of the parent is passed on.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) verbs: BTreeSet<Operation>,
    /// What the policy takes back, and why.
    pub(super) dropped: BTreeMap<String, String>,
    /// The rates of the grants that give it.
    pub(super) rates: Vec<(String, Rate)>,
    /// The ids of those grants.
    pub(super) grants: Vec<String>,
}

pub(super) fn audience<'p>(policy: &'p Policy, operation: &Operation) -> Option<&'p String> {
    policy.catalogue().tools.get(&operation.tool).map(|tool| &tool.audience)
}

/// What a token grants, in our own names.
pub(crate) fn operations(scope: &Scope) -> impl Iterator<Item = (Operation, Access)> {
    scope.rights().filter_map(|(tool, verb, access)| {
        Some((Operation { tool: tool.parse().ok()?, verb: verb.parse().ok()? }, access))
    })
}
