//! What has become of a request that waited. An approval is spent by what policy and revocations say now, never for more
//! than was shown.

use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::approval::Shown;
use shortbread_protocol::names::{Operation, ToolName};
use shortbread_protocol::oauth::TokenAnswer;
use shortbread_protocol::reason::Reason;

use super::waiting;
use crate::activation::Ruling;
use crate::approval::{INTERVAL, Requested, Wait, standing_of, tally};
use crate::broker::Broker;
use crate::cases::decide::Weighed;
use crate::exchange::draft::Terms;
use crate::exchange::exact::Exact;
use crate::exchange::flow::Context;
use crate::exchange::issue::{Issue, Unissued, issue};
use crate::exchange::record::Trail;
use crate::exchange::refusal::{Refusal, Waiting};
use crate::exchange::retry::RetryKey;
use crate::exchange::targets::targets;
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy};
use crate::store::{RecordError, Redeem, Standing};

/// A token, or what the client is told while it waits.
pub(super) struct Looked {
    pub(super) token: Option<Box<TokenAnswer>>,
    pub(super) waits: Option<Refusal>,
}

/// Looks at a request: spends its approval where it has one now.
///
/// # Errors
/// When it ended otherwise, or policy or revocations do not let it pass any more.
pub(super) async fn look(
    broker: &Broker,
    wait: &Wait,
    principal: &Principal,
    retry: Option<RetryKey>,
    trail: &mut Trail,
    context: &Context,
) -> Result<Looked, Refusal> {
    trail.stage = "approval";
    let now = broker.clock.now();
    ended(wait, now)?;
    let ruling = broker.policy.ruling_of(principal).ok_or_else(|| Refusal::plain(Reason::PolicyMissing))?;
    trail.stage = "policy";
    trail.under(&ruling.policy);
    let about = |refusal: Refusal| told(refusal, wait);
    let weighed = wait.weigh(&ruling.policy);
    let Weighed { granted, pending } =
        weighed.map_err(|(reason, detail)| about(Refusal::new(reason, detail)))?;
    trail.stage = "approval";
    if pending.is_none() && wait.record.state == ApprovalState::Pending {
        whole(wait, &granted).map_err(about)?;
    }
    let votes = wait.standing_votes(&broker.store.mirror());
    if let Some(waits) = pending {
        let asked = wait.record.asked;
        let standing = tally(&ruling.policy, principal, &waits.demands, asked, &votes, now);
        if !standing.is_complete() {
            if wait.record.state == ApprovalState::Approved {
                let (digest, seen) = (&wait.record.digest, wait.votes.len());
                broker.store.reopen_approval(&wait.record.id, digest, seen).await?;
            }
            let interval = INTERVAL.as_secs();
            let waits = waiting(broker, &wait.record, &standing, &waits.detail, interval, now);
            return Ok(Looked { token: None, waits: Some(waits) });
        }
    }
    let voters = votes.iter().map(standing_of).collect();
    let spending = Spending { wait, principal, ruling: &ruling, voters, retry };
    let token = spend(broker, spending, granted, trail, context).await.map_err(about)?;
    broker.polls.forget(&wait.record.id);
    Ok(Looked { token: Some(Box::new(token)), waits: None })
}

// What nobody approved is answered where the policy asks nobody about it any more; not what is left of it where the policy
// took away the part that people were asked about.
fn whole(wait: &Wait, granted: &Granted) -> Result<(), Refusal> {
    let has = |operation: &&Operation| granted.rights.iter().any(|right| right.operation == **operation);
    let Some(lost) = wait.shown.operations().into_iter().find(|operation| !has(operation)) else {
        return Ok(());
    };
    let reason = granted.dropped.iter().find(|(operation, _)| operation == lost).map(|(_, reason)| *reason);
    let detail = format!("the policy in force does not grant {lost} any more, which waits to be approved");
    Err(Refusal::new(reason.unwrap_or(Reason::PolicyDenied), detail))
}

fn told(refusal: Refusal, wait: &Wait) -> Refusal {
    refusal.waiting(Waiting { approval_id: wait.record.id.clone(), ..Waiting::default() })
}

