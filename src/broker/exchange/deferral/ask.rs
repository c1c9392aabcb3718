//! A request begins to wait. Everything that could be refused is refused now: what waits is a request that an approval
//! would let pass.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::approval::{Shown, ShownCall, ShownRight};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop::Proof;
use shortbread_protocol::event::EventType;
use shortbread_protocol::names::{Intent, Operation, Task};
use shortbread_protocol::reason::Reason;

use super::client::{client, marks};
use super::waiting;
use crate::approval::{INTERVAL, Requested, Tally, due, expires, status_uri, tally};
use crate::broker::Broker;
use crate::delimited::delimited;
use crate::exchange::budget::of_call;
use crate::exchange::draft::{Draft, Terms, fresh, task};
use crate::exchange::entry::moment;
use crate::exchange::flow::{Context, admitted, unproved, within_rates};
use crate::exchange::record::Trail;
use crate::exchange::refusal::Refusal;
use crate::exchange::request::{GrantType, Request};
use crate::exchange::targets::targets;
use crate::exchange::{proof, watched};
use crate::identity::Verified;
use crate::notices::{ApprovalNotice, ApprovalStep, Notice};
use crate::policy::model::Principal;
use crate::policy::{Granted, Pending, Policy};
use crate::store::{ApprovalRecord, Ask, Asked, Asking, AuditEntry, RecordError, Replay};

/// The largest request that waits, in bytes of JSON: people read it.
const MAX_SHOWN: usize = 64 * 1024;

/// Who asks for what, under which policy.
#[derive(Clone, Copy)]
pub(in crate::exchange) struct Asker<'a> {
    pub(in crate::exchange) request: &'a Request,
    pub(in crate::exchange) identity: &'a Verified,
    pub(in crate::exchange) principal: &'a Principal,
    pub(in crate::exchange) policy: &'a Policy,
}

/// Has a request wait, and says how its answer is fetched: what is given back is the answer, `authorization_pending`, or
/// why it does not wait.
pub(in crate::exchange) async fn ask(
    broker: &Broker,
    asker: Asker<'_>,
    pending: Pending,
    proof: Option<&Proof>,
    replay: Option<Replay>,
    trail: &mut Trail,
    context: &Context,
) -> Refusal {
    match run(broker, asker, &pending, proof, replay, trail, context).await {
        Ok(waits) | Err(waits) => waits,
    }
}

async fn run(
    broker: &Broker,
    asker: Asker<'_>,
    pending: &Pending,
    proof: Option<&Proof>,
    replay: Option<Replay>,
    trail: &mut Trail,
    context: &Context,
) -> Result<Refusal, Refusal> {
    let Asker { request, principal, policy, .. } = asker;
    let Some(bound) = proof else {
        let detail = "a request that waits for a person is bound to a key: send a DPoP proof with it";
        return Err(Refusal::new(Reason::ProofRequired, detail));
    };
    admitted(request, policy, trail, &pending.granted)?;
    payable(request, &pending.granted)?;
    trail.stage = "target";
    let asked = request.asked.iter().map(|asked| &asked.operation.tool);
    let audiences = targets(asked, &request.resources, policy, &pending.granted.rights)?;
    trail.stage = "limits";
    within_rates(broker, principal, &pending.granted.rates)?;
    trail.stage = "revocation";
    let task = request.task.clone().map_or_else(|| task(broker, context), Ok)?;
    let id = fresh(broker, "apr_", context)?;
    let granted = standing(broker, asker, pending, (&id, &task), &audiences, bound, context)?;
    trail.segment.task = Some(task.clone());
    trail.stage = "approval";
    let shown = shown(&id, asker, &granted, &audiences, task.clone(), bound);
    let asked = context.decision.at;
    let standing = tally(policy, principal, &pending.demands, asked, &[], asked);
    let record = record(asker, &shown, &standing, pending, bound, trail, context)?;
    fetchable(&record, &shown, policy)?;
    trail.approval = Some(id);
    let audit = audit(broker, &shown, &standing, &record, trail, context)?;
    proof::use_up(broker, proof, principal)?;
    let most = broker.config.limits.pending_approvals;
    let ask = Ask { record: record.clone(), replay, task: task.to_string(), most };
    let done = broker.store.ask_approval(ask, audit).await.map_err(|error| match error {
        RecordError::Replayed | RecordError::Pinned | RecordError::Outdated => {
            unproved(broker, error.into(), request.grant_type, context)
        }
        error => error.into(),
    })?;
    let detail = detail(pending);
    let interval = INTERVAL.as_secs();
    match done {
        Asked::New => {
            watched::refused(broker, trail, Reason::ApprovalRequired, context);
            broker.notices.tell(&requested(broker, &record, &shown, &standing, context));
            Ok(waiting(broker, &record, &standing, &detail, interval, asked))
        }
        Asked::Same(same) => {
            trail.approval = Some(same.id.clone());
            Ok(waiting(broker, &same, &standing, &detail, interval, asked))
        }
    }
}

