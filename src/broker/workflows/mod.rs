//! What a workflow is: who proves to be it, who answers for it, what it is granted, what stops it, and what lives of it.

mod granted;

use std::collections::BTreeSet;

use shortbread_protocol::admin::{
    IdentityBody, LivingBody, StoppedBody, WorkflowAnswer, WorkflowBody, WorkflowsAnswer,
};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;
use shortbread_protocol::revocations::SelectorKind;
use thiserror::Error;

use crate::activation::Ruling;
use crate::broker::Broker;
use crate::policy::model::{Grant, Identity, Principal, Proof};
use crate::policy::{Policy, told};
use crate::publish::cause;
use crate::store::{Entry, Living, Notes, Revocations, StoreError};

/// Why there is no such workflow.
#[derive(Debug, Error)]
pub enum WorkflowsError {
    /// The policy knows none of this name.
    #[error("the policy in force knows no workflow of this name; `shortbread workflows list` has them")]
    Unknown,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every workflow of the policy in force, by name; none where no policy is in force.
///
/// # Errors
/// When the store fails.
pub async fn list(broker: &Broker) -> Result<WorkflowsAnswer, StoreError> {
    let now = broker.clock.now();
    let policy = broker.policy.in_force();
    let names = policy.iter().flat_map(workflows).collect();
    let workflows = bodies(broker, policy.as_ref(), names, now).await?;
    Ok(WorkflowsAnswer { now: now.seconds(), policy: broker.policy.version(), workflows })
}

/// One workflow with its grants.
///
/// # Errors
/// When the policy in force knows none of this name, or the store fails.
pub async fn show(broker: &Broker, name: &WorkflowName) -> Result<WorkflowAnswer, WorkflowsError> {
    let now = broker.clock.now();
    let policy = broker.policy.in_force().ok_or(WorkflowsError::Unknown)?;
    if !workflows(&policy).contains(name) {
        return Err(WorkflowsError::Unknown);
    }
    let bodies = bodies(broker, Some(&policy), BTreeSet::from([name.clone()]), now).await?;
    let workflow = bodies.into_iter().next().ok_or(WorkflowsError::Unknown)?;
    let principal = Principal::Workflow(name.clone());
    let ruling = broker.policy.ruling_of(&principal).ok_or(WorkflowsError::Unknown)?;
    let granted = grants(&ruling.policy, &principal).map(|grant| granted::body(&ruling.policy, grant));
    Ok(WorkflowAnswer { now: now.seconds(), workflow, granted: granted.collect() })
}

fn workflows(policy: &Policy) -> BTreeSet<WorkflowName> {
    let principals = policy.identities().iter().flat_map(|identity| &identity.principals);
    let names = principals.filter_map(|principal| match principal {
        Principal::Workflow(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

fn grants<'p>(policy: &'p Policy, principal: &'p Principal) -> impl Iterator<Item = &'p Grant> {
    policy.grants().iter().filter(move |grant| grant.principal == *principal)
}

async fn bodies(
    broker: &Broker,
    policy: Option<&Policy>,
    names: BTreeSet<WorkflowName>,
    now: Timestamp,
) -> Result<Vec<WorkflowBody>, StoreError> {
    let (list, notes) = (broker.store.mirror(), broker.store.notes().await?);
    let living = broker.store.living(names.iter().map(ToString::to_string).collect(), now).await?;
    let stops = Stops { list: &list, notes: &notes, now };
    let each = names.into_iter().zip(living).filter_map(|(name, living)| {
        let principal = Principal::Workflow(name);
        let ruling = broker.policy.ruling_of(&principal)?;
        let on_trial = broker.policy.tried_on(&principal).is_some();
        let identities = identities(policy?, &principal);
        Some(body(&principal, &ruling, on_trial, identities, stops.of(&principal), living))
    });
    Ok(each.collect())
}

fn body(
    principal: &Principal,
    ruling: &Ruling,
    on_trial: bool,
    identities: Vec<IdentityBody>,
    stopped: Vec<StoppedBody>,
    living: Living,
) -> WorkflowBody {
    let tools: BTreeSet<_> = grants(&ruling.policy, principal).map(|grant| &grant.tool).collect();
    WorkflowBody {
        workflow: principal.name().to_owned(),
        policy: ruling.version,
        on_trial,
        identities,
        owners: ruling.policy.owners_of(principal).iter().map(ToString::to_string).collect(),
        tools: tools.into_iter().map(ToString::to_string).collect(),
        grants: grants(&ruling.policy, principal).count() as u64,
        stopped,
        tokens: LivingBody { living: living.tokens, revoked: living.revoked, exact: living.whole },
        last_granted: living.last.map(Timestamp::seconds),
    }
}

fn identities(policy: &Policy, principal: &Principal) -> Vec<IdentityBody> {
    let of = |identity: &&Identity| identity.principals.contains(principal);
    let body = |identity: &Identity| {
        let others = identity.principals.iter().filter(|other| *other != principal);
        let kind = match identity.proof {
            Proof::Key(_) => "key",
            Proof::Oidc(_) => "oidc",
            Proof::Spiffe(_) => "spiffe",
        };
        IdentityBody {
            entry: identity.entry.clone(),
            kind: kind.to_owned(),
            proof: told::proof(identity),
            shared_with: others.map(|other| other.name().to_owned()).collect(),
        }
    };
    policy.identities().iter().filter(of).map(body).collect()
}

/// What stops whole workflows.
struct Stops<'s> {
    list: &'s Revocations,
    notes: &'s Notes,
    now: Timestamp,
}

impl Stops<'_> {
    fn of(&self, principal: &Principal) -> Vec<StoppedBody> {
        let own = self.list.entry(SelectorKind::Workflow, principal.name());
        let own = own.map(|entry| self.body(SelectorKind::Workflow.to_string(), principal.name(), entry));
        let all = self.list.global_entry().filter(|entry| entry.before > 0);
        let all = all.map(|entry| self.body("all".to_owned(), "", entry));
        own.into_iter().chain(all).collect()
    }

    fn body(&self, kind: String, value: &str, entry: &Entry) -> StoppedBody {
        let what = if value.is_empty() { kind.clone() } else { format!("{kind}/{value}") };
        let reason = self.notes.get(&(kind, value.to_owned())).cloned().unwrap_or_default();
        StoppedBody {
            what,
            before: entry.before,
            holds: entry.before > self.now.seconds(),
            operator: entry.operator.to_string(),
            at: entry.set_at.seconds(),
            cause: cause(&entry.reason),
            reason,
        }
    }
}
