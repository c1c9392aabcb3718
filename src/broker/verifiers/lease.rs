//! An instance begins: the verifier proves who it is and names the key that the instance will sign with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shortbread_protocol::event::EventType;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{LeaseAnswer, LeaseBody, REPORT_EVERY, SILENT_AFTER};

use super::observe::statement;
use crate::audit::{Counted, range};
use crate::broker::Broker;
use crate::exchange::{Context, GrantType, Refusal, unproved};
use crate::identity::Verified;
use crate::instances::{LeaseError, Now, fingerprint};
use crate::policy::Policy;
use crate::policy::model::Principal;
use crate::store::{Lease, NewLease, RecordError, Replay};

/// The longest label, in characters.
const MAX_LABEL: usize = 64;

/// Gives an instance of a registered verifier its lease. It is recorded before it is answered.
///
/// # Errors
/// When the body says nothing sound, the identity is no verifier's, as many instances run as may, or the store fails.
pub async fn lease(broker: &Broker, body: &LeaseBody, context: &Context) -> Result<LeaseAnswer, Refusal> {
    match run(broker, body, context).await {
        Ok(answer) => Ok(answer),
        Err(refusal) => Err(record_refusal(broker, context, refusal).await),
    }
}

async fn run(broker: &Broker, body: &LeaseBody, context: &Context) -> Result<LeaseAnswer, Refusal> {
    let limited = broker.limits.exchange(context.address);
    limited.map_err(|limited| Refusal::plain(Reason::RateLimited).after(limited.0))?;
    let key = key(&body.key)?;
    let label = body.label.as_deref().map(label).transpose()?;
    let policy = broker.policy.in_force().ok_or_else(|| Refusal::plain(Reason::PolicyMissing))?;
    let checked = broker.identities.verify(&body.assertion, policy.identities()).await;
    let refused = |error: Refusal| unproved(broker, error, GrantType::ClientCredentials, context);
    let identity = checked.map_err(|error| refused(error.into()))?;
    let now = Now::of(&*broker.clock);
    let mut lease = found(&identity, &policy)?;
    (lease.instance, lease.key, lease.label, lease.since) =
        (key.thumbprint(), *key.as_bytes(), label, now.wall);
    let room = broker.instances.room(&lease, now).map_err(|error| match error {
        LeaseError::OthersKey => Refusal::new(Reason::RequestMalformed, error.to_string()),
        LeaseError::Full => Refusal::new(Reason::Overloaded, error.to_string())
            .after(std::time::Duration::from_secs(SILENT_AFTER)),
    })?;
    let new = NewLease {
        replay: Some(replay(&identity, &lease.instance)),
        audit: broker.scribe.entry(
            EventType::VerifierLeased,
            &context.decision,
            subject(&lease),
            said(&lease),
        ),
        evicted: room.evicted.clone(),
        progress: room.progress,
        lease: lease.clone(),
    };
    broker.store.record_lease(new).await.map_err(|error| match error {
        RecordError::Replayed | RecordError::Pinned | RecordError::Outdated => refused(error.into()),
        error => error.into(),
    })?;
    broker.instances.admit(lease.clone(), key, room, now);
    let observe = statement(broker, &policy, &lease.verifier, &lease.instance, &lease.tools, 0);
    Ok(LeaseAnswer {
        observe,
        instance: lease.instance,
        verifier: lease.verifier,
        tools: lease.tools,
        report_every: REPORT_EVERY,
        silent_after: SILENT_AFTER,
    })
}

// Who the identity is, in the form of a lease whose instance is still to be named.
fn found(identity: &Verified, policy: &Policy) -> Result<Lease, Refusal> {
    let [Principal::Verifier(verifier)] = identity.principals.as_slice() else {
        return Err(Refusal::new(Reason::IdentityUnmatched, "only a registered verifier may take a lease"));
    };
    let entry = policy.identities().iter().find(|entry| entry.entry == identity.entry);
    let proof = entry.map(fingerprint).ok_or_else(|| Refusal::plain(Reason::Internal))?;
    Ok(Lease {
        instance: String::new(),
        key: [0; 32],
        verifier: verifier.clone(),
        proof,
        tools: identity.tools.clone(),
        label: None,
        since: shortbread_protocol::clock::Timestamp::default(),
    })
}

// What a platform hands out again and again is good for the instance that presented it first, whose key alone gains by
// it; everything else is used up.
fn replay(identity: &Verified, instance: &str) -> Replay {
    Replay {
        hash: identity.replay.hash,
        keep_until: identity.replay.keep_until.seconds(),
        made: identity.replay.made.seconds(),
        holder: identity.reuse.then(|| instance.to_owned()),
    }
}

fn key(text: &str) -> Result<PublicKey, Refusal> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    bytes.and_then(|bytes| PublicKey::from_bytes(&bytes).ok()).ok_or_else(|| {
        Refusal::new(Reason::RequestMalformed, "key: not an Ed25519 public key of 32 bytes in base64url")
    })
}

fn label(text: &str) -> Result<String, Refusal> {
    let sound = (1..=MAX_LABEL).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if sound {
        return Ok(text.to_owned());
    }
    Err(Refusal::new(
        Reason::RequestMalformed,
        "label: write 1 to 64 printable ASCII characters, or leave it out",
    ))
}

fn subject(lease: &Lease) -> String {
    format!("verifier/{}", lease.verifier)
}

fn said(lease: &Lease) -> serde_json::Value {
    json!({
        "outcome": "allow", "verifier": lease.verifier, "instance": lease.instance, "label": lease.label,
        "tools": lease.tools, "stage": "lease", "error_class": null,
    })
}

// Nobody who is refused here is known, so that they are counted like all strangers.
async fn record_refusal(broker: &Broker, context: &Context, refusal: Refusal) -> Refusal {
    let now = broker.clock.monotonic();
    let Counted::Write(count) = broker.strangers.count(context.address, refusal.reason, now) else {
        return refusal;
    };
    let data = json!({
        "outcome": "deny", "reasons": [refusal.reason.code()], "cause": refusal.cause, "count": count,
        "from": range(context.address).to_string(), "stage": "lease", "error_class": refusal.error_class(),
    });
    let audit = broker.scribe.entry(EventType::VerifierLeased, &context.decision, "unknown".to_owned(), data);
    match broker.store.record_denial(None, audit).await {
        Ok(_) => refusal,
        Err(error) => error.into(),
    }
}
