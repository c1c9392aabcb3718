//! Re-exchange (RFC 8693): a token that is bound to a key becomes a sub-agent's token, bound to the sub-agent's own key.
//!
//! The holder of the parent proves its key and names the new one in the same proof. The child says what the parent says,
//! ends no later, and dies with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::dpop::Unproved;
use shortbread_protocol::names::{Intent, Operation, ToolName};
use shortbread_protocol::oauth::{
    ACCESS_TOKEN, AuthorizationDetail, Delegation, TOOL_CALL, TokenAnswer, TokenExtras,
};
use shortbread_protocol::random::id;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;

use super::draft::signer;
use super::entry::{minted, moment};
use super::flow::{Context, within_rates};
use super::parent::{Kept, Parent, audience};
use super::record::{ChildFacts, Trail};
use super::refusal::Refusal;
use super::request::Request;
use super::watched;
use crate::activation::Ruling;
use crate::broker::Broker;
use crate::mint::{Child, mint_child};
use crate::policy::Policy;
use crate::signer::Signer;
use crate::store::{Exchange, TokenRecord};

/// By verb, what its arguments may be: a way for each grant that gives it.
pub(super) type Ways = BTreeMap<String, Vec<Arguments>>;

/// Makes a sub-agent's token. It is recorded before it is answered.
///
/// # Errors
/// When the parent is not living, not bound, sealed, an operator's or for one approved call; when the proof does not
/// hold or names no other key; or when nothing of the parent may be passed on any more.
pub(super) async fn re_exchange(
    broker: &Broker,
    request: &Request,
    shown: Option<Unproved<'_>>,
    ruling: Ruling,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    trail.stage = "parent";
    let parent = Parent::open(broker, request, context)?;
    trail.descends(request, &parent.principal, &parent.text(SelectorKind::Token), parent.token.scope());
    trail.stage = "proof";
    let proof = parent.proved(broker, request, shown)?;
    trail.passed_by_holder(&proof);
    let holder = parent.named(&proof)?;
    trail.stage = "policy";
    let Ruling { version, policy } = broker.policy.tried_on(&parent.principal).unwrap_or(ruling);
    trail.under(&policy);
    let passing = watched::Passing { parent: &parent, request, holder: &holder };
    let kept = parent.kept(request, &policy).inspect_err(|refusal| {
        watched::kept_back(broker, trail, &passing, refusal.reason, context);
    })?;
    let Kept { verbs: kept, dropped, rates, grants } = kept;
    trail.stage = "limits";
    // A sub-agent's token counts like any other: nobody gets around the rates of the policy with one token.
    within_rates(broker, &parent.principal, &rates)?;
    trail.stage = "revocation";
    let heir = Heir {
        signer: signer(broker)?,
        token: id("tok_", context.decision.at, &*broker.random)
            .map_err(|error| Refusal::plain(Reason::Internal).because(error))?,
        expires: parent.end(request, context),
        holder: holder.clone(),
        ways: told(broker, &parent, &kept).await?,
        kept,
        dropped,
    };
    let key = heir.signer.name();
    let standing = parent.standing(Some(&heir.token), &heir.holder, key.as_str(), heir.kept.iter());
    broker
        .store
        .mirror()
        .standing(&standing)
        .map_err(|revoked| Refusal::plain(super::standing::reason(revoked)))?;
    trail.stage = "mint";
    let text = heir.mint(broker, &parent, request)?;
    trail.stage = "record";
    super::proof::use_up(broker, Some(&proof), &parent.principal)?;
    let now = moment(broker, context);
    let answer = heir.answer(&parent, request, &policy, text, now.revocation_seq, context);
    let audit = {
        let facts = ChildFacts {
            token: &heir.token,
            holder: &heir.holder,
            verbs: &heir.verbs(),
            dropped: &heir.dropped,
            grants: &grants,
            expires: heir.expires,
        };
        minted(broker, context, trail, trail.passed_on(&facts, now))?
    };
    let token = heir.record(&parent, version, &policy, context);
    let ties = parent.ties(heir.signer.name().as_str());
    let exchange = Exchange {
        replay: None,
        token,
        standing,
        ties,
        others: Vec::new(),
        one_shots: Vec::new(),
        spends: Vec::new(),
        redeem: None,
        retry: None,
        audit,
    };
    broker.store.record_exchange(exchange).await?;
    watched::passed_on(broker, trail, &passing, &heir.dropped, context);
    Ok(answer)
}

// What the parent was told, as far as it is passed on.
async fn told(broker: &Broker, parent: &Parent, kept: &BTreeSet<Operation>) -> Result<Ways, Refusal> {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(default)]
        ways: Ways,
    }
    let record = broker.store.token(&parent.text(SelectorKind::Token)).await?;
    let body: Body = record.and_then(|record| serde_json::from_slice(&record.body).ok()).unwrap_or_default();
    let is_kept = |verb: &String| kept.iter().any(|operation| operation.to_string() == *verb);
    Ok(body.ways.into_iter().filter(|(verb, _)| is_kept(verb)).collect())
}

/// The child in the making.
struct Heir {
    signer: Arc<dyn Signer>,
    token: String,
    holder: String,
    expires: u64,
    kept: BTreeSet<Operation>,
    dropped: BTreeMap<String, String>,
    ways: Ways,
}

impl Heir {
    fn mint(&self, broker: &Broker, parent: &Parent, request: &Request) -> Result<String, Refusal> {
        let child = Child {
            parent: parent.token.scope(),
            parent_holder: &parent.holder,
            holder: &self.holder,
            token: &self.token,
            expires: self.expires,
            kept: &self.kept,
            sealed: request.delegation == Delegation::None,
        };
        Ok(mint_child(&child, &*self.signer, &*broker.random)?)
    }

    fn verbs(&self) -> Vec<String> {
        self.kept.iter().map(ToString::to_string).collect()
    }

    fn record(&self, parent: &Parent, version: u64, policy: &Policy, context: &Context) -> TokenRecord {
        let parent_id = parent.text(SelectorKind::Token);
        let body = json!({
            "rights": self.verbs(), "parent": parent_id, "policy": policy.digest(), "ways": self.ways,
            "decision": context.decision.id,
        });
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
                approval_id: None,
                calls: Vec::new(),
            },
        }
    }

    // The conditions on arguments are the parent's, as the broker gave them; a narrowed parent has more of its own.
    fn details(&self, parent: &Parent, request: &Request, policy: &Policy) -> Vec<AuthorizationDetail> {
        let mut details: BTreeMap<&ToolName, AuthorizationDetail> = BTreeMap::new();
        for operation in &self.kept {
            let Operation { tool, verb } = operation;
            let detail = details.entry(tool).or_insert_with(|| AuthorizationDetail {
                kind: TOOL_CALL.to_owned(),
                locations: audience(policy, operation).cloned().into_iter().collect(),
                task: parent.text(SelectorKind::Task).parse().ok(),
                intent: parent
                    .text(SelectorKind::Intent)
                    .parse()
                    .ok()
                    .filter(|it| *it != Intent::undeclared()),
                delegation: Some(request.delegation),
                ..AuthorizationDetail::of(tool.clone())
            });
            detail.actions.push(verb.clone());
            let mut ways = self.ways.get(&operation.to_string()).cloned().unwrap_or_default().into_iter();
            detail.constraints.extend(ways.next().map(|first| (verb.clone(), first)));
            let further: Vec<_> = ways.collect();
            if !further.is_empty() {
                detail.alternatives.insert(verb.clone(), further);
            }
        }
        details.into_values().collect()
    }
}
