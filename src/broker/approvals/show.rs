//! A request as it is shown.

use shortbread_protocol::access::Access;
use shortbread_protocol::admin::{
    ApprovalAnswer, ApprovalBody, ApprovalState, ClosedBody, DemandBody, VoteBody,
};
use shortbread_protocol::clock::Timestamp;

use super::seat::{policy, principal};
use super::{DecideError, load};
use crate::approval::{Outcome, Standing, Tally, Wait, tally};
use crate::broker::Broker;

/// A request by its id.
///
/// # Errors
/// When there is none, or the store fails.
pub async fn find(broker: &Broker, id: &str) -> Result<ApprovalAnswer, DecideError> {
    show(broker, load(broker, id).await?)
}

/// A request in full, as the policy in force sees it.
///
/// # Errors
/// When no policy is in force.
pub(super) fn show(broker: &Broker, wait: Wait) -> Result<ApprovalAnswer, DecideError> {
    let now = broker.clock.now();
    let tally = tallied(broker, &wait, now)?;
    let vote = |vote: &crate::store::StoredVote| VoteBody {
        operator: vote.operator.clone(),
        at: vote.at.seconds(),
        note: vote.note.clone(),
        counts: tally.as_ref().is_some_and(|tally| tally.counts(&vote.operator)),
    };
    let demands = tally.iter().flat_map(|tally| &tally.demands).map(demand);
    let owners = tally.iter().flat_map(|tally| &tally.owners).map(ToString::to_string);
    Ok(ApprovalAnswer {
        approval: short(&wait, tally.as_ref(), now),
        digest: wait.record.digest.clone(),
        demands: demands.collect(),
        votes: wait.votes.iter().map(vote).collect(),
        owners: owners.collect(),
        closed: closed(&wait),
        decision_id: wait.requested.decision,
        trace_id: wait.requested.trace,
        now: now.seconds(),
        shown: wait.shown,
    })
}

/// How far an open request is; `None` for one that is closed, or that the policy in force would not grant or not ask
/// anyone about.
pub(super) fn tallied(broker: &Broker, wait: &Wait, now: Timestamp) -> Result<Option<Tally>, DecideError> {
    if !wait.record.state.is_open() {
        return Ok(None);
    }
    let principal = principal(wait)?;
    let policy = policy(broker, &principal)?;
    let (asked, votes) = (wait.record.asked, wait.standing_votes(&broker.store.mirror()));
    let demands = wait.demands(&policy);
    Ok(demands.map(|demands| tally(&policy, &principal, &demands, asked, &votes, now)))
}

/// The same in short.
pub(super) fn short(wait: &Wait, tally: Option<&Tally>, now: Timestamp) -> ApprovalBody {
    let (record, shown) = (&wait.record, &wait.shown);
    let over = record.state.is_open() && record.expires <= now;
    let complete = tally.is_some_and(Tally::is_complete);
    let state = match record.state {
        _ if over => ApprovalState::Expired,
        ApprovalState::Pending | ApprovalState::Approved if complete => ApprovalState::Approved,
        ApprovalState::Pending | ApprovalState::Approved => ApprovalState::Pending,
        closed => closed,
    };
    let accesses = shown.rights.iter().map(|right| right.access);
    let worst = accesses.chain(shown.calls.iter().map(|call| call.access)).max();
    let sla = tally.iter().flat_map(|tally| &tally.demands).map(|standing| standing.demand.sla).min();
    let votes = tally.and_then(Tally::furthest);
    ApprovalBody {
        approval_id: record.id.clone(),
        state,
        principal: record.principal.clone(),
        intent: shown.intent.to_string(),
        task: shown.task.to_string(),
        verbs: shown.operations().iter().map(ToString::to_string).collect(),
        calls: u32::try_from(shown.calls.len()).unwrap_or(u32::MAX),
        access: worst.unwrap_or(Access::Read),
        asked: record.asked.seconds(),
        escalates: tally.and_then(Tally::escalates).map(Timestamp::seconds),
        expires: record.expires.seconds(),
        late: sla.is_some_and(|sla| now >= record.asked.plus(sla)),
        approvers: tally.map(Tally::asked).unwrap_or_default(),
        votes: votes
            .map(|standing| format!("{}/{}", standing.agreed.len(), standing.demand.quorum))
            .unwrap_or_default(),
    }
}

fn demand(standing: &Standing) -> DemandBody {
    let demand = &standing.demand;
    DemandBody {
        asked: standing.groups.iter().take(standing.asked).map(|group| group.name.clone()).collect(),
        members: standing.voters().into_iter().map(ToString::to_string).collect(),
        next: standing.next().map(|group| group.name.clone()),
        quorum: demand.quorum,
        have: u32::try_from(standing.agreed.len()).unwrap_or(u32::MAX),
        sla_seconds: demand.sla.as_secs(),
        verbs: demand.verbs.iter().map(ToString::to_string).collect(),
    }
}

fn closed(wait: &Wait) -> Option<ClosedBody> {
    let at = wait.record.closed?.seconds();
    let Outcome { by, reason, tokens } = wait.outcome();
    Some(ClosedBody { at, by, reason, tokens })
}
