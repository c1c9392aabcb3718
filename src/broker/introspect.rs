//! Online check of a token (RFC 7662), for registered verifiers that cannot check offline.
//!
//! An answer is about one call, or about the verbs that the token allows whatever the arguments are. What cannot be
//! answered for sure is inactive, and so is whatever the caller has no business with.

use serde_json::json;
use shortbread_protocol::call::Args;
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::{Operation, ToolName};
use shortbread_protocol::oauth::{
    AuthorizationDetail, CLIENT_ASSERTION, Confirmation, Introspection, TOOL_CALL,
};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::{Token, decode};
use shortbread_verifier::scope::{Demand, Scope};

use crate::broker::Broker;
use crate::exchange::{Context, Form, GrantType, Refusal, operations, unproved};
use crate::policy::Policy;
use crate::policy::model::Principal;
use crate::revoke::AdminList;
use crate::store::{RecordError, Replay, Use};

/// Answers a registered verifier. The answer is recorded before it is given.
///
/// # Errors
/// When the form is unreadable, the caller is no registered verifier, asks too often, or the store fails.
pub async fn introspect(broker: &Broker, form: &[u8], context: &Context) -> Result<Introspection, Refusal> {
    let limited = broker.limits.exchange(context.address);
    limited.map_err(|limited| Refusal::plain(Reason::RateLimited).after(limited.0))?;
    let form = Form::read(form)?;
    let question = Question::read(&form)?;
    let policy = broker.policy.in_force().ok_or_else(|| Refusal::plain(Reason::PolicyMissing))?;
    let caller = Caller::prove(broker, &form, &policy, context).await?;
    let answered = question.answer(broker, &policy, &caller.tools, context);
    let audit = {
        let reasons: Vec<&str> = answered.as_ref().err().map(|reason| reason.code()).into_iter().collect();
        let known = answered.as_ref().ok();
        let data = json!({
            "outcome": if known.is_some() { "allow" } else { "deny" }, "reasons": reasons,
            "requested": question.call.as_ref().map(|call| call.operation.to_string()),
            "granted": known.and_then(|known| known.scope.clone()), "workflow": known.and_then(|known| known.sub.clone()),
            "token": known.and_then(|known| known.jti.clone()), "stage": "introspect", "error_class": null,
        });
        broker.scribe.entry(EventType::Decision, &context.decision, caller.name.replacen(':', "/", 1), data)
    };
    let used = Use { replay: Some(caller.replay), token: None, operator: false, audit };
    broker.store.record_use(used).await.map_err(|error| match error {
        RecordError::Replayed | RecordError::Outdated => {
            unproved(broker, error.into(), GrantType::ClientCredentials, context)
        }
        error => error.into(),
    })?;
    Ok(answered.unwrap_or_else(|_| Introspection::inactive()))
}

/// Who asks.
struct Caller {
    name: String,
    tools: Vec<ToolName>,
    replay: Replay,
}

impl Caller {
    async fn prove(
        broker: &Broker,
        form: &Form,
        policy: &Policy,
        context: &Context,
    ) -> Result<Self, Refusal> {
        form.is_one_of("client_assertion_type", &[CLIENT_ASSERTION])?;
        let assertion = form.need("client_assertion")?;
        let checked = broker.identities.verify(assertion, policy.identities()).await;
        let identity =
            checked.map_err(|error| unproved(broker, error.into(), GrantType::ClientCredentials, context))?;
        let principal = identity.principal(form.one("client_id"))?;
        if !matches!(principal, Principal::Verifier(_)) {
            let refusal =
                Refusal::new(Reason::IdentityUnmatched, "only a registered verifier may ask about tokens");
            return Err(refusal);
        }
        let replay = Replay {
            hash: identity.replay.hash,
            keep_until: identity.replay.keep_until.seconds(),
            made: identity.replay.made.seconds(),
            holder: None,
        };
        Ok(Self { name: principal.to_string(), tools: identity.tools, replay })
    }
}

/// What is asked.
struct Question {
    token: String,
    call: Option<Call>,
}

struct Call {
    operation: Operation,
    args: Option<Args>,
}

impl Question {
    fn read(form: &Form) -> Result<Self, Refusal> {
        let malformed = |detail: String| Refusal::new(Reason::RequestMalformed, detail);
        let token = form.need("token")?.to_owned();
        let call = match (form.one("tool"), form.one("verb")) {
            (None, None) if form.one("args").is_none() => None,
            (Some(_), Some(_)) => {
                let (tool, verb) = (form.parsed("tool")?, form.parsed("verb")?);
                let args = form.one("args").map(|text| Args::from_json(text.as_bytes())).transpose();
                let args = args.map_err(|error| malformed(format!("parameter args: {error}")))?;
                tool.zip(verb).map(|(tool, verb)| Call { operation: Operation { tool, verb }, args })
            }
            _ => return Err(malformed("a call is tool, verb and, where it has any, args".to_owned())),
        };
        Ok(Self { token, call })
    }

