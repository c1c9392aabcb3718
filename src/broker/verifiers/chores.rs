//! What is done about instances every few seconds: they are written down, found silent, forgotten.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::admin::StateCounts;

use super::ages::sample;
use crate::broker::Broker;
use crate::instances::Now;
use crate::notices::Notice;
use crate::store::{Lease, Progress, StoreError};
use crate::telemetry;

/// The most instances that one transaction writes, so that no exchange waits long behind it.
const ROWS: usize = 500;

/// How often instances are looked at.
const EVERY: Duration = Duration::from_secs(4);

/// Looks after the instances until it is dropped.
pub async fn chores(broker: Arc<Broker>) {
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let failed = tend(&broker).await.err();
        // What matters is answered from memory; the store's own trouble is logged where it writes.
        if let Some(error) = failed.as_ref().filter(|_| !failing) {
            tracing::warn!(error = %error, "how far verifiers are could not be written down; it is tried again");
        }
        failing = failed.is_some();
    }
}

/// Notes how old their lists are, writes down how far instances are, tells of those that fell silent, and forgets those whose time is over.
///
/// # Errors
/// When the store fails; what was not written is tried again the next time.
pub async fn tend(broker: &Broker) -> Result<(), StoreError> {
    let now = Now::of(&*broker.clock);
    let policy = broker.policy.in_force();
    let due = broker.instances.due(policy.as_ref(), now);
    due.silent.iter().for_each(|(lease, progress)| tell_silent(broker, lease, progress));
    count(broker, now);
    sample(broker, now);
    for rows in due.progress.chunks(ROWS) {
        let rows: Vec<(String, Progress)> = rows.to_vec();
        broker.store.save_instances(rows.clone()).await?;
        broker.instances.written(&rows, now);
    }
    for forgotten in due.forgotten.chunks(ROWS) {
        broker.store.forget_instances(forgotten.to_vec(), None).await?;
    }
    Ok(())
}

fn count(broker: &Broker, now: Now) {
    let Some(policy) = broker.policy.in_force() else { return };
    let change = broker.store.mirror().changed_seq();
    let counts = broker.instances.look(&policy, |instances, _| {
        let mut counts = StateCounts::default();
        instances.for_each(|(instance, _)| counts.add(instance.state(change, now.monotonic)));
        counts
    });
    telemetry::verifiers(&counts);
}

/// Operators are told once that an instance fell silent.
fn tell_silent(broker: &Broker, lease: &Lease, progress: &Progress) {
    broker.notices.tell(&Notice::VerifierSilent {
        verifier: lease.verifier.clone(),
        instance: lease.instance.clone(),
        since: progress.seen,
        seq: progress.seq,
    });
}
