//! The exchange, step by step. Nothing is answered before its record is durable.

use std::net::IpAddr;
use std::time::Duration;

use shortbread_protocol::dpop::{Proof, ProofError};
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::oauth::TokenAnswer;
use shortbread_protocol::reason::Reason;

use super::draft::Draft;
use super::proof;
use super::record::Trail;
use super::refusal::Refusal;
use super::request::{self, GrantType, Request};
use super::targets::targets;
use crate::audit::Counted;
use crate::broker::Broker;
use crate::identity::Verified;
use crate::policy::model::Principal;
use crate::policy::{self, Granted, Policy, decide};
use crate::store::{Exchange, RecordError, Replay};

/// The longest life of an operator's token.
const OPERATOR_TTL: Duration = Duration::from_secs(900);

/// What is known of a request before its body is read.
#[derive(Clone, Debug)]
pub struct Context {
    /// What ties answer, log line and audit entry together.
    pub decision: Decision,
    /// The client's address.
    pub address: IpAddr,
    /// The monotonic clock when it began.
    pub begun: Duration,
}

/// Exchanges an identity for a token: the form in `body`, and `dpop`, the text of the `DPoP` header, if there is one.
/// A proof binds the token to the key that made it. Every outcome is recorded before it is answered.
///
/// # Errors
/// With the reason, the words for the caller and the cause for operators.
pub async fn exchange(
    broker: &Broker,
    body: &[u8],
    dpop: Result<Option<&str>, ProofError>,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    let mut trail = Trail::default();
    trail.stage = "limits";
    let mut replay = None;
    match run(broker, body, dpop, context, &mut trail, &mut replay).await {
        Ok(answer) => Ok(answer),
        Err(refusal) => {
            let recorded = record_refusal(broker, context, &mut trail, replay, refusal).await;
            Err(Refusal { trail: Some(Box::new(trail)), ..recorded })
        }
    }
}

async fn run(
    broker: &Broker,
    body: &[u8],
    dpop: Result<Option<&str>, ProofError>,
    context: &Context,
    trail: &mut Trail,
    replay: &mut Option<Replay>,
) -> Result<TokenAnswer, Refusal> {
    broker
        .limits
        .exchange(context.address)
        .map_err(|limited| Refusal::plain(Reason::RateLimited).after(limited.0))?;
    trail.stage = "request";
    let request = request::read(body)?;
    trail.asked(&request);
    let shown = proof::read(dpop)?;
    trail.stage = "policy";
    let policy = broker
        .policy
        .in_force()
        .ok_or_else(|| Refusal::plain(Reason::PolicyMissing).after(Duration::from_secs(5)))?;
    trail.under(&policy);
    trail.stage = "identity";
    let (identity, principal) = identify(broker, &request, &policy, context, trail).await?;
    trail.stage = "proof";
    let proof = proof::check(broker, shown, &principal);
    *replay = proof::replay(&identity, &proof);
    let proof = proof?;
    trail.held_by(proof.as_ref());
    trail.stage = "policy";
    let mut granted = decided(&request, &policy, &identity, &principal, proof.as_ref())?;
    let audiences = targets(&request, &policy, &granted, proof.is_some())?;
    trail.stage = "limits";
    within_rates(broker, &principal, &granted)?;
    trail.stage = "revocation";
    let draft = Draft::new(broker, request, &principal, proof.as_ref(), context)?;
    let standing = draft.stand(broker, &mut granted)?;
    trail.segment.task = Some(draft.task.clone());
    trail.stage = "mint";
    let token = draft.mint(broker, &granted, &audiences, standing.issued, context)?;
    trail.stage = "record";
    let seq = broker.store.mirror().changed_seq();
    let expires = draft.expires(&granted, context);
    let latency = micros(broker, context);
    let data = trail.granted(&granted, &draft.token_id, expires, seq, latency);
    let audit = broker.scribe.entry(EventType::TokenMinted, &context.decision, trail.subject(), data);
    let record = draft.record(&granted, &policy, broker.policy.version(), standing.issued, expires);
    proof::use_up(broker, proof.as_ref())?;
    // Recorded with its own check of revocations and replay, in one transaction: from here on it is answered.
    let replay = replay.take();
    let recorded = broker
        .store
        .record_exchange(Exchange { replay, token: record, standing, ties: Vec::new(), retry: None, audit })
        .await;
    recorded.map_err(|error| match error {
        RecordError::Replayed | RecordError::Pinned => {
            unproved(broker, error.into(), draft.request.grant_type, context)
        }
        other => other.into(),
    })?;
    Ok(draft.answer(&granted, token, expires, &audiences, &policy, seq, context))
}