    fn answer(
        &self,
        broker: &Broker,
        policy: &Policy,
        tools: &[ToolName],
        context: &Context,
    ) -> Result<Introspection, Reason> {
        let bytes = decode(&self.token).map_err(|_| Reason::TokenMalformed)?;
        let token = Token::open(&bytes, &*broker.keyring).map_err(|error| error.reason())?;
        let scope = token.scope();
        let about = About { broker, policy, scope, now: context.decision.at.seconds() };
        let (mut allowed, mut first) = (Vec::new(), Reason::NotGranted);
        for operation in self.operations(scope) {
            let args = self.call.as_ref().and_then(|call| call.args.as_ref());
            let known = tools.contains(&operation.tool);
            match if known { about.allows(&operation, args) } else { Err(Reason::NotGranted) } {
                Ok(()) => allowed.push(operation),
                Err(reason) => first = reason,
            }
        }
        if allowed.is_empty() { Err(first) } else { Ok(about.describe(allowed)) }
    }

    fn operations(&self, scope: &Scope) -> Vec<Operation> {
        if let Some(call) = &self.call {
            return vec![call.operation.clone()];
        }
        operations(scope).map(|(operation, _)| operation).collect()
    }
}

/// A token that is signed, looked at now.
struct About<'a> {
    broker: &'a Broker,
    policy: &'a Policy,
    scope: &'a Scope,
    now: u64,
}

impl About<'_> {
    fn allows(&self, operation: &Operation, args: Option<&Args>) -> Result<(), Reason> {
        let (tool, verb) = (operation.tool.as_str(), operation.verb.as_str());
        let mirror = self.broker.store.mirror();
        self.scope.standing(&AdminList { list: &mirror, switch: false }, tool, verb)?;
        let entry = self.policy.catalogue().tools.get(&operation.tool).ok_or(Reason::TargetUnknown)?;
        let demand = Demand {
            now: self.now,
            audience: &entry.audience,
            tool,
            verb,
            args,
            // Whether the caller's client holds the key is for the caller to check, by `cnf`.
            holder: self.scope.id(SelectorKind::Holder),
            unused: None,
            revocation_age: Some(0),
            args_sha256: args.and_then(Args::digest),
        };
        self.scope.evaluate(&demand).map(drop).map_err(|refusal| refusal.reason)
    }

    fn describe(&self, allowed: Vec<Operation>) -> Introspection {
        let id = |kind| self.scope.id(kind).map(str::to_owned);
        let principal = id(SelectorKind::Workflow)
            .map(|name| format!("workflow:{name}"))
            .or_else(|| id(SelectorKind::Operator).map(|name| format!("operator:{name}")));
        let scopes: Vec<String> = allowed.iter().map(Operation::scope).collect();
        let details = self.details(&allowed);
        let audiences = details.iter().flat_map(|detail| detail.locations.iter().cloned()).collect();
        let holder = id(SelectorKind::Holder);
        Introspection {
            active: true,
            iss: Some(self.broker.issuer.clone()),
            sub: principal.clone(),
            client_id: principal,
            aud: audiences,
            exp: Some(self.scope.end()),
            nbf: Some(self.scope.window().0),
            iat: Some(self.scope.issued()),
            jti: id(SelectorKind::Token),
            scope: Some(scopes.join(" ")),
            token_type: Some(if holder.is_some() { "DPoP" } else { "Bearer" }.to_owned()),
            authorization_details: details,
            cnf: holder.map(|jkt| Confirmation { jkt }),
        }
    }

    fn details(&self, allowed: &[Operation]) -> Vec<AuthorizationDetail> {
        let mut details: Vec<AuthorizationDetail> = Vec::new();
        for Operation { tool, verb } in allowed {
            if let Some(known) = details.iter_mut().find(|detail| detail.tool == *tool) {
                known.actions.push(verb.clone());
                continue;
            }
            let audience = self.policy.catalogue().tools.get(tool).map(|entry| entry.audience.clone());
            details.push(AuthorizationDetail {
                kind: TOOL_CALL.to_owned(),
                locations: audience.into_iter().collect(),
                actions: vec![verb.clone()],
                task: self.scope.id(SelectorKind::Task).and_then(|task| task.parse().ok()),
                intent: self.scope.id(SelectorKind::Intent).and_then(|intent| intent.parse().ok()),
                ..AuthorizationDetail::of(tool.clone())
            });
        }
        details
    }
}
