//! A grant, told.

use shortbread_protocol::access::Access;
use shortbread_protocol::admin::{GrantApprovalBody, GrantBody, GrantVerbBody};
use shortbread_protocol::names::{Operation, VerbName};

use crate::policy::model::{Approval, Forbid, Grant, Limits, Principal};
use crate::policy::{MAX_TTL, Policy, told};

/// A grant with all its conditions.
pub(super) fn body(policy: &Policy, grant: &Grant) -> GrantBody {
    GrantBody {
        grant: grant.id.clone(),
        tool: grant.tool.to_string(),
        verbs: grant
            .verbs
            .iter()
            .map(|(verb, limits)| self::verb(policy, grant, verb, limits.as_ref()))
            .collect(),
        intents: grant.intents.iter().flatten().map(ToString::to_string).collect(),
        max_ttl: grant.max_ttl.unwrap_or(MAX_TTL).as_secs(),
        rate: grant.rate.map(told::rate),
        budget: grant.budget.as_ref().map(told::budget),
        proof: grant.proof,
        approval: grant.approval.as_ref().map(|demanded| approval(policy, grant, demanded)),
    }
}

fn verb(policy: &Policy, grant: &Grant, verb: &VerbName, limits: Option<&Limits>) -> GrantVerbBody {
    let operation = Operation { tool: grant.tool.clone(), verb: verb.clone() };
    // What a policy grants stands in its catalogue.
    let access = policy.catalogue().verb(&operation).map_or(Access::Privileged, |verb| verb.access);
    let forbids =
        policy.forbids().iter().filter(|forbid| stands_in_the_way(forbid, grant, &operation, access));
    GrantVerbBody {
        access,
        arguments: told::limits(limits),
        approval: grant.approval.as_ref().is_some_and(|demanded| demanded.covers(verb, access)),
        forbidden: forbids.map(|forbid| forbid.id.clone()).collect(),
        operation: operation.to_string(),
    }
}

// Whether it forbids this to the workflow of the grant, for some intent that the grant serves.
fn stands_in_the_way(forbid: &Forbid, grant: &Grant, operation: &Operation, access: Access) -> bool {
    let who = forbid
        .workflows
        .as_ref()
        .is_none_or(|listed| matches!(&grant.principal, Principal::Workflow(name) if listed.contains(name)));
    let why = match (&forbid.intents, &grant.intents) {
        (Some(forbidden), Some(served)) => !forbidden.is_disjoint(served),
        _ => true,
    };
    who && why && forbid.concerns(operation, access)
}

fn approval(policy: &Policy, grant: &Grant, demanded: &Approval) -> GrantApprovalBody {
    let group = policy.approvers().get(&demanded.approvers);
    GrantApprovalBody {
        approvers: demanded.approvers.clone(),
        members: group.into_iter().flat_map(|group| &group.members).map(ToString::to_string).collect(),
        quorum: demanded.quorum,
        sla: demanded.sla.as_secs(),
        escalate: group.and_then(|group| group.escalate.clone()),
        expires: demanded.expires.as_secs(),
        words: told::approval(grant, demanded, policy.approvers()),
    }
}