// Whether it is known what it would take out of budgets. That they have as much left is seen when it is approved.
fn payable(request: &Request, granted: &Granted) -> Result<(), Refusal> {
    if request.calls.is_empty() {
        return of_call(granted, None).map(drop);
    }
    request.calls.iter().try_for_each(|call| of_call(granted, Some(call)).map(drop))
}

// Whether what is shown comes to the same again: it is met with the grants once more when it is voted on and fetched.
fn fetchable(record: &ApprovalRecord, shown: &Shown, policy: &Policy) -> Result<(), Refusal> {
    let requested: Requested = serde_json::from_slice(&record.request)
        .map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
    requested.weigh(shown, policy).map(drop).map_err(|(reason, detail)| Refusal::new(reason, detail))
}

// What would be granted and is not revoked now, and of which a token can be made.
fn standing(
    broker: &Broker,
    asker: Asker<'_>,
    pending: &Pending,
    (id, task): (&str, &Task),
    audiences: &[(String, String)],
    bound: &Proof,
    context: &Context,
) -> Result<Granted, Refusal> {
    let Asker { request, principal, .. } = asker;
    let terms = Terms {
        intent: request.intent.clone(),
        task: Some(task.clone()),
        release: request.release.clone(),
        delegation: request.delegation,
        // The token bears the date of now, however late it is fetched: it must not be born dead then.
        approval: Some((id.to_owned(), context.decision.at)),
        marks: Vec::new(),
    };
    let mut granted = pending.granted.clone();
    let draft = Draft::new(broker, &terms, None, principal, Some(bound.thumbprint()), context)?;
    draft.stand(broker, &mut granted)?;
    let lost = |verb: &Operation| !granted.rights.iter().any(|right| right.operation == *verb);
    if request.calls.iter().any(|call| lost(&call.operation)) || pending.needing.iter().all(lost) {
        let revoked = granted.dropped.last().map_or(Reason::RevokedAll, |(_, reason)| *reason);
        return Err(Refusal::plain(revoked));
    }
    if request.calls.is_empty() {
        let window = (context.decision.at.seconds(), draft.expires(&granted, context));
        draft.mint(broker, &granted, audiences, window, false)?;
    }
    Ok(granted)
}

fn shown(
    id: &str,
    asker: Asker<'_>,
    granted: &Granted,
    audiences: &[(String, String)],
    task: Task,
    bound: &Proof,
) -> Shown {
    let request = asker.request;
    let access = |operation: &Operation| {
        let right = granted.rights.iter().find(|right| right.operation == *operation);
        right.map(|right| right.access)
    };
    let calls = request.calls.iter().filter_map(|call| {
        Some(ShownCall {
            place: call.place,
            operation: call.operation.clone(),
            access: access(&call.operation)?,
            args: call.args.clone(),
            args_sha256: hex::encode(call.args_sha256),
        })
    });
    let calls: Vec<ShownCall> = calls.collect();
    let ways = granted.rights.iter().filter(|_| calls.is_empty()).flat_map(|right| {
        right.alternatives.iter().map(move |way| ShownRight {
            operation: right.operation.clone(),
            access: right.access,
            constraints: way.arguments.clone(),
        })
    });
    Shown {
        approval_id: id.to_owned(),
        principal: asker.principal.to_string(),
        holder: bound.thumbprint().to_owned(),
        intent: request.intent.clone().unwrap_or_else(Intent::undeclared),
        task,
        release: request.release.clone(),
        ttl: granted.ttl.as_secs(),
        audiences: audiences
            .iter()
            .filter_map(|(tool, url)| Some((tool.parse().ok()?, url.clone())))
            .collect(),
        rights: ways.collect(),
        calls,
    }
}

