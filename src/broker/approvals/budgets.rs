//! Giving back what tokens took out of budgets and did not use.

use serde_json::json;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, EventType};

use super::DecideError;
use crate::broker::Broker;
use crate::store::{AuditEntry, Unused};

/// How many tokens are looked at in one step.
const STEP: usize = 200;

/// Gives back what tokens took that ended unused, at tools whose verifiers all have each use claimed at the broker: of the
/// others it is not known whether they were used.
///
/// # Errors
/// When the store fails.
pub(super) async fn give_back(broker: &Broker, now: Timestamp) -> Result<(), DecideError> {
    let Some(policy) = broker.policy.in_force() else { return Ok(()) };
    let tools = broker.instances.claiming(&policy, now);
    if tools.is_empty() {
        return Ok(());
    }
    for unused in broker.store.unused(now, tools, STEP).await? {
        let decision = broker.decision(None).map_err(|_| DecideError::NoRandomness)?;
        let audit = entry(broker, &unused, &decision);
        broker.store.return_unused(unused, audit).await?;
    }
    Ok(())
}

fn entry(broker: &Broker, unused: &Unused, decision: &Decision) -> AuditEntry {
    let segment = unused.of.segment(&unused.tool, None);
    let data = json!({
        "outcome": "done", "token": unused.token, "tool": unused.tool, "amount": unused.amount,
        "workflow": segment.workflow, "segment": segment, "stage": "budget", "error_class": null,
    });
    broker.scribe.entry(EventType::BudgetReturned, decision, unused.of.subject(), data)
}
