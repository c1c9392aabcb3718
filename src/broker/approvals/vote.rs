//! A vote: it binds what was looked at, counts once, and may approve less than was asked for.

use metrics::{counter, histogram};
use serde_json::{Value, json};
use shortbread_protocol::admin::{ApprovalAnswer, ApprovalState, ApproveBody, DenyBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, EventType};

use super::seat::{Seat, refuser};
use super::show::show;
use super::{DecideError, load};
use crate::approval::{NarrowError, Tally, Wait, narrow, spend, status_uri};
use crate::broker::Broker;
use crate::notices::{ApprovalNotice, ApprovalStep, Notice};
use crate::policy::charge::{Charge, told, totals};
use crate::revoke::Caller;
use crate::store::{ApprovalError, AuditEntry, CastVote, CloseApproval, Spend, StoredVote};

/// How often a vote is counted again because another one came first.
const TRIES: usize = 16;

/// The most characters of what an approver says.
const MAX_WORDS: usize = 500;

/// Approves a request, or less of it, for an operator.
///
/// # Errors
/// When the operator may not decide it, it is not open, it changed, or the store fails.
pub async fn approve(
    broker: &Broker,
    id: &str,
    body: &ApproveBody,
    caller: &Caller,
    decision: &Decision,
) -> Result<ApprovalAnswer, DecideError> {
    let note = body.note.as_deref().map(|note| words(note, "note")).transpose()?;
    for _ in 0..TRIES {
        let now = broker.clock.now();
        let seat = Seat::take(broker, id, caller, now).await?;
        if seat.wait.record.digest != body.digest {
            return Err(DecideError::Changed);
        }
        let (cast, tally) = ballot(broker, &seat, body, note.clone(), decision, now)?;
        let state = cast.state;
        match broker.store.cast_vote(cast).await {
            Ok(()) => {
                if state == ApprovalState::Approved && seat.wait.record.state != state {
                    let step = ApprovalStep::Approved(caller.operator.to_string());
                    decided(broker, &seat.wait, &tally, step, "approved", decision, now);
                }
                broker.polls.wake(id);
                return show(broker, load(broker, id).await?);
            }
            // Another vote came first: this one is counted with it.
            Err(ApprovalError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DecideError::Changed)
}

fn ballot(
    broker: &Broker,
    seat: &Seat,
    body: &ApproveBody,
    note: Option<String>,
    decision: &Decision,
    now: Timestamp,
) -> Result<(CastVote, Tally), DecideError> {
    let Seat { wait, operator, .. } = seat;
    let narrowed = match &body.narrow {
        Some(wish) => Some(narrow(&wait.shown, wish, seat.policy.catalogue())?),
        None => None,
    };
    let vote = StoredVote { operator: operator.to_string(), at: now, marks: seat.marks.clone(), note };
    let votes = counted(wait, &vote, narrowed.is_some());
    // What is left may demand less, and never more.
    let left = Wait { shown: narrowed.clone().unwrap_or_else(|| wait.shown.clone()), ..wait.clone() };
    let weighed = left.weigh(&seat.policy).map_err(|(_, detail)| DecideError::Refused(detail))?;
    let charges = left.charges(&weighed.granted).map_err(DecideError::Refused)?;
    let totals = totals(&charges);
    let demands = weighed.pending.map(|waits| waits.demands).ok_or(NarrowError::Free)?;
    let tally = Seat { demands, wait: left, ..seat.clone() }.tally(&votes, now);
    let state = if tally.is_complete() { ApprovalState::Approved } else { ApprovalState::Pending };
    let spends = spends(wait, state, &totals);
    // Texts, numbers and maps with text keys always serialise.
    let narrowed = narrowed.map(|shown| (shown.digest(), serde_json::to_vec(&shown).unwrap_or_default()));
    let (kind, outcome) = match (state, wait.record.state) {
        // Whoever agrees with what is approved already decides nothing.
        (ApprovalState::Approved, ApprovalState::Approved) => (EventType::ApprovalVoted, "approved"),
        (ApprovalState::Approved, _) => (EventType::ApprovalDecided, "approved"),
        _ => (EventType::ApprovalVoted, "pending"),
    };
    let own = json!({
        "outcome": outcome, "by": operator, "session": seat.session, "note": vote.note, "narrowed": body.narrow,
        "digest": narrowed.as_ref().map_or(&wait.record.digest, |(digest, _)| digest),
        "charges": (!totals.is_empty()).then(|| told(&totals)),
        "votes": votes.iter().map(|vote| &vote.operator).collect::<Vec<_>>(),
    });
    let audit = entry(broker, kind, &seat.wait, &tally, own, decision);
    let (id, digest, seen) = (wait.record.id.clone(), wait.record.digest.clone(), wait.votes.len());
    Ok((CastVote { id, digest, seen, vote, narrowed, state, spends, audit }, tally))
}

// The votes that count with this one.
fn counted(wait: &Wait, vote: &StoredVote, narrowed: bool) -> Vec<StoredVote> {
    // Those of before were for more than what is left.
    let others = wait.votes.iter().filter(|other| !narrowed && other.operator != vote.operator);
    others.chain([vote]).cloned().collect()
}

// What is taken out of budgets with this vote, until the request is over: it is fetched by then, or never.
fn spends(wait: &Wait, state: ApprovalState, totals: &[(&Charge, u64)]) -> Vec<Spend> {
    let (id, expires) = (&wait.record.id, wait.record.expires);
    let totals = totals.iter().filter(|_| state == ApprovalState::Approved);
    totals.map(|(charge, amount)| spend(charge, *amount, id, expires, expires)).collect()
}

/// Denies a request for an operator. One denial is enough.
///
/// # Errors
/// When the operator may not decide it, it is not open, it changed, or the store fails.
pub async fn deny(
    broker: &Broker,
    id: &str,
    body: &DenyBody,
    caller: &Caller,
    decision: &Decision,
) -> Result<ApprovalAnswer, DecideError> {
    let reason = words(&body.reason, "reason")?;
    let now = broker.clock.now();
    let (wait, tally) = refuser(broker, id, caller, now).await?;
    let own = json!({ "outcome": "denied", "by": caller.operator, "session": caller.session, "reason": reason, "digest": body.digest });
    let audit = entry(broker, EventType::ApprovalDecided, &wait, &tally, own, decision);
    let outcome = json!({ "by": caller.operator, "reason": reason }).to_string().into_bytes();
    let close = CloseApproval {
        id: id.to_owned(),
        state: ApprovalState::Denied,
        at: now,
        digest: Some(body.digest.clone()),
        outcome,
        audit,
    };
    broker.store.close_approval(close).await?;
    let step = ApprovalStep::Denied(caller.operator.to_string());
    decided(broker, &wait, &tally, step, "denied", decision, now);
    broker.polls.forget(id);
    show(broker, load(broker, id).await?)
}

// In the metrics, and to operators.
fn decided(
    broker: &Broker,
    wait: &Wait,
    tally: &Tally,
    step: ApprovalStep,
    outcome: &'static str,
    decision: &Decision,
    now: Timestamp,
) {
    counter!("shortbread_approvals_total", "outcome" => outcome).increment(1);
    histogram!("shortbread_approval_seconds").record(now.since(wait.record.asked).as_secs_f64());
    broker.notices.tell(&notice(broker, wait, tally, step, decision));
}

pub(super) fn notice(
    broker: &Broker,
    wait: &Wait,
    tally: &Tally,
    step: ApprovalStep,
    decision: &Decision,
) -> Notice {
    Notice::Approval(Box::new(ApprovalNotice {
        step,
        approval: wait.record.id.clone(),
        principal: wait.record.principal.clone(),
        verbs: wait.shown.operations().iter().map(ToString::to_string).collect(),
        approvers: tally.asked(),
        escalates: tally.escalates(),
        expires: wait.record.expires,
        url: status_uri(&broker.issuer, &wait.record.id),
        decision: decision.id.clone(),
    }))
}

/// What the log says of what became of a request.
pub(super) fn entry(
    broker: &Broker,
    kind: EventType,
    wait: &Wait,
    tally: &Tally,
    own: Value,
    decision: &Decision,
) -> AuditEntry {
    let record = &wait.record;
    let mut data = json!({
        "approval": record.id, "workflow": wait.requested.segment.workflow, "task": wait.shown.task,
        "holder": wait.shown.holder, "verbs": wait.shown.operations(), "approvers": tally.asked(),
        "sla_seconds": tally.demands.iter().map(|standing| standing.demand.sla.as_secs()).min(),
        "waited_seconds": decision.at.since(record.asked).as_secs(), "requested_by": wait.requested.decision,
        "policy": broker.policy.in_force().map(|policy| policy.digest().to_owned()),
        "revocation_seq": broker.store.mirror().changed_seq(), "segment": wait.requested.segment,
        "stage": "approval", "error_class": null,
    });
    if let (Some(data), Value::Object(own)) = (data.as_object_mut(), own) {
        data.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    }
    let subject = record.principal.replacen(':', "/", 1);
    broker.scribe.entry(kind, decision, subject, data)
}

fn words(text: &str, member: &str) -> Result<String, DecideError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > MAX_WORDS {
        return Err(DecideError::Malformed(format!("{member}: 1 to {MAX_WORDS} characters")));
    }
    Ok(text.to_owned())
}