fn record(
    asker: Asker<'_>,
    shown: &Shown,
    tally: &Tally,
    pending: &Pending,
    bound: &Proof,
    trail: &Trail,
    context: &Context,
) -> Result<ApprovalRecord, Refusal> {
    let Asker { request, identity, principal, .. } = asker;
    let internal = || Refusal::plain(Reason::Internal);
    let input = trail.known().ok_or_else(internal)?.input().clone();
    let client = client(identity, principal);
    let same = delimited(Sha256::new_with_prefix(request.digest), [client.as_str(), bound.thumbprint()]);
    let requested = Requested {
        input,
        client,
        authenticates: request.grant_type == GrantType::ClientCredentials,
        marks: marks(identity, Some(bound)),
        resources: request.resources.clone(),
        delegation: request.delegation,
        identity: trail.identity(),
        segment: trail.segment.clone(),
        decision: context.decision.id.clone(),
        trace: context.decision.request_id(),
    };
    let json = |value: serde_json::Result<Vec<u8>>| value.map_err(|error| internal().because(error));
    let (asked, told) = (context.decision.at, json(serde_json::to_vec(shown))?);
    if told.len() > MAX_SHOWN {
        let detail =
            "a request that waits for a person has at most 64 KiB of conditions and arguments; split it";
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    let expires = expires(&pending.demands, asked);
    Ok(ApprovalRecord {
        id: shown.approval_id.clone(),
        principal: principal.to_string(),
        subject: Sha256::digest(&identity.subject).into(),
        same: same.finalize().into(),
        state: ApprovalState::Pending,
        asked,
        due: due(tally, asked, expires, asked),
        expires,
        digest: shown.digest(),
        shown: told,
        request: json(serde_json::to_vec(&requested))?,
        closed: None,
        outcome: None,
    })
}

fn audit(
    broker: &Broker,
    shown: &Shown,
    tally: &Tally,
    record: &ApprovalRecord,
    trail: &Trail,
    context: &Context,
) -> Result<impl FnMut(Asking<'_>) -> AuditEntry + Send + 'static, Refusal> {
    let calls: Vec<_> = shown
        .calls
        .iter()
        .map(|call| json!({ "verb": call.operation, "args_sha256": call.args_sha256 }))
        .collect();
    let own = json!({
        "outcome": "pending", "reasons": [Reason::ApprovalRequired.code()], "verbs": shown.operations(), "calls": calls, "granted": [],
        "digest": record.digest, "approvers": tally.asked(), "expires": record.expires.seconds(),
        "sla_seconds": tally.demands.iter().map(|standing| standing.demand.sla.as_secs()).min(),
        "quorum": tally.demands.iter().map(|standing| standing.demand.quorum).max(),
    });
    let data = trail.about(own, moment(broker, context));
    let input = trail.input(&*broker.random);
    let input = input.map_err(|error| Refusal::plain(Reason::Internal).because(error))?;
    let (scribe, decision, subject) = (broker.scribe.clone(), context.decision.clone(), trail.subject());
    Ok(move |asking: Asking<'_>| {
        let mut data = data.clone();
        let mut say = |name: &str, value: serde_json::Value| {
            data.as_object_mut()
                .into_iter()
                .for_each(|data| drop(data.insert(name.to_owned(), value.clone())));
        };
        match asking {
            Asking::New => {}
            // An equal request waits already: this one is that one.
            Asking::Same(same) => {
                say("approval", same.id.clone().into());
                say("repeated", true.into());
            }
            Asking::Over(over) => {
                say("approval", over.id.clone().into());
                say("outcome", "expired".into());
                return scribe.entry(EventType::ApprovalExpired, &decision, subject.clone(), data);
            }
        }
        scribe.entry_of(EventType::ApprovalRequested, &decision, subject.clone(), data, input.clone())
    })
}

fn detail(pending: &Pending) -> String {
    let verbs: Vec<String> = pending.needing.iter().take(3).map(ToString::to_string).collect();
    let more = if pending.needing.len() > 3 { " and more" } else { "" };
    format!("approval required for {}{more}: ask again with the deferral code", verbs.join(", "))
}

fn requested(
    broker: &Broker,
    record: &ApprovalRecord,
    shown: &Shown,
    tally: &Tally,
    context: &Context,
) -> Notice {
    Notice::Approval(Box::new(ApprovalNotice {
        step: ApprovalStep::Requested,
        approval: record.id.clone(),
        principal: record.principal.clone(),
        verbs: shown.operations().iter().map(ToString::to_string).collect(),
        approvers: tally.asked(),
        escalates: tally.escalates(),
        expires: record.expires,
        url: status_uri(&broker.issuer, &record.id),
        decision: context.decision.id.clone(),
    }))
}

/// How long a request may still be waited for, by its own end.
pub(super) fn left(record: &ApprovalRecord, now: Timestamp) -> std::time::Duration {
    record.expires.since(now)
}