async fn identify(
    broker: &Broker,
    request: &Request,
    policy: &Policy,
    context: &Context,
    trail: &mut Trail,
) -> Result<(Verified, Principal), Refusal> {
    let checked = broker.identities.verify(&request.assertion, policy.identities()).await;
    let identity = checked.map_err(|error| unproved(broker, error.into(), request.grant_type, context))?;
    let principal = identity.principal(request.client_id.as_deref())?;
    trail.proved(&identity, &principal);
    Ok((identity, principal))
}

// A refused identity counts against the address; an issuer that is down is not the client's failure.
fn unproved(broker: &Broker, refusal: Refusal, grant_type: GrantType, context: &Context) -> Refusal {
    if refusal.reason == Reason::IssuerUnavailable {
        return refusal;
    }
    match broker.limits.failure(context.address) {
        Ok(()) => refusal.of(grant_type),
        Err(limited) => {
            Refusal::plain(Reason::RateLimited).after(limited.0).because("too many failed authentications")
        }
    }
}

fn decided(
    request: &Request,
    policy: &Policy,
    identity: &Verified,
    principal: &Principal,
    proof: Option<&Proof>,
) -> Result<Granted, Refusal> {
    let ttl = match principal {
        Principal::Operator(_) => request.ttl.map(|ttl| ttl.min(OPERATOR_TTL)),
        _ => request.ttl,
    };
    // A registered key signs its own claims: no constraint is bound to them.
    let none = serde_json::Map::new();
    let claims = if identity.key_thumbprint.is_some() { &none } else { &identity.claims };
    let asked = policy::Request {
        principal,
        claims,
        intent: request.intent.as_ref(),
        asked: &request.asked,
        ttl,
        possession: proof::possession(identity, proof),
    };
    Ok(decide(policy, &asked)?)
}

fn within_rates(broker: &Broker, principal: &Principal, granted: &Granted) -> Result<(), Refusal> {
    let who = principal.to_string();
    for (grant, rate) in &granted.rates {
        if let Err(limited) = broker.limits.grant(&who, grant, *rate) {
            let detail = format!("the rate of {grant} in the policy is used up");
            return Err(Refusal::new(Reason::RateLimited, detail).after(limited.0));
        }
    }
    Ok(())
}

async fn record_refusal(
    broker: &Broker,
    context: &Context,
    trail: &mut Trail,
    replay: Option<Replay>,
    refusal: Refusal,
) -> Refusal {
    let known = trail.principal.is_some();
    let (count, from) = if known {
        (1, None)
    } else {
        match broker.strangers.count(context.address, refusal.reason, broker.clock.monotonic()) {
            Counted::Write(count) => (count, Some(crate::audit::range(context.address).to_string())),
            Counted::Later => {
                trail.quiet = true;
                return refusal;
            }
        }
    };
    let data = trail.refused(&refusal, count, from, micros(broker, context));
    let audit = broker.scribe.entry(EventType::TokenRefused, &context.decision, trail.subject(), data);
    match broker.store.record_denial(replay, audit).await {
        Ok(_) => refusal,
        Err(error) => Refusal::from(error),
    }
}

fn micros(broker: &Broker, context: &Context) -> u64 {
    let spent = broker.clock.monotonic().saturating_sub(context.begun);
    u64::try_from(spent.as_micros()).unwrap_or(u64::MAX)
}
