//! The exchange, step by step. Nothing is answered before its record is durable.

use std::net::IpAddr;
use std::time::Duration;

use shortbread_protocol::dpop::{Proof, ProofError};
use shortbread_protocol::event::Decision;
use shortbread_protocol::oauth::{DEFERRED, TokenAnswer};
use shortbread_protocol::reason::Reason;

use super::aside::is_operators;
use super::child::re_exchange;
use super::deferral::{Asker, ask, fetch, marks};
use super::draft::Terms;
use super::entry::record_refusal;
use super::exact::Exact;
use super::form::Form;
use super::input::Known;
use super::issue::{Issue, Unissued, issue};
use super::place::Place;
use super::proof;
use super::record::Trail;
use super::refusal::Refusal;
use super::request::{self, GrantType, Request, Subject};
use super::retry::{RetryKey, repeat};
use super::targets::targets;
use super::watched;
use crate::activation::Ruling;
use crate::broker::Broker;
use crate::cases::Call;
use crate::cases::decide::Asking;
use crate::identity::Verified;
use crate::policy::model::{Principal, Rate};
use crate::policy::{self, Granted, Policy, builtin, decide};
use crate::store::{Kept, RecordError, Replay};

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

/// A request, as it came. What is in it proves an identity, so it is never shown.
#[derive(Clone)]
pub struct Asked<'a> {
    /// The form.
    pub body: &'a [u8],
    /// The text of the `DPoP` header, if there is one.
    pub dpop: Result<Option<&'a str>, ProofError>,
    /// The text of the `Idempotency-Key` header, if there is one; an error when it cannot be read.
    pub idempotency_key: Result<Option<&'a str>, &'static str>,
    /// Whether it is an operator's that was let in aside already.
    pub aside: bool,
    /// How long the client waits for an answer that waits for a person (`Prefer: wait`, RFC 7240).
    pub wait: Duration,
}

/// A request for a token, in its place.
pub struct Sent<'a> {
    /// As it came.
    pub asked: Asked<'a>,
    /// Its place among the requests in flight, which it leaves while it waits.
    pub place: &'a Place,
}

/// Exchanges an identity, or a token that is bound to a key, for a token. A proof binds it to the key that made it. Every
/// outcome is recorded before it is answered.
///
/// # Errors
/// With the reason, the words for the caller and the cause for operators.
pub async fn exchange(broker: &Broker, sent: &Sent<'_>, context: &Context) -> Result<TokenAnswer, Refusal> {
    let mut trail = Trail::default();
    trail.stage = "limits";
    let mut replay = None;
    match run(broker, sent, context, &mut trail, &mut replay).await {
        Ok(answer) => Ok(answer),
        // Nothing is decided yet; that it waits is recorded where it began to.
        Err(refusal) if refusal.is_undecided() => Err(Refusal { trail: Some(Box::new(trail)), ..refusal }),
        Err(refusal) => {
            let recorded = record_refusal(broker, context, &mut trail, replay, refusal).await;
            Err(Refusal { trail: Some(Box::new(trail)), ..recorded })
        }
    }
}

