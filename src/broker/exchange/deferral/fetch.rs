//! The client asks for the answer of a request that waited, or takes the request back. The code alone is no credential:
//! the key that the request was bound to has to be proved each time, and the client's identity where it had to be then.

use std::time::Duration;

use serde_json::json;
use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::event::EventType;
use shortbread_protocol::oauth::{CLIENT_ASSERTION, TokenAnswer};
use shortbread_protocol::reason::Reason;

use super::ask::left;
use super::client::client;
use super::redeem::{Looked, look};
use crate::approval::{Code, CodeKey, TooSoon, Turn, Wait};
use crate::broker::Broker;
use crate::exchange::entry::{moment, record_refusal};
use crate::exchange::flow::{Asked, Context, Sent, unproved};
use crate::exchange::form::{Form, malformed};
use crate::exchange::record::Trail;
use crate::exchange::refusal::{Refusal, Waiting};
use crate::exchange::request::GrantType;
use crate::exchange::retry::{RetryKey, repeat};
use crate::exchange::{is_operators, proof};
use crate::policy::model::Principal;
use crate::store::{ApprovalError, CloseApproval, RecordError, Replay};

/// The longest that a client is kept waiting in one attempt.
pub const LONGEST: Duration = Duration::from_secs(55);

/// How long a client is kept waiting at least: a clock that stands still must not make it spin.
const SHORTEST: Duration = Duration::from_millis(10);

/// What an attempt says; anything else would be asking for something else.
const SERVED: [&str; 5] =
    ["grant_type", "deferral_code", "client_assertion", "client_assertion_type", "client_id"];

/// What a request says that no attempt may: what was asked for stands.
const ASKED: [&str; 14] = [
    "scope",
    "authorization_details",
    "subject_token",
    "subject_token_type",
    "assertion",
    "actor_token",
    "requested_token_type",
    "intent",
    "task",
    "ttl",
    "release",
    "delegation",
    "completion_mode",
    "resource",
];

/// A client that proved to be the one who asked.
struct Attempt {
    wait: Wait,
    principal: Principal,
}

/// Answers a client that asks again: with the token once it is approved, once.
///
/// # Errors
/// `authorization_pending` while it waits, `slow_down` when it asks too often, and why there is nothing to fetch.
pub(in crate::exchange) async fn fetch(
    broker: &Broker,
    form: &Form,
    sent: &Sent<'_>,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    let mut attempt = opened(broker, (form, proof::TOKEN), &sent.asked, trail, context).await?;
    let id = attempt.wait.record.id.clone();
    let retry = retry(&sent.asked, &attempt.wait)?;
    if let Some(key) = retry
        && attempt.wait.record.state == ApprovalState::Redeemed
        && let Some(kept) = key.kept(broker, context.decision.at).await?
    {
        // The answer was lost on its way.
        return repeat(broker, kept, &[], None, trail, context).await;
    }
    if !attempt.wait.record.state.is_open() {
        // There is nothing to wait for, nor to slow down.
        look(broker, &attempt.wait, &attempt.principal, retry, trail, context).await?;
    }
    let turn = broker.polls.begin(&id, broker.clock.monotonic()).map_err(|soon| too_soon(&id, soon))?;
    let patience = sent.asked.wait.min(LONGEST).min(left(&attempt.wait.record, broker.clock.now()));
    let over = tokio::time::sleep(patience.max(SHORTEST));
    tokio::pin!(over);
    let mut done = sent.asked.wait.is_zero();
    loop {
        // Before it is looked at, so that what happens meanwhile is not missed.
        let woken = turn.wake.notified();
        tokio::pin!(woken);
        woken.as_mut().enable();
        let waits = match look(broker, &attempt.wait, &attempt.principal, retry, trail, context).await? {
            Looked { token: Some(token), .. } => return Ok(*token),
            Looked { waits, .. } => waits.ok_or_else(|| Refusal::plain(Reason::Internal))?,
        };
        if done {
            return Err(with_interval(waits, &turn));
        }
        sent.place.leave(patience);
        tokio::select! {
            // A vote that does not decide it is no end of the waiting.
            () = woken => {}
            () = sent.place.stops() => done = true,
            () = &mut over => done = true,
        }
        if !sent.place.take_again() {
            return Err(with_interval(waits, &turn));
        }
        attempt.wait = load(broker, &id).await?;
    }
}

// What the answer is kept under for a minute, so that a lost one can be had again.
fn retry(asked: &Asked<'_>, wait: &Wait) -> Result<Option<RetryKey>, Refusal> {
    let Some(chosen) = asked.idempotency_key.map_err(malformed)? else { return Ok(None) };
    if wait.shown.calls.len() > 1 {
        return Err(malformed("Idempotency-Key is not served for a plan of calls, whose answer is not kept"));
    }
    RetryKey::of_fetch(chosen, &wait.record.id, &wait.shown.holder).map(Some)
}

fn with_interval(waits: Refusal, turn: &Turn) -> Refusal {
    let waiting = waits.waiting.as_deref().cloned().unwrap_or_default();
    waits.waiting(Waiting { interval: Some(turn.interval.as_secs()), ..waiting })
}

fn too_soon(id: &str, soon: TooSoon) -> Refusal {
    let interval = soon.interval.as_secs();
    let detail = format!(
        "ask again after {interval} seconds, or send `Prefer: wait=55` to be answered once it is decided"
    );
    let (approval_id, interval) = (id.to_owned(), Some(interval));
    Refusal::new(Reason::PollTooSoon, detail)
        .waiting(Waiting { approval_id, interval, ..Waiting::default() })
        .after(soon.interval)
}

