//! Re-exchange (RFC 8693): a token that is bound to a key becomes a sub-agent's token, bound to the sub-agent's own key.
//!
//! The holder of the parent proves its key and names the new one in the same proof. The child says what the parent says,
//! ends no later, and dies with it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use shortbread_protocol::access::Access;
use shortbread_protocol::dpop::{Expected, Proof, Unproved, token_hash};
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::Operation;
use shortbread_protocol::oauth::{
    ACCESS_TOKEN, AuthorizationDetail, Delegation, TOOL_CALL, TokenAnswer, TokenExtras,
};
use shortbread_protocol::random::id;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{Token, decode};
use shortbread_verifier::scope::Scope;

use super::flow::{Context, unproved, within_rates};
use super::record::{ChildFacts, Trail};
use super::refusal::Refusal;
use super::request::Request;
use crate::broker::Broker;
use crate::mint::{Child, mint_child};
use crate::policy::Policy;
use crate::policy::model::{Principal, Rate};
use crate::store::{Exchange, Standing, Tie, TokenRecord};

/// Makes a sub-agent's token. It is recorded before it is answered.
///
/// # Errors
/// When the parent is not living, not bound, sealed, an operator's or for one approved call; when the proof does not
/// hold or names no other key; or when nothing of the parent may be passed on any more.
pub(super) async fn re_exchange(
    broker: &Broker,
    request: &Request,
    shown: Option<Unproved<'_>>,
    policy: &Policy,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    trail.stage = "parent";
    let parent = Parent::open(broker, request, context)?;
    trail.descends(&parent.principal, &parent.text(SelectorKind::Token), parent.token.scope());
    trail.stage = "proof";
    let proof = parent.proved(broker, request, shown)?;
    trail.passed_by_holder();
    let holder = parent.named(&proof)?;
    trail.stage = "policy";
    let Kept { verbs: kept, dropped, rates } = parent.kept(request, policy)?;
    trail.stage = "limits";
    // A sub-agent's token counts like any other: nobody gets around the rates of the policy with one token.
    within_rates(broker, &parent.principal, &rates)?;
    trail.stage = "revocation";
    let heir = Heir {
        token: id("tok_", context.decision.at, &*broker.random)
            .map_err(|error| Refusal::plain(Reason::Internal).because(error))?,
        expires: parent.end(request, context),
        holder,
        kept,
        dropped,
    };
    let standing = heir.standing(broker, &parent);
    broker
        .store
        .mirror()
        .standing(&standing)
        .map_err(|revoked| Refusal::plain(super::standing::reason(revoked)))?;
    trail.stage = "mint";
    let text = heir.mint(broker, &parent, request)?;
    trail.stage = "record";
    super::proof::use_up(broker, Some(&proof), &parent.principal)?;
    let seq = broker.store.mirror().changed_seq();
    let answer = heir.answer(&parent, request, policy, text, seq, context);
    let audit = {
        let facts = ChildFacts {
            token: &heir.token,
            holder: &heir.holder,
            verbs: &heir.verbs(),
            dropped: &heir.dropped,
            expires: heir.expires,
            revocation_seq: seq,
        };
        let data = trail.passed_on(&facts);
        broker.scribe.entry(EventType::TokenMinted, &context.decision, trail.subject(), data)
    };
    let token = heir.record(&parent, broker.policy.version(), policy);
    let ties = parent.ties(broker.keyring.token.name().as_str());
    let exchange = Exchange { replay: None, token, standing, ties, retry: None, audit };
    broker.store.record_exchange(exchange).await?;
    Ok(answer)
}

/// The token that is passed on.
struct Parent {
    token: Token,
    principal: Principal,
    holder: String,
}