async fn run(
    broker: &Broker,
    sent: &Sent<'_>,
    context: &Context,
    trail: &mut Trail,
    replay: &mut Option<Replay>,
) -> Result<TokenAnswer, Refusal> {
    if let Err(limited) = broker.limits.exchange(context.address)
        && !sent.asked.aside
        && !is_operators(broker, &sent.asked)
    {
        return Err(Refusal::plain(Reason::RateLimited).after(limited.0));
    }
    trail.stage = "request";
    let form = Form::read(sent.asked.body)?;
    if form.one("grant_type") == Some(DEFERRED) {
        return fetch(broker, &form, sent, trail, context).await;
    }
    let request = request::read(&form)?;
    trail.asked(&request);
    let shown = proof::read(sent.asked.dpop)?;
    trail.shown = shown.is_some();
    let chosen = chosen(&sent.asked, &request)?;
    trail.stage = "policy";
    let ruling = under(broker, &request)?;
    trail.under(&ruling.policy);
    if request.subject == Subject::Token {
        return re_exchange(broker, &request, shown, ruling, trail, context).await;
    }
    trail.stage = "identity";
    let (identity, principal) = match identify(broker, &request, &ruling.policy, context, trail).await {
        Ok(found) => found,
        Err(refusal) => {
            watched::stranger(broker, &request, trail.shown, refusal.reason, context).await;
            return Err(refusal);
        }
    };
    let (identity, Ruling { version, policy }) = match broker.policy.tried_on(&principal) {
        Some(tried) => (known_to(broker, &request, &tried.policy, &principal, context, trail).await?, tried),
        None => (identity, ruling),
    };
    trail.stage = "proof";
    let proof = proof::check(broker, shown, &principal);
    *replay = proof::replay(&identity, &proof);
    let proof = proof?;
    trail.held_by(proof.as_ref(), &identity);
    let retry = chosen.map(|key| RetryKey::new(key, &identity, &principal, request.digest, proof.as_ref()));
    let retry = retry.transpose()?;
    trail.stage = "policy";
    let granted = match decided(&request, &policy, &identity, &principal, proof.as_ref()) {
        Ok(granted) => granted,
        Err(mut refused) => {
            if let (Some(pending), true) = (refused.pending.take(), request.deferred) {
                let asker =
                    Asker { request: &request, identity: &identity, principal: &principal, policy: &policy };
                return Err(ask(broker, asker, *pending, proof.as_ref(), replay.take(), trail, context).await);
            }
            // Who is told to send a proof sends it with the same token: the platform has no other one for an hour.
            if identity.reuse && refused.reason == Reason::ProofRequired {
                *replay = None;
            }
            return Err(refused.into());
        }
    };
    admitted(&request, &policy, trail, &granted)?;
    // From here on it is no longer the policy that refuses.
    trail.stage = "retry";
    // The answer of a minute ago is given again where it would be the same one now: what an identity's claims bind, and
    // the policy in force, count for it too.
    let retry = retry.map(|key| key.granting(&granted)).transpose()?;
    if let Some(key) = retry
        && let Some(kept) = key.kept(broker, context.decision.at).await?
    {
        proof::use_up(broker, proof.as_ref(), &principal)?;
        return repeat(broker, kept, &granted.grants, replay.take(), trail, context).await;
    }
    trail.stage = "target";
    let asked = request.asked.iter().map(|asked| &asked.operation.tool);
    let audiences = targets(asked, &request.resources, &policy, &granted.rights)?;
    trail.stage = "limits";
    within_rates(broker, &principal, &granted.rates)?;
    let used = replay.take();
    let issued = Issue {
        terms: terms(&request, &identity, &principal, proof.as_ref()),
        principal: &principal,
        holder: proof.as_ref().map(Proof::thumbprint),
        granted: granted.clone(),
        calls: request.calls.clone(),
        policy: &policy,
        version,
        audiences: &audiences,
        redeem: None,
        retry,
        replay: used.clone(),
        proof: proof.as_ref(),
    };
    match issue(broker, issued, trail, context).await {
        Ok(answer) => Ok(answer),
        Err(Unissued::Refused(refusal)) => {
            *replay = used;
            Err(refusal)
        }
        // The same request, sent twice at once: the other one was first.
        Err(Unissued::Unrecorded(RecordError::Repeated)) => match again(broker, retry, context).await? {
            Some(kept) => repeat(broker, kept, &granted.grants, used, trail, context).await,
            None => Err(RecordError::Repeated.into()),
        },
        Err(Unissued::Unrecorded(
            error @ (RecordError::Replayed | RecordError::Pinned | RecordError::Outdated),
        )) => Err(unproved(broker, error.into(), request.grant_type, context)),
        Err(Unissued::Unrecorded(error)) => Err(error.into()),
    }
}

// The key under which an answer is kept, where it can be.
fn chosen<'s>(sent: &Asked<'s>, request: &Request) -> Result<Option<&'s str>, Refusal> {
    let refused = |why: &str| Refusal::new(Reason::RequestMalformed, why);
    let chosen = sent.idempotency_key.map_err(refused)?;
    match chosen {
        Some(_) if request.subject == Subject::Token => {
            Err(refused("Idempotency-Key is not served where a token is passed on; each proof is new anyway"))
        }
        Some(_) if request.calls.len() > 1 => {
            Err(refused("Idempotency-Key is not served for a plan of calls, whose answer is not kept"))
        }
        chosen => Ok(chosen),
    }
}