// Whose request it is. Whatever does not fit has one answer, so that nobody learns which codes there are.
async fn opened(
    broker: &Broker,
    (form, path): (&Form, &str),
    sent: &Asked<'_>,
    trail: &mut Trail,
    context: &Context,
) -> Result<Attempt, Refusal> {
    if let Some(other) = ASKED.iter().find(|name| form.one(name).is_some()) {
        let detail = format!("{other} does not go with this request, which says {}", SERVED.join(", "));
        return Err(malformed(detail));
    }
    if !form.resources().is_empty() {
        return Err(malformed("resource does not go with this request: what was asked for stands"));
    }
    let key = CodeKey(&broker.store.meta().hmac_secret);
    let code = Code::read(form.need("deferral_code")?, &key);
    let shown = proof::read(sent.dpop)?;
    trail.shown = shown.is_some();
    trail.stage = "proof";
    let shown = shown.ok_or_else(|| {
        Refusal::new(Reason::ProofRequired, "prove the key that the request was bound to: send a DPoP proof")
    })?;
    let unknown =
        || unproved(broker, Refusal::plain(Reason::DeferralUnknown), GrantType::TokenExchange, context);
    let code = code.ok_or_else(unknown)?;
    let wait = load(broker, &code.id).await.map_err(|refusal| match refusal.reason {
        Reason::DeferralUnknown => unknown(),
        _ => refusal,
    })?;
    let proof = proof::at(broker, path, shown, None, None)?;
    let principal = wait.record.principal.parse::<Principal>();
    let principal = principal.map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
    if proof.thumbprint() != wait.shown.holder {
        return Err(unknown().because("another key"));
    }
    trail.stage = "identity";
    authenticated(broker, form, &wait, &principal, &proof, context).await?;
    proof::use_up(broker, Some(&proof), &principal)?;
    trail.resumes(&wait, &principal);
    Ok(Attempt { wait, principal })
}

async fn load(broker: &Broker, id: &str) -> Result<Wait, Refusal> {
    let stored = broker.store.approval(id).await?;
    let stored = stored.ok_or_else(|| Refusal::plain(Reason::DeferralUnknown))?;
    Wait::read(stored).map_err(|error| Refusal::plain(Reason::Internal).because(error))
}

// The identity that asked, where the client authenticated then, or does now. What it shows is used up.
async fn authenticated(
    broker: &Broker,
    form: &Form,
    wait: &Wait,
    principal: &Principal,
    proof: &Proof,
    context: &Context,
) -> Result<(), Refusal> {
    let Some(assertion) = form.one("client_assertion") else {
        if wait.requested.authenticates {
            let detail =
                "the request authenticated its client: send client_assertion and client_assertion_type too";
            return Err(malformed(detail));
        }
        return Ok(());
    };
    form.is_one_of("client_assertion_type", &[CLIENT_ASSERTION])?;
    let refused = |refusal: Refusal| unproved(broker, refusal, GrantType::ClientCredentials, context);
    let policy = broker.policy.ruling().ok_or_else(|| Refusal::plain(Reason::PolicyMissing))?.policy;
    let identity = broker.identities.verify(assertion, policy.identities()).await;
    let identity = identity.map_err(|error| refused(error.into()))?;
    if !identity.principals.contains(principal) || client(&identity, principal) != wait.requested.client {
        return Err(refused(Refusal::plain(Reason::DeferralUnknown).because("another client")));
    }
    let replay = &identity.replay;
    let (keep_until, made) = (replay.keep_until.seconds(), replay.made.seconds());
    let holder = identity.reuse.then(|| proof.thumbprint().to_owned());
    let used = Replay { hash: replay.hash, keep_until, made, holder };
    broker.store.use_assertion(used).await.map_err(|error| refused(error.into()))
}

/// Takes a request back: it is closed, and its approval with it. What was fetched stays.
///
/// # Errors
/// When the client is not the one who asked, or there is nothing left to take back.
pub async fn cancel(broker: &Broker, sent: &Asked<'_>, context: &Context) -> Result<(), Refusal> {
    let mut trail = Trail::default();
    trail.stage = "limits";
    match cancelled(broker, sent, &mut trail, context).await {
        Ok(()) => Ok(()),
        Err(refusal) => Err(record_refusal(broker, context, &mut trail, None, refusal).await),
    }
}

async fn cancelled(
    broker: &Broker,
    sent: &Asked<'_>,
    trail: &mut Trail,
    context: &Context,
) -> Result<(), Refusal> {
    if let Err(limited) = broker.limits.exchange(context.address)
        && !is_operators(broker, sent)
    {
        return Err(Refusal::plain(Reason::RateLimited).after(limited.0));
    }
    trail.stage = "request";
    let form = Form::read(sent.body)?;
    let Attempt { wait, .. } = opened(broker, (&form, proof::CANCEL), sent, trail, context).await?;
    trail.stage = "approval";
    let own = json!({ "outcome": "cancelled", "verbs": wait.shown.operations() });
    let data = trail.about(own, moment(broker, context));
    let audit = broker.scribe.entry(EventType::ApprovalCancelled, &context.decision, trail.subject(), data);
    let close = CloseApproval {
        id: wait.record.id.clone(),
        state: ApprovalState::Cancelled,
        at: context.decision.at,
        digest: None,
        outcome: b"{}".to_vec(),
        audit,
    };
    broker.store.close_approval(close).await.map_err(|error| match error {
        ApprovalError::Closed | ApprovalError::Changed => Refusal::plain(Reason::DeferralUnknown),
        ApprovalError::BudgetSpent(spent) => RecordError::from(spent).into(),
        ApprovalError::Store(error) => error.into(),
    })?;
    broker.polls.forget(&wait.record.id);
    Ok(())
}
