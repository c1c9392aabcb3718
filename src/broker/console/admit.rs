//! Whether a session may do something now: what it rests on is not revoked, and the policy in force grants it.

use serde_json::json;
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::{Intent, Operation, ToolName};
use shortbread_protocol::reason::Reason;

use crate::audit::Counted;
use crate::broker::Broker;
use crate::exchange::{Bearer, Context, revoked, standing};
use crate::policy::model::Principal;
use crate::policy::{Policy, builtin};
use crate::revoke::Caller;
use crate::sessions::{Means, Session, SignIn};
use crate::store::StoreError;

/// Whether what a sign-in rests on still stands, whatever its holder may do.
///
/// # Errors
/// What of it is revoked, or that the policy knows its operator no more.
pub(super) fn stands(broker: &Broker, who: &SignIn) -> Result<(), Reason> {
    // As for the switch, which nobody can lock operators out of: so they come as far as a page that says what is revoked.
    reached(broker, who, &operation("revocations.read")?)?;
    let policy = ruling(broker).ok_or(Reason::PolicyMissing)?;
    // A stop of what was issued so far locks nobody out: whoever it reaches signs in anew.
    let everything = broker.store.mirror().everything();
    if everything < FOREVER && who.at.seconds() < everything {
        return Err(Reason::RevokedAll);
    }
    // Whoever's key or group was taken out of the policy is out, whatever else proves them.
    let entries = policy.proofs_of(&who.operator);
    let proved = entries.iter().any(|entry| who.proofs.contains(&entry.line));
    // Of a policy that cannot be used no entry of a provider is left, and the switch has to be.
    let left = who.means == Means::Oidc && broker.policy.in_force().is_none() && !entries.is_empty();
    if proved || left { Ok(()) } else { Err(Reason::NotPermitted) }
}

/// Whether an operator may use a verb of the built-in tool in this moment.
///
/// # Errors
/// Why not.
pub(super) fn may(broker: &Broker, who: &SignIn, verb: &str) -> Result<(), Reason> {
    let operation = operation(verb)?;
    reached(broker, who, &operation)?;
    let lets = |policy: Policy| policy.lets(&who.operator, &operation, &Intent::undeclared());
    let granted = match broker.policy.in_force() {
        Some(policy) => lets(policy),
        // Of a policy that cannot be used the switch is left.
        None => builtin::is_switch(&operation) && broker.policy.switch_only().is_some_and(lets),
    };
    if granted { Ok(()) } else { Err(Reason::NotPermitted) }
}

fn ruling(broker: &Broker) -> Option<Policy> {
    broker.policy.in_force().or_else(|| broker.policy.switch_only())
}

fn operation(verb: &str) -> Result<Operation, Reason> {
    let verb = verb.parse().map_err(|_| Reason::NotPermitted)?;
    Ok(Operation { tool: ToolName::shortbread(), verb })
}

// As if the sign-in were a token that bears this verb.
fn reached(broker: &Broker, who: &SignIn, operation: &Operation) -> Result<(), Reason> {
    let (principal, intent) = (Principal::Operator(who.operator.clone()), Intent::undeclared());
    let bearer = Bearer {
        issuer: &broker.issuer,
        key: who.key.as_deref().unwrap_or_default(),
        principal: &principal,
        intent: &intent,
        task: None,
        token: who.token.as_deref(),
        holder: who.holder.as_deref(),
        approval: None,
    };
    let verb = (operation, access(operation.verb.as_str()));
    let standing = standing(&bearer, Some(verb), who.at.seconds());
    broker.store.mirror().standing(&standing).map_err(revoked)
}

fn access(verb: &str) -> Access {
    let known = builtin::VERBS.into_iter().find(|(name, _)| *name == verb);
    known.map_or(Access::Privileged, |(_, access)| access)
}

/// Who acts, as the flows want it.
pub(super) fn caller(session: &Session) -> Caller {
    let SignIn { operator, token, holder, marks, .. } = session.who.clone();
    Caller { operator, token, holder, marks, session: Some(session.id.clone()) }
}

/// Records that an operator was refused, as often as the admin API records it.
///
/// # Errors
/// When the store fails.
pub(super) async fn record(
    broker: &Broker,
    context: &Context,
    who: &SignIn,
    verb: &str,
    reason: Reason,
) -> Result<(), StoreError> {
    let now = broker.clock.monotonic();
    let Counted::Write(count) = broker.strangers.count(context.address, reason, now) else { return Ok(()) };
    let operator = who.operator.as_str();
    let latency = now.saturating_sub(context.begun).as_micros();
    let data = json!({
        "outcome": "deny", "reasons": [reason.code()], "detail": reason.meaning(), "workflow": operator,
        "token": who.token, "holder": who.holder, "requested": [format!("shortbread/{verb}")], "granted": [],
        "policy": broker.policy.in_force().map(|policy| policy.digest().to_owned()),
        "revocation_seq": broker.store.mirror().changed_seq(), "approval": null,
        "segment": builtin::segment(operator, verb), "count": count, "stage": "console",
        "error_class": "refusal", "latency_us": u64::try_from(latency).unwrap_or(u64::MAX), "degraded": null,
    });
    let entry =
        broker.scribe.entry(EventType::Decision, &context.decision, format!("operator/{operator}"), data);
    broker.store.record_denial(None, entry).await.map(drop)
}
