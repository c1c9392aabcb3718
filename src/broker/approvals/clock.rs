//! The clock on requests: the next group is asked when the SLA is breached, what is over is closed for good, and what
//! tokens took out of budgets and did not use is given back. A vote or an attempt looks at the time itself, so that nothing
//! depends on how soon this runs.

use std::sync::Arc;
use std::time::Duration;

use metrics::{counter, gauge};
use serde_json::json;
use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::EventType;

use super::DecideError;
use super::budgets::give_back;
use super::show::tallied;
use super::vote::{entry, notice};
use crate::approval::{Standing, Tally, Wait, due};
use crate::broker::Broker;
use crate::notices::ApprovalStep;
use crate::store::{ApprovalError, CloseApproval, StoredApproval};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// How long a request that cannot be looked after is left alone.
const PAUSE: Duration = Duration::from_secs(60);

/// How many requests are looked at in one step.
const STEP: usize = 200;

/// Looks after requests until the broker is dropped.
pub async fn chores(broker: Arc<Broker>) {
    let broker = {
        let weak = Arc::downgrade(&broker);
        drop(broker);
        weak
    };
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let Some(broker) = broker.upgrade() else { return };
        match tend(&broker).await {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                failing = true;
                tracing::error!(error = %error, "requests for approval could not be looked after; votes and expiry hold all the same");
            }
            Err(_) => {}
        }
    }
}

/// Looks once after whatever is due.
///
/// # Errors
/// When the store fails.
pub async fn tend(broker: &Broker) -> Result<(), DecideError> {
    loop {
        let now = broker.clock.now();
        let stored = broker.store.due_approvals(now, STEP).await?;
        let full = stored.len() == STEP;
        for stored in stored {
            let (id, due) = (stored.record.id.clone(), stored.record.due);
            if let Err(error) = look_after(broker, stored, now).await {
                // Not again at once: those behind it have their turn.
                tracing::error!(approval = id, error = %error, "a request for approval could not be looked after");
                broker.store.postpone_approval(&id, (due, now.plus(PAUSE)), Vec::new()).await?;
            }
        }
        if !full {
            give_back(broker, now).await?;
            return show_queue(broker).await;
        }
    }
}

async fn look_after(broker: &Broker, stored: StoredApproval, now: Timestamp) -> Result<(), DecideError> {
    let wait = Wait::read(stored)?;
    if wait.record.expires <= now {
        expire(broker, &wait, now).await
    } else {
        breached(broker, &wait, now).await
    }
}

async fn expire(broker: &Broker, wait: &Wait, now: Timestamp) -> Result<(), DecideError> {
    let decision = broker.decision(None).map_err(|_| DecideError::NoRandomness)?;
    // Who was asked does not matter any more where nobody is asked by the policy in force.
    let tally = tallied(broker, wait, now).ok().flatten().unwrap_or_else(Tally::nobody);
    let own = json!({ "outcome": "expired", "approved": tally.is_complete() && !tally.demands.is_empty() });
    let audit = entry(broker, EventType::ApprovalExpired, wait, &tally, own, &decision);
    let (id, state) = (wait.record.id.clone(), ApprovalState::Expired);
    let close = CloseApproval { id, state, at: now, digest: None, outcome: b"{}".to_vec(), audit };
    match broker.store.close_approval(close).await {
        Ok(()) => {
            counter!("shortbread_approvals_total", "outcome" => "expired").increment(1);
            // An SLA that ends with the request is breached with it.
            let late = tally
                .demands
                .iter()
                .filter(|one| wait.record.asked.plus(one.demand.sla) >= wait.record.expires);
            late.filter(|one| !one.is_met()).for_each(count_breach);
            broker.notices.tell(&notice(broker, wait, &tally, ApprovalStep::Expired, &decision));
            broker.polls.forget(&wait.record.id);
            Ok(())
        }
        // Whoever was first has said what became of it.
        Err(ApprovalError::Closed | ApprovalError::Changed) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

// The SLA of a group is breached: the next one is asked, where there is one.
async fn breached(broker: &Broker, wait: &Wait, now: Timestamp) -> Result<(), DecideError> {
    let record = &wait.record;
    let Some(tally) = tallied(broker, wait, now)? else {
        return postpone(broker, wait, record.expires).await;
    };
    let next = due(&tally, record.asked, record.expires, now);
    if tally.is_complete() {
        return postpone(broker, wait, next).await;
    }
    let decision = broker.decision(None).map_err(|_| DecideError::NoRandomness)?;
    let open = tally.demands.iter().filter(|standing| !standing.is_met());
    let mut joined = open
        .flat_map(|standing| &standing.groups)
        .filter(|group| record.asked < group.since && record.due <= group.since && group.since <= now);
    let step = if joined.next().is_some() { ApprovalStep::Escalated } else { ApprovalStep::Overdue };
    let own = json!({ "outcome": "pending", "late": true, "nobody_else": step == ApprovalStep::Overdue });
    let audit = entry(broker, EventType::ApprovalEscalated, wait, &tally, own, &decision);
    if broker.store.postpone_approval(&record.id, (record.due, next), vec![audit]).await? {
        tally.demands.iter().filter(|standing| !standing.is_met()).for_each(count_breach);
        broker.notices.tell(&notice(broker, wait, &tally, step, &decision));
    }
    Ok(())
}

fn count_breach(standing: &Standing) {
    let approvers = standing.demand.approvers.clone();
    counter!("shortbread_approval_sla_breaches_total", "approvers" => approvers).increment(1);
}

async fn postpone(broker: &Broker, wait: &Wait, to: Timestamp) -> Result<(), DecideError> {
    broker.store.postpone_approval(&wait.record.id, (wait.record.due, to), Vec::new()).await?;
    Ok(())
}

async fn show_queue(broker: &Broker) -> Result<(), DecideError> {
    let open = broker.store.open_approvals().await?;
    gauge!("shortbread_approvals_open").set(f64::from(u32::try_from(open).unwrap_or(u32::MAX)));
    Ok(())
}