/// Denied, expired and cancelled are different answers; what was fetched is gone.
fn ended(wait: &Wait, now: shortbread_protocol::clock::Timestamp) -> Result<(), Refusal> {
    let refusal = match wait.record.state {
        ApprovalState::Denied => {
            let why =
                wait.outcome().reason.map(|reason| format!("the approvers denied this request: {reason}"));
            Refusal::new(
                Reason::ApprovalDenied,
                why.unwrap_or_else(|| Reason::ApprovalDenied.meaning().into()),
            )
        }
        ApprovalState::Expired => Refusal::plain(Reason::ApprovalExpired),
        ApprovalState::Cancelled => Refusal::plain(Reason::ApprovalCancelled),
        ApprovalState::Redeemed => Refusal::plain(Reason::DeferralUnknown).because("it was used"),
        ApprovalState::Pending | ApprovalState::Approved if wait.record.expires <= now => {
            Refusal::plain(Reason::ApprovalExpired)
        }
        ApprovalState::Pending | ApprovalState::Approved => return Ok(()),
    };
    Err(told(refusal, wait))
}

struct Spending<'a> {
    wait: &'a Wait,
    principal: &'a Principal,
    ruling: &'a Ruling,
    /// What the votes can be revoked by.
    voters: Vec<Standing>,
    retry: Option<RetryKey>,
}

async fn spend(
    broker: &Broker,
    Spending { wait, principal, ruling, voters, retry }: Spending<'_>,
    granted: Granted,
    trail: &mut Trail,
    context: &Context,
) -> Result<TokenAnswer, Refusal> {
    let (shown, requested) = (&wait.shown, &wait.requested);
    trail.stage = "target";
    let operations = shown.operations();
    let tools = operations.iter().map(|operation| &operation.tool);
    let left = left(requested, shown, &ruling.policy)?;
    let audiences = targets(tools, &left, &ruling.policy, &granted.rights)?;
    let calls = shown.calls.iter().map(|call| {
        let args_sha256 = hex::decode(&call.args_sha256).ok().and_then(|hash| hash.try_into().ok());
        Some(Exact {
            place: call.place,
            operation: call.operation.clone(),
            args: call.args.clone(),
            args_sha256: args_sha256?,
        })
    });
    let calls = calls.collect::<Option<Vec<_>>>().ok_or_else(|| Refusal::plain(Reason::Internal))?;
    let issued = Issue {
        terms: Terms {
            intent: requested.input.intent.clone(),
            task: Some(shown.task.clone()),
            release: shown.release.clone(),
            delegation: requested.delegation,
            approval: Some((wait.record.id.clone(), wait.record.asked)),
            marks: Vec::new(),
        },
        principal,
        holder: Some(&shown.holder),
        granted,
        calls,
        policy: &ruling.policy,
        version: ruling.version,
        audiences: &audiences,
        redeem: Some(Redeem { id: wait.record.id.clone(), digest: wait.record.digest.clone(), voters }),
        retry,
        replay: None,
        proof: None,
    };
    match issue(broker, issued, trail, context).await {
        Ok(answer) => Ok(answer),
        Err(Unissued::Refused(refusal)) => Err(refusal),
        Err(Unissued::Unrecorded(RecordError::NotApproved)) => {
            Err(Refusal::plain(Reason::DeferralUnknown).because("it was used, closed or changed meanwhile"))
        }
        Err(Unissued::Unrecorded(error)) => Err(error.into()),
    }
}

// The resources of what is left, of a request that named some. It is for the very tool services that were shown.
fn left(requested: &Requested, shown: &Shown, policy: &Policy) -> Result<Vec<String>, Refusal> {
    let now = |tool: &ToolName| policy.catalogue().tools.get(tool).map(|entry| entry.audience.as_str());
    if let Some((tool, _)) = shown.audiences.iter().find(|(tool, url)| now(tool) != Some(url.as_str())) {
        let detail = format!("the tool {tool} has another audience than when this was shown; ask again");
        return Err(Refusal::new(Reason::TargetUnknown, detail));
    }
    let shown: Vec<&str> = shown.operations().iter().filter_map(|operation| now(&operation.tool)).collect();
    Ok(requested.resources.iter().filter(|resource| shown.contains(&resource.as_str())).cloned().collect())
}
