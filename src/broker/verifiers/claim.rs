//! The one use of a token, claimed by the verifier of its tool for one attempt at the call.

use serde_json::{Value, json};
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::Operation;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{CLAIM_TYPE, Claim, ClaimAnswer};

use super::message::{Pace, Spoken, hear};
use crate::broker::Broker;
use crate::exchange::{Context, Refusal, revoked};
use crate::store::{ClaimUse, Claimed, ClaimedOf};

/// Lets a call run, once. What comes of a claim is recorded before it is answered.
///
/// # Errors
/// As for every message of an instance; when the use is another attempt's, the token is not good for the call, of another
/// tool, over or revoked; or the store fails.
pub async fn claim(broker: &Broker, body: &[u8], context: &Context) -> Result<ClaimAnswer, Refusal> {
    let sent: Spoken<Claim> = hear(broker, body, CLAIM_TYPE, Pace::Batch, context)?;
    let claim = wanted(&sent, broker)?;
    let (scribe, decision, policy) =
        (broker.scribe.clone(), context.decision.clone(), broker.policy.in_force());
    let (said, verifier, instance) = (sent.said.clone(), sent.verifier.clone(), sent.instance.to_string());
    let audit = move |claimed: Claimed, ClaimedOf { of, body }: &ClaimedOf| {
        let operation = Operation { tool: said.tool.clone(), verb: said.verb.clone() };
        let access = policy.and_then(|policy| Some(policy.catalogue().verb(&operation)?.access));
        let segment = of.segment(said.tool.as_str(), access);
        let refused = reason(claimed);
        let data = json!({
            "outcome": if refused.is_none() { "allow" } else { "deny" }, "reasons": refused.map(Reason::code),
            "token": said.token, "attempt": said.attempt, "tool": said.tool, "verb": said.verb,
            "args_sha256": said.args_sha256, "verifier": verifier, "instance": instance, "workflow": segment.workflow,
            "approval": approval(body), "segment": segment, "stage": "use", "error_class": null,
        });
        scribe.entry(EventType::CallClaimed, &decision, of.subject(), data)
    };
    let claimed = broker.store.claim_use(claim, audit).await?;
    match reason(claimed) {
        None => Ok(ClaimAnswer { again: claimed == Claimed::Again }),
        Some(reason) => Err(Refusal::plain(reason)),
    }
}

fn wanted(sent: &Spoken<Claim>, broker: &Broker) -> Result<ClaimUse, Refusal> {
    let malformed = |detail: &str| Refusal::new(Reason::RequestMalformed, detail);
    let Claim { token, attempt, tool, verb, args_sha256 } = &sent.said;
    let hex_of = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex_of(attempt, 32) {
        return Err(malformed("attempt: 32 hex digits that name the attempt"));
    }
    if !sent.tools.contains(tool) {
        // As for a token that is not good for the call: of others' tools a verifier learns nothing.
        return Err(Refusal::plain(Reason::AlreadyUsed));
    }
    let args_sha256 = args_sha256.as_deref().map(|text| {
        let hash = hex::decode(text).ok().and_then(|hash| hash.try_into().ok());
        hash.ok_or_else(|| malformed("args_sha256: 64 hex digits"))
    });
    Ok(ClaimUse {
        token: token.clone(),
        tool: tool.clone(),
        verb: verb.clone(),
        args_sha256: args_sha256.transpose()?,
        attempt: attempt.to_ascii_lowercase(),
        verifier: sent.verifier.to_string(),
        instance: sent.instance.to_string(),
        at: broker.clock.now(),
    })
}

fn reason(claimed: Claimed) -> Option<Reason> {
    match claimed {
        Claimed::Won | Claimed::Again => None,
        Claimed::Used | Claimed::Unfit => Some(Reason::AlreadyUsed),
        Claimed::Revoked(what) => Some(revoked(what)),
    }
}

fn approval(body: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(body).ok()?.get("approval").cloned()
}