// Whether each exact call lies inside of what is granted.
pub(super) fn admitted(
    request: &Request,
    policy: &Policy,
    trail: &Trail,
    granted: &Granted,
) -> Result<(), Refusal> {
    let Some(known) = trail.known().filter(|_| !request.calls.is_empty()) else { return Ok(()) };
    let asking = Asking::from(known.input().clone());
    let call = |exact: &Exact| Call { verb: exact.operation.clone(), args: exact.args.clone() };
    let calls: Vec<Call> = request.calls.iter().map(call).collect();
    let inside = asking.grants(policy, granted, &calls);
    inside.map_err(|(reason, detail)| Refusal::new(reason, detail))
}

fn terms(request: &Request, identity: &Verified, principal: &Principal, proof: Option<&Proof>) -> Terms {
    let operator = matches!(principal, Principal::Operator(_));
    Terms {
        intent: request.intent.clone(),
        task: request.task.clone(),
        release: request.release.clone(),
        delegation: request.delegation,
        approval: None,
        marks: if operator { marks(identity, proof) } else { Vec::new() },
    }
}

// The policy in force; where it cannot be used, what is left of it for operators who press the switch.
fn under(broker: &Broker, request: &Request) -> Result<Ruling, Refusal> {
    let switch = request.subject != Subject::Token
        && !request.asked.is_empty()
        && request.asked.iter().all(|asked| builtin::is_switch(&asked.operation));
    let left = || broker.policy.switch_only().filter(|_| switch).map(|policy| Ruling { version: 0, policy });
    broker
        .policy
        .ruling()
        .or_else(left)
        .ok_or_else(|| Refusal::plain(Reason::PolicyMissing).after(Duration::from_secs(5)))
}

async fn again(broker: &Broker, retry: Option<RetryKey>, context: &Context) -> Result<Option<Kept>, Refusal> {
    match retry {
        Some(key) => key.kept(broker, context.decision.at).await,
        None => Ok(None),
    }
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
    trail.proved(&identity, &principal, Known::of(request, &identity, &principal, policy));
    Ok((identity, principal))
}

// Whom the policy in force takes for a workflow, the policy that is tried on it must take for the same.
async fn known_to(
    broker: &Broker,
    request: &Request,
    tried: &Policy,
    principal: &Principal,
    context: &Context,
    trail: &mut Trail,
) -> Result<Verified, Refusal> {
    trail.under(tried);
    let (identity, found) = identify(broker, request, tried, context, trail).await?;
    if found == *principal {
        return Ok(identity);
    }
    trail.proved(&identity, principal, Known::of(request, &identity, principal, tried));
    Err(Refusal::plain(Reason::IdentityUnmatched).because("the policy that is tried takes it for another"))
}

/// A refused identity counts against the address; an issuer that is down is not the client's failure.
pub(crate) fn unproved(
    broker: &Broker,
    refusal: Refusal,
    grant_type: GrantType,
    context: &Context,
) -> Refusal {
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
) -> Result<Granted, policy::Refusal> {
    // A registered key signs its own claims: no constraint is bound to them.
    let none = serde_json::Map::new();
    let claims = if identity.key_thumbprint.is_some() { &none } else { &identity.claims };
    let asked = policy::Request {
        principal,
        claims,
        intent: request.intent.as_ref(),
        asked: &request.asked,
        ttl: request.ttl,
        possession: proof::possession(identity, proof),
    };
    decide(policy, &asked)
}

pub(super) fn within_rates(
    broker: &Broker,
    principal: &Principal,
    rates: &[(String, Rate)],
) -> Result<(), Refusal> {
    let who = principal.to_string();
    for (grant, rate) in rates {
        if let Err(limited) = broker.limits.grant(&who, grant, *rate) {
            let detail = format!("the rate of {grant} in the policy is used up");
            return Err(Refusal::new(Reason::RateLimited, detail).after(limited.0));
        }
    }
    Ok(())
}