impl Parent {
    fn open(broker: &Broker, request: &Request, context: &Context) -> Result<Self, Refusal> {
        let invalid = |cause: &str| {
            let refusal = Refusal::plain(Reason::IdentityInvalid).because(cause);
            unproved(broker, refusal, request.grant_type, context)
        };
        let bytes = decode(&request.assertion).map_err(|flaw| invalid(&flaw.to_string()))?;
        let token = Token::open(&bytes, &broker.keyring).map_err(|error| invalid(&error.to_string()))?;
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
            return unfit("the token is for one approved call: it cannot be passed on");
        }
        let workflow = scope.id(SelectorKind::Workflow).and_then(|name| name.parse().ok());
        let Some(workflow) = workflow else { return unfit("an operator's token cannot be passed on") };
        let Some(holder) = scope.id(SelectorKind::Holder).map(str::to_owned) else {
            return unfit("the token is not bound to a key: narrow it with `shortbread attenuate` instead");
        };
        Ok(Self { token, principal: Principal::Workflow(workflow), holder })
    }

    // The proof is the parent's: by its key, over its hash, for this endpoint.
    fn proved(
        &self,
        broker: &Broker,
        request: &Request,
        shown: Option<Unproved<'_>>,
    ) -> Result<Proof, Refusal> {
        let detail = "send a DPoP proof by the key of the token, with the new key's thumbprint as sb_holder";
        let shown = shown.ok_or_else(|| Refusal::new(Reason::ProofRequired, detail))?;
        let url = format!("{}/oauth/token", broker.issuer.trim_end_matches('/'));
        let expected = Expected {
            method: "POST",
            url: &url,
            token: Some(token_hash(&request.assertion)),
            holder: Some(&self.holder),
            now: broker.clock.now(),
            since: broker.proofs.since,
        };
        Ok(shown.check(&expected)?)
    }

    fn named(&self, proof: &Proof) -> Result<String, Refusal> {
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
    fn kept(&self, request: &Request, policy: &Policy) -> Result<Kept, Refusal> {
        self.asks_for_no_more(request)?;
        let intent = self.text(SelectorKind::Intent).parse().map_err(|_| Refusal::plain(Reason::Internal))?;
        let asked = |operation: &Operation| {
            request.asked.is_empty() || request.asked.iter().any(|asked| asked.operation == *operation)
        };
        let mut kept = Kept { verbs: BTreeSet::new(), dropped: BTreeMap::new(), rates: Vec::new() };
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

    fn end(&self, request: &Request, context: &Context) -> u64 {
        let wished = request.ttl.map_or(u64::MAX, |ttl| context.decision.at.plus(ttl).seconds());
        wished.min(self.token.scope().end())
    }

    fn text(&self, kind: SelectorKind) -> String {
        self.token.scope().id(kind).unwrap_or_default().to_owned()
    }

    /// What the parent dies by and its child, which is signed with `key`, bears no mark of.
    fn ties(&self, key: &str) -> Vec<Tie> {
        let own = [SelectorKind::Token, SelectorKind::Holder, SelectorKind::Key];
        let selectors = own.into_iter().map(|kind| (kind, self.text(kind)));
        let selectors = selectors.filter(|(kind, value)| *kind != SelectorKind::Key || value != key);
        let selectors = selectors.map(|(kind, value)| Tie::Selector(kind, value));
        selectors.chain(self.token.scope().blocks().iter().copied().map(Tie::Block)).collect()
    }
}

/// What of the parent is passed on.
struct Kept {
    verbs: BTreeSet<Operation>,
    /// What the policy takes back, and why.
    dropped: BTreeMap<String, String>,
    /// The rates of the grants that give it.
    rates: Vec<(String, Rate)>,
}

/// The child in the making.
struct Heir {
    token: String,
    holder: String,
    expires: u64,
    kept: BTreeSet<Operation>,
    dropped: BTreeMap<String, String>,
}

impl Heir {
    fn standing(&self, broker: &Broker, parent: &Parent) -> Standing {
        let scope = parent.token.scope();
        let mut selectors: BTreeSet<(SelectorKind, String)> = SelectorKind::ALL
            .into_iter()
            .filter_map(|kind| Some((kind, scope.id(kind)?.to_owned())))
            .collect();
        selectors.insert((SelectorKind::Token, self.token.clone()));
        selectors.insert((SelectorKind::Holder, self.holder.clone()));
        selectors.insert((SelectorKind::Key, broker.keyring.token.name().to_string()));
        for (operation, granted) in operations(scope).filter(|(operation, _)| self.kept.contains(operation)) {
            selectors.insert((SelectorKind::Tool, operation.tool.to_string()));
            selectors.insert((SelectorKind::Verb, operation.to_string()));
            for access in Access::ALL.into_iter().filter(|access| access.covers(granted)) {
                selectors.insert((SelectorKind::Access, access.to_string()));
                selectors.insert((SelectorKind::Access, format!("{}/{access}", operation.tool)));
            }
        }
        Standing {
            issued: scope.issued(),
            selectors: selectors.into_iter().collect(),
            blocks: scope.blocks().to_vec(),
            exempt_global: false,
        }
    }

    fn mint(&self, broker: &Broker, parent: &Parent, request: &Request) -> Result<String, Refusal> {
        if !broker.keyring.can_sign_tokens(broker.clock.now()) {
            let refusal = Refusal::plain(Reason::Internal);
            return Err(refusal.because("the token key is past its validity in the key document"));
        }
        let child = Child {
            parent: parent.token.scope(),
            parent_holder: &parent.holder,
            holder: &self.holder,
            token: &self.token,
            expires: self.expires,
            kept: &self.kept,
            sealed: request.delegation == Delegation::None,
        };
        Ok(mint_child(&child, &*broker.keyring.token, &*broker.random)?)
    }

    fn verbs(&self) -> Vec<String> {
        self.kept.iter().map(ToString::to_string).collect()
    }

    fn record(&self, parent: &Parent, version: u64, policy: &Policy) -> TokenRecord {
        let parent_id = parent.text(SelectorKind::Token);
        let body = json!({ "rights": self.verbs(), "parent": parent_id, "policy": policy.digest() });
        TokenRecord {
            id: self.token.clone(),
            principal: parent.principal.to_string(),
            workflow: Some(parent.principal.name().to_owned()),
            intent: Some(parent.text(SelectorKind::Intent)),
            task: Some(parent.text(SelectorKind::Task)),
            issued: parent.token.scope().issued(),
            expires: self.expires,
            holder: Some(self.holder.clone()),
            policy: version,
            body: body.to_string().into_bytes(),
        }
    }

    fn answer(
        &self,
        parent: &Parent,
        request: &Request,
        policy: &Policy,
        text: String,
        revocation_seq: u64,
        context: &Context,
    ) -> TokenAnswer {
        let scopes: Vec<String> = self.kept.iter().map(Operation::scope).collect();
        TokenAnswer {
            access_token: text,
            issued_token_type: ACCESS_TOKEN.to_owned(),
            token_type: "DPoP".to_owned(),
            expires_in: self.expires.saturating_sub(context.decision.at.seconds()),
            scope: scopes.join(" "),
            authorization_details: self.details(parent, request, policy),
            shortbread: TokenExtras {
                profile: "sb1".to_owned(),
                token_id: self.token.clone(),
                decision_id: context.decision.id.clone(),
                policy: policy.digest().to_owned(),
                revocation_seq,
                dropped: self.dropped.clone(),
                degraded: None,
            },
        }
    }

    // The conditions on arguments are the parent's: they stand in the token, and in the answer to the parent.
    fn details(&self, parent: &Parent, request: &Request, policy: &Policy) -> Vec<AuthorizationDetail> {
        let mut details: Vec<AuthorizationDetail> = Vec::new();
        for operation in &self.kept {
            let Operation { tool, verb } = operation;
            if let Some(known) = details.iter_mut().find(|detail| detail.tool == *tool) {
                known.actions.push(verb.clone());
                continue;
            }
            details.push(AuthorizationDetail {
                kind: TOOL_CALL.to_owned(),
                locations: audience(policy, operation).cloned().into_iter().collect(),
                actions: vec![verb.clone()],
                task: parent.text(SelectorKind::Task).parse().ok(),
                intent: parent.text(SelectorKind::Intent).parse().ok(),
                delegation: Some(request.delegation),
                ..AuthorizationDetail::of(tool.clone())
            });
        }
        details
    }
}

fn audience<'p>(policy: &'p Policy, operation: &Operation) -> Option<&'p String> {
    policy.catalogue().tools.get(&operation.tool).map(|tool| &tool.audience)
}

fn operations(scope: &Scope) -> impl Iterator<Item = (Operation, Access)> {
    scope.rights().filter_map(|(tool, verb, access)| {
        Some((Operation { tool: tool.parse().ok()?, verb: verb.parse().ok()? }, access))
    })
}
