//! The admin API: every route wants an operator's token for the built-in tool and a proof of the key that it is bound
//! to, checked by the broker's own verifier.

pub(super) mod approvals;
pub(super) mod audit;
pub(super) mod console;
pub(super) mod export;
pub(super) mod health;
pub(super) mod inputs;
pub(super) mod keys;
pub(super) mod notices;
pub(super) mod policy;
mod proof;
pub(super) mod report;
pub(super) mod revocations;
pub(super) mod verifiers;
pub(super) mod workflows;

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use serde_json::json;
use shortbread_protocol::call::Args;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::{Operation, OperatorName, ToolName};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{Token, TokenError, decode};
use shortbread_verifier::scope::{Demand, Scope};

use super::body;
use super::body::{answer, to_the_end, unread};
use super::failure::Failure;
use crate::audit::Counted;
use crate::broker::Broker;
use crate::exchange::Context;
use crate::limits::Limited;
use crate::policy::builtin;
use crate::revoke::{AdminList, Caller};

/// A request of the admin API, as it came.
pub(in crate::http) struct Sent {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let path = request.uri().path().to_owned();
        let body = Bytes::from_request(request, state).await;
        Ok(Self { method, path, headers, body })
    }
}

/// Who asks, if their token grants this verb of the built-in tool and they hold its key. A refusal of whoever has a
/// token of ours is recorded before it is answered.
pub(super) async fn admit(
    broker: &Broker,
    context: &Context,
    sent: &Sent,
    verb: &str,
) -> Result<OperatorName, Failure> {
    admit_caller(broker, context, sent, verb).await.map(|caller| caller.operator)
}

/// The same, where either of these verbs lets them in.
pub(super) async fn admit_either(
    broker: &Broker,
    context: &Context,
    sent: &Sent,
    verbs: [&str; 2],
) -> Result<OperatorName, Failure> {
    admitted(broker, context, sent, &verbs).await.map(|admitted| admitted.caller.operator)
}

/// The same for what every operator may, whatever else they are granted; with the key that signed their token.
pub(super) async fn admit_any(broker: &Broker, context: &Context, sent: &Sent) -> Result<Admitted, Failure> {
    admitted(broker, context, sent, &builtin::VERBS.map(|(verb, _)| verb)).await
}

/// The same, with the token that was shown.
pub(super) async fn admit_caller(
    broker: &Broker,
    context: &Context,
    sent: &Sent,
    verb: &str,
) -> Result<Caller, Failure> {
    admitted(broker, context, sent, &[verb]).await.map(|admitted| admitted.caller)
}

/// An operator who is let in.
pub(super) struct Admitted {
    /// Who.
    pub(super) caller: Caller,
    /// The name of the key that signed their token.
    pub(super) key: Option<String>,
}

async fn admitted(
    broker: &Broker,
    context: &Context,
    sent: &Sent,
    verbs: &[&str],
) -> Result<Admitted, Failure> {
    // Before any signature is checked; a budget of its own, so that no flood of exchanges closes the switch.
    let limited = broker.limits.admin(context.address).err();
    let (text, token) = shown(broker, sent, limited)?;
    let has = |verb: &&&str| token.scope().access(ToolName::shortbread().as_str(), verb).is_some();
    let verb = verbs.iter().find(has).or(verbs.last()).copied().unwrap_or_default();
    let admitted = proof::check(broker, sent, text, token.scope(), verb).and_then(|proof| {
        let operator = permitted(broker, &token, &proof, verb)?;
        proof::settle(broker, sent, &proof, verb)?;
        Ok(operator)
    });
    match admitted {
        Ok(operator) => {
            let id = |kind: SelectorKind| token.scope().id(kind).map(str::to_owned);
            let (token, holder) = (id(SelectorKind::Token), id(SelectorKind::Holder));
            let caller = Caller { operator, token, holder, marks: Vec::new(), session: None };
            Ok(Admitted { caller, key: id(SelectorKind::Key) })
        }
        Err(failure) => {
            record(broker, context, token.scope(), verb, &failure).await?;
            Err(failure)
        }
    }
}

// The token that is shown. From an address that used up its budget an operator's own is let in, and nobody else's: then
// nothing is told of what does not hold.
fn shown<'s>(broker: &Broker, sent: &'s Sent, limited: Option<Limited>) -> Result<(&'s str, Token), Failure> {
    let open = || {
        let text = credentials(&sent.headers)?;
        let bytes = decode(text).map_err(|flaw| Failure::plain(TokenError::from(flaw).reason()))?;
        let token = Token::open(&bytes, &*broker.keyring).map_err(|error| Failure::plain(error.reason()))?;
        Ok::<_, Failure>((text, token))
    };
    let Some(limited) = limited else { return open() };
    let refused = || Failure { retry_after: Some(limited.0), ..Failure::plain(Reason::RateLimited) };
    broker.limits.check_of_operator().map_err(|_| refused())?;
    let (text, token) = open().map_err(|_| refused())?;
    let operator = token.scope().id(SelectorKind::Operator).map(|name| broker.limits.operator(name));
    if operator.is_some_and(|let_in| let_in.is_ok()) { Ok((text, token)) } else { Err(refused()) }
}

