//! What an instance signs: read, checked, and taken once.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use shortbread_protocol::jws::{self, JwsError};
use shortbread_protocol::names::{ToolName, VerifierName};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{
    GOODBYE_TYPE, Goodbye, MAX_MESSAGE, Message, REPORT_TYPE, Report, ReportAnswer,
};

use super::observe::statement;
use crate::broker::Broker;
use crate::exchange::{Context, GrantType, Refusal, unproved};
use crate::instances::{HearError, Now, Said};
use crate::notices::Notice;
use crate::telemetry;

/// How far the clock of an instance may differ from the broker's, the message's way included, in seconds.
const MAX_SKEW: u64 = 60;

/// The largest number of a message: the largest integer that every reader of JSON keeps as it is.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// How fast one instance may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Reports and goodbyes: 10 at once, then 4 in a second.
    Report,
    /// Batches of call decisions: 64 at once, then 32 in a second.
    Batch,
}

/// A message whose instance signed it for this broker, now.
#[derive(Clone, Debug)]
pub struct Spoken<T> {
    /// The instance.
    pub instance: Arc<str>,
    /// The verifier that it is an instance of.
    pub verifier: VerifierName,
    /// The tools whose calls it decides, by the policy in force.
    pub tools: Arc<[ToolName]>,
    /// Its number, which rises from message to message; whether it does is not checked yet.
    pub n: u64,
    /// What it says.
    pub said: T,
}

/// Reads a signed message of this `typ`. Nothing costs more than a look-up before the sender is known, and nothing is
/// believed before the signature is checked.
///
/// # Errors
/// When it is no such message, its instance has no lease or no place in the policy any more, another key signed it, it
/// is meant for another broker or was signed long ago, or there are too many.
pub fn hear<T: DeserializeOwned>(
    broker: &Broker,
    body: &[u8],
    kind: &str,
    pace: Pace,
    context: &Context,
) -> Result<Spoken<T>, Refusal> {
    let malformed = |detail: &str| Refusal::new(Reason::RequestMalformed, detail);
    let limited = |limited: crate::limits::Limited| Refusal::plain(Reason::RateLimited).after(limited.0);
    broker.limits.messages(context.address).map_err(limited)?;
    if body.len() > MAX_MESSAGE {
        return Err(malformed("a message has at most 64 KiB"));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("the message is not ASCII"))?;
    let form = || malformed(&format!("this is no signed message of type {kind}"));
    let instance = jws::key_id(text, kind).ok_or_else(form)?;
    let policy = broker.policy.in_force().ok_or_else(|| Refusal::plain(Reason::PolicyMissing))?;
    let unknown = || Refusal::plain(Reason::InstanceUnknown);
    let speaker = broker.instances.speaker(&instance, &policy).ok_or_else(unknown)?;
    broker.limits.instance(&speaker.instance, context.address, pace == Pace::Batch).map_err(limited)?;
    let message: Message<T> =
        jws::open(text, kind, &instance, &speaker.key).map_err(|error| match error {
            JwsError::Form => form(),
            JwsError::Signature => refused(broker, context, "the signature of the message does not fit"),
            JwsError::Payload(error) => {
                // An unknown member is named, and may be long.
                malformed(&error.to_string().chars().take(200).collect::<String>())
            }
        })?;
    if message.aud != broker.issuer {
        return Err(refused(broker, context, "the message is meant for another broker (aud)"));
    }
    let now = broker.clock.now().seconds();
    if now.abs_diff(message.iat) > MAX_SKEW {
        let detail = "the message was not signed within the last 60 seconds (iat); check the clocks";
        return Err(refused(broker, context, detail));
    }
    if message.n > MAX_NUMBER {
        return Err(malformed("n is above 2^53 - 1"));
    }
    let (verifier, tools) = (speaker.verifier, speaker.tools);
    Ok(Spoken { instance: speaker.instance, verifier, tools, n: message.n, said: message.said })
}

/// Takes the report of an instance.
///
/// # Errors
/// As [`hear`]; and when the same or a later message was taken before, or it claims what this broker never published.
pub fn report(broker: &Broker, body: &[u8], context: &Context) -> Result<ReportAnswer, Refusal> {
    let spoken: Spoken<Report> = hear(broker, body, REPORT_TYPE, Pace::Report, context)?;
    let contents = broker.store.mirror().changed_seq();
    let mut said = spoken.said.clone();
    if said.contents > contents || said.seq > broker.store.seq() {
        // It refuses every list of this broker: what it enforces is not what is revoked here.
        tracing::warn!(
            verifier = spoken.verifier.as_str(),
            instance = &*spoken.instance,
            seq = said.seq,
            contents = said.contents,
            "a verifier has a newer revocation list than this broker ever signed; was the store put back?"
        );
        let detail = "the report names a list that this broker never signed";
        return Err(Refusal::new(Reason::RequestMalformed, detail));
    }
    if said.keys_version > MAX_NUMBER {
        return Err(Refusal::new(Reason::RequestMalformed, "keys_version is above 2^53 - 1"));
    }
    // Of others' tools it says nothing.
    said.observing.retain(|tool| spoken.tools.contains(tool));
    said.observing.sort_unstable();
    said.observing.dedup();
    take(broker, &spoken, Said::Report(said))?;
    let policy = broker.policy.in_force();
    let observe = policy.and_then(|policy| {
        statement(broker, &policy, &spoken.verifier, &spoken.instance, &spoken.tools, spoken.n)
    });
    Ok(ReportAnswer { contents, observe })
}

/// Takes the goodbye of an instance: it is gone, not silent.
///
/// # Errors
/// As [`hear`]; and when the same or a later message was taken before.
pub fn goodbye(broker: &Broker, body: &[u8], context: &Context) -> Result<ReportAnswer, Refusal> {
    let spoken: Spoken<Goodbye> = hear(broker, body, GOODBYE_TYPE, Pace::Report, context)?;
    take(broker, &spoken, Said::Goodbye)?;
    Ok(ReportAnswer { contents: broker.store.mirror().changed_seq(), observe: None })
}

fn take<T>(broker: &Broker, spoken: &Spoken<T>, said: Said) -> Result<(), Refusal> {
    let heard = broker.instances.hear(&spoken.instance, spoken.n, said, Now::of(&*broker.clock));
    let heard = heard.map_err(|error| match error {
        HearError::Unknown => Refusal::plain(Reason::InstanceUnknown),
        HearError::Replayed => Refusal::plain(Reason::MessageReplayed),
    })?;
    if let Some(propagation) = heard.propagation {
        telemetry::propagated(propagation);
    }
    if let Some(seq) = heard.back {
        let (verifier, instance) = (spoken.verifier.clone(), spoken.instance.to_string());
        broker.notices.tell(&Notice::VerifierBack { verifier, instance, seq });
    }
    Ok(())
}

fn refused(broker: &Broker, context: &Context, detail: &str) -> Refusal {
    let refusal = Refusal::new(Reason::IdentityInvalid, detail);
    unproved(broker, refusal, GrantType::ClientCredentials, context)
}