// Counted like refusals of strangers: a token that ended long ago must not fill the log either.
async fn record(
    broker: &Broker,
    context: &Context,
    scope: &Scope,
    verb: &str,
    failure: &Failure,
) -> Result<(), Failure> {
    let now = broker.clock.monotonic();
    let Counted::Write(count) = broker.strangers.count(context.address, failure.reason, now) else {
        return Ok(());
    };
    let named = |kind: SelectorKind| scope.id(kind).map(|name| format!("{kind}/{name}"));
    let subject = named(SelectorKind::Operator).or_else(|| named(SelectorKind::Workflow));
    let who = scope.id(SelectorKind::Operator).or_else(|| scope.id(SelectorKind::Workflow));
    let latency = broker.clock.monotonic().saturating_sub(context.begun).as_micros();
    let data = json!({
        "outcome": "deny", "reasons": [failure.reason.code()], "detail": failure.detail, "workflow": who,
        "token": scope.id(SelectorKind::Token), "holder": scope.id(SelectorKind::Holder),
        "requested": [format!("shortbread/{verb}")], "granted": [],
        "policy": broker.policy.in_force().map(|policy| policy.digest().to_owned()),
        "revocation_seq": broker.store.mirror().changed_seq(), "approval": null,
        "segment": builtin::segment(who.unwrap_or_default(), verb), "count": count, "stage": "admin",
        "error_class": "refusal", "latency_us": u64::try_from(latency).unwrap_or(u64::MAX), "degraded": null,
    });
    let (decision, subject) = (&context.decision, subject.unwrap_or_default());
    let audit = broker.scribe.entry(EventType::Decision, decision, subject, data);
    broker.store.record_denial(None, audit).await?;
    Ok(())
}

fn permitted(broker: &Broker, token: &Token, proof: &Proof, verb: &str) -> Result<OperatorName, Failure> {
    let refused = |reason: Reason| Failure::plain(reason);
    let tool = ToolName::shortbread();
    let mirror = broker.store.mirror();
    // Nobody can lock the operators out of the switch.
    let list = AdminList { list: &mirror, switch: verb.starts_with("revocations.") };
    token.scope().standing(&list, tool.as_str(), verb).map_err(refused)?;
    let audience = builtin::audience(&broker.issuer);
    let args = Args::default();
    let demand = Demand {
        now: broker.clock.now().seconds(),
        audience: &audience,
        tool: tool.as_str(),
        verb,
        args: Some(&args),
        holder: Some(proof.thumbprint()),
        unused: None,
        revocation_age: Some(0),
        args_sha256: None,
    };
    token.scope().evaluate(&demand).map_err(|refusal| match refusal.reason {
        Reason::NotGranted => {
            Failure::new(Reason::NotPermitted, format!("this token does not grant shortbread/{verb}"))
        }
        reason => Failure::plain(reason),
    })?;
    let operator = token.scope().id(SelectorKind::Operator).and_then(|name| name.parse().ok());
    let still = |operator: &OperatorName| still_granted(broker, token.scope(), operator, verb);
    operator.filter(still).ok_or_else(|| refused(Reason::NotPermitted))
}

// Who is taken out of the policy is out at once, whatever token they still have. Without a policy that can be used
// there is nobody else to press the switch.
fn still_granted(broker: &Broker, scope: &Scope, operator: &OperatorName, verb: &str) -> bool {
    let intent = scope.id(SelectorKind::Intent).and_then(|intent| intent.parse().ok());
    let (Some(intent), Ok(verb)) = (intent, verb.parse()) else {
        return false;
    };
    let operation = Operation { tool: ToolName::shortbread(), verb };
    broker.policy.in_force().is_none_or(|policy| policy.lets(operator, &operation, &intent))
}

impl Sent {
    /// Reads the JSON body strictly.
    pub(super) fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        body::read(self.json()?)
    }

    /// The body of a request that has one, said to be JSON.
    fn json(&self) -> Result<&Bytes, Failure> {
        body::of_type(&self.headers, &self.body, "application/json")
    }
}

fn credentials(headers: &HeaderMap) -> Result<&str, Failure> {
    let refused = |detail: &str| Failure::new(Reason::Unauthenticated, detail);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refused("send one Authorization header with an operator's token"));
    };
    let parts = value.to_str().unwrap_or_default().split_once(' ');
    let (scheme, token) = parts.map_or(("", ""), |(scheme, token)| (scheme, token.trim()));
    if scheme.eq_ignore_ascii_case("dpop") && !token.is_empty() {
        return Ok(token);
    }
    Err(refused("the Authorization header is not `DPoP TOKEN`: operators' tokens are bound to a key"))
}
